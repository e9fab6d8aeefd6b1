//! Finding the kernel. To be written: `locate/`.

use osier_memory::{Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::Premise;
use osier_profile::BuildId;

/// Where a Linux kernel lies in a machine, each part confirmed.
#[derive(Clone, Debug)]
pub struct Located {
    /// The paging mode of the kernel.
    pub mode: Paging,
    /// The root of a page table that maps the whole kernel half, physical.
    pub root: PhysAddr,
    /// The running kernel's address of `_text` (KASLR included).
    pub text: VirtAddr,
    /// Its physical address.
    pub text_pa: PhysAddr,
    /// One past the last byte of the mapped kernel image (`_end` rounded up to its page), as far
    /// as it is known without symbols.
    pub end: VirtAddr,
    /// The build id of the kernel's notes or VMCOREINFO; `None` when it has none.
    pub build_id: Option<BuildId>,
    /// The banner, `Linux version …`, without its newline.
    pub banner: Vec<u8>,
    /// The VMCOREINFO text, when one was found and belongs to this kernel.
    pub vmcoreinfo: Option<Vec<u8>>,
    /// How each part was decided.
    pub premises: Vec<Premise>,
}

/// A kernel that was met before: what to look for in a dump without registers.
#[derive(Clone, Debug)]
pub struct Known {
    /// The first bytes at `_text`.
    pub text_head: Vec<u8>,
    /// Link-time address of `_text`.
    pub text: u64,
    /// Link-time address of `linux_banner`.
    pub linux_banner: u64,
    /// The banner.
    pub banner: Vec<u8>,
    /// Link-time address of `init_top_pgt` or `swapper_pg_dir`.
    pub root: u64,
    /// Bytes of a pointer.
    pub pointer_bytes: u8,
}

/// Why no kernel was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// Nothing in the snapshot looks like a Linux kernel.
    #[error("no Linux kernel found: {tried}")]
    NotFound {
        /// What was tried, in words.
        tried: String,
    },
}

/// Finds the kernel in `machine`.
///
/// # Errors
///
/// [`LocateError`] says what was tried.
pub fn locate(_machine: &Machine, _known: &[Known]) -> Result<Located, LocateError> {
    Err(LocateError::NotFound {
        tried: "nothing yet".to_owned(),
    })
}
