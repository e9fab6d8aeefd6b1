//! A profile from the running kernel's own memory: its BTF and its kallsyms.

use std::fmt;
use std::ops::{ControlFlow, Range};

use memchr::memmem;
use osier_memory::{AddressSpace, VirtAddr};
use osier_profile::{BuildId, Identity, ProfileBuilder, Wanted};

use crate::btf::{self, Btf, BtfError};
use crate::btf_damage;
use crate::btf_isf::Typed;
use crate::kallsyms::{DIGITS, Kallsyms};
use crate::names::Names;

/// The largest BTF blob that is read; kernels carry 3 to 10 MB.
const MAX_BTF: usize = 64 << 20;
/// Link-time address of `_text` of an x86-64 kernel: `__START_KERNEL_map` and
/// `CONFIG_PHYSICAL_START` at its default, 16 MiB.
const LINKED_TEXT_64: u64 = 0xffff_ffff_8100_0000;
/// The same of a 32-bit kernel split at 3 GiB.
const LINKED_TEXT_32: u64 = 0xc100_0000;

/// Why a kernel's own memory gives no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The kernel carries no type information that can be read.
    #[error("this kernel carries no type information (BTF): {reason}; {help}")]
    NoTypes {
        /// What was searched, or what was wrong with what was found.
        reason: String,
        /// Which file would help.
        help: Box<Help>,
    },
    /// The kernel's symbol table cannot be read.
    #[error("this kernel's symbol table (kallsyms) cannot be read: {reason}; {help}")]
    NoSymbols {
        /// What was searched, or what was wrong with what was found.
        reason: String,
        /// Which file would help.
        help: Box<Help>,
    },
}

/// Which file would give a kernel's types and symbols, and where it can be found. [`fmt::Display`]
/// says it in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Help {
    /// The release, such as `5.10.0-32-686`.
    pub release: String,
    /// The banner, as text.
    pub banner: String,
    /// The build id, in hexadecimal; `None` when it is unknown.
    pub build_id: Option<String>,
    /// The package that holds the file, when the banner tells the distribution.
    pub package: Option<String>,
    /// The file, a vmlinux with DWARF.
    pub file: String,
    /// What to run once it is there.
    pub command: String,
}

impl Help {
    /// The help for the kernel `identity`.
    pub fn of(identity: &Identity) -> Self {
        let banner = identity.banner.trim_ascii().escape_ascii().to_string();
        let release = identity.release.clone();
        let has = |word: &str| banner.contains(word);
        let (package, file) = if has("Ubuntu") || has("ubuntu") {
            (
                Some(format!("linux-image-{release}-dbgsym")),
                format!("/usr/lib/debug/boot/vmlinux-{release}"),
            )
        } else if has("Debian") || has("debian") {
            (
                Some(format!("linux-image-{release}-dbg")),
                format!("/usr/lib/debug/boot/vmlinux-{release}"),
            )
        } else if has(".fc") || has(".el") || has("redhat") || has("fedora") {
            (
                Some(format!("kernel-debuginfo-{release}")),
                format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
            )
        } else {
            (None, "the vmlinux of its build".to_owned())
        };
        let command = if package.is_some() {
            format!("osier profile import {file}")
        } else {
            "osier profile import FILE".to_owned()
        };
        Self {
            release,
            banner,
            build_id: identity.build_id.as_ref().map(ToString::to_string),
            package,
            file,
            command,
        }
    }
}

impl Help {
    /// The help for the Windows kernel whose image names the PDB `name`.
    pub fn of_pdb(name: &str, id: &BuildId) -> Self {
        let key = id.symbol_server_key().unwrap_or_default();
        Self {
            release: format!("Windows, {name} {key}"),
            banner: format!("Windows, {name} {key}"),
            build_id: Some(id.to_string()),
            package: None,
            file: format!("{name} of this build, which symbol servers keep as {name}/{key}/{name}"),
            command: format!("osier profile fetch {name} {key}"),
        }
    }
}

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wanted: symbols of {}", self.release)?;
        if let Some(id) = &self.build_id {
            write!(f, ", build id {id}")?;
        }
        write!(f, " ({}); it is in {}", self.banner, self.file)?;
        if let Some(package) = &self.package {
            write!(f, " of the package {package}")?;
        }
        write!(f, "; then run: {}", self.command)
    }
}

