//! The machines: the table that the whole matrix is made of.

/// One machine of the matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// Its name, and its folder's.
    pub(crate) name: &'static str,
    /// Debian package of the kernel.
    pub(crate) kernel: &'static str,
    /// Debian suite that carries the package.
    pub(crate) suite: &'static str,
    /// Debian architecture of the package.
    pub(crate) arch: &'static str,
    /// Guest memory in MiB.
    pub(crate) mem: u32,
    /// Options of the maker, beside those that every machine has.
    pub(crate) options: &'static [&'static str],
    /// Additional words of the kernel command line.
    pub(crate) append: &'static str,
    /// What is special about it.
    pub(crate) what: &'static str,
}

impl Machine {
    /// Whether its kernel carries its own types: i386 kernels of Debian's do not.
    pub(crate) fn has_types(&self) -> bool {
        self.arch != "i386"
    }

    /// Whether an option of the maker is among its own.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    /// How many processors `current` has a row for. One that was taken offline stands still in the kernel:
    /// registers tell that it is there, raw memory has none.
    pub(crate) fn processors(&self, registers: bool) -> usize {
        let one = (self.has("--offline") && !registers)
            || self.append.contains("maxcpus=1")
            || self.options.windows(2).any(|pair| pair == ["--smp", "1"]);
        if one { 1 } else { 2 }
    }
}

