//! Address spaces of the toy processes: `mm_struct`, mappings, user page tables.

use osier_memory::{PhysAddr, VirtAddr};

use super::files::Files;
use super::writer::Writer;
use super::{Era, ToyMapping, ToyTask};
use crate::{Rights, TableBuilder};

/// What is known of a process's memory once it is written.
#[derive(Clone)]
pub(super) struct Space {
    pub(super) mm: VirtAddr,
    pub(super) pgd: VirtAddr,
    pub(super) root: PhysAddr,
    pub(super) vmas: Vec<VirtAddr>,
}

pub(super) fn space(w: &mut Writer, files: &mut Files, era: Era, task: &ToyTask) -> Space {
    let tables = TableBuilder::new(w.mode, &mut w.memory);
    w.tables.share_kernel_half(&mut w.memory, &tables);
    let root = tables.root();
    let pgd = w.virt(root);
    w.tables
        .map(&mut w.memory, pgd, root, 0x1000, Rights::KERNEL);
    let mm = w.object("mm_struct");
    let stack = task
        .mappings
        .iter()
        .find(|m| m.name == b"[stack]")
        .expect("a stack");
    let heap = task
        .mappings
        .iter()
        .find(|m| m.name == b"[heap]")
        .expect("a heap");
    // Arguments lie at the stack's end, across two of its pages.
    let arguments = VirtAddr(stack.end - 0x1000 - 7);
    for page in [stack.end - 0x2000, stack.end - 0x1000] {
        let pa = w.memory.allocate();
        tables.map(&mut w.memory, VirtAddr(page), pa, 0x1000, Rights::USER);
        let both = [task.cmdline.as_slice(), b"HOME=/\0"].concat();
        for (at, byte) in (arguments.0..).zip(both) {
            if (page..page + 0x1000).contains(&at) {
                w.memory.write_u8(pa.plus(at - page), byte);
            }
        }
    }
    // A few present pages at each mapping's start.
    for mapping in &task.mappings {
        let pa = w.memory.allocate();
        if mapping.name != b"[stack]" {
            tables.map(
                &mut w.memory,
                VirtAddr(mapping.start),
                pa,
                0x1000,
                Rights::USER,
            );
        }
    }
    let pages = task.mappings.iter().map(|m| (m.end - m.start) / 0x1000);
    let total_vm = pages.sum();
    let vdso = task.mappings.iter().find(|m| m.name == b"[vdso]");
    let vdso = vdso.map_or(0, |m| m.start);
    let arg_end = arguments.0 + task.cmdline.len() as u64;
    for (member, value) in [
        ("pgd", pgd.0),
        ("mm_users", 1),
        ("map_count", task.mappings.len() as u64),
        (
            "task_size",
            if w.word() == 4 {
                0xc000_0000
            } else {
                0x7fff_ffff_f000
            },
        ),
        ("total_vm", total_vm),
        ("start_code", 0x40_0000),
        ("start_brk", heap.start),
        ("brk", heap.end),
        ("start_stack", stack.end - 0x1800),
        ("arg_start", arguments.0),
        ("arg_end", arg_end),
        ("env_start", arg_end),
        ("env_end", arg_end + 7),
        ("context.vdso", vdso),
        ("context.vdso_image", w.symbols["vdso_image_64"].0),
        ("context.flags", if w.word() == 8 { 2 } else { 0 }),
    ] {
        w.set(mm, "mm_struct", member, value);
    }
    let exe = files.open(w, &task.exe, false);
    w.set(mm, "mm_struct", "exe_file", exe.0);
    let vmas: Vec<_> = task.mappings.iter().map(|m| vma(w, files, mm, m)).collect();
    match era {
        Era::Lists => list(w, mm, &vmas),
        Era::Trees => tree(w, mm, &task.mappings, &vmas),
    }
    Space {
        mm,
        pgd,
        root,
        vmas,
    }
}

fn vma(w: &mut Writer, files: &mut Files, mm: VirtAddr, mapping: &ToyMapping) -> VirtAddr {
    let vma = w.object("vm_area_struct");
    let mut set = |member, value| w.set(vma, "vm_area_struct", member, value);
    set("vm_start", mapping.start);
    set("vm_end", mapping.end);
    set("vm_mm", mm.0);
    set("vm_flags", mapping.flags);
    if let Some(file) = &mapping.file {
        set("vm_pgoff", mapping.offset / 0x1000);
        let (path, deleted) = match file.strip_suffix(b" (deleted)") {
            Some(path) => (path, true),
            None => (file.as_slice(), false),
        };
        let file = files.open(w, path, deleted);
        w.set(vma, "vm_area_struct", "vm_file", file.0);
    } else if mapping.name == b"[vdso]" {
        let special = w.object("vm_special_mapping");
        let text = w.text_of(b"[vdso]");
        w.set(special, "vm_special_mapping", "name", text.0);
        let ops = w.symbols["special_mapping_vmops"];
        w.set(vma, "vm_area_struct", "vm_ops", ops.0);
        w.set(vma, "vm_area_struct", "vm_private_data", special.0);
    } else if let Some(name) = mapping.name.strip_prefix(b"[anon:") {
        let given = w.object("anon_vma_name");
        w.set(given, "anon_vma_name", "kref", 1);
        let text = w.at(given, "anon_vma_name", "name");
        w.bytes(text, &name[..name.len() - 1]);
        w.set(vma, "vm_area_struct", "anon_name", given.0);
    }
    vma
}

