//! The kernel's image: its headers, the record that names its PDB, and variables that tell what
//! it is.

use osier_memory::VirtAddr;

use super::image::{self, Image, Pdb};
use super::spaces::{self, Space};
use super::writer::{self, Object, Writer};
use super::{PdbRecord, Plan};

const PAGE: u64 = 4096;

/// The kernel image: headers, RSDS record, code, variables.
pub(super) fn write(w: &mut Writer<'_>, plan: &Plan) {
    let id = w.profile.identity().build_id.clone();
    let id = id.map_or_else(|| vec![0x11; 20], |id| id.0);
    let bytes = plan.image_bytes();
    // The last page of the image, behind every variable, and the one before.
    let debug = (bytes - 1) & !(PAGE - 1);
    let image = Image {
        space: Space::SYSTEM,
        wide: w.is_wide(),
        base: plan.kernel_base,
        bytes,
        stamp: 0x4ce7_951a,
        pdb: Pdb {
            id: &id[..id.len() - 4],
            age: u32::from_be_bytes(id[id.len() - 4..].try_into().expect("an age")),
            name: &plan.pdb,
        },
        debug,
        exports: (debug - PAGE, "ntoskrnl.exe"),
        version: false,
    };
    image::write(w, &image);
    if plan.record == PdbRecord::NoDirectory {
        image::without_debug_directory(w, &image);
    }
    if plan.record != PdbRecord::There {
        let at = plan.kernel_base.plus(image.debug);
        w.bytes(Space::SYSTEM, at, &[0; 0x100]);
    }
    // Code, so that an image is not all zeros.
    let code: Vec<u8> = (0..PAGE).map(|i| (i * 0x6d % 251) as u8).collect();
    w.bytes(Space::SYSTEM, plan.kernel_base.plus(PAGE), &code);
    variables(w, plan);
}

/// What the kernel's variables say of it and of the machine.
fn variables(w: &mut Writer<'_>, plan: &Plan) {
    if let Some(at) = w.symbol("NtBuildLab") {
        let text = [plan.build_lab.as_bytes(), b"\0"].concat();
        w.bytes(Space::SYSTEM, at, &text);
    }
    if let Some(at) = w.symbol("NtBuildNumber") {
        w.uint(Space::SYSTEM, at, u64::from(plan.build | 0xf000_0000), 4);
    }
    if let Some(at) = w.symbol("KiKvaShadow") {
        w.uint(Space::SYSTEM, at, u64::from(plan.kva_shadow), 1);
    }
    for symbol in ["KeNumberProcessors", "KeNumberProcessorsGroup0"] {
        if let Some(at) = w.symbol(symbol) {
            w.uint(Space::SYSTEM, at, plan.processors.len() as u64, 1);
        }
    }
    if let Some(at) = w.symbol("MmPagedPoolStart")
        && !w.is_wide()
    {
        w.pointer(Space::SYSTEM, at, writer::PAGED_POOL_X86);
    }
    paging_files(w);
    system_calls(w);
    // 64-bit processes have 8 TiB before Windows 8.1, and 128 TiB later.
    let (user, system) = match (w.is_wide(), plan.version >= (6, 3)) {
        (false, _) => (0x7ffe_ffff, 0x8000_0000),
        (true, false) => (0x07ff_fffe_ffff, 0xffff_0800_0000_0000),
        (true, true) => (0x7fff_fffe_ffff, 0xffff_8000_0000_0000),
    };
    let tables = spaces::tables_at(plan.paging, plan.self_map);
    for (symbol, value) in [
        ("MmHighestUserAddress", user),
        ("MmSystemRangeStart", system),
        ("MmPteBase", tables.0),
    ] {
        if let Some(at) = w.symbol(symbol) {
            w.pointer(Space::SYSTEM, at, VirtAddr(value));
        }
    }
}

/// A few system calls, in the kernel's code: 64-bit kernels keep the distance from the table, and below it four bits
/// that count arguments.
fn system_calls(w: &mut Writer<'_>) {
    const CALLS: u64 = 24;
    let places = (w.symbol("KiServiceTable"), w.symbol("KiServiceLimit"));
    let (Some(table), Some(limit)) = places else {
        return;
    };
    w.uint(Space::SYSTEM, limit, CALLS, 4);
    for name in ["KeServiceDescriptorTable", "KeServiceDescriptorTableShadow"] {
        if let Some(at) = w.symbol(name) {
            w.pointer(Space::SYSTEM, at, table);
            let word = w.word();
            w.uint(Space::SYSTEM, at.plus(2 * word), CALLS, 4);
        }
    }
    for nth in 0..CALLS {
        let to = w.base.plus(PAGE + nth * 0x20);
        let entry = if w.is_wide() {
            to.0.wrapping_sub(table.0) << 4 | 2
        } else {
            to.0
        };
        let place = table.plus(nth * 4);
        w.uint(Space::SYSTEM, place, entry & 0xffff_ffff, 4);
    }
}

/// Two paging files and, as the third, the store of compressed memory, where the layout knows one.
fn paging_files(w: &mut Writer<'_>) {
    const PARTITION: &str = "_MI_PARTITION";
    const FILE: &str = "_MMPAGING_FILE";
    const STORE: u64 = 2;
    let Some(at) = w.symbol("MiSystemPartition") else {
        return;
    };
    if !w.has(PARTITION, "Vp.PagingFile") || !w.has(FILE, "VirtualStorePagefile") {
        return;
    }
    let partition = Object::system(PARTITION, at);
    let files = w.member(partition, "Vp.PagingFile");
    w.set(partition, "Vp.NumberOfPagingFiles", STORE + 1);
    for number in 0..=STORE {
        let file = w.pool(*b"Mm  ", FILE);
        w.set(file, "PageFileNumber", number);
        w.set(file, "VirtualStorePagefile", u64::from(number == STORE));
        w.pointer(Space::SYSTEM, files.plus(number * w.word()), file.at);
    }
}

/// Puts zeros where the kernel, as it starts, has not put anything yet.
pub(super) fn unbuild(w: &mut Writer<'_>) {
    let word = w.word();
    let heads = [("PsActiveProcessHead", 2), ("PsLoadedModuleList", 2)];
    let pointers = [("PspCidTable", 1), ("PsInitialSystemProcess", 1)];
    for (symbol, words) in heads.into_iter().chain(pointers) {
        if let Some(at) = w.symbol(symbol) {
            let zeros = vec![0; (word * words) as usize];
            w.bytes(Space::SYSTEM, at, &zeros);
        }
    }
}
