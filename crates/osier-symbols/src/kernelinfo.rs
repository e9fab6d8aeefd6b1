//! PANDA's `kernelinfo.conf`: one group of members' offsets and symbols' addresses per kernel.
//!
//! A `GLib` key file. A group is `DISTRIBUTION:RELEASE:BITS`, or what somebody called it; numbers are decimal, offsets signed
//! and addresses unsigned; lines that start with `#` are comments. Source: the reader in PANDA's
//! plugin `osi_linux` and the tools that print such groups.
//!
//! Members come under the kernel's names. What is given relative to the `vfsmount` inside
//! `struct mount` (Linux 3.3 and later) is so in the profile too: `mount.mnt` is at 0 and what
//! stands before it has a negative offset.

use osier_profile::{Identity, Kind, Member, OsKind, Profile, ProfileBuilder, Type, TypeKind};

use crate::SymbolError;
use crate::kernelinfo_keys::{Fact, Holds, KEYS};

/// One group of a `kernelinfo.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelinfoGroup {
    /// Its name, such as `debian:5.10.0-46-amd64:64`.
    pub name: String,
    /// Keys and values, in the order of the file.
    pub entries: Vec<(String, String)>,
}

impl KernelinfoGroup {
    /// The value of `key`; of two the last counts, as in `GLib`.
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self.entries.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    fn integer(&self, key: &str) -> Result<Option<i64>, SymbolError> {
        let Some(text) = self.value(key).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let unsigned = text.parse::<u64>().map(u64::cast_signed);
        unsigned
            .or_else(|_| text.parse::<i64>())
            .map(Some)
            .map_err(|_| {
                SymbolError::Unusable(format!(
                    "kernelinfo.conf, group {}: {key} = {text} is not a decimal number",
                    self.name
                ))
            })
    }
}

/// Reads all groups of a `kernelinfo.conf`.
///
/// # Errors
///
/// A line that is neither a comment, a group, nor a key with its value; a key outside a group.
pub fn parse_kernelinfo(data: &[u8]) -> Result<Vec<KernelinfoGroup>, SymbolError> {
    let mut groups: Vec<KernelinfoGroup> = Vec::new();
    let mut offset = 0_u64;
    for line in data.split(|byte| *byte == b'\n') {
        let malformed = |problem: &str| SymbolError::Malformed {
            format: "kernelinfo.conf",
            offset,
            problem: problem.to_owned(),
        };
        let text = std::str::from_utf8(line).map_err(|_| malformed("a line that is not UTF-8"))?;
        let text = text.trim();
        if let Some(name) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            groups.push(KernelinfoGroup {
                name: name.to_owned(),
                entries: Vec::new(),
            });
        } else if !text.is_empty() && !text.starts_with('#') {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| malformed("neither a group nor KEY = VALUE"))?;
            let group = groups.last_mut();
            let group = group.ok_or_else(|| malformed("a key outside of any group"))?;
            let entry = (key.trim().to_owned(), value.trim().to_owned());
            group.entries.push(entry);
        }
        offset = offset.saturating_add(line.len() as u64).saturating_add(1);
    }
    Ok(groups)
}

/// Makes a profile of a group. Its symbols are absolute addresses of a kernel without slide.
/// What PANDA knows and a kernel does not call by a name (`version.a`,
/// `task.per_cpu_offset_0_addr`) is kept as a constant under its key.
///
/// # Errors
///
/// What should be a number and is not, or a group that does not say how wide its pointers are.
pub fn import_kernelinfo(group: &KernelinfoGroup) -> Result<ProfileBuilder, SymbolError> {
    let pointer_bytes = pointer_bytes(group)?;
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Linux,
        pointer_bytes,
        build_id: None,
        banner: Vec::new(),
        release: kernelinfo_release(&group.name),
    });
    let mut types = Types {
        pointer: u64::from(pointer_bytes),
        types: Vec::new(),
    };
    for key in KEYS {
        let Some(value) = group.integer(key.name)? else {
            continue;
        };
        match key.place {
            Fact::Size(structure) => types.size(structure, value.cast_unsigned()),
            // Members inside members, and those of struct mount, are derived below.
            Fact::Member("vfsmount", "mnt_parent" | "mnt_mountpoint", _) => {}
            Fact::Member(_, member, _) if member.contains('.') => {}
            Fact::Member(structure, member, holds) => {
                types.add(structure, member, value, holds);
            }
            Fact::Symbol(name) if value != 0 => builder.add_symbol(name, value.cast_unsigned()),
            Fact::Symbol(_) => {}
            Fact::Constant => builder.add_constant(key.name, value),
        }
    }
    types.derive(group)?;
    for (name, bytes, members) in types.types {
        builder.add_type(Type::new(name, TypeKind::Struct, bytes, members));
    }
    builder.provenance(format!("group {} of a kernelinfo.conf", group.name));
    Ok(builder)
}