/// The list and the red-black tree of before v6.1.
fn list(w: &mut Writer, mm: VirtAddr, vmas: &[VirtAddr]) {
    let ty = "vm_area_struct";
    w.set(mm, "mm_struct", "mmap", vmas[0].0);
    for pair in vmas.windows(2) {
        w.set(pair[0], ty, "vm_next", pair[1].0);
        w.set(pair[1], ty, "vm_prev", pair[0].0);
    }
    let top = subtree(w, vmas);
    w.set(mm, "mm_struct", "mm_rb.rb_node", top);
}

/// Links `vmas` below their middle one and returns its node; 0 for none.
fn subtree(w: &mut Writer, vmas: &[VirtAddr]) -> u64 {
    let ty = "vm_area_struct";
    let Some(middle) = vmas.get(vmas.len() / 2) else {
        return 0;
    };
    let node = w.at(*middle, ty, "vm_rb");
    let left = subtree(w, &vmas[..vmas.len() / 2]);
    let right = subtree(w, &vmas[vmas.len() / 2 + 1..]);
    w.set(*middle, ty, "vm_rb.rb_left", left);
    w.set(*middle, ty, "vm_rb.rb_right", right);
    for child in [left, right] {
        if child != 0 {
            w.pointer(VirtAddr(child), node);
        }
    }
    node.0
}

const LEAF: u64 = 1;
const ARANGE: u64 = 3;
const LEAF_SLOTS: usize = 16;
const ARANGE_SLOTS: usize = 10;

/// The maple tree since v6.1: leaves of ranges, below at most one node.
fn tree(w: &mut Writer, mm: VirtAddr, mappings: &[ToyMapping], vmas: &[VirtAddr]) {
    let mut entries = Vec::new(); // last index, value
    let mut next = 0;
    for (mapping, vma) in mappings.iter().zip(vmas) {
        if mapping.start > next {
            entries.push((mapping.start - 1, 0));
        }
        entries.push((mapping.end - 1, vma.0));
        next = mapping.end;
    }
    entries.push((u64::MAX, 0));
    let tree = w.at(mm, "mm_struct", "mm_mt");
    let leaves: Vec<_> = entries
        .chunks(LEAF_SLOTS - 1)
        .map(|chunk| (w.room("maple_node", 256, 256), chunk.to_vec()))
        .collect();
    let root = if let [(leaf, chunk)] = &leaves[..] {
        node(w, *leaf, "maple_range_64", chunk, tree.0 | 1);
        leaf.0 | LEAF << 3
    } else {
        assert!(leaves.len() <= ARANGE_SLOTS);
        let top = w.room("maple_node", 256, 256);
        let mut children = Vec::new();
        for (slot, (leaf, chunk)) in (0_u64..).zip(&leaves) {
            node(w, *leaf, "maple_range_64", chunk, top.0 | slot << 3 | 6);
            let last = chunk.last().expect("a leaf holds entries").0;
            children.push((last, leaf.0 | LEAF << 3 | 4));
        }
        node(w, top, "maple_arange_64", &children, tree.0 | 1);
        top.0 | ARANGE << 3
    };
    w.set(tree, "maple_tree", "ma_root", root | 2);
}

/// Writes a node's pivots and slots. The last entry has no pivot when it reaches the node's end.
fn node(w: &mut Writer, at: VirtAddr, ty: &str, entries: &[(u64, u64)], parent: u64) {
    w.set(at, ty, "parent", parent);
    let (pivots, slots) = (w.at(at, ty, "pivot"), w.at(at, ty, "slot"));
    let pivot_count = w.shapes.place(ty, "pivot").1 / 8;
    for (i, (last, value)) in (0_u64..).zip(entries) {
        w.uint(slots.plus(i * 8), *value, 8);
        if i < pivot_count && *last != u64::MAX {
            w.uint(pivots.plus(i * 8), *last, 8);
        }
    }
}
