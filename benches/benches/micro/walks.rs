//! Translation, and walks of a golden snapshot.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use osier::osier_memory::{AddressSpace, PAGE_BYTES, Paging, PhysAddr, VirtAddr, hardware_policy};
use osier::{Guest, Options};
use osier_testkit::data::workspace;
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

pub(crate) fn all(criterion: &mut Criterion) {
    translate(criterion);
    lists(criterion);
}

/// Walks of four levels, with the translation cache empty and with all in it.
fn translate(criterion: &mut Criterion) {
    const PAGES: u64 = 64;
    let start = VirtAddr(0xffff_8880_0000_0000);
    let mut memory = MemoryBuilder::new(PhysAddr(0x1000));
    let tables = TableBuilder::new(Paging::Long4, &mut memory);
    let addresses: Vec<VirtAddr> = (0..PAGES).map(|page| start.plus(page << 12)).collect();
    for &va in &addresses {
        let pa = memory.allocate();
        tables.map(&mut memory, va, pa, PAGE_BYTES, Rights::KERNEL);
    }
    let memory = Arc::new(memory);
    let space = || {
        let root = tables.root();
        AddressSpace::new(memory.clone(), Paging::Long4, root, hardware_policy)
    };
    let pass = |space: &AddressSpace| {
        for &va in &addresses {
            let _ = black_box(space.translate(black_box(va)));
        }
    };
    let mut group = criterion.benchmark_group("translate, 4-level");
    group.throughput(Throughput::Elements(PAGES));
    group.bench_function("cold", |bencher| {
        bencher.iter_batched_ref(space, |space| pass(space), criterion::BatchSize::SmallInput);
    });
    let warm = space();
    pass(&warm);
    group.bench_function("cached", |bencher| bencher.iter(|| pass(&warm)));
    group.finish();
}

fn lists(criterion: &mut Criterion) {
    let path = workspace().join("snapshots/deb12-6.1-amd64.elf");
    let guest = Guest::open(&path, &Options::default()).expect("a golden snapshot");
    let osi = &*guest.provider();
    let mut tasks = Vec::new();
    let _ = osi.processes(&mut |handle| {
        tasks.push(handle.taskd);
        ControlFlow::Continue(())
    });
    let count = |taskd| {
        let mut rows = 0_u64;
        let _ = osi.mappings(taskd, &mut |row| {
            black_box(&row);
            rows += 1;
            ControlFlow::Continue(())
        });
        rows
    };
    // The process with the most mappings: a tree of maple nodes, some levels deep.
    let largest = tasks.iter().copied().max_by_key(|&taskd| count(taskd));
    let largest = largest.expect("a process");

    let mut group = criterion.benchmark_group("list walk");
    group.throughput(Throughput::Elements(tasks.len() as u64));
    group.bench_function("one of them", |bencher| {
        bencher.iter(|| {
            osi.processes_of(&mut |process| process.pid == Ok(1), &mut |row| {
                black_box(&row);
                ControlFlow::Continue(())
            })
        });
    });
    group.bench_function("processes", |bencher| {
        bencher.iter(|| {
            osi.processes(&mut |row| {
                black_box(&row);
                ControlFlow::Continue(())
            })
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("maple walk");
    group.throughput(Throughput::Elements(count(largest)));
    group.bench_function("mappings", |bencher| bencher.iter(|| count(largest)));
    group.finish();
}
