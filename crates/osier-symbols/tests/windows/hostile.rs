//! Damaged PDBs and cabinets are errors, or other facts, but never a panic, a hang or a bomb.

use osier_profile::Wanted;
use osier_symbols::{everything, import_pdb, import_symbols};
use osier_testkit::Random;

use crate::{or_skip, pdb};

const WANTED: Wanted = Wanted {
    types: &["_EPROCESS", "_PEB", "_TEB"],
    symbols: &["LdrLoadDll"],
    constants: &[],
};

#[test]
fn a_pdb_cut_short_is_an_error() {
    let data = or_skip!(pdb("winxp-sp3-x86-ntdll"));
    for eighth in 0..8 {
        let cut = &data[..data.len() / 8 * eighth];
        assert!(import_pdb(cut, None).is_err(), "{eighth} eighths");
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let data = or_skip!(pdb("winxp-sp3-x86-ntdll"));
    let mut random = Random::new(0x7db);
    let mut refused = 0;
    for round in 0..300 {
        let mut bad = data.clone();
        // Every other round in the headers, where a byte leads far.
        let reach = if round % 2 == 0 { bad.len() } else { 0x4000 };
        for _ in 0..32 {
            let at = random.below(reach as u64) as usize;
            bad[at] ^= 1 << random.below(8);
        }
        let wanted = (round % 3 != 0).then_some(&WANTED);
        refused += usize::from(import_pdb(&bad, wanted).is_err());
    }
    assert!(
        refused > 10,
        "only {refused} of 300 were seen to be damaged"
    );
}

#[test]
fn headers_alone_do_no_harm() {
    let mut random = Random::new(0x15f);
    let starts: [&[u8]; 3] = [
        b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0\0\x04\0\0\x02\0\0\0\xff\xff\xff\0",
        b"Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0\0\x04\0\0\x01\0\xff\xff",
        b"MSCF\0\0\0\0\0\x10\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\x03\x01\x01\0\x01\0",
    ];
    for start in starts {
        for _ in 0..200 {
            let mut data = start.to_vec();
            data.resize(4096, 0);
            for byte in &mut data[start.len()..] {
                *byte = random.below(256) as u8 & random.below(256) as u8;
            }
            assert!(import_symbols(&data, everything).is_err());
        }
    }
}
