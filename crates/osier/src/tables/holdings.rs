//! What a process holds: open files, variables, and the mounts that it sees.

use osier_osi::{Device, FileExtra, KeptFile, Mount, OpenFile, Seen, Variable};

use super::{Cell, Kind, Row, Table, brief, bytes, count, id, number, seen, virt, wide, words};

static LINUX: Table = Table {
    name: "file",
    columns: &[
        number("pid"),
        number("fd"),
        brief("path").of(Kind::Bytes),
        brief("kind").of(Kind::Bytes),
        brief("flags").of(Kind::Address),
        number("pos"),
        number("inode"),
        brief("device"),
        wide("socket").of(Kind::Address),
        wide("filed").of(Kind::Address),
    ],
};

static WINDOWS: Table = Table {
    name: "file",
    columns: &[
        number("pid"),
        number("handle"),
        brief("object").of(Kind::Address),
        brief("kind").of(Kind::Bytes),
        brief("access").of(Kind::Address),
        brief("name").of(Kind::Bytes),
    ],
};

/// A descriptor of any other system.
static OTHER: Table = Table {
    name: "file",
    columns: &[
        number("pid"),
        number("fd"),
        brief("path").of(Kind::Bytes),
        brief("kind").of(Kind::Bytes),
        brief("flags").of(Kind::Address),
    ],
};

/// Every kind of open file that Osier's own providers list.
pub(super) static FILES: [&Table; 2] = [&LINUX, &WINDOWS];

impl Row for OpenFile {
    fn table(&self) -> &'static Table {
        match &self.extra {
            FileExtra::Linux(_) => &LINUX,
            FileExtra::Windows => &WINDOWS,
            FileExtra::Other => &OTHER,
        }
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let pid = id(&self.pid);
        let number = Cell::Number(u64::from(self.fd));
        let kind = seen(&self.kind, |kind| Cell::Bytes(kind.word()));
        let flags = seen(&self.flags, |&flags| Cell::Address(flags));
        let filed = virt(&self.filed);
        let path = bytes(&self.path);
        match &self.extra {
            FileExtra::Linux(linux) => vec![
                pid,
                number,
                path,
                kind,
                flags,
                count(&linux.pos),
                count(&linux.inode),
                device(&linux.device),
                virt(&linux.socket),
                filed,
            ],
            FileExtra::Windows => vec![pid, number, filed, kind, flags, path],
            FileExtra::Other => vec![pid, number, path, kind, flags],
        }
    }
}

fn device(device: &Seen<Device>) -> Cell<'_> {
    seen(device, |device| {
        Cell::Text(format!("{}:{}", device.major, device.minor))
    })
}

rows! {
    /// Every kind of kept file.
    KEPTS: KeptFile, "kept file", |row| {
        brief("path").of(Kind::Bytes) => bytes(&row.path),
        brief("kind") => seen(&row.kind, |kind| Cell::Bytes(kind.as_bytes())),
        number("size") => count(&row.size),
        number("cached") => count(&row.cached),
        brief("system").of(Kind::Bytes) => bytes(&row.system),
        brief("device") => device(&row.device),
        number("inode") => count(&row.inode),
        wide("inside").of(Kind::Bytes) => bytes(&row.inside),
        brief("mapping").of(Kind::Address) => Cell::Address(row.mapping.0),
    }
}

rows! {
    /// Every kind of variable.
    VARIABLES: Variable, "variable", |row| {
        number("pid") => id(&row.pid),
        brief("name").of(Kind::Bytes) => bytes(&row.name),
        brief("value").of(Kind::Bytes) => bytes(&row.value),
        wide("address").of(Kind::Address) => Cell::Address(row.address.0),
    }
}

rows! {
    /// Every kind of mount.
    MOUNTS: Mount, "mount", |row| {
        number("pid") => id(&row.pid),
        number("id") => id(&row.id),
        number("parent") => id(&row.parent),
        brief("device") => device(&row.device),
        brief("source").of(Kind::Bytes) => bytes(&row.source),
        brief("root").of(Kind::Bytes) => bytes(&row.root),
        brief("point").of(Kind::Bytes) => bytes(&row.point),
        brief("type").of(Kind::Bytes) => bytes(&row.kind),
        brief("options") => words(&row.options),
        wide("super_options") => words(&row.super_options),
        wide("propagation") => words(&row.propagation),
        wide("address").of(Kind::Address) => Cell::Address(row.address.0),
    }
}
