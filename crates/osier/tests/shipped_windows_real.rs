//! The Windows profiles that ship say what their sources say. With `OSIER_WRITE_SYMBOLS=1` (`cargo
//! xtask symbols`) they are made of the sources instead.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use osier::import;
use osier::osier_profile::Profile;
use osier::osier_symbols::{everything, import_symbols};
use osier_testkit::need::{self, Need, Real};

/// The most that a profile may have; all are part of the program.
const MAX_BYTES: u64 = 64 << 10;

/// Each profile, and what it is made of.
const SHIPPED: [(&str, &str); 17] = [
    (
        "xp-sp2-x86-32962337",
        "isf/ntoskrnl.pdb.32962337f0f646388b39535cd8dd70e82.rekall.json",
    ),
    (
        "xp-sp2-x86pae-bd8f451f",
        "isf/ntkrnlpa.pdb.bd8f451f3e754ed8a34b50560ceb08e31.rekall.json",
    ),
    (
        "xp-sp3-x86pae-30b5fb31",
        "pdb/winxp-sp3-x86pae-ntkrnlpa-30B5FB31AE7E4ACAABA750AA241FF331-1.pdb.zst",
    ),
    (
        "7-sp1-x64-2e37f962",
        "isf/ntkrnlmp.pdb_2E37F962D699492CAAF3F9F4E9770B1D-2.json.xz",
    ),
    (
        "7-sp1-x64-339e7413",
        "isf/ntkrnlmp.pdb_339E74133576439CBCDF7E0229DA3773-1.json.xz",
    ),
    (
        "7-sp1-x64-3844dbb9",
        "isf/ntkrnlmp.pdb_3844DBB920174967BE7AA4A2C20430FA-2.json.xz",
    ),
    (
        "8.1-x64-c78ab9db",
        "isf/ntkrnlmp.pdb_C78AB9DBFFED445096B4DCF7FDD6E5AF-1.json.xz",
    ),
    (
        "10-1607-x64-2e6deb6c",
        "isf/ntkrnlmp.pdb_2E6DEB6CFD444100AC0E803337A56E8E-1.json.xz",
    ),
    (
        "10-1809-x64-1d409061",
        "isf/ntkrnlmp.pdb_1D4090613BF97F9B9529992E20E93897-1.json.xz",
    ),
    (
        "10-1903-x64-e0093f3a",
        "isf/ntkrnlmp.pdb_E0093F3AEF15D58168B753C9488A4043-1.json.xz",
    ),
    (
        "10-19041-x64-5278aff8",
        "isf/ntkrnlmp.pdb_5278AFF86C341677D7D7835C85B7B844-1.json.xz",
    ),
    (
        "10-19041-x64-79be8c36",
        "isf/ntkrnlmp.pdb_79BE8C368BEC7DD9677EA9B355ACE784-1.json.xz",
    ),
    (
        "10-19041-x64-89284d0c",
        "isf/ntkrnlmp.pdb_89284D0CA6ACC8274B9A44BD5AF9290B-1.json.xz",
    ),
    (
        "10-19041-x64-bbed7c29",
        "isf/ntkrnlmp.pdb_BBED7C2955FBE4522AAA23F4B8677AD9-1.json.xz",
    ),
    (
        "10-x64-1e158a60",
        "isf/ntkrnlmp.pdb_1E158A6041094205BE17F93E54DD5E51-1.json.xz",
    ),
    (
        "10-x64-3c77a203",
        "isf/ntkrnlmp.pdb_3C77A20382CE4024A425C6A53F4B167F-1.json.xz",
    ),
    (
        "server-2022-x64-fdcba251",
        "isf/ntkrnlmp.pdb_FDCBA251C28BD5935DB2F7AEE341482A-1.json.xz",
    ),
];

osier_testkit::trials! {
    SHIPPED.map(source) => a_shipped_profile_says_what_its_source_says;
}

fn source((_, from): (&str, &str)) -> Need {
    need::file(&format!("windows/{from}"))
}

fn a_shipped_profile_says_what_its_source_says(real: &Real) {
    let all = SHIPPED.iter();
    let mut named = all.filter(|(_, from)| real.name.ends_with(from));
    let name = named.next().unwrap().0;
    let file = osier_testkit::data::workspace().join(format!("symbols/windows-{name}.osp"));
    let packed = real.path.extension().is_some_and(|end| end == "zst");
    let from = if packed {
        let plain = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pdb"));
        fs::write(&plain, real.unpacked()).unwrap();
        plain
    } else {
        real.path.clone()
    };
    if std::env::var_os("OSIER_WRITE_SYMBOLS").is_some() {
        let profile = import::import(&[from], None).unwrap();
        let fingerprint = import::fingerprint(&profile);
        profile.write_file(&file, fingerprint).unwrap();
        return;
    }
    let bytes = fs::metadata(&file).unwrap().len();
    assert!(bytes <= MAX_BYTES, "{name}: {bytes} bytes");
    let (shipped, _) = Profile::read_file(&file).unwrap();
    let guid = shipped.identity().build_id.as_ref().unwrap().to_string();
    assert!(
        guid.starts_with(name.rsplit('-').next().unwrap()),
        "{name}: {guid}"
    );
    let all = import_symbols(&fs::read(from).unwrap(), everything)
        .unwrap()
        .remove(0)
        .build();
    for ty in shipped.types() {
        assert_eq!(Some(ty), all.find_type(&ty.name), "{name}");
    }
    for (symbol, place) in shipped.symbols() {
        assert_eq!(Some(*place), all.symbol(symbol), "{name}: {symbol}");
    }
    for needed in ["_EPROCESS", "_ETHREAD", "_KPCR"] {
        assert!(shipped.find_type(needed).is_some(), "{name}: {needed}");
    }
    assert!(shipped.symbol("PsActiveProcessHead").is_some(), "{name}");
}
