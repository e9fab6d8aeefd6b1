//! VMCOREINFO: the kernel's own description for crash tools.
//!
//! It reaches an ELF note only when the guest had a driver for it; in memory it always starts a
//! page (`vmcoreinfo_data` is a page of its own) with `OSRELEASE=`. Source: the kernel's
//! `Documentation/admin-guide/kdump/vmcoreinfo.rst`.

use osier_memory::{PAGE_BYTES, Paging, PhysAddr};
use osier_profile::BuildId;

use super::found::{Candidate, Located};

/// What every VMCOREINFO starts with.
pub(super) const START: &[u8] = b"OSRELEASE=";

/// The start of the kernel image's mapping on x86-64 (`__START_KERNEL_map`).
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

impl Located {
    /// What KASLR added to link-time addresses: `KERNELOFFSET` of VMCOREINFO; `None` where none was found that says it.
    pub fn kernel_offset(&self) -> Option<u64> {
        Vmcoreinfo::parse(self.vmcoreinfo.as_deref()?)?.kernel_offset()
    }
}

/// A VMCOREINFO text.
#[derive(Clone, Debug)]
pub(super) struct Vmcoreinfo {
    pub(super) text: Vec<u8>,
}

impl Vmcoreinfo {
    /// The text that `bytes` start with; `None` when they start otherwise, or hold a template of
    /// one (`OSRELEASE=%s`).
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..bytes.len().min(PAGE_BYTES as usize))?;
        let text = bytes.split(|&byte| byte == 0).next()?;
        let info = Self {
            text: text.to_vec(),
        };
        let release = info.value("OSRELEASE")?;
        (text.starts_with(START) && release.first().is_some_and(u8::is_ascii_digit)).then_some(info)
    }

    fn value(&self, key: &str) -> Option<&[u8]> {
        self.text
            .split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    pub(super) fn release(&self) -> &[u8] {
        self.value("OSRELEASE").unwrap_or_default()
    }

    /// Linux commit 0935288c6e00 ("kdump: append kernel build-id string to VMCOREINFO"), v5.9.
    pub(super) fn build_id(&self) -> Option<BuildId> {
        BuildId::from_hex(std::str::from_utf8(self.value("BUILD-ID")?).ok()?)
    }

    fn hex(&self, key: &str) -> Option<u64> {
        u64::from_str_radix(std::str::from_utf8(self.value(key)?).ok()?, 16).ok()
    }

    fn number(&self, name: &str) -> Option<i64> {
        std::str::from_utf8(self.value(&format!("NUMBER({name})"))?)
            .ok()?
            .parse()
            .ok()
    }

    /// The bit by which page-table entries mark memory that is encrypted; `None` where none is.
    ///
    /// Linux commit 65f750e5457a ("x86/kdump: Export the SME mask to vmcoreinfo"), v5.1.
    pub(super) fn encryption(&self) -> Option<u64> {
        let mask = self.number("sme_mask")?.cast_unsigned();
        (mask != 0).then_some(mask)
    }

    /// Which kernel it is of, in words.
    pub(super) fn describe(&self) -> String {
        let release = self.release().escape_ascii();
        match self.build_id() {
            Some(id) => format!("VMCOREINFO of Linux {release}, build id {id}"),
            None => format!("VMCOREINFO of Linux {release}"),
        }
    }

    /// The running kernel's address of `_stext`, which is `_text` on x86.
    pub(super) fn stext(&self) -> Option<u64> {
        self.hex("SYMBOL(_stext)")
    }

    /// The running kernel's address of its own table root.
    pub(super) fn swapper(&self) -> Option<u64> {
        self.hex("SYMBOL(swapper_pg_dir)")
    }

    /// Added to link-time addresses by KASLR.
    pub(super) fn kernel_offset(&self) -> Option<u64> {
        self.hex("KERNELOFFSET")
    }

    /// The table roots that it names.
    pub(super) fn candidates(&self, by: &str) -> Vec<Candidate> {
        let Some(swapper) = self.swapper() else {
            return Vec::new();
        };
        let candidate = |mode, root| Candidate {
            mode,
            root: PhysAddr(root),
            by: format!("swapper_pg_dir {swapper:#x} of {by}"),
            kernel_half: false,
        };
        if swapper >> 32 == 0 {
            let pae = self
                .text
                .split(|&byte| byte == b'\n')
                .any(|line| line == b"CONFIG_X86_PAE=y");
            let modes = if pae {
                [Paging::Pae, Paging::Legacy]
            } else {
                [Paging::Legacy, Paging::Pae]
            };
            // The usual split of the address space is at 3 GiB; others are 2, 1 and 3 GiB + 512 MiB.
            let splits = [
                0xc000_0000_u64,
                0x8000_0000,
                0x4000_0000,
                0xb000_0000,
                0x7800_0000,
            ];
            let mut all = Vec::new();
            for split in splits.into_iter().filter(|split| *split <= swapper) {
                all.extend(modes.map(|mode| candidate(mode, swapper.wrapping_sub(split))));
            }
            return all;
        }
        let base = self.number("phys_base").unwrap_or(0).cast_unsigned();
        let root = swapper.wrapping_sub(START_KERNEL_MAP).wrapping_add(base);
        let five = self.number("pgtable_l5_enabled") == Some(1);
        let modes = if five {
            [Paging::Long5, Paging::Long4]
        } else {
            [Paging::Long4, Paging::Long5]
        };
        modes.map(|mode| candidate(mode, root)).to_vec()
    }
}
