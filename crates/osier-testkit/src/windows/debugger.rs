//! `_KDDEBUGGER_DATA64`, plain or encoded, and the `_DBGKD_GET_VERSION64` that refers to it.
//!
//! Source: `wdbgexts.h` of the Windows SDK for the block; the encoding as Volatility's and Rekall's
//! sources undo it.

use osier_memory::VirtAddr;

use super::spaces::Space;
use super::writer::Writer;

/// Bytes of the block, as of Windows 7.
const BYTES: u64 = 0x340;
/// Offsets of the variables' addresses.
const VARIABLES: [(u64, &str); 15] = [
    (0x48, "PsLoadedModuleList"),
    (0x50, "PsActiveProcessHead"),
    (0x58, "PspCidTable"),
    (0x60, "ExpSystemResourcesList"),
    (0x78, "KeTimeIncrement"),
    (0x80, "KeBugCheckCallbackListHead"),
    (0x88, "KiBugcheckData"),
    (0x98, "ObpRootDirectoryObject"),
    (0xa0, "ObpTypeObjectType"),
    (0xc0, "MmPfnDatabase"),
    (0x120, "MmPagedPoolStart"),
    (0x1c8, "MmHighestUserAddress"),
    (0x1d0, "MmSystemRangeStart"),
    (0x208, "NtBuildLab"),
    (0x218, "KiProcessorBlock"),
];

/// How the kernel keeps its debugger block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebuggerData {
    /// As it is: every kernel before Windows 8, and later ones under a debugger.
    Plain,
    /// Encoded with `KiWaitNever`, `KiWaitAlways` and the address of `KdpDataBlockEncoded`.
    Encoded {
        /// `KiWaitNever`.
        never: u64,
        /// `KiWaitAlways`.
        always: u64,
    },
}

pub(super) fn write(w: &mut Writer<'_>, how: DebuggerData, pae: bool) {
    let Some(at) = w.symbol("KdDebuggerDataBlock") else {
        return;
    };
    let mut block = vec![0_u8; BYTES as usize];
    let mut put = |offset: u64, value: u64| {
        let offset = offset as usize;
        block[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    };
    let list = w.symbol("KdpDebuggerDataListHead").unwrap_or(at);
    put(0x00, list.0);
    put(0x08, list.0);
    put(0x10, u64::from_le_bytes(*b"KDBG\0\0\0\0") | BYTES << 32);
    put(0x18, w.base.0);
    put(0x30, if pae { 1 << 48 } else { 0 });
    for (offset, symbol) in VARIABLES {
        put(offset, w.symbol(symbol).map_or(0, |at| at.0));
    }
    if let DebuggerData::Encoded { never, always } = how {
        encode(w, &mut block, never, always);
    }
    w.bytes(Space::SYSTEM, at, &block);
    version(w, at);
}

/// Each eight bytes: exclusive-or with `KiWaitAlways`, bytes reversed, exclusive-or with the
/// flag's address, rotated right by the low byte of `KiWaitNever`, exclusive-or with it.
fn encode(w: &mut Writer<'_>, block: &mut [u8], never: u64, always: u64) {
    let flag = w.must("KdpDataBlockEncoded");
    for chunk in block.chunks_exact_mut(8) {
        let plain = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let turned = (plain ^ always).swap_bytes() ^ (flag.0 | 0xffff_0000_0000_0000);
        let coded = turned.rotate_right(never as u32 & 0xff) ^ never;
        chunk.copy_from_slice(&coded.to_le_bytes());
    }
    for (symbol, value, width) in [
        ("KiWaitNever", never, 8),
        ("KiWaitAlways", always, 8),
        ("KdpDataBlockEncoded", 1, 1),
    ] {
        let at = w.must(symbol);
        w.uint(Space::SYSTEM, at, value, width);
    }
}

fn version(w: &mut Writer<'_>, block: VirtAddr) {
    let Some(at) = w.symbol("KdVersionBlock") else {
        return;
    };
    let machine = if w.is_wide() { 0x8664 } else { 0x14c };
    let list = w.must("PsLoadedModuleList");
    for (offset, value, width) in [
        (0x00, 15, 2),
        (0x02, 7601, 2),
        (0x04, 6, 1),
        (0x08, machine, 2),
        (0x10, w.base.0, 8),
        (0x18, list.0, 8),
        (0x20, block.0, 8),
    ] {
        w.uint(Space::SYSTEM, at.plus(offset), value, width);
    }
}
