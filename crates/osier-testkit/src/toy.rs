//! Toy kernels: a few structures of Linux in made-up layouts, with true page tables, and the rows
//! that a provider must find in them.

mod crowd;
mod files;
mod maps;
mod rows;
mod shapes;
mod tasks;
mod writer;

use std::sync::Arc;

use osier_memory::{Machine, Paging, PhysAddr, VirtAddr};
use osier_profile::{Identity, OsKind, Profile, ProfileBuilder};

use files::Files;
pub use rows::{Era, ToyMapping, ToyModule, ToyState, ToyTask};
use shapes::Shapes;
use writer::{IMAGE, Writer};

/// A toy kernel and all that is true of it.
pub struct ToyKernel {
    /// Memory and the registers of two processors.
    pub machine: Machine,
    /// Structures and symbols.
    pub profile: Arc<Profile>,
    /// The paging mode.
    pub mode: Paging,
    /// The root of the kernel's own page table.
    pub root: PhysAddr,
    /// The running kernel's `_text`.
    pub text: VirtAddr,
    /// Its physical address.
    pub text_pa: PhysAddr,
    /// One past the image.
    pub end: VirtAddr,
    /// The banner, without its newline.
    pub banner: Vec<u8>,
    /// Where it lies in the running kernel.
    pub banner_at: VirtAddr,
    /// Every process.
    pub tasks: Vec<ToyTask>,
    /// Every module.
    pub modules: Vec<ToyModule>,
    /// For each processor: the pid of the current process.
    pub current: Vec<u32>,
}

/// Every paging mode and era that a toy kernel is made in.
pub const TOYS: [(Paging, Era); 6] = [
    (Paging::LegacyNoPse, Era::Lists),
    (Paging::Legacy, Era::Lists),
    (Paging::Pae, Era::Lists),
    (Paging::Long4, Era::Lists),
    (Paging::Long4, Era::Trees),
    (Paging::Long5, Era::Trees),
];

impl ToyKernel {
    /// Builds the kernel of `mode` and `era`.
    pub fn build(mode: Paging, era: Era) -> Self {
        let wide = mode.pointer_bytes() == 8;
        let (linked, slide, text_pa, stack_end) = if wide {
            (
                0xffff_ffff_8100_0000_u64,
                0x0a40_0000_u64,
                0x0300_0000,
                0x7ffd_0000_0000,
            )
        } else {
            (0xc100_0000, 0, 0x0100_0000, 0xbff0_0000)
        };
        let text = VirtAddr(linked + slide);
        let shapes = Shapes::new(era, u64::from(mode.pointer_bytes()));
        let mut w = Writer::new(mode, shapes, text, PhysAddr(text_pa));
        let banner = b"Linux version 0.0.0-toy (toy@toy) #1".to_vec();
        let at = w.symbol("linux_banner", 64);
        w.bytes(at, &[banner.as_slice(), b"\n\0"].concat());
        w.global("special_mapping_vmops", "vm_operations_struct");
        let ops = w.symbols["special_mapping_vmops"];
        w.set(ops, "vm_operations_struct", "name", text.0 + 0x40);
        w.symbol("vdso_image_64", 64);
        let mut files = Files::new(&mut w);
        let mut crowd = crowd::crowd(era, stack_end);
        let (cpus, current) = tasks::write(&mut w, &mut files, era, &mut crowd);
        let modules = tasks::modules(&mut w, era);
        let gate = wide.then(|| gate(&mut w));
        for task in &mut crowd {
            if let (Some(vma), Some(_)) = (gate, task.root) {
                task.mappings.push(ToyMapping {
                    start: 0xffff_ffff_ff60_0000,
                    end: 0xffff_ffff_ff60_1000,
                    flags: 4,
                    name: b"[vsyscall]".to_vec(),
                    vma,
                    ..ToyMapping::default()
                });
            }
        }
        Self {
            profile: Arc::new(profile(&w, era, slide)),
            mode,
            root: w.tables.root(),
            text,
            text_pa: PhysAddr(text_pa),
            end: text.plus(IMAGE),
            banner,
            banner_at: w.symbols["linux_banner"],
            tasks: crowd,
            modules,
            current,
            machine: Machine {
                memory: Arc::new(w.memory),
                cpus,
                hints: Vec::new(),
            },
        }
    }
}

fn gate(w: &mut Writer) -> VirtAddr {
    let gate = w.global("gate_vma", "vm_area_struct");
    w.set(gate, "vm_area_struct", "vm_start", 0xffff_ffff_ff60_0000);
    w.set(gate, "vm_area_struct", "vm_end", 0xffff_ffff_ff60_1000);
    w.set(gate, "vm_area_struct", "vm_flags", 4);
    gate
}

fn profile(w: &Writer, era: Era, slide: u64) -> Profile {
    let mut profile = ProfileBuilder::new(Identity {
        os: OsKind::Linux,
        pointer_bytes: w.mode.pointer_bytes(),
        build_id: None,
        banner: Vec::new(),
        release: "0.0.0-toy".to_owned(),
    });
    profile.provenance("the toy's own layout table");
    w.shapes.add_to(&mut profile);
    for (name, va) in &w.symbols {
        let linked = if tasks::is_per_cpu(name, w.mode) {
            va.0
        } else {
            va.0.wrapping_sub(slide)
        };
        profile.add_symbol(*name, linked);
    }
    profile.add_constant("PIDTYPE_PID", 0);
    profile.add_constant("PIDTYPE_TGID", 1);
    profile.add_constant("PIDTYPE_MAX", 4);
    for (value, name) in (0..).zip(["LIVE", "COMING", "GOING", "UNFORMED"]) {
        profile.add_constant(format!("MODULE_STATE_{name}"), value);
    }
    if era == Era::Trees {
        profile.add_constant("MOD_TEXT", 0);
        profile.add_constant("MOD_INIT_TEXT", 4);
        profile.add_constant("MOD_MEM_NUM_TYPES", 7);
        let nodes = [
            "maple_dense",
            "maple_leaf_64",
            "maple_range_64",
            "maple_arange_64",
        ];
        for (value, name) in (0..).zip(nodes) {
            profile.add_constant(name, value);
        }
    }
    profile.build()
}
