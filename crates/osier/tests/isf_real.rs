//! ISF out of real snapshots alone: what is read back from it is what the snapshot's own BTF and kallsyms
//! say.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use osier::osier_linux::WANTED;
use osier::osier_profile::{Kind, Profile};
use osier::{Options, isf_of_snapshot, open_snapshot};
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, &MACHINES) => all_types_and_symbols_are_those_of_the_kernel;
}

/// Machines whose kernels have BTF.
const MACHINES: [&str; 3] = ["deb11-5.10-amd64", "deb12-6.1-amd64", "deb13-6.12-amd64"];

fn all_types_and_symbols_are_those_of_the_kernel(real: &Real) {
    let name = &real.name;
    let file = real.path.join("memory.elf");
    let options = Options {
        no_shipped: true,
        ..Options::default()
    };
    let snapshot = open_snapshot(&file, &options).unwrap();
    let isf = isf_of_snapshot(&snapshot, &options).unwrap();
    assert_eq!(isf.damage, [""; 0]);
    let text = isf.text;
    let read = osier::osier_symbols::import_isf(text.as_bytes(), Some(&WANTED)).unwrap();
    let read = read.build();
    let guest = osier::Guest::open(&file, &options).unwrap();
    let own: &Profile = guest.profile();
    assert!(own.types().len() > 50 && own.symbols().len() > 50, "{name}");
    for ty in own.types() {
        let found = read
            .find_type(&ty.name)
            .unwrap_or_else(|| panic!("{name}: {}", ty.name));
        assert_eq!(found.bytes, ty.bytes, "{name}: {}", ty.name);
        for member in ty.members() {
            let other = found.member(&member.name).unwrap();
            let places = (other.offset, other.bits) == (member.offset, member.bits);
            assert!(places, "{name}: {}.{}", ty.name, member.name);
            if let Kind::Pointer { to } = &member.kind {
                assert!(matches!(&other.kind, Kind::Pointer { to: other } if other == to));
            }
        }
    }
    for (symbol, address) in own.symbols() {
        assert_eq!(read.symbol(symbol), Some(*address), "{name}: {symbol}");
    }
    assert_eq!(read.identity().banner, own.identity().banner);
    assert!(text.contains("\"pid_type\":{\"size\":4"), "{name}");
}