/// All machines, the newest kernels first.
pub(crate) const MACHINES: &[Machine] = &[
    Machine {
        name: "7.3-amd64",
        kernel: "linux-image-7.3-amd64",
        suite: "experimental",
        arch: "amd64",
        mem: 160,
        options: &[],
        append: "",
        what: "five levels of paging",
    },
    Machine {
        name: "7.3-amd64-nokaslr",
        kernel: "linux-image-7.3-amd64",
        suite: "experimental",
        arch: "amd64",
        mem: 160,
        options: &[],
        append: "nokaslr pti=on",
        what: "nokaslr, pti=on",
    },
    Machine {
        name: "7.3-rt",
        kernel: "linux-image-7.3-rt-amd64",
        suite: "experimental",
        arch: "amd64",
        mem: 160,
        options: &[],
        append: "",
        what: "as it comes",
    },
    Machine {
        name: "7.3-cloud-panic",
        kernel: "linux-image-7.3-cloud-amd64",
        suite: "experimental",
        arch: "amd64",
        mem: 160,
        options: &["--panic"],
        append: "",
        what: "after a panic",
    },
    Machine {
        name: "7.2-amd64-la57off",
        kernel: "linux-image-7.2.13+deb14-amd64",
        suite: "sid",
        arch: "amd64",
        mem: 160,
        options: &["--la57", "off"],
        append: "",
        what: "four levels of paging",
    },
    Machine {
        name: "7.2-amd64-before-init",
        kernel: "linux-image-7.2.13+deb14-amd64",
        suite: "sid",
        arch: "amd64",
        mem: 160,
        options: &["--before-init"],
        append: "",
        what: "before process 1 executes anything",
    },
    Machine {
        name: "7.2-cloud-pti",
        kernel: "linux-image-7.2.13+deb14-cloud-amd64",
        suite: "sid",
        arch: "amd64",
        mem: 160,
        options: &[],
        append: "pti=on",
        what: "pti=on",
    },
    Machine {
        name: "7.2-rt-user32",
        kernel: "linux-image-7.2.13+deb14-rt-amd64",
        suite: "sid",
        arch: "amd64",
        mem: 160,
        options: &["--user", "i386"],
        append: "",
        what: "32-bit programs",
    },
    Machine {
        name: "6.12.118-amd64-panic",
        kernel: "linux-image-6.12.118+deb13-amd64",
        suite: "trixie",
        arch: "amd64",
        mem: 160,
        options: &["--panic"],
        append: "",
        what: "after a panic",
    },
    Machine {
        name: "6.12.118-cloud-nogbpages",
        kernel: "linux-image-6.12.118+deb13-cloud-amd64",
        suite: "trixie",
        arch: "amd64",
        mem: 160,
        options: &[],
        append: "nogbpages",
        what: "nogbpages",
    },
    Machine {
        name: "6.12.118-rt-offline",
        kernel: "linux-image-6.12.118+deb13-rt-amd64",
        suite: "trixie",
        arch: "amd64",
        mem: 160,
        options: &["--offline", "1", "--spinners", "1"],
        append: "nopti",
        what: "processor 1 offline, nopti",
    },
    Machine {
        name: "6.12.105-rt-user32",
        kernel: "linux-image-6.12.105+deb13-rt-amd64",
        suite: "trixie",
        arch: "amd64",
        mem: 160,
        options: &["--user", "i386"],
        append: "",
        what: "32-bit programs",
    },
    Machine {
        name: "6.12.117-deb12-amd64",
        kernel: "linux-image-6.12.117+deb12-amd64",
        suite: "bookworm",
        arch: "amd64",
        mem: 160,
        options: &[],
        append: "",
        what: "as it comes",
    },
    Machine {
        name: "6.12.90-amd64-maxcpus",
        kernel: "linux-image-6.12.90+deb13-amd64",
        suite: "trixie",
        arch: "amd64",
        mem: 160,
        options: &["--spinners", "1"],
        append: "maxcpus=1",
        what: "maxcpus=1: processor 1 never started",
    },
    Machine {
        name: "6.1-57-amd64-panic",
        kernel: "linux-image-6.1.0-57-amd64",
        suite: "bookworm",
        arch: "amd64",
        mem: 128,
        options: &["--panic"],
        append: "",
        what: "after a panic",
    },
    Machine {
        name: "6.1-57-cloud",
        kernel: "linux-image-6.1.0-57-cloud-amd64",
        suite: "bookworm",
        arch: "amd64",
        mem: 128,
        options: &[],
        append: "",
        what: "as it comes",
    },
    Machine {
        name: "6.1-57-cloud-before-init",
        kernel: "linux-image-6.1.0-57-cloud-amd64",
        suite: "bookworm",
        arch: "amd64",
        mem: 128,
        options: &["--before-init"],
        append: "",
        what: "before process 1 executes anything",
    },
    Machine {
        name: "6.1-57-rt",
        kernel: "linux-image-6.1.0-57-rt-amd64",
        suite: "bookworm",
        arch: "amd64",
        mem: 128,
        options: &[],
        append: "nokaslr",
        what: "nokaslr",
    },
    Machine {
        name: "6.1-47-amd64-offline",
        kernel: "linux-image-6.1.0-47-amd64",
        suite: "bookworm",
        arch: "amd64",
        mem: 128,
        options: &["--offline", "1", "--spinners", "1"],
        append: "",
        what: "processor 1 offline",
    },
    Machine {
        name: "6.1-deb11.52-amd64-user32",
        kernel: "linux-image-6.1.0-0.deb11.52-amd64",
        suite: "bullseye",
        arch: "amd64",
        mem: 128,
        options: &["--user", "i386"],
        append: "",
        what: "32-bit programs",
    },
    Machine {
        name: "5.10-30-rt",
        kernel: "linux-image-5.10.0-30-rt-amd64-unsigned",
        suite: "bullseye",
        arch: "amd64",
        mem: 128,
        options: &[],
        append: "",
        what: "as it comes",
    },
    Machine {
        name: "5.10-46-cloud-user32",
        kernel: "linux-image-5.10.0-46-cloud-amd64",
        suite: "bullseye",
        arch: "amd64",
        mem: 128,
        options: &["--user", "i386"],
        append: "",
        what: "32-bit programs",
    },
    Machine {
        name: "5.10-46-amd64-before-init",
        kernel: "linux-image-5.10.0-46-amd64",
        suite: "bullseye",
        arch: "amd64",
        mem: 128,
        options: &["--before-init"],
        append: "",
        what: "before process 1 executes anything",
    },
    Machine {
        name: "5.10-46-amd64-nogbpages",
        kernel: "linux-image-5.10.0-46-amd64",
        suite: "bullseye",
        arch: "amd64",
        mem: 128,
        options: &[],
        append: "nogbpages nokaslr",
        what: "nogbpages, nokaslr",
    },
    Machine {
        name: "5.10-43-amd64-maxcpus",
        kernel: "linux-image-5.10.0-43-amd64",
        suite: "bullseye",
        arch: "amd64",
        mem: 128,
        options: &["--spinners", "1"],
        append: "maxcpus=1",
        what: "maxcpus=1: processor 1 never started",
    },
    Machine {
        name: "5.10-30-amd64-pti",
        kernel: "linux-image-5.10.0-30-amd64-unsigned",
        suite: "bullseye",
        arch: "amd64",
        mem: 128,
        options: &[],
        append: "pti=on",
        what: "pti=on",
    },
    Machine {
        name: "5.10-32-686",
        kernel: "linux-image-5.10.0-32-686-unsigned",
        suite: "bullseye",
        arch: "i386",
        mem: 128,
        options: &["--smp", "1", "--cpu", "pentium3"],
        append: "",
        what: "two levels of paging, one processor",
    },
    Machine {
        name: "5.10-32-686-pae-offline",
        kernel: "linux-image-5.10.0-32-686-pae-unsigned",
        suite: "bullseye",
        arch: "i386",
        mem: 128,
        options: &["--offline", "1", "--spinners", "1"],
        append: "",
        what: "PAE, processor 1 offline",
    },
    Machine {
        name: "5.10-32-686-pae-panic",
        kernel: "linux-image-5.10.0-32-686-pae-unsigned",
        suite: "bullseye",
        arch: "i386",
        mem: 128,
        options: &["--panic"],
        append: "",
        what: "PAE, after a panic",
    },
];