/// How wide pointers are: as a part of the name says, or else as the address of `init_task` needs.
fn pointer_bytes(group: &KernelinfoGroup) -> Result<u8, SymbolError> {
    let said = group.name.rsplit(':').find_map(|part| match part {
        "32" => Some(4),
        "64" => Some(8),
        _ => None,
    });
    let init = group.integer("task.init_addr")?.map(i64::cast_unsigned);
    let needed = init.map(|at| if at > u32::MAX.into() { 8 } else { 4 });
    said.or(needed).ok_or_else(|| {
        SymbolError::Unusable(format!(
            "kernelinfo.conf: no part of the group's name {} is 32 or 64, and it has no task.init_addr \
             to tell by",
            group.name
        ))
    })
}

/// The release in the name of a group: `debian:5.10.0-46-amd64:64` and `debian-3.2.65:32` both name
/// one.
pub fn kernelinfo_release(group: &str) -> String {
    let mut parts = group.split(':');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let release = match (second, parts.next()) {
        (Some(release), Some(_)) => release,
        _ => first.split_once('-').map_or(first, |(_, release)| release),
    };
    release.to_owned()
}

struct Types {
    pointer: u64,
    types: Vec<(String, u64, Vec<Member>)>,
}

impl Types {
    fn of(&mut self, name: &str) -> Option<&mut (String, u64, Vec<Member>)> {
        if !self.types.iter().any(|ty| ty.0 == name) {
            self.types.push((name.to_owned(), 0, Vec::new()));
        }
        self.types.iter_mut().find(|ty| ty.0 == name)
    }

    fn size(&mut self, name: &str, bytes: u64) {
        if let Some(ty) = self.of(name) {
            ty.1 = bytes;
        }
    }

    fn add(&mut self, structure: &str, member: &str, offset: i64, holds: Holds) {
        let (kind, bytes) = holds.kind(self.pointer);
        if let Some(ty) = self.of(structure) {
            ty.2.push(Member {
                name: member.to_owned(),
                offset,
                bytes,
                bits: None,
                kind,
            });
        }
    }

    /// What the keys imply and do not say.
    fn derive(&mut self, group: &KernelinfoGroup) -> Result<(), SymbolError> {
        let pointer = self.pointer.cast_signed();
        self.add("list_head", "next", 0, Holds::Pointer("list_head"));
        self.add("list_head", "prev", pointer, Holds::Pointer("list_head"));
        self.size("list_head", self.pointer.saturating_mul(2));
        // PANDA reads vm_pgoff from the word before vm_file; it has stood there ever since.
        if let Some(file) = group.integer("vma.vm_file_offset")? {
            let before = file.wrapping_sub(pointer);
            self.add("vm_area_struct", "vm_pgoff", before, Holds::Word);
        }
        let mnt = group.integer("fs.f_path_mnt_offset")?;
        let dentry = group.integer("fs.f_path_dentry_offset")?;
        if let (Some(mnt), Some(dentry)) = (mnt, dentry) {
            self.add("file", "f_path", mnt, Holds::Embedded("path"));
            self.add("path", "mnt", 0, Holds::Pointer("vfsmount"));
            let dentry = dentry.wrapping_sub(mnt);
            self.add("path", "dentry", dentry, Holds::Pointer("dentry"));
            self.size("path", self.pointer.saturating_mul(2));
        }
        let parent = group.integer("path.mnt_parent_offset")?;
        let point = group.integer("path.mnt_mountpoint_offset")?;
        if let (Some(parent), Some(point)) = (parent, point) {
            let holder = if parent < 0 { "mount" } else { "vfsmount" };
            self.add(holder, "mnt_parent", parent, Holds::Pointer(holder));
            self.add(holder, "mnt_mountpoint", point, Holds::Pointer("dentry"));
            if parent < 0 {
                self.add("mount", "mnt", 0, Holds::Embedded("vfsmount"));
            }
        }
        if let Some(bytes) = group.integer("task.comm_size")? {
            let count = bytes.cast_unsigned();
            let of = Box::new(Kind::Int { signed: true });
            self.retype("task_struct", "comm", &Kind::Array { of, count }, count);
        }
        // Linux commit ccbf62d8a284 ("sched: Make task->start_time nanoseconds based"), v3.17.
        let version = (group.integer("version.a")?, group.integer("version.b")?);
        if version < (Some(3), Some(17)) {
            let (kind, bytes) = Holds::Embedded("timespec").kind(self.pointer);
            self.retype("task_struct", "start_time", &kind, bytes);
            self.add("timespec", "tv_sec", 0, Holds::Word);
            self.add("timespec", "tv_nsec", pointer, Holds::Word);
            self.size("timespec", bytes);
        }
        Ok(())
    }

