//! Reads profile files, with the length and the checksum that their headers should have.
#![no_main]

use osier_profile::{Card, Profile};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut file = data.to_vec();
    if file.len() < 40 {
        return;
    }
    let len = file.len() as u64;
    file[24..32].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&file[16..]);
    file[12..16].copy_from_slice(&crc.to_le_bytes());
    if let Ok((profile, fingerprint)) = Profile::from_bytes(&file) {
        let again = Profile::from_bytes(&profile.to_bytes(fingerprint));
        assert!(
            again.is_ok(),
            "a profile that was read is not written as one"
        );
    }
    let _ = Card::from_bytes(&file);
});
