//! What finding a kernel starts from and ends with.

use osier_memory::{AddressSpace, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::Premise;
use osier_profile::BuildId;

use crate::linux_policy;

/// Where a Linux kernel lies in a machine, each part confirmed.
#[derive(Clone, Debug)]
pub struct Located {
    /// The paging mode of the kernel.
    pub mode: Paging,
    /// The root of a page table that maps the whole kernel half, physical.
    pub root: PhysAddr,
    /// The bits of a page-table entry that mark encrypted memory and are no part of its address; 0
    /// where it is plain.
    pub encryption: u64,
    /// The running kernel's address of `_text` (KASLR included).
    pub text: VirtAddr,
    /// Its physical address.
    pub text_pa: PhysAddr,
    /// One past the last byte of the mapped kernel image, as far as it is known without symbols.
    pub end: VirtAddr,
    /// The build id of the kernel's notes or VMCOREINFO; `None` when it has none.
    pub build_id: Option<BuildId>,
    /// The banner, `Linux version …`, without its newline.
    pub banner: Vec<u8>,
    /// The running kernel's address of the banner.
    pub banner_at: VirtAddr,
    /// The VMCOREINFO text, when one was found and belongs to this kernel.
    pub vmcoreinfo: Option<Vec<u8>>,
    /// How each part was decided.
    pub premises: Vec<Premise>,
}

/// A kernel that was met before: what to look for in a dump without registers. Addresses are
/// link-time.
#[derive(Clone, Debug)]
pub struct KnownKernel {
    /// The first bytes at `_text`; empty when they are not known.
    pub text_head: Vec<u8>,
    /// `_text`.
    pub text: u64,
    /// `linux_banner`.
    pub linux_banner: u64,
    /// The banner, without its newline.
    pub banner: Vec<u8>,
    /// `init_top_pgt` (`init_level4_pgt` before 4.13) or `swapper_pg_dir`.
    pub root: u64,
    /// Bytes of a pointer.
    pub pointer_bytes: u8,
    /// The build id.
    pub build_id: Option<BuildId>,
    /// Somebody named this kernel: where VMCOREINFO names its build as well, a banner that cannot be
    /// read is not missed. Of a kernel that nobody named no other first instructions may be there, either.
    pub named: bool,
}

impl KnownKernel {
    /// Whether `bytes` start as the kernel does. KASLR changes the addresses among its first
    /// instructions, so a quarter of the bytes may differ; something else decides afterwards.
    pub(super) fn starts(&self, bytes: &[u8]) -> bool {
        let head = self.text_head.as_slice();
        let equal = bytes.iter().zip(head).filter(|(a, b)| a == b).count();
        !head.is_empty() && equal >= head.len().saturating_mul(3) / 4
    }

    /// Whether what lies at `at`, as far as it can be read, does not start as the kernel does.
    pub(super) fn is_not_at(&self, machine: &Machine, at: PhysAddr) -> bool {
        let chunk = machine.memory.chunk(at);
        chunk.is_ok_and(|chunk| !self.starts(&chunk))
    }

    /// Whether what lies at `at` starts as the kernel does. After a sweep it is read once more, so that
    /// a recorder sees it.
    pub(super) fn stands_at(&self, machine: &Machine, at: PhysAddr) -> bool {
        let chunk = machine.memory.chunk(at);
        chunk.is_ok_and(|chunk| self.starts(&chunk))
    }
}

/// Why no kernel was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// Nothing in the snapshot looks like a Linux kernel.
    #[error("no Linux kernel found: {tried}")]
    NotFound {
        /// What was tried, in words.
        tried: String,
        /// What was seen of a kernel all the same, in words: VMCOREINFO, banners, an image without
        /// one.
        seen: Vec<String>,
    },
}

impl Located {
    /// The address space of the table that the kernel is read by.
    pub fn space(&self, machine: &Machine) -> AddressSpace {
        AddressSpace::new(machine.memory.clone(), self.mode, self.root, linux_policy)
            .with_encryption(self.encryption)
    }

    /// The release that the banner names, such as `6.1.0-50-amd64`.
    pub fn release(&self) -> String {
        let words = self
            .banner
            .strip_prefix(b"Linux version ")
            .unwrap_or_default();
        let word = words.split(|&byte| byte == b' ').next().unwrap_or_default();
        word.iter().map(|&byte| char::from(byte)).collect()
    }

    /// The first bytes at `_text`, by which the kernel is known again.
    pub fn text_head(&self, machine: &Machine) -> Vec<u8> {
        const BYTES: usize = 64;
        let mut head = vec![0; BYTES];
        match machine.memory.read(self.text_pa, &mut head) {
            Ok(()) => head,
            Err(_) => Vec::new(),
        }
    }
}

/// A table root to be confirmed.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) mode: Paging,
    pub(super) root: PhysAddr,
    /// Where it comes from, in words.
    pub(super) by: String,
    /// It is the kernel half of a pair whose user half CR3 holds.
    pub(super) kernel_half: bool,
}

impl Candidate {
    /// The entry of the root that leads to the image of an x86-64 kernel: roots that have it in common
    /// map the same image.
    pub(super) fn image_entry(&self, machine: &Machine) -> Option<u64> {
        const LAST: u64 = 511;
        let long = self.mode.pointer_bytes() == 8;
        let at = self.root.plus(LAST * 8);
        long.then(|| machine.memory.read_uint(at, 8).ok()).flatten()
    }
}