    fn retype(&mut self, structure: &str, member: &str, kind: &Kind, bytes: u64) {
        let members = self.of(structure).map(|ty| ty.2.as_mut_slice());
        for found in members.unwrap_or_default() {
            if found.name == member {
                found.kind = kind.clone();
                found.bytes = bytes;
            }
        }
    }
}

/// Writes a Linux profile as a group of a `kernelinfo.conf`, for PANDA's plugin `osi_linux`. The
/// group is called `group`, or after the release. A key that the profile has nothing for is left
/// out.
///
/// # Errors
///
/// A profile of another operating system.
pub fn export_kernelinfo(profile: &Profile, group: Option<&str>) -> Result<String, SymbolError> {
    let identity = profile.identity();
    if identity.os != OsKind::Linux {
        return Err(SymbolError::Unusable(
            "kernelinfo.conf describes Linux kernels only".to_owned(),
        ));
    }
    let pointer = u64::from(identity.pointer_bytes);
    let bits = pointer.saturating_mul(8);
    let mut out = match group {
        Some(name) => format!("[{name}]\n"),
        None => format!("[linux:{}:{bits}]\n", identity.release),
    };
    out.extend(["name = ", &kernel_name(identity), "\n"]);
    for key in KEYS {
        let value = match key.place {
            Fact::Size(structure) => {
                let ty = profile.find_type(structure).filter(|ty| ty.bytes != 0);
                ty.map(|ty| ty.bytes.cast_signed())
            }
            Fact::Member(structure, member, _) => member_offset(profile, structure, member),
            Fact::Symbol("current_task") => current_task(profile),
            Fact::Symbol(name) => profile.symbol(name).map(u64::cast_signed),
            Fact::Constant => constant(profile, key.name),
        };
        let Some(value) = value else {
            continue;
        };
        let name = key.name;
        let address = matches!(key.place, Fact::Symbol(_)) || name == "task.per_cpu_offset_0_addr";
        let decimal = if address {
            let value = value.cast_unsigned();
            out.extend(["#", name, " = ", &format!("{value:#x}"), "\n"]);
            value.to_string()
        } else {
            value.to_string()
        };
        out.extend([name, " = ", &decimal, "\n"]);
    }
    Ok(out)
}

/// `RELEASE|VERSION|MACHINE`, as `uname` tells them.
fn kernel_name(identity: &Identity) -> String {
    let banner = identity.banner.as_slice();
    let at = banner.iter().position(|byte| *byte == b'#');
    let version = at.and_then(|at| banner.get(at..)).unwrap_or_default();
    let machine = if identity.pointer_bytes == 8 {
        "x86_64"
    } else {
        "i686"
    };
    format!(
        "{}|{}|{machine}",
        identity.release,
        version.trim_ascii().escape_ascii()
    )
}

/// The offset of a member whose name may lead through embedded structures.
fn member_offset(profile: &Profile, structure: &str, path: &str) -> Option<i64> {
    // From the vfsmount inside, where there is one.
    if structure == "vfsmount"
        && let Some(mount) = profile.find_type("mount")
        && let Some(member) = mount.member(path)
    {
        return member.offset.checked_sub(mount.member("mnt")?.offset);
    }
    let mut ty = profile.find_type(structure)?;
    let mut offset = 0_i64;
    let mut parts = path.split('.').peekable();
    loop {
        let member = ty.member(parts.next()?)?;
        offset = offset.checked_add(member.offset)?;
        if parts.peek().is_none() {
            return Some(offset);
        }
        match &member.kind {
            Kind::Embedded { name } => ty = profile.find_type(name)?,
            _ => return None,
        }
    }
}

/// The per-CPU place of the current task: a variable, or part of one from 6.2 to 6.14.
fn current_task(profile: &Profile) -> Option<i64> {
    let symbol = profile.symbol("current_task").map(u64::cast_signed);
    symbol.or_else(|| {
        let hot = profile.symbol("pcpu_hot")?.cast_signed();
        let inside = profile.find_type("pcpu_hot")?.member("current_task")?;
        hot.checked_add(inside.offset)
    })
}

fn constant(profile: &Profile, key: &str) -> Option<i64> {
    if let Some(value) = profile.constant(key) {
        return Some(value);
    }
    let mut version = profile
        .identity()
        .release
        .split(|c: char| !c.is_ascii_digit());
    let mut part = |n: usize| version.nth(n)?.parse().ok();
    match key {
        "version.a" => part(0),
        "version.b" => part(1),
        "version.c" => part(2),
        "task.comm_size" => {
            let comm = profile.find_type("task_struct")?.member("comm")?;
            Some(comm.bytes.cast_signed())
        }
        // What the array holds before the kernel runs. PANDA reads it again from the guest whenever
        // it knows where the array is.
        "task.per_cpu_offset_0_addr" => {
            let load = profile.symbol("__per_cpu_load").map(u64::cast_signed);
            load.or(Some(0))
        }
        _ => None,
    }
}
