//! `peer-isr VMLINUX SYSTEM_MAP OUT`: the profile that vmi reads, written as isr's cache writes it.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use rkyv::ser::writer::IoWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let [vmlinux, map, out] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "peer-isr VMLINUX SYSTEM_MAP OUT")?;
    let out = BufWriter::new(File::create(out)?);
    isr_dwarf::create_profile(File::open(vmlinux)?, File::open(map)?, |profile| {
        rkyv::api::high::to_bytes_in::<_, rkyv::rancor::Error>(profile, IoWriter::new(out))
            .map(|_| ())
    })?;
    Ok(())
}
