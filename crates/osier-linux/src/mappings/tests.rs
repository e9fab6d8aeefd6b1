#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use std::ops::ControlFlow;
use std::sync::Arc;

use osier_memory::{PhysAddr, VirtAddr};
use osier_osi::{Mapping, MappingKind, SeenExt as _, WalkEnd, WalkEnds};
use osier_testkit::Knockout;

use super::{Reader, walk};
use crate::guest::Guest;
use crate::layouts::Mm;
use crate::maps::Maps;
use crate::toy::{Is, Toy};

// Offsets of the toy's `vm_area_struct`.
const START: u64 = 0;
const END: u64 = 8;
const NEXT: u64 = 16;
const PREV: u64 = 24;
const RB: u64 = 32;
const MM: u64 = 56;
const FLAGS: u64 = 64;
const OPS: u64 = 72;
const FILE: u64 = 88;
const PRIVATE: u64 = 96;
const ANON_NAME: u64 = 104;

/// Offset of it in the toy's `mm_struct`.
const TASK_SIZE: u64 = 56;

/// A process whose mappings are a list, as before v6.1.
struct Listed {
    toy: Toy,
    mm: VirtAddr,
    vmas: Vec<VirtAddr>,
}

impl Listed {
    /// Mappings of a page each, every one on a page of its own: 0x1000, 0x3000, 0x5000 and so on.
    fn new(count: u64) -> Self {
        let mut toy = Toy::new();
        toy.structure(
            "mm_struct",
            128,
            &[
                ("mmap", 0, Is::Pointer),
                ("mm_rb", 8, Is::Struct("rb_root", 8)),
                ("pgd", 16, Is::Pointer),
                ("map_count", 24, Is::Int(4)),
                ("start_brk", 32, Is::Int(8)),
                ("brk", 40, Is::Int(8)),
                ("start_stack", 48, Is::Int(8)),
                ("task_size", TASK_SIZE.cast_signed(), Is::Int(8)),
            ],
        );
        toy.structure("rb_root", 8, &[("rb_node", 0, Is::Pointer)]);
        toy.structure("rb_node", 24, &[("rb_right", 8, Is::Pointer)]);
        toy.structure(
            "vm_area_struct",
            112,
            &[
                ("vm_start", 0, Is::Int(8)),
                ("vm_end", 8, Is::Int(8)),
                ("vm_next", 16, Is::Pointer),
                ("vm_prev", 24, Is::Pointer),
                ("vm_rb", 32, Is::Struct("rb_node", 24)),
                ("vm_mm", 56, Is::Pointer),
                ("vm_flags", 64, Is::Int(8)),
                ("vm_ops", 72, Is::Pointer),
                ("vm_pgoff", 80, Is::Int(8)),
                ("vm_file", 88, Is::Pointer),
                ("vm_private_data", 96, Is::Pointer),
                ("anon_name", 104, Is::Pointer),
            ],
        );
        toy.structure("vm_operations_struct", 64, &[("name", 8, Is::Pointer)]);
        toy.structure("vm_special_mapping", 16, &[("name", 0, Is::Pointer)]);
        toy.structure("anon_vma_name", 4, &[("name", 4, Is::Words(0))]);
        toy.structure(
            "task_struct",
            16,
            &[("mm", 0, Is::Pointer), ("tgid", 8, Is::Int(4))],
        );
        let mm = toy.page();
        let vmas: Vec<_> = (0..count).map(|_| toy.page()).collect();
        for (index, &at) in vmas.iter().enumerate() {
            let start = 0x1000 + 0x2000 * index as u64;
            let link = |index: Option<usize>| index.and_then(|index| vmas.get(index)).copied();
            toy.put(at, START, start);
            toy.put(at, END, start + 0x1000);
            toy.put(at, NEXT, link(Some(index + 1)).unwrap_or_default().0);
            toy.put(at, PREV, link(index.checked_sub(1)).unwrap_or_default().0);
            toy.put(at, MM, mm.0);
            toy.put(at, FLAGS, 0x10_0073);
        }
        if let (Some(first), Some(last)) = (vmas.first(), vmas.last()) {
            toy.put(mm, 0, first.0);
            toy.put(mm, 8, last.0 + RB);
        }
        toy.put_u32(mm, 24, u32::try_from(count).unwrap());
        toy.put(mm, 32, 0x9000_0000);
        toy.put(mm, 40, 0x9000_0000);
        toy.put(mm, TASK_SIZE, 0x7fff_ffff_f000);
        Self { toy, mm, vmas }
    }

