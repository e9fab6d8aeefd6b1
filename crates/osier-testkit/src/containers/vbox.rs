//! `VirtualBox`'s cores (`include/VBox/vmm/dbgfcorefmt.h`, `DBGFCoreWrite.cpp`).

/// A note as `VirtualBox` pads it: name and data to multiples of eight.
fn note(out: &mut Vec<u8>, name: &str, kind: u32, data: &[u8]) {
    out.extend((name.len() as u32 + 1).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(kind.to_le_bytes());
    let mut name = name.as_bytes().to_vec();
    name.resize((name.len() + 1).next_multiple_of(8), 0);
    out.extend(name);
    out.extend(data);
    out.resize(out.len() + (data.len().next_multiple_of(8) - data.len()), 0);
}

/// `DBGFCORECPU` whose registers are numbers: general ones from 0x100, segments' bases from 0x1000,
/// CR0 80050033, CR3 0x3000 + `cpu`, CR4 6f0, MSRs from 0xd01 (EFER), 0x200 (STAR) on.
pub fn cpu(cpu: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let selector = |out: &mut Vec<u8>, number: u64| {
        out.extend((0x1000 * number).to_le_bytes());
        out.extend(0xf_ffff_u32.to_le_bytes());
        out.extend(0x1_c0f3_u32.to_le_bytes());
        out.extend((8 * number as u16 + 3).to_le_bytes());
        out.extend([0xaa; 6]);
    };
    for register in 0..18 {
        out.extend((0x100_u64 + register).to_le_bytes());
    }
    for number in 1..=6 {
        selector(&mut out, number);
    }
    for control in [0x8005_0033, 0x2222, 0x3000 + cpu, 0x6f0] {
        out.extend(control.to_le_bytes());
    }
    out.extend([0xdd; 64]);
    for table in [0x7000_u64, 0x8000] {
        out.extend(table.to_le_bytes());
        out.extend(0x7f_u32.to_le_bytes());
        out.extend([0; 4]);
    }
    selector(&mut out, 9);
    selector(&mut out, 10);
    out.extend([0xee; 24]);
    for msr in [0xd01_u64, 0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206] {
        out.extend(msr.to_le_bytes());
    }
    out.extend([0; 24]);
    out.extend(vec![0; 8192]); // the extended state
    out
}

/// A core of format `format` (major in the upper half) with `cpus` processors and `ranges` of
/// memory.
pub fn core(format: u32, cpus: u64, ranges: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut notes = Vec::new();
    let mut descriptor = Vec::new();
    let version = 7_u32 << 24 | 1 << 16 | 4;
    for word in [0xc01a_c0de, format, 24, version, 165_100, cpus as u32] {
        descriptor.extend(u32::to_le_bytes(word));
    }
    note(&mut notes, "VBCORE", 0xb00, &descriptor);
    for number in 0..cpus {
        note(&mut notes, "VBCPU", 0xb01, &cpu(number));
    }
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([4, 0, 62, 0, 1, 0, 0, 0]); // ET_CORE, EM_X86_64, EV_CURRENT
    for word in [0, 64, 0_u64] {
        out.extend(word.to_le_bytes());
    }
    out.extend([0; 4]);
    for half in [64, 56, ranges.len() as u16 + 1, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let mut at = (64 + 56 * (ranges.len() + 1)) as u64;
    let mut program = |kind: u64, address: u64, len: usize| {
        out.extend(kind.to_le_bytes());
        for word in [at, 0, address, len as u64, len as u64, 0] {
            out.extend(word.to_le_bytes());
        }
        at += len as u64;
    };
    program(4, 0, notes.len());
    for (address, bytes) in ranges {
        program(1, *address, bytes.len());
    }
    out.extend(notes);
    for (_, bytes) in ranges {
        out.extend(bytes);
    }
    out
}
