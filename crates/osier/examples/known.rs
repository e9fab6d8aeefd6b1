//! A snapshot with what is known of it, and several threads that ask it at once:
//! `cargo run --example known -- FILE [PROFILE]`.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "rules of the engine, not of programs that use it"
)]

use std::error::Error;
use std::thread;

use osier::{Attach, Open};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("name a snapshot")?;
    let cache = std::env::temp_dir().join("osier-example");
    let snapshot = Open::new().cache(&cache).open(file)?;
    let mut attach = Attach::new().cache(cache);
    if let Some(profile) = arguments.next() {
        attach = attach.profile(profile);
    }
    let guest = attach.to(snapshot)?;
    println!("{}", String::from_utf8_lossy(&guest.kernel().banner));
    // A clone shares everything; each answer has caches of its own.
    let counting = [
        thread::spawn({
            let guest = guest.clone();
            move || ("threads", guest.threads(None).count())
        }),
        thread::spawn(move || ("modules", guest.modules().count())),
    ];
    for count in counting {
        let (what, rows) = count.join().map_err(|_| "a thread panicked")?;
        println!("{rows} {what}");
    }
    Ok(())
}