    fn rows(&self) -> (Vec<Mapping>, WalkEnds) {
        self.rows_in(&self.toy.guest())
    }

    fn rows_in(&self, guest: &Guest) -> (Vec<Mapping>, WalkEnds) {
        let mm = self.toy.resolve(Mm::resolve);
        let maps = self.toy.resolve(Maps::resolve);
        let reader = Reader {
            guest,
            mm: &mm,
            maps: &maps,
        };
        let mut rows = Vec::new();
        let ends = walk(&reader, Ok(7), self.mm, &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        (rows, ends)
    }

    fn names(&self) -> Vec<String> {
        let name = |row: Mapping| match row.name {
            Ok(name) => String::from_utf8(name).unwrap(),
            Err(_) => String::new(),
        };
        self.rows().0.into_iter().map(name).collect()
    }
}

fn modds(rows: &[Mapping]) -> Vec<VirtAddr> {
    rows.iter().map(|row| row.modd).collect()
}

#[test]
fn a_list_is_shown_in_order_and_closes() {
    let listed = Listed::new(4);
    let (rows, ends) = listed.rows();
    assert_eq!(modds(&rows), listed.vmas);
    assert_eq!(ends, WalkEnds::one("mappings", WalkEnd::Closed));
    let row = &rows[1];
    assert_eq!(row.pid, Ok(7));
    assert_eq!(row.base, Ok(VirtAddr(0x3000)));
    assert_eq!(row.size, Ok(0x1000));
    assert_eq!(row.flags, Ok(0x10_0073));
    assert_eq!(row.kind, Ok(MappingKind::Unknown));
    assert!(!row.name.absence().unwrap().is_loss());
    assert!(!row.offset.absence().unwrap().is_loss());
}

#[test]
fn a_hidden_mapping_is_a_row_of_absences_and_the_list_goes_on_from_its_end() {
    let listed = Listed::new(5);
    for (index, &hidden) in listed.vmas.iter().enumerate() {
        let memory = Knockout::new(listed.toy.memory.clone(), Toy::pa(hidden));
        let (rows, ends) = listed.rows_in(&listed.toy.guest_in(Arc::new(memory)));
        assert_eq!(modds(&rows), listed.vmas, "{index}");
        let row = &rows[index];
        assert!(row.base.absence().unwrap().is_loss());
        assert!(row.kind.absence().unwrap().is_loss());
        let Some((_, WalkEnd::BrokenLink { from, fault, .. })) = ends.bad().next() else {
            panic!("{ends:?}");
        };
        assert_eq!(*from, hidden);
        assert_eq!(fault.pa.map(PhysAddr::page), Some(Toy::pa(hidden)));
    }
    let memory = Knockout::new(listed.toy.memory.clone(), Toy::pa(listed.mm));
    let (rows, ends) = listed.rows_in(&listed.toy.guest_in(Arc::new(memory)));
    assert_eq!(rows, []);
    assert!(matches!(ends.0[..], [(_, WalkEnd::NoStart { .. })]));
}

#[test]
fn lists_that_cannot_be_end_and_say_so() {
    // A loop back into the list; what lies behind it is reached from the end.
    let mut listed = Listed::new(5);
    let (second, third) = (listed.vmas[1], listed.vmas[2]);
    listed.toy.put(third, NEXT, second.0);
    let (rows, ends) = listed.rows();
    assert_eq!(modds(&rows), listed.vmas);
    assert!(
        ends.bad()
            .any(|(_, end)| matches!(end, WalkEnd::Cycle { .. }))
    );

    // A link that leads to user memory.
    let mut listed = Listed::new(3);
    listed.toy.put(listed.vmas[0], NEXT, 0x40_0000);
    let (rows, ends) = listed.rows();
    assert_eq!(modds(&rows), listed.vmas);
    assert!(matches!(
        ends.bad().next(),
        Some((_, WalkEnd::BrokenLink { to: Some(_), .. }))
    ));

    // A short list that closes: the tree beside it goes on.
    let mut listed = Listed::new(3);
    listed.toy.put(listed.vmas[1], NEXT, 0);
    let (rows, ends) = listed.rows();
    assert_eq!(modds(&rows), listed.vmas);
    assert!(matches!(
        ends.bad().next(),
        Some((_, WalkEnd::Inconsistent { .. }))
    ));

    // And with the tree cut as well the kernel's own count tells.
    listed.toy.put(listed.mm, 8, listed.vmas[1].0 + RB);
    let (rows, ends) = listed.rows();
    assert_eq!(rows.len(), 2);
    assert!(matches!(
        ends.bad().next(),
        Some((
            _,
            WalkEnd::Disagreement {
                only_first: 0,
                only_second: 1,
                ..
            }
        ))
    ));

    // A mapping that points to itself, of another process, with its end before its start.
    let mut listed = Listed::new(1);
    let only = listed.vmas[0];
    listed.toy.put(only, NEXT, only.0);
    listed.toy.put(only, MM, only.0);
    listed.toy.put(only, END, 0);
    let (rows, ends) = listed.rows();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].size.absence().unwrap().is_loss());
    assert_eq!(ends.bad().count(), 2, "{ends:x?}");
}

