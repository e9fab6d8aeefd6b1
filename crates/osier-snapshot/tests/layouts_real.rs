//! Streams of a real QEMU, one for each way in which a machine has its RAM: a marker that QEMU itself
//! puts on the first and last page of every stretch of RAM is read back at its address.
//!
//! The machines have 1 to 5 GiB and never run, so that their streams have some MiB.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod made;

use std::path::Path;

use osier_memory::{Cause, PhysAddr};
use osier_snapshot::{OpenOptions, Snapshot, open};
use osier_testkit::need;
use osier_testkit::qemu::Qemu;

osier_testkit::trials! {
    need::program("qemu-system-x86_64") => one_block, old_machine_types, a_split_that_was_asked_for,
        nodes, nodes_by_any_name, plugged_in, lent, plugged_in_elsewhere, cut_short;
}

/// The stream of the machine that `arguments` say, with a marker of 8 bytes at both ends of
/// every stretch of RAM, and their addresses. `None` where this QEMU has no such machine (any more).
fn stream(folder: &Path, arguments: &str) -> Option<(Vec<u64>, Snapshot)> {
    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    let mut qemu = match Qemu::frozen(folder, &arguments) {
        Ok(qemu) => qemu,
        Err(said) if said.contains("unsupported machine type") => return None,
        Err(said) => panic!("{arguments:?}: {said}"),
    };
    let ranges = qemu.ram();
    drop(qemu);
    assert!(!ranges.is_empty(), "{arguments:?}");
    let mut markers = Vec::new();
    let mut marked = arguments;
    for (first, last, _) in ranges.iter().filter(|range| range.2 != "pc.bios") {
        for at in [*first, last - 7] {
            markers.push(at);
            marked.push("-device".to_owned());
            marked.push(format!("loader,addr={at:#x},data={:#x},data-len=8", at + 1));
        }
    }
    let mut qemu = Qemu::frozen(folder, &marked).unwrap();
    assert_eq!(qemu.ram(), ranges);
    let file = folder.join("stream");
    qemu.migrate(&file, true);
    qemu.wait();
    drop(qemu);
    let options = OpenOptions {
        index_dir: Some(folder.join("index")),
        ..OpenOptions::default()
    };
    open(&file, &options).unwrap();
    Some((markers, open(&file, &options).unwrap())) // by the index
}

