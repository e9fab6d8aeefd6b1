//! Memory to pack, and what a packed snapshot of it must hold.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use osier_memory::{Cause, PhysAddr, PhysRun};
use osier_snapshot::{OpenOptions, Snapshot, open};
use osier_testkit::Random;

pub const MIB: usize = 1 << 20;
pub const LEN: usize = 5 * MIB;

/// Memory as compressors meet it: noise, text that repeats, and long stretches of zeros.
pub fn memory() -> Vec<u8> {
    let mut random = Random::new(7);
    let mut bytes = vec![0; LEN];
    for page in bytes.chunks_mut(4096).take(LEN / 4096 * 3 / 4) {
        match random.below(4) {
            0 => page.fill_with(|| random.bits() as u8),
            1 => page.fill_with(|| b"the kernel of a frozen machine  "[random.below(32) as usize]),
            2 => page[..64].fill_with(|| random.bits() as u8),
            _ => {}
        }
    }
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::new(6);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    zlib.write_all(bytes).unwrap();
    zlib.finish().unwrap()
}

pub fn xz(bytes: &[u8], block: usize) -> Vec<u8> {
    let stream = liblzma::stream::MtStreamBuilder::new()
        .threads(1)
        .preset(0)
        .block_size(block as u64)
        .check(liblzma::stream::Check::Crc32)
        .encoder()
        .unwrap();
    let mut xz = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    xz.write_all(bytes).unwrap();
    xz.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub fn lz4(bytes: &[u8], sized: bool) -> Vec<u8> {
    let mut info = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Independent)
        .block_size(lz4_flex::frame::BlockSize::Max256KB);
    if sized {
        info = info.content_size(Some(bytes.len() as u64));
    }
    let mut lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    lz4.write_all(bytes).unwrap();
    lz4.finish().unwrap()
}

pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(bytes).unwrap();
    bzip2.finish().unwrap()
}

pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// What `lz4 -l` writes.
pub fn legacy_lz4(bytes: &[u8]) -> Vec<u8> {
    let mut file = b"\x02\x21\x4c\x18".to_vec();
    for block in bytes.chunks(8 * MIB) {
        let packed = lz4_flex::block::compress(block);
        file.extend((packed.len() as u32).to_le_bytes());
        file.extend(packed);
    }
    file
}

/// An lzop file of stored blocks with the checksums that lzop writes: Adler-32 of what is unpacked.
pub fn lzop(bytes: &[u8]) -> Vec<u8> {
    let mut header = vec![0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5];
    header.extend(1_u32.to_be_bytes()); // the flags
    header.extend([0; 12]);
    header.push(0); // no name
    let mut file = b"\x89LZO\0\r\n\x1a\n".to_vec();
    file.extend(&header);
    file.extend(adler2::adler32_slice(&header).to_be_bytes());
    for block in bytes.chunks(256 << 10) {
        file.extend((block.len() as u32).to_be_bytes());
        file.extend((block.len() as u32).to_be_bytes());
        file.extend(adler2::adler32_slice(block).to_be_bytes());
        file.extend(block);
    }
    file.extend([0; 4]);
    file
}

/// Some pages as read one by one in an order of no order, then all of them as swept.
pub fn holds(snapshot: &Snapshot, bytes: &[u8]) {
    let memory = &snapshot.machine.memory;
    let run = PhysRun {
        start: PhysAddr(0),
        len: bytes.len() as u64,
    };
    assert_eq!(memory.runs(), [run]);
    let pages = bytes.len() / 4096;
    for step in 0..60 {
        let at = step * 769 % pages * 4096;
        let mut page = [0; 4096];
        memory.read(PhysAddr(at as u64), &mut page).unwrap();
        assert!(page == bytes[at..at + 4096], "page at {at:#x}");
    }
    let mut swept = Vec::new();
    let end = memory.sweep(run, 3 << 16, &mut |at, window| {
        assert_eq!(at, PhysAddr(swept.len() as u64));
        swept.extend_from_slice(window);
        ControlFlow::Continue(())
    });
    assert!(end.is_continue() && swept == bytes);
    let past = memory.chunk(PhysAddr(bytes.len() as u64)).unwrap_err();
    assert_eq!(past.cause, Cause::NoRam);
}

pub fn options(cache: &Path) -> OpenOptions {
    OpenOptions {
        index_dir: Some(cache.to_owned()),
        cache_bytes: 2 << 20,
        ..OpenOptions::default()
    }
}

/// Turns one bit of `packed` over at a time, of its end and here and there: each page of memory then
/// reads as in `bytes` or not at all, or the file has an anomaly.
pub fn no_flipped_bit_goes_unsaid(dir: &Path, bytes: &[u8], packed: &[u8]) {
    let mut random = Random::new(5);
    let path = dir.join("memory");
    let here_and_there = (0..60).map(|_| random.below(packed.len() as u64) as usize);
    let mut places: Vec<usize> = here_and_there.collect();
    places.extend(packed.len() - 24..packed.len());
    for (round, at) in places.into_iter().enumerate() {
        let mut bad = packed.to_vec();
        bad[at] ^= 1 << random.below(8);
        fs::write(&path, &bad).unwrap();
        let kept = options(&dir.join("cache"));
        let options = if round % 2 == 0 {
            &kept
        } else {
            &OpenOptions::default()
        };
        let Ok(snapshot) = open(&path, options) else {
            continue;
        };
        if !snapshot.info.anomalies.is_empty() {
            continue;
        }
        let memory = &snapshot.machine.memory;
        for start in (0..bytes.len()).step_by(4096) {
            let mut page = [0; 4096];
            match memory.read(PhysAddr(start as u64), &mut page) {
                Ok(()) => assert!(page == bytes[start..start + 4096], "{at}: {start:#x}"),
                Err(fault) => assert!(matches!(fault.cause, Cause::Decode { .. }), "{fault:?}"),
            }
        }
    }
}