#[test]
fn names_come_in_the_order_in_which_the_kernel_asks() {
    let mut listed = Listed::new(6);
    let vmas = listed.vmas.clone();
    let (mm, toy) = (listed.mm, &mut listed.toy);
    // start_brk..brk inside the second; the kernel of this toy counts a touch as well.
    toy.put(mm, 32, 0x3800);
    toy.put(mm, 40, 0x3900);
    toy.put(mm, 48, 0x5ff0);
    let text = toy.text(b"[vdso]");
    let special = toy.room(16, 8);
    toy.put(special, 0, text.0);
    let operations = toy.room(64, 8);
    toy.put(operations, 8, 0xffff_ffff_8100_0000);
    toy.put(vmas[3], OPS, operations.0);
    toy.put(vmas[3], PRIVATE, special.0);
    let name = toy.text(b"\x02\0\0\0my arena");
    toy.put(vmas[4], ANON_NAME, name.0);
    toy.put(vmas[5], ANON_NAME, name.0);
    toy.put(vmas[5], FILE, name.0);
    assert_eq!(
        listed.names(),
        [
            "",
            "[heap]",
            "[stack]",
            "[vdso]",
            "[anon:my arena]",
            "[anon_shmem:my arena]"
        ]
    );
    let kinds: Vec<_> = listed.rows().0.iter().map(|row| row.kind.value()).collect();
    assert_eq!(kinds[1], Some(MappingKind::Heap));
    assert_eq!(kinds[2], Some(MappingKind::Stack));
    assert_eq!(kinds[5], Some(MappingKind::File));
    // What is no counted name is not shown as one: memory of something else, whose first text is empty.
    for count in [0_u64, 0x0348_a1b8] {
        listed.toy.put(name, 0, count);
        let (rows, _) = listed.rows();
        assert!(rows[4].name.absence().unwrap().is_loss());
    }
    listed
        .toy
        .put(name, 0, u64::from_le_bytes(*b"\x02\0\0\0my a"));
    // Another driver's function makes its own names.
    listed
        .toy
        .symbol("special_mapping_vmops", VirtAddr(0xffff_ffff_8200_0000));
    let row = &listed.rows().0[3];
    assert!(row.name.absence().unwrap().is_loss());
}

