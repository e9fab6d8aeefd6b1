//! Headers of PDBs and cabinets with nothing behind them are errors, or other facts, but never a panic, a hang or a bomb.

use osier_symbols::{everything, import_symbols};
use osier_testkit::Random;

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
