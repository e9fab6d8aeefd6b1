//! The kernels that the project's own snapshots were made of.

/// How to make one snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Name of the snapshot.
    pub(crate) name: &'static str,
    /// Debian package of the kernel, or `newest`.
    pub(crate) kernel: &'static str,
    /// Debian suite that carries the package.
    pub(crate) suite: &'static str,
    /// Debian architecture of the package.
    pub(crate) arch: &'static str,
    /// Guest memory in MiB.
    pub(crate) mem: u64,
    /// Number of processors.
    pub(crate) smp: u32,
    /// QEMU's processor model.
    pub(crate) cpu: &'static str,
    /// Additional words of the kernel command line.
    pub(crate) append: &'static str,
}

/// All recipes, by name.
pub(crate) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "deb11-5.10-686",
        kernel: "linux-image-5.10.0-32-686-unsigned",
        suite: "bullseye",
        arch: "i386",
        mem: 96,
        smp: 1,
        cpu: "pentium3",
        append: "",
    },
    Recipe {
        name: "deb11-5.10-686-pae",
        kernel: "linux-image-5.10.0-32-686-pae-unsigned",
        suite: "bullseye",
        arch: "i386",
        mem: 96,
        smp: 1,
        cpu: "qemu32",
        append: "",
    },
    Recipe {
        name: "deb11-5.10-amd64",
        kernel: "linux-image-5.10.0-46-amd64-unsigned",
        suite: "bullseye",
        arch: "amd64",
        mem: 128,
        smp: 1,
        cpu: "max,la57=off",
        append: "",
    },
    Recipe {
        name: "deb12-6.1-amd64",
        kernel: "linux-image-6.1.0-50-amd64-unsigned",
        suite: "bookworm",
        arch: "amd64",
        mem: 128,
        smp: 2,
        cpu: "max",
        append: "",
    },
    Recipe {
        name: "deb13-6.12-amd64",
        kernel: "linux-image-6.12.94+deb13-amd64",
        suite: "trixie",
        arch: "amd64",
        mem: 192,
        smp: 2,
        cpu: "max",
        append: "pti=on",
    },
];