/// What [`stream`] reads at its markers; returns what the file is said to lack.
fn every_marker(arguments: &str) -> Vec<String> {
    let folder = made::folder("layout");
    let Some((markers, snapshot)) = stream(&folder, arguments) else {
        return Vec::new();
    };
    for at in markers {
        let read = snapshot.machine.memory.read_uint(PhysAddr(at), 8);
        assert_eq!(
            read,
            Ok(at + 1),
            "{arguments}: {at:#x}: {:?}",
            snapshot.info
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
    anomalies(&snapshot)
}

fn anomalies(snapshot: &Snapshot) -> Vec<String> {
    let anomalies = snapshot.info.anomalies.iter().map(ToString::to_string);
    anomalies
        .filter(|anomaly| !anomaly.contains("no section footers"))
        .collect()
}

/// The machine's layout is known: nothing is to be said.
fn known(arguments: &str) {
    assert_eq!(every_marker(arguments), [""; 0], "{arguments}");
}

/// The markers are found, by a guess that is told.
fn guessed(arguments: &str) {
    let anomalies = every_marker(arguments);
    assert!(
        anomalies.iter().any(|anomaly| anomaly.contains("guess")),
        "{arguments}: {anomalies:?}"
    );
}

fn one_block() {
    for arguments in [
        "-M pc -m 2G",
        "-M pc -m 3583M",
        "-M pc -m 3584M",
        "-M pc -m 5G",
        "-M q35 -m 2815M",
        "-M q35 -m 2816M",
        "-M q35 -m 4G",
        "-M microvm -m 3G",
        "-M microvm -m 4G",
        "-M microvm,rtc=off -m 4G",
        "-M pc -m 4G -object memory-backend-ram,id=mine,size=4G -machine memory-backend=mine",
    ] {
        known(arguments);
    }
}

fn old_machine_types() {
    for arguments in [
        "-M pc-i440fx-1.4 -m 4G",
        "-M pc-i440fx-1.7 -m 4G",
        "-M pc-i440fx-2.0 -m 4G",
        "-M pc-i440fx-2.3 -m 4G",
        "-M pc-i440fx-2.4 -m 4G",
        "-M pc-q35-2.4 -m 4G",
        "-M pc-q35-3.1 -m 3G",
        "-M isapc -m 1G",
    ] {
        known(arguments);
    }
}

fn a_split_that_was_asked_for() {
    for arguments in [
        "-M pc,max-ram-below-4g=1G -m 2G",
        "-M pc,max-ram-below-4g=3840M -m 3800M",
        "-M q35,max-ram-below-4g=1G -m 4G",
    ] {
        known(arguments);
    }
}

/// Nodes of their own memory, each of a name and a size in MiB.
fn with_nodes(machine: &str, nodes: &[(&str, u64)]) -> String {
    let total: u64 = nodes.iter().map(|node| node.1).sum();
    let nodes = nodes.iter().enumerate().map(|(number, (name, size))| {
        format!(
            " -object memory-backend-ram,id={name},size={size}M -numa node,nodeid={number},memdev={name}"
        )
    });
    let nodes: String = nodes.collect();
    format!("{machine} -m {total}M{nodes}")
}

fn nodes() {
    for machine in ["-M pc", "-M q35", "-M pc-i440fx-2.8", "-M pc-i440fx-1.7"] {
        for nodes in [
            &[("ram-node0", 1024), ("ram-node1", 3072)][..],
            &[("ram-node0", 2048), ("ram-node1", 2048)],
            &[("ram-node0", 512), ("ram-node1", 1024), ("ram-node2", 512)],
        ] {
            known(&with_nodes(machine, nodes));
        }
    }
    // By their names alone.
    known(&with_nodes(
        "-M pc,acpi=off",
        &[("ram-node0", 1024), ("ram-node1", 3072)],
    ));
    // One block for all nodes.
    known("-M pc-i440fx-4.2 -m 4G -numa node,mem=1G -numa node,mem=3G");
}

fn nodes_by_any_name() {
    // Their sizes tell which is which.
    known(&with_nodes("-M q35", &[("b", 1024), ("a", 3072)]));
    known(&with_nodes("-M pc", &[("m1", 512), ("m0", 1536)]));
    // Nothing does.
    guessed(&with_nodes("-M pc", &[("m0", 1024), ("m1", 1024)]));
    guessed(&with_nodes("-M pc,acpi=off", &[("m0", 1024), ("m1", 2048)]));
}

fn plugged_in() {
    let dimm = |name: &str, size: u64| {
        format!(" -object memory-backend-ram,id={name},size={size}M -device pc-dimm,memdev={name}")
    };
    for machine in [
        "-M pc -m 1G,slots=4,maxmem=8G".to_owned(),
        "-M q35 -m 3G,slots=4,maxmem=8G".to_owned(),
        with_nodes("-M pc", &[("ram-node0", 1024), ("ram-node1", 512)])
            .replace("-m 1536M", "-m 1536M,slots=4,maxmem=8G"),
    ] {
        guessed(&format!("{machine}{}", dimm("mem-dimm0", 512)));
        guessed(&format!(
            "{machine}{}{}",
            dimm("memdimm0", 256),
            dimm("memdimm1", 512)
        ));
    }
    known(
        "-M q35,nvdimm=on -m 1G,slots=4,maxmem=8G -object memory-backend-ram,id=lasts,size=256M \
         -device nvdimm,memdev=lasts",
    );
}

/// A guest that never ran has not taken what `virtio-mem` lends it, so QEMU sends none of it.
fn lent() {
    let folder = made::folder("layout");
    let arguments = "-M pc -m 1G,slots=4,maxmem=8G -object memory-backend-ram,id=lent,size=512M \
                     -device virtio-mem-pci,memdev=lent,requested-size=512M";
    let (markers, snapshot) = stream(&folder, arguments).unwrap();
    assert_eq!(anomalies(&snapshot), [""; 0]);
    let lies = snapshot.info.facts.iter().find(|fact| fact.0 == "RAM lies");
    let [.., first, _] = markers[..] else {
        panic!("{markers:?}");
    };
    assert!(lies.unwrap().1.ends_with(&format!("/lent at {first:#x}")));
    let fault = snapshot.machine.memory.chunk(PhysAddr(first));
    assert_eq!(fault.unwrap_err().cause, Cause::NotCaptured);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What is not where QEMU puts it by itself is told to be a guess, and its true place holds memory
/// for all that the stream says.
fn plugged_in_elsewhere() {
    let folder = made::folder("layout");
    let arguments = "-M pc -m 1G,slots=4,maxmem=8G -object memory-backend-ram,id=d0,size=256M \
                     -device pc-dimm,memdev=d0,addr=0x180000000";
    let (markers, snapshot) = stream(&folder, arguments).unwrap();
    let fault = snapshot.machine.memory.chunk(PhysAddr(0x1_8000_0000));
    assert_eq!(fault.unwrap_err().cause, Cause::NotCaptured);
    assert!(markers.contains(&0x1_8000_0000));
    assert!(anomalies(&snapshot)[0].contains("by guess"));
    // Two whose order nothing tells.
    let arguments = "-M pc -m 1G,slots=4,maxmem=8G -object memory-backend-ram,id=one,size=256M \
                     -device pc-dimm,memdev=one -object memory-backend-ram,id=two,size=512M \
                     -device pc-dimm,memdev=two";
    let (_, snapshot) = stream(&folder, arguments).unwrap();
    let fault = snapshot.machine.memory.chunk(PhysAddr(0x1_0000_0000));
    assert_eq!(fault.unwrap_err().cause, Cause::NotCaptured);
    let said = anomalies(&snapshot);
    assert!(
        said[0].contains("\"one\"") && said[0].contains("left out"),
        "{said:?}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

fn cut_short() {
    let folder = made::folder("layout");
    let (markers, whole) = stream(&folder, "-M q35 -m 4G").unwrap();
    let bytes = std::fs::read(&whole.info.file).unwrap();
    for part in [1, 3] {
        let file = folder.join("cut");
        std::fs::write(&file, &bytes[..bytes.len() * part / 4]).unwrap();
        let cut = open(&file, &OpenOptions::default()).unwrap();
        assert!(anomalies(&cut)[0].contains("cut short"));
        assert!(cut.machine.cpus.is_empty());
        let memory = &cut.machine.memory;
        for at in &markers {
            match memory.read_uint(PhysAddr(*at), 8) {
                Ok(read) => assert_eq!(read, at + 1),
                Err(fault) => assert!(matches!(fault.cause, Cause::FileShort { .. })),
            }
        }
        assert_eq!(
            memory.read_uint(PhysAddr(markers[0]), 8),
            Ok(markers[0] + 1)
        );
        assert!(
            memory
                .read_uint(PhysAddr(*markers.last().unwrap()), 8)
                .is_err()
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