/// Where a running kernel's image lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// The running kernel's address of `_text`.
    pub text: VirtAddr,
    /// One past its last byte.
    pub end: VirtAddr,
    /// What was added to link-time addresses when the kernel was loaded (VMCOREINFO's
    /// `KERNELOFFSET`); `None` when unknown, see [`customary_text`].
    pub slide: Option<u64>,
}

/// The link-time address of `_text` that a profile made from memory counts from, for a kernel with
/// pointers of `pointer_bytes`.
///
/// A relocated kernel's memory does not hold the address it was linked at. VMCOREINFO's
/// `KERNELOFFSET` is the difference where there is one; else the customary address serves, which
/// cannot mislead: only differences from `_text` are ever used.
pub fn customary_text(pointer_bytes: u8) -> VirtAddr {
    VirtAddr(if pointer_bytes == 4 {
        LINKED_TEXT_32
    } else {
        LINKED_TEXT_64
    })
}

/// Reads types and symbols of the kernel whose `image` is mapped in `space`.
///
/// Symbols of the image are stored at their link-time addresses. Per-CPU symbols that are linked at 0 (x86-64 before Linux commit
/// 9d7de2aa8b41 ("x86/percpu/64: Use relative percpu offsets"), v6.15) are stored as they are; later
/// ones are symbols like any other.
///
/// # Errors
///
/// BTF or kallsyms are not there, or too damaged to be read; the error names the file that would help. What
/// can be read and contradicts itself is [`damage`](osier_profile::Profile::damage) of the profile.
pub fn import(
    space: &AddressSpace,
    image: Image,
    wanted: Option<&Wanted>,
    identity: Identity,
) -> Result<ProfileBuilder, ImageError> {
    let parse = |blob: Vec<u8>| {
        let btf = Btf::of(&blob)?;
        Ok((btf.collect(wanted)?, btf_damage::of(&btf, wanted)))
    };
    let ((types, damage), kallsyms) = both(space, image, &identity, &parse)?;
    let mut builder = ProfileBuilder::new(identity);
    for line in damage.iter().chain(kallsyms.damage()) {
        builder.damaged(line.as_str());
    }
    // Where they lay is that machine's own matter: the profile is read with others.
    builder.provenance("the kernel's BTF, out of its memory");
    builder.set_whole();
    builder.provenance(format!(
        "the kernel's kallsyms, out of its memory: {} symbols, {:?} addresses",
        kallsyms.len(),
        kallsyms.encoding()
    ));
    types.add_to(&mut builder);
    add_symbols(&mut builder, &kallsyms, space, image, wanted);
    Ok(builder)
}

/// Reads only the symbols, of a kernel without type information, to complete a profile from
/// elsewhere. Kernels without `CONFIG_KALLSYMS_ALL` list their functions alone.
///
/// # Errors
///
/// As [`import`].
pub fn import_symbols(
    space: &AddressSpace,
    image: Image,
    wanted: Option<&Wanted>,
    identity: Identity,
) -> Result<ProfileBuilder, ImageError> {
    let kallsyms = symbol_table(space, image).map_err(|reason| ImageError::NoSymbols {
        reason,
        help: Box::new(Help::of(&identity)),
    })?;
    let mut builder = ProfileBuilder::new(identity);
    for line in kallsyms.damage() {
        builder.damaged(line.as_str());
    }
    builder.provenance(format!(
        "the kernel's kallsyms, out of its memory: {} symbols",
        kallsyms.len()
    ));
    add_symbols(&mut builder, &kallsyms, space, image, wanted);
    Ok(builder)
}

/// Reads the whole symbol table of the kernel whose `image` is mapped in `space`.
///
/// # Errors
///
/// Why there is none, in words.
pub fn symbol_table(space: &AddressSpace, image: Image) -> Result<Kallsyms, String> {
    let none = |_| Ok(());
    let found = Search::<()>::new(space, image, false).run(&none);
    found.symbols.ok_or(found.no_symbols)
}

