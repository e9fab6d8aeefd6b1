//! The processes of a snapshot, and whether any are missing: `cargo run --example processes -- FILE`.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "rules of the engine, not of programs that use it"
)]

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("name a snapshot")?;
    let guest = osier::open(file)?;
    let mut list = guest.processes();
    for process in list.by_ref() {
        // A value is a result: its error says why it is absent, and prints as a sentence.
        let pid = process.pid.map_or("?".to_owned(), |pid| pid.to_string());
        match &process.name {
            Ok(name) => println!("{pid:>6} {}", String::from_utf8_lossy(name)),
            Err(absent) => println!("{pid:>6} ({absent})"),
        }
    }
    if !list.is_complete() {
        eprintln!("not all of them: {}", list.ends());
    }
    Ok(())
}
