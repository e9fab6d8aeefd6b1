//! What opening a large dump reads, and what a page of a compressed dump costs.
//!
//! `cargo run --release -p osier-benches --bin opening`. The dumps are made here, sparse.

#![allow(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a program that prints figures"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use miniz_oxide::deflate::compress_to_vec_zlib;
use osier::osier_memory::{PAGE_BYTES, PhysAddr};
use osier::osier_snapshot::{OpenOptions, Snapshot, open};
use osier_testkit::containers::kdump::{Kdump, LZO, Packing, SNAPPY, ZLIB, ZSTD};
use osier_testkit::containers::{lime, packing};

const LARGE: u64 = 5 << 30;
const ROUNDS: usize = 21;

/// Calls of this process that read, and bytes that they gave.
fn read() -> Result<(u64, u64)> {
    let io = fs::read_to_string("/proc/self/io")?;
    let field = |name: &str| -> Option<u64> {
        let mut lines = io.lines();
        lines
            .find_map(|line| line.strip_prefix(name))?
            .trim()
            .parse()
            .ok()
    };
    let both = field("syscr:").zip(field("rchar:"));
    both.context("/proc/self/io")
}

fn opened(path: &Path) -> Result<Snapshot> {
    Ok(open(path, &OpenOptions::default())?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// 64-bit ELF core of one segment at physical address 0.
fn elf_head() -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    head.extend(4_u16.to_le_bytes()); // ET_CORE
    head.extend(62_u16.to_le_bytes()); // EM_X86_64
    head.extend(1_u32.to_le_bytes());
    for word in [0, 64, 0_u64] {
        head.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    head.extend(0_u32.to_le_bytes());
    for half in [64, 56, 1, 0, 0, 0_u16] {
        head.extend(half.to_le_bytes());
    }
    head.extend(1_u32.to_le_bytes()); // PT_LOAD
    head.extend(7_u32.to_le_bytes());
    for word in [PAGE_BYTES, 0, 0, LARGE, LARGE, 0] {
        head.extend(word.to_le_bytes());
    }
    head.resize(PAGE_BYTES as usize, 0);
    head
}

/// A dump of 5 GiB in a file that occupies its first page alone.
fn sparse(folder: &Path, name: &str, head: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    let mut file = File::create(&path)?;
    file.write_all(head)?;
    file.set_len(head.len() as u64 + LARGE)?;
    Ok(path)
}

fn large(folder: &Path) -> Result<()> {
    let lime = lime::header(*b"EMiL", 1, 0, LARGE - 1);
    println!("| dump of 5 GiB | opening µs | reads | KiB read |");
    println!("|---|--:|--:|--:|");
    for (name, head) in [
        ("raw", Vec::new()),
        ("ELF core", elf_head()),
        ("LiME", lime),
    ] {
        let path = sparse(folder, "large", &head)?;
        let mut times = Vec::new();
        let mut first = (0, 0);
        for round in 0..ROUNDS {
            // What asking costs is no part of it.
            let asked = read()?;
            let before = read()?;
            let start = Instant::now();
            let snapshot = black_box(opened(&path)?);
            times.push(start.elapsed().as_secs_f64() * 1e6);
            let after = read()?;
            if round > 0 {
                let asking = (before.0 - asked.0, before.1 - asked.1);
                let calls = (after.0 - before.0).saturating_sub(asking.0);
                let bytes = (after.1 - before.1).saturating_sub(asking.1);
                first = (calls, bytes / 1024);
            }
            let bytes: u64 = snapshot
                .machine
                .memory
                .runs()
                .iter()
                .map(|run| run.len)
                .sum();
            anyhow::ensure!(bytes == LARGE, "{name}: {bytes} bytes of memory");
        }
        println!(
            "| {name} | {:.0} | {} | {} |",
            median(times),
            first.0,
            first.1
        );
    }
    println!();
    Ok(())
}

/// A page like a kernel's: words of few kinds.
fn page(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut page = Vec::with_capacity(PAGE_BYTES as usize);
    while page.len() < PAGE_BYTES as usize {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = match state % 4 {
            0 => 0xffff_8880_0000_0000 | (state >> 40),
            1 => state % 64,
            _ => 0,
        };
        page.extend(word.to_le_bytes());
    }
    page
}

/// zlib as makedumpfile writes it: fast.
fn zlib(page: &[u8]) -> Vec<u8> {
    compress_to_vec_zlib(page, 1)
}

fn kdump(folder: &Path) -> Result<()> {
    const PAGES: u64 = 2048;
    println!("| kdump page, 4 KiB | first read µs | again µs |");
    println!("|---|--:|--:|");
    let kinds: [(&str, Option<Packing>); 5] = [
        ("stored", None),
        ("zlib", Some((ZLIB, zlib))),
        ("LZO", Some((LZO, packing::lzo))),
        ("Snappy", Some((SNAPPY, packing::snappy))),
        ("Zstandard", Some((ZSTD, packing::zstd))),
    ];
    let pages: BTreeMap<u64, Vec<u8>> = (0..PAGES).map(|number| (number, page(number))).collect();
    for (name, packing) in kinds {
        let dump = Kdump {
            frames: PAGES,
            pages: pages.clone(),
            packing,
            status: packing.map_or(0, |(flag, _)| flag),
            ..Kdump::default()
        };
        let path = folder.join("kdump");
        fs::write(&path, dump.file())?;
        let mut first = Vec::new();
        let mut again = Vec::new();
        for _ in 0..ROUNDS {
            let snapshot = opened(&path)?;
            let pass = |times: &mut Vec<f64>| -> Result<()> {
                let start = Instant::now();
                for number in 0..PAGES {
                    let chunk = snapshot
                        .machine
                        .memory
                        .chunk(PhysAddr(number * PAGE_BYTES))?;
                    black_box(chunk.first());
                }
                times.push(start.elapsed().as_secs_f64() * 1e6 / PAGES as f64);
                Ok(())
            };
            pass(&mut first)?;
            pass(&mut again)?;
        }
        println!("| {name} | {:.2} | {:.2} |", median(first), median(again));
    }
    println!();
    Ok(())
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("osier-opening-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let done = large(&folder).and_then(|()| kdump(&folder));
    fs::remove_dir_all(&folder)?;
    done
}