/// Symbols for Volatility 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isf {
    /// The file: JSON of schema 6.2.0.
    pub text: String,
    /// What in the kernel's own types and symbols contradicts itself, a line each: they were damaged, and the
    /// file may lack some or have false ones.
    pub damage: Vec<String>,
}

/// Writes all types of the kernel's BTF and all symbols of its kallsyms as ISF of schema 6.2.0, for
/// Volatility 3.
///
/// # Errors
///
/// As [`import`].
pub fn isf(space: &AddressSpace, image: Image, identity: &Identity) -> Result<Isf, ImageError> {
    let parse = |blob: Vec<u8>| {
        let damage = btf_damage::of(&Btf::of(&blob)?, None);
        Ok((Typed::of(&blob)?, damage))
    };
    let ((types, mut damage), kallsyms) = both(space, image, identity, &parse)?;
    damage.extend_from_slice(kallsyms.damage());
    let text = types.with(identity, &mut |symbol| {
        each_symbol(&kallsyms, space, image, None, symbol);
    });
    Ok(Isf { text, damage })
}

/// What `parse` makes of the kernel's BTF, and its kallsyms.
fn both<T>(
    space: &AddressSpace,
    image: Image,
    identity: &Identity,
    parse: &Parse<'_, T>,
) -> Result<(T, Kallsyms), ImageError> {
    let help = || Box::new(Help::of(identity));
    let found = Search::new(space, image, true).run(parse);
    let Some(types) = found.types else {
        let (reason, help) = (found.no_types, help());
        return Err(ImageError::NoTypes { reason, help });
    };
    let Some(kallsyms) = found.symbols else {
        let (reason, help) = (found.no_symbols, help());
        return Err(ImageError::NoSymbols { reason, help });
    };
    Ok((types, kallsyms))
}

fn add_symbols(
    builder: &mut ProfileBuilder,
    kallsyms: &Kallsyms,
    space: &AddressSpace,
    image: Image,
    wanted: Option<&Wanted>,
) {
    let mut text = false;
    each_symbol(kallsyms, space, image, wanted, &mut |name, address| {
        text |= name == "_text";
        builder.add_symbol(name, address);
    });
    // Kernels without `CONFIG_KALLSYMS_ALL` may list what lies from `_stext` on alone; all else is counted
    // from `_text`, where the image starts.
    if !text {
        let slide = slide(space.mode().pointer_bytes(), image);
        builder.add_symbol("_text", image.text.0.wrapping_sub(slide));
    }
}

/// What is taken off the running kernel's addresses.
fn slide(pointer: u8, image: Image) -> u64 {
    let from_customary = image.text.since(customary_text(pointer));
    image.slide.unwrap_or(from_customary)
}

/// Shows the wanted symbols with their addresses at link time.
fn each_symbol(
    kallsyms: &Kallsyms,
    space: &AddressSpace,
    image: Image,
    wanted: Option<&Wanted>,
    symbol: &mut dyn FnMut(&str, u64),
) {
    let pointer = space.mode().pointer_bytes();
    let slide = slide(pointer, image);
    let (image_half, mask) = if pointer == 4 {
        (0x4000_0000, 0xffff_ffff)
    } else {
        (0xffff_ffff_8000_0000, u64::MAX)
    };
    let names = wanted.map(|w| Names::new(w.symbols));
    let may_be = |first, len| {
        names
            .as_ref()
            .is_none_or(|names: &Names| names.may_contain(first, len))
    };
    kallsyms.each_where(may_be, |_, name, address| {
        if names.as_ref().is_none_or(|names| names.contains(name))
            && let Ok(name) = str::from_utf8(name)
        {
            let linked = if address >= image_half {
                address.wrapping_sub(slide) & mask
            } else {
                address
            };
            symbol(name, linked);
        }
    });
}

/// What makes types of a blob of BTF.
type Parse<'a, T> = dyn Fn(Vec<u8>) -> Result<T, BtfError> + 'a;

