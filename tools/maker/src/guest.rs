//! The guest's own programs: compiled here, and packed with the modules into its file system.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::archive::Archive;
use crate::modules::Module;
use osier_maker::tool;

const SOURCES: &[(&str, &str)] = &[
    ("guest.h", include_str!("../guest/guest.h")),
    ("init.c", include_str!("../guest/init.c")),
    ("crowd.c", include_str!("../guest/crowd.c")),
    ("truth.c", include_str!("../guest/truth.c")),
    ("tampered.c", include_str!("../guest/tampered.c")),
    ("dynamic.c", include_str!("../guest/dynamic.c")),
    ("plugin.c", include_str!("../guest/plugin.c")),
];

/// What the guest is told to do.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    /// Modules to load at the start, in order.
    pub(crate) modules: &'a [Module],
    /// A module to load between two snapshots.
    pub(crate) late_module: Option<&'a Module>,
    /// Number of busy processes.
    pub(crate) spinners: u32,
    /// Whether there is a crowd.
    pub(crate) crowd: bool,
    /// Two snapshots with changes between them.
    pub(crate) events: bool,
    /// Seconds that lie between the two, at least.
    pub(crate) apart: u32,
    /// A processor to take offline.
    pub(crate) offline: Option<u32>,
    /// Whether the kernel panics in the end.
    pub(crate) panic: bool,
    /// Whether the truth holds `kallsyms`.
    pub(crate) symbols: bool,
    /// Modules that tamper with the guest, which loads them when its crowd is there; none where it is left alone.
    pub(crate) tampering: &'a [Module],
}

/// Compiles the guest's programs and returns its initial file system.
///
/// # Errors
///
/// When the compiler is missing or fails.
pub(crate) fn build(arch: &str, settings: &Settings<'_>, work: &Path) -> Result<Vec<u8>> {
    let folder = work.join(format!("guest-{arch}"));
    fs::create_dir_all(&folder)?;
    for (name, text) in SOURCES {
        fs::write(folder.join(name), text)?;
    }
    let compiler = Compiler {
        folder,
        narrow: arch == "i386",
    };
    let guest = compiler.compile(
        "guest",
        &[
            "-static",
            "-pthread",
            "init.c",
            "crowd.c",
            "truth.c",
            "tampered.c",
        ],
    )?;
    let dynamic = compiler.compile("dynprog", &["dynamic.c", "-ldl"])?;
    let plugin = compiler.compile("libplugin.so", &["-shared", "-fPIC", "plugin.c"])?;
    let libc = compiler.library("libc.so.6")?;
    let loader_name = if compiler.narrow {
        "ld-linux.so.2"
    } else {
        "ld-linux-x86-64.so.2"
    };
    let loader = compiler.library(loader_name)?;

    let mut archive = Archive::default();
    for name in [
        "dev",
        "etc",
        "bin",
        "lib",
        "lib64",
        "lib/modules",
        "usr",
        "usr/bin",
    ] {
        archive.folder(name);
    }
    archive.device("dev/console", 5, 1);
    let mut conf = format!(
        "spinners {}\ncrowd {}\nevents {}\napart {}\npanic {}\nsymbols {}\ntampered {}\n",
        settings.spinners,
        u8::from(settings.crowd),
        u8::from(settings.events),
        settings.apart,
        u8::from(settings.panic),
        u8::from(settings.symbols),
        u8::from(!settings.tampering.is_empty())
    );
    if let Some(cpu) = settings.offline {
        writeln!(conf, "offline {cpu}")?;
    }
    for module in settings.modules {
        writeln!(conf, "module {}", module.name)?;
    }
    if let Some(module) = settings.late_module {
        writeln!(conf, "late-module {}", module.name)?;
    }
    let modules = settings.modules.iter().chain(settings.late_module);
    for module in modules.chain(settings.tampering) {
        archive.file(
            format!("lib/modules/{}.ko", module.name).as_bytes(),
            &module.bytes,
        );
    }
    archive.file(b"etc/maker.conf", conf.as_bytes());
    let copies: [&[u8]; 6] = [
        b"init",
        b"bin/workload",
        b"bin/after-exec",
        b"bin/deleted-program",
        b"bin/a-name-longer-than-fifteen-bytes",
        b"bin/odd name\n\xff",
    ];
    for name in copies {
        archive.file(name, &guest);
    }
    archive.file(b"usr/bin/dynprog", &dynamic);
    archive.file(b"lib/libplugin.so", &plugin);
    archive.file(b"lib/libc.so.6", &libc);
    let home = if compiler.narrow { "lib" } else { "lib64" };
    archive.file(format!("{home}/{loader_name}").as_bytes(), &loader);
    Ok(archive.finish())
}

struct Compiler {
    folder: PathBuf,
    narrow: bool,
}

impl Compiler {
    fn command(&self) -> Command {
        let mut command = Command::new("gcc");
        command.current_dir(&self.folder);
        if self.narrow {
            command.arg("-m32");
        }
        command
    }

    fn compile(&self, output: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = self.command();
        command
            .args(["-O1", "-s", "-D_FILE_OFFSET_BITS=64", "-o", output])
            .args(arguments);
        tool::run(
            &mut command,
            &self.folder.join("gcc.log"),
            Duration::from_secs(120),
        )
        .context("the guest's programs cannot be compiled (i386 needs gcc-multilib)")?;
        Ok(fs::read(self.folder.join(output))?)
    }

    /// A library of the host's, which the guest's dynamic program runs with.
    fn library(&self, name: &str) -> Result<Vec<u8>> {
        let mut command = self.command();
        command.arg(format!("-print-file-name={name}"));
        let text = tool::run(
            &mut command,
            &self.folder.join("gcc.log"),
            Duration::from_secs(20),
        )?;
        fs::read(text.trim()).with_context(|| format!("cannot read the host's {name}"))
    }
}
