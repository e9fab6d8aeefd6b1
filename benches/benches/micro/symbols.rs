//! kallsyms and BTF out of a real snapshot, DWARF out of a file.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, Throughput};
use osier::osier_linux::{WANTED, linux_policy};
use osier::osier_memory::{AddressSpace, VirtAddr};
use osier::osier_symbols::image::{Image, symbol_table};
use osier::osier_symbols::{btf, import_elf};
use osier::{Guest, Located, Options};
use osier_testkit::data;

pub(crate) fn all(criterion: &mut Criterion) {
    match data::folder("deb12-6.1-amd64") {
        Ok(folder) => from_memory(criterion, &folder.join("memory.elf")),
        Err(why) => eprintln!("skipped, kallsyms and BTF: {why}"),
    }
    dwarf(criterion);
}

fn from_memory(criterion: &mut Criterion, path: &std::path::Path) {
    let guest = Guest::open(path, &Options::default()).expect("a real snapshot");
    let Located::Linux(found) = guest.located() else {
        panic!("not Linux");
    };
    let memory = guest.machine().memory.clone();
    let space = AddressSpace::new(memory, found.mode, found.root, linux_policy);
    let image = Image {
        text: found.text,
        end: found.end,
        slide: Some(0),
    };
    let table = || symbol_table(&space, image).expect("kallsyms");
    let mut bounds = [0; 2];
    let mut count = 0;
    table().each(|_, name, address| {
        count += 1;
        match name {
            b"__start_BTF" => bounds[0] = address,
            b"__stop_BTF" => bounds[1] = address,
            _ => {}
        }
    });
    let mut group = criterion.benchmark_group("kallsyms");
    group.sample_size(20);
    group.throughput(Throughput::Elements(count));
    group.bench_function("found and decoded", |bencher| {
        bencher.iter(|| {
            table().each(|kind, name, address| {
                black_box((kind, name, address));
            });
        });
    });
    group.finish();

    let bytes = usize::try_from(bounds[1] - bounds[0]).expect("a length");
    let mut types = vec![0; bytes];
    space.read(VirtAddr(bounds[0]), &mut types).expect("BTF");
    let mut group = criterion.benchmark_group("BTF");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("what is wanted", |bencher| {
        bencher.iter(|| btf::parse(black_box(&types), Some(&WANTED)));
    });
    group.bench_function("all", |bencher| {
        bencher.iter(|| btf::parse(black_box(&types), None));
    });
    group.finish();
}

fn dwarf(criterion: &mut Criterion) {
    let small = data::workspace().join("crates/osier-symbols/tests/data/dwarf5.o");
    let mut files: Vec<(&str, PathBuf)> = vec![("small object", small)];
    match std::env::var_os("OSIER_VMLINUX") {
        Some(file) => files.push(("vmlinux", file.into())),
        None => eprintln!("skipped, DWARF of a kernel: OSIER_VMLINUX names none"),
    }
    let mut group = criterion.benchmark_group("DWARF");
    group.sample_size(10);
    for (name, path) in files {
        let file = std::fs::read(&path).expect("a file with DWARF");
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| import_elf(black_box(file.as_slice()), Some(&WANTED)));
        });
    }
    group.finish();
}
