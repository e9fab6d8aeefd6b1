//! A page of a compressed dump: decoded, and out of the cache.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use miniz_oxide::deflate::compress_to_vec_zlib;
use osier::osier_memory::{PAGE_BYTES, PhysAddr};
use osier::osier_snapshot::{OpenOptions, open};
use osier_testkit::containers::kdump::{Kdump, LZO, SNAPPY, ZLIB, ZSTD};
use osier_testkit::containers::packing;

const PAGES: u64 = 64;

/// zlib as makedumpfile writes it: fast.
fn zlib(page: &[u8]) -> Vec<u8> {
    compress_to_vec_zlib(page, 1)
}

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kdump page");
    group.throughput(criterion::Throughput::Bytes(PAGES * PAGE_BYTES));
    let kinds = [
        ("zlib", (ZLIB, zlib as fn(&[u8]) -> Vec<u8>)),
        ("lzo", (LZO, packing::lzo)),
        ("snappy", (SNAPPY, packing::snappy)),
        ("zstd", (ZSTD, packing::zstd)),
    ];
    for (name, packing) in kinds {
        let page = |number: u64| -> Vec<u8> {
            let words = (0..PAGE_BYTES / 8).map(|at| (at * number) % 251);
            words.flat_map(u64::to_le_bytes).collect()
        };
        let dump = Kdump {
            frames: PAGES,
            pages: (0..PAGES).map(|number| (number, page(number))).collect(),
            packing: Some(packing),
            status: packing.0,
            ..Kdump::default()
        };
        let path = std::env::temp_dir().join(format!("osier-bench-{}", std::process::id()));
        std::fs::write(&path, dump.file()).expect("a dump");
        let opened = || open(&path, &OpenOptions::default()).expect("a kdump");
        let pass = |snapshot: &osier::osier_snapshot::Snapshot| {
            for number in 0..PAGES {
                let chunk = snapshot.machine.memory.chunk(PhysAddr(number * PAGE_BYTES));
                black_box(chunk.map(|chunk| chunk.first().copied()).ok());
            }
        };
        group.bench_function(format!("{name}, decoded"), |bencher| {
            bencher.iter_batched_ref(opened, |snapshot| pass(snapshot), BatchSize::SmallInput);
        });
        let snapshot = opened();
        pass(&snapshot);
        group.bench_function(format!("{name}, cached"), |bencher| {
            bencher.iter(|| pass(&snapshot));
        });
        let _ = std::fs::remove_file(path);
    }
    group.finish();
}
