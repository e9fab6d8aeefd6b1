//! The formats' names.

/// A container's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// File offset = guest-physical address.
    Raw,
    /// A bare RAM block of a PC, split at 4 GiB by [`OpenOptions::ram_split`](crate::OpenOptions::ram_split).
    PcRam,
    /// An ELF core with physical addresses.
    ElfCore,
    /// A `LiME` dump, version 1.
    Lime,
    /// An AVML dump: `LiME`'s ranges, compressed.
    Avml,
    /// kdump's compressed dump.
    Kdump,
    /// A diskdump.
    Diskdump,
    /// A QEMU migration or savevm stream; PANDA's `NAME-rr-snp`.
    QemuStream,
    /// A Windows crash dump.
    CrashDump,
    /// A Windows hibernation file.
    Hibernation,
    /// A machine's state in a QEMU disk image, as `savevm` leaves it.
    Qcow2,
    /// libvirt's file of a saved machine, with a QEMU stream in it.
    Libvirt,
    /// VMware's `.vmem` with its state file, or a state file with the memory in it.
    Vmware,
    /// PANDA's `.rr2`: a tar archive, gzip-compressed or not.
    PandaRr2,
    /// PANDA's old `.rr`: a header and a tar.xz.
    PandaRr,
}

impl Format {
    /// The format's name, for people and for rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::PcRam => "pc.ram",
            Self::ElfCore => "elf-core",
            Self::Lime => "lime",
            Self::Avml => "avml",
            Self::Kdump => "kdump",
            Self::Diskdump => "diskdump",
            Self::QemuStream => "qemu-stream",
            Self::CrashDump => "crash-dump",
            Self::Hibernation => "hibernation",
            Self::Qcow2 => "qcow2",
            Self::Libvirt => "libvirt-save",
            Self::Vmware => "vmware",
            Self::PandaRr2 => "panda-rr2",
            Self::PandaRr => "panda-rr",
        }
    }
}