#[test]
fn a_mapping_that_touches_an_empty_heap_is_the_heap_only_before_the_test_was_tightened() {
    let mut listed = Listed::new(1);
    listed.toy.put(listed.mm, 32, 0x2000);
    listed.toy.put(listed.mm, 40, 0x2000);
    assert_eq!(listed.names(), ["[heap]"]);
    listed.toy.structure(
        "path",
        16,
        &[("mnt", 0, Is::Pointer), ("dentry", 8, Is::Pointer)],
    );
    listed.toy.structure(
        "backing_file",
        80,
        &[("user_path", 64, Is::Struct("path", 16))],
    );
    assert_eq!(listed.names(), [""]);
}

#[test]
fn a_caller_can_stop() {
    let listed = Listed::new(3);
    let guest = listed.toy.guest();
    let mm = listed.toy.resolve(Mm::resolve);
    let maps = listed.toy.resolve(Maps::resolve);
    let reader = Reader {
        guest: &guest,
        mm: &mm,
        maps: &maps,
    };
    let mut seen = 0;
    let ends = walk(&reader, Ok(7), listed.mm, &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!(seen, 1);
    assert_eq!(ends, WalkEnds::one("mappings", WalkEnd::Stopped));
}

#[test]
fn the_vsyscall_page_shows_when_the_kernel_has_it_and_the_process_may_use_it() {
    let mut listed = Listed::new(1);
    listed
        .toy
        .structure("mm_context_t", 16, &[("flags", 8, Is::Int(2))]);
    let gate = listed.toy.room(112, 16);
    listed.toy.put(gate, START, 0xffff_ffff_ff60_0000);
    listed.toy.put(gate, END, 0xffff_ffff_ff60_1000);
    listed.toy.put(gate, FLAGS, 4);
    let mode = listed.toy.room(8, 8);
    listed.toy.symbol("gate_vma", gate);
    listed.toy.symbol("vsyscall_mode", mode);
    listed.toy.put(mode, 0, 1);
    assert_eq!(listed.names(), ["", "[vsyscall]"]);
    let (rows, ends) = listed.rows();
    assert!(ends.is_complete(), "the kernel does not count it: {ends:?}");
    assert_eq!(rows[1].perms.value().unwrap(), *b"--xp");
    listed.toy.put(mode, 0, 2);
    assert_eq!(listed.names(), [""]);
    // A page that may be read, by its mode, and may not, by its rights.
    listed.toy.put(mode, 0, 0);
    assert!(!listed.rows().1.is_complete());
}

/// Linux 2.6.32: neither `context.flags` nor `context.ia32_compat` says which width a program has.
#[test]
fn the_vsyscall_page_is_none_of_a_32_bit_program_of_an_old_kernel() {
    let mut listed = Listed::new(1);
    let gate = listed.toy.room(112, 16);
    listed.toy.put(gate, START, 0xffff_ffff_ff60_0000);
    listed.toy.put(gate, END, 0xffff_ffff_ff60_1000);
    listed.toy.put(gate, FLAGS, 5);
    listed.toy.symbol("gate_vma", gate);
    assert_eq!(listed.names(), ["", "[vsyscall]"]);
    // On a 64-bit kernel 32-bit programs have 4 GiB less two pages, or 3 GiB by a personality.
    for end in [0xffff_e000, 0xc000_0000] {
        listed.toy.put(listed.mm, TASK_SIZE, end);
        assert_eq!(listed.names(), [""]);
        assert!(listed.rows().1.is_complete());
    }
    listed.toy.put(listed.mm, TASK_SIZE, 0);
    assert!(!listed.rows().1.is_complete(), "no program ends at 0");
}
