//! `peer-memflow RAW CR3 INIT_TASK TASKS TGID PARENT COMM`: a line `PID PPID COMM` for each process.
//!
//! memflow has no Linux layer; it reads memory and translates. Where the list starts and where the
//! members lie is given, so this is the walk alone.

use std::fs::File;
use std::io::Write;

use memflow::architecture::x86::x64;
use memflow::connector::{CloneFile, FileIoMemory};
use memflow::error::Result;
use memflow::mem::{MemoryMap, MemoryView, VirtualDma};
use memflow::types::{Address, umem};

/// More processes than a machine has.
const MOST: usize = 1 << 16;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("no dump named")?;
    let numbers = arguments
        .map(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let [cr3, init_task, tasks, tgid, parent, comm] = numbers
        .try_into()
        .map_err(|_| "CR3 INIT_TASK TASKS TGID PARENT COMM")?;
    let file = File::open(&path)?;
    let bytes = file.metadata()?.len();
    let mut map = MemoryMap::new();
    map.push_remap(Address::null(), bytes as umem, Address::null());
    let memory = FileIoMemory::with_mem_map(CloneFile::from(file), map)
        .map_err(|error| error.to_string())?;
    let translator = x64::new_translator(Address::from(cr3));
    let mut memory = VirtualDma::new(memory, x64::ARCH, translator);
    let mut out = std::io::stdout().lock();
    let mut task = init_task;
    // Memory read by the wrong tables is zeros, and a list of zeros goes on for ever.
    for _ in 0..MOST {
        let mut read = || -> Result<(u32, u32, Vec<u8>, u64)> {
            let at = |offset: u64| Address::from(task.wrapping_add(offset));
            let pid: u32 = memory.read(at(tgid))?;
            let above: u64 = memory.read(at(parent))?;
            let name = memory.read_raw(at(comm), 16)?;
            let next: u64 = memory.read(at(tasks))?;
            let above = Address::from(above.wrapping_add(tgid));
            let ppid: u32 = memory.read(above)?;
            Ok((pid, ppid, name, next))
        };
        let (pid, ppid, name, next) = read().map_err(|error| error.to_string())?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name: Vec<u8> = name
            .iter()
            .map(|byte| if *byte == b'\n' { b' ' } else { *byte })
            .collect();
        write!(out, "{pid} {ppid} ")?;
        out.write_all(&name)?;
        out.write_all(b"\n")?;
        task = next.wrapping_sub(tasks);
        if task == init_task {
            return Ok(());
        }
    }
    Err("the list does not close".into())
}
