//! A real QEMU, driven over QMP: the writer of streams that the readers are held to.
//!
//! The guest is a firmware of 120 bytes. It fills eight pages of low memory with numbers and then
//! stops, or goes on changing a few bytes of each, so that a live migration sends pages again.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The most that one command or one migration may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the guest does once its pages are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// Halts.
    Halts,
    /// Changes eight pages for ever.
    Works,
}

/// The first page that the guest fills, and the end of the last.
pub const FILLED: std::ops::Range<u64> = 0x1_0000..0x1_8000;

/// A running QEMU without devices, killed when it is dropped.
pub struct Qemu {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Qemu {
    /// Starts a machine of 4 MiB with `more` arguments; its firmware lies in `folder`. Returns once
    /// the guest has filled its pages.
    ///
    /// # Panics
    ///
    /// When QEMU is not installed, or does not do as it is told.
    pub fn start(guest: Guest, folder: &Path, more: &[&str]) -> Self {
        let bios = folder.join("firmware");
        std::fs::write(&bios, firmware(guest)).expect("a firmware file");
        let child = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                "tcg",
                "-nodefaults",
                "-display",
                "none",
                "-vga",
                "none",
            ])
            .args(["-m", "4", "-qmp", "stdio", "-bios"])
            .arg(&bios)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("qemu-system-x86_64");
        let input = child.stdin.take().expect("a piped input");
        let output = BufReader::new(child.stdout.take().expect("a piped output"));
        let mut qemu = Self {
            child,
            input,
            output,
            folder: folder.to_owned(),
        };
        qemu.line(); // the greeting
        qemu.qmp("qmp_capabilities", "{}");
        let began = Instant::now();
        while !qemu.hmp("xp /1hx 0x500").contains("0x600d") {
            assert!(began.elapsed() < PATIENCE, "the guest does not run");
            std::thread::sleep(Duration::from_millis(5));
        }
        qemu
    }

    /// Starts a machine with `arguments` whose processors never run: its memory is zeros, but for what
    /// the `loader` device puts there. QEMU ends by itself when it cannot be such a machine.
    ///
    /// # Errors
    ///
    /// QEMU's own words, why it did not start.
    ///
    /// # Panics
    ///
    /// When QEMU does not do as it is told.
    pub fn frozen(folder: &Path, arguments: &[String]) -> Result<Self, String> {
        let said = folder.join("said");
        let stderr = std::fs::File::create(&said).expect("a file for errors");
        let mut child = Command::new("qemu-system-x86_64")
            .args(["-S", "-accel", "tcg", "-nodefaults", "-display", "none"])
            .args(["-vga", "none", "-qmp", "stdio"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| error.to_string())?;
        let input = child.stdin.take().expect("a piped input");
        let mut output = BufReader::new(child.stdout.take().expect("a piped output"));
        let mut greeting = String::new();
        let n = output.read_line(&mut greeting).expect("QEMU's greeting");
        if n == 0 {
            let _ = child.wait();
            return Err(std::fs::read_to_string(&said).unwrap_or_default());
        }
        let mut qemu = Self {
            child,
            input,
            output,
            folder: folder.to_owned(),
        };
        qemu.qmp("qmp_capabilities", "{}");
        Ok(qemu)
    }

    /// The guest-physical ranges of RAM as the machine has them, first byte, last byte and block;
    /// without what lies below 1 MiB.
    pub fn ram(&mut self) -> Vec<(u64, u64, String)> {
        let tree = self.hmp("info mtree -f");
        let view = tree
            .split("FlatView #")
            .find(|view| {
                view.contains("Root memory region: system")
                    || view.contains("Root memory region: memory")
            })
            .unwrap_or_default();
        let range = |line: &str| {
            let (addresses, rest) = line.trim().split_once(" (prio 0, ram): ")?;
            let (first, last) = addresses.split_once('-')?;
            let first = u64::from_str_radix(first, 16).ok()?;
            let last = u64::from_str_radix(last, 16).ok()?;
            let block = rest.split(" @").next()?.split(" KVM").next()?;
            (first >= 1 << 20).then(|| (first, last, block.trim().to_owned()))
        };
        view.split("\\r\\n").filter_map(range).collect()
    }

    /// The version in three numbers.
    pub fn version(&mut self) -> String {
        let text = self.hmp("info version");
        text.split(['"', '\\', ' '])
            .find(|word| word.contains('.'))
            .unwrap_or_default()
            .to_owned()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let n = self.output.read_line(&mut line).expect("QEMU's answer");
        assert!(n > 0, "QEMU has ended");
        line
    }

    /// Runs a QMP command; returns the answer's JSON.
    ///
    /// # Errors
    ///
    /// The answer's JSON, when it is an error: older QEMUs know fewer commands and arguments.
    pub fn try_qmp(&mut self, command: &str, arguments: &str) -> Result<String, String> {
        let text = format!("{{\"execute\":\"{command}\",\"arguments\":{arguments}}}\n");
        self.input.write_all(text.as_bytes()).expect("QEMU listens");
        loop {
            let line = self.line();
            if line.starts_with("{\"error\"") {
                return Err(line);
            }
            if line.starts_with("{\"return\"") {
                return Ok(line);
            }
        }
    }

    /// As [`try_qmp`](Self::try_qmp), of what every QEMU knows.
    ///
    /// # Panics
    ///
    /// When the answer is an error.
    pub fn qmp(&mut self, command: &str, arguments: &str) -> String {
        match self.try_qmp(command, arguments) {
            Ok(answer) => answer,
            Err(error) => panic!("{command} {arguments}: {error}"),
        }
    }

    /// Runs a command of the monitor; returns the answer's JSON.
    pub fn hmp(&mut self, command: &str) -> String {
        self.qmp(
            "human-monitor-command",
            &format!("{{\"command-line\":\"{command}\"}}"),
        )
    }

    /// Switches migration capabilities on.
    ///
    /// # Errors
    ///
    /// In words, the first that this QEMU does not have.
    pub fn capabilities(&mut self, names: &[&str]) -> Result<(), String> {
        for name in names {
            let answer = self.hmp(&format!("migrate_set_capability {name} on"));
            if answer.contains("Error") {
                let version = self.version();
                return Err(format!("no {name} in QEMU {version}: {answer}"));
            }
        }
        Ok(())
    }

    /// Starts a migration to `file`: through a pipe, which every QEMU can, or to the file itself,
    /// which `mapped-ram` must.
    ///
    /// # Panics
    ///
    /// When the migration cannot be started.
    pub fn migrate(&mut self, file: &Path, piped: bool) {
        let way = if piped { "exec:cat > " } else { "file:" };
        let uri = format!("{{\"uri\":\"{way}{}\"}}", file.display());
        self.qmp("migrate", &uri);
    }

    /// Waits for the migration's end.
    pub fn wait(&mut self) {
        let began = Instant::now();
        loop {
            let status = self.qmp("query-migrate", "{}");
            if status.contains("\"status\": \"completed\"") {
                return;
            }
            assert!(!status.contains("\"status\": \"failed\""), "{status}");
            assert!(began.elapsed() < PATIENCE, "{status}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The machine's 4 MiB of RAM, as `pmemsave` gives them.
    pub fn memory(&mut self) -> Vec<u8> {
        let file = self.folder.join("pmemsave");
        let arguments = format!(
            r#"{{"val":0,"size":4194304,"filename":"{}"}}"#,
            file.display()
        );
        self.qmp("pmemsave", &arguments);
        std::fs::read(&file).expect("pmemsave's file")
    }

    /// The registers' text.
    pub fn registers(&mut self) -> String {
        let json = self.hmp("info registers -a");
        json.replace("\\r\\n", "\n").replace("\\n", "\n")
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// 64 KiB of firmware: real-mode code at its start, and a jump to it at the reset vector.
fn firmware(guest: Guest) -> Vec<u8> {
    #[rustfmt::skip]
    const FILL: &[u8] = &[
        0xfa,                               //    cli
        0xb8, 0x00, 0x10,                   //    mov ax, 0x1000
        0x8e, 0xd8,                         // 1: mov ds, ax
        0x31, 0xff,                         //    xor di, di
        0x89, 0xc3,                         // 2: mov bx, ax
        0x01, 0xfb,                         //    add bx, di
        0x69, 0xdb, 0x35, 0x4e,             //    imul bx, bx, 0x4e35
        0x43,                               //    inc bx
        0x89, 0x1d,                         //    mov [di], bx
        0x83, 0xc7, 0x02,                   //    add di, 2
        0x81, 0xff, 0x00, 0x10,             //    cmp di, 0x1000
        0x75, 0xec,                         //    jne 2b
        0x05, 0x00, 0x01,                   //    add ax, 0x100
        0x3d, 0x00, 0x18,                   //    cmp ax, 0x1800
        0x75, 0xe0,                         //    jne 1b
        0x31, 0xc0,                         //    xor ax, ax
        0x8e, 0xd8,                         //    mov ds, ax
        0xc7, 0x06, 0x00, 0x05, 0x0d, 0x60, //    mov word [0x500], 0x600d
    ];
    const HALT: &[u8] = &[0xf4, 0xeb, 0xfd]; // 3: hlt; jmp 3b
    #[rustfmt::skip]
    const WORK: &[u8] = &[
        0xb8, 0x00, 0x10,                   // 4: mov ax, 0x1000
        0x8e, 0xd8,                         // 5: mov ds, ax
        0x66, 0xff, 0x06, 0x10, 0x00,       //    inc dword [0x10]
        0x66, 0xff, 0x06, 0x00, 0x08,       //    inc dword [0x800]
        0x66, 0x8b, 0x1e, 0x10, 0x00,       //    mov ebx, [0x10]
        0x81, 0xe3, 0xff, 0x07,             //    and bx, 0x7ff
        0xfe, 0x07,                         //    inc byte [bx]
        0x05, 0x00, 0x01,                   //    add ax, 0x100
        0x3d, 0x00, 0x18,                   //    cmp ax, 0x1800
        0x75, 0xe1,                         //    jne 5b
        0xb9, 0x40, 0x00,                   //    mov cx, 0x40
        0xf3, 0x90,                         // 6: pause
        0xe2, 0xfc,                         //    loop 6b
        0xeb, 0xd5,                         //    jmp 4b
    ];
    let mut bytes = FILL.to_vec();
    bytes.extend(if guest == Guest::Halts { HALT } else { WORK });
    bytes.resize(0xfff0, 0);
    bytes.extend([0xea, 0x00, 0x00, 0x00, 0xf0]); // jmp 0xf000:0x0000
    bytes.resize(0x1_0000, 0);
    bytes
}
