//! Damaged PDBs are errors, or other facts, but never a panic, a hang or a bomb.

use osier_profile::Wanted;
use osier_symbols::import_pdb;
use osier_testkit::Random;
use osier_testkit::need::Real;

const WANTED: Wanted = Wanted {
    types: &[&["_EPROCESS", "_PEB", "_TEB"]],
    symbols: &[&["LdrLoadDll"]],
    constants: &[],
};

pub(crate) fn a_pdb_cut_short_is_an_error(real: &Real) {
    let data = real.unpacked();
    for eighth in 0..8 {
        let cut = &data[..data.len() / 8 * eighth];
        assert!(import_pdb(cut, None).is_err(), "{eighth} eighths");
    }
}

pub(crate) fn flipped_bits_do_no_harm(real: &Real) {
    let data = real.unpacked();
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