/// One search through the image for both tables.
struct Search<'a, T> {
    space: &'a AddressSpace,
    text: VirtAddr,
    end: VirtAddr,
    want_types: bool,
    types: Option<T>,
    symbols: Option<Kallsyms>,
    no_types: String,
    /// What was wrong with the place that most looked like a table of symbols.
    no_symbols: String,
    /// How much of it did; `None` before any was met.
    most_tables: Option<u8>,
}

impl<'a, T> Search<'a, T> {
    /// For symbols, and with `types` for types, too.
    fn new(space: &'a AddressSpace, image: Image, types: bool) -> Self {
        let Image { text, end, .. } = image;
        let nothing = format!("nothing like it between {text} and {end}");
        Self {
            space,
            text,
            end,
            want_types: types,
            types: None,
            symbols: None,
            no_types: nothing.clone(),
            no_symbols: nothing,
            most_tables: None,
        }
    }

    fn done(&self) -> bool {
        self.symbols.is_some() && (self.types.is_some() || !self.want_types)
    }

    /// Both lie among the constants: those pages come first.
    fn run(mut self, parse: &Parse<'_, T>) -> Self {
        let whole = self.text..self.end;
        for range in self.constants() {
            if !self.done() {
                self.sweep(range, parse);
            }
        }
        if !self.done() {
            self.sweep(whole, parse);
        }
        self
    }

    /// The pages of the image that can neither be written nor executed.
    fn constants(&self) -> Vec<Range<VirtAddr>> {
        let mut ranges: Vec<Range<VirtAddr>> = Vec::new();
        self.space.mapped(self.text..self.end, &mut |range| {
            if let Ok(range) = range
                && !range.flags.write
                && range.flags.no_execute
            {
                let end = range.start.plus(range.len);
                match ranges.last_mut() {
                    Some(last) if last.end == range.start => last.end = end,
                    _ => ranges.push(range.start..end),
                }
            }
            ControlFlow::Continue(())
        });
        ranges
    }

    fn sweep(&mut self, range: Range<VirtAddr>, parse: &Parse<'_, T>) {
        let header = memmem::Finder::new(&btf::HEADER_START);
        let digits = memmem::Finder::new(DIGITS);
        let join = DIGITS.len().saturating_sub(1);
        let space = self.space;
        let _ = space.sweep(range, join, &mut |va, bytes| {
            if self.symbols.is_none() {
                for at in digits.find_iter(bytes) {
                    self.try_symbols(va.plus(at as u64));
                }
            }
            if self.want_types && self.types.is_none() {
                for at in header.find_iter(bytes) {
                    self.try_types(va.plus(at as u64), parse);
                }
            }
            if self.done() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    }

    fn try_symbols(&mut self, at: VirtAddr) {
        if self.symbols.is_some() {
            return;
        }
        match Kallsyms::read(self.space, at, self.text) {
            Ok(symbols) => self.symbols = Some(symbols),
            Err(error) if self.most_tables.is_none_or(|most| error.tables > most) => {
                self.most_tables = Some(error.tables);
                self.no_symbols = error.to_string();
            }
            Err(_) => {}
        }
    }

    fn try_types(&mut self, at: VirtAddr, parse: &Parse<'_, T>) {
        if self.types.is_some() {
            return;
        }
        match self.read_types(at, parse) {
            Ok(types) => self.types = Some(types),
            Err(reason) => self.no_types = format!("{reason}, at {at}"),
        }
    }

    fn read_types(&self, at: VirtAddr, parse: &Parse<'_, T>) -> Result<T, String> {
        let mut header = [0; btf::HEADER_BYTES];
        self.space
            .read(at, &mut header)
            .map_err(|fault| fault.to_string())?;
        let room = usize::try_from(self.end.since(at)).unwrap_or(0);
        let len = btf::blob_bytes(&header)
            .filter(|len| *len <= room.min(MAX_BTF))
            .ok_or("a header that makes no sense")?;
        let mut blob = vec![0; len];
        self.space
            .read(at, &mut blob)
            .map_err(|fault| fault.to_string())?;
        if memmem::find(&blob, b"\0task_struct\0").is_none() {
            return Err("types without a task_struct".to_owned());
        }
        parse(blob).map_err(|error| error.to_string())
    }
}
