//! What a process holds: open files, variables, and the mounts that it sees.

use osier_osi::{Device, FileExtra, KeptFile, Mount, OpenFile, Seen, Variable};

use super::{Cell, Kind, Row, Table, brief, bytes, count, id, number, seen, wide, words};

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
        let filed = seen(&self.filed, |file| Cell::Address(file.0));
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
                seen(&linux.socket, |socket| Cell::Address(socket.0)),
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

static KEPT: Table = Table {
    name: "kept file",
    columns: &[
        brief("path").of(Kind::Bytes),
        brief("kind"),
        number("size"),
        number("cached"),
        brief("system").of(Kind::Bytes),
        brief("device"),
        number("inode"),
        wide("inside").of(Kind::Bytes),
        brief("mapping").of(Kind::Address),
    ],
};

/// Every kind of kept file.
pub(super) static KEPTS: [&Table; 1] = [&KEPT];

impl Row for KeptFile {
    fn table(&self) -> &'static Table {
        &KEPT
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            bytes(&self.path),
            seen(&self.kind, |kind| Cell::Bytes(kind.as_bytes())),
            count(&self.size),
            count(&self.cached),
            bytes(&self.system),
            device(&self.device),
            count(&self.inode),
            bytes(&self.inside),
            Cell::Address(self.mapping.0),
        ]
    }
}

static VARIABLE: Table = Table {
    name: "variable",
    columns: &[
        number("pid"),
        brief("name").of(Kind::Bytes),
        brief("value").of(Kind::Bytes),
        wide("address").of(Kind::Address),
    ],
};

/// Every kind of variable.
pub(super) static VARIABLES: [&Table; 1] = [&VARIABLE];

impl Row for Variable {
    fn table(&self) -> &'static Table {
        &VARIABLE
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.pid),
            bytes(&self.name),
            bytes(&self.value),
            Cell::Address(self.address.0),
        ]
    }
}

static MOUNT: Table = Table {
    name: "mount",
    columns: &[
        number("pid"),
        number("id"),
        number("parent"),
        brief("device"),
        brief("source").of(Kind::Bytes),
        brief("root").of(Kind::Bytes),
        brief("point").of(Kind::Bytes),
        brief("type").of(Kind::Bytes),
        brief("options"),
        wide("super_options"),
        wide("propagation"),
        wide("address").of(Kind::Address),
    ],
};

/// Every kind of mount.
pub(super) static MOUNTS: [&Table; 1] = [&MOUNT];

impl Row for Mount {
    fn table(&self) -> &'static Table {
        &MOUNT
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.pid),
            id(&self.id),
            id(&self.parent),
            device(&self.device),
            bytes(&self.source),
            bytes(&self.root),
            bytes(&self.point),
            bytes(&self.kind),
            words(&self.options),
            words(&self.super_options),
            words(&self.propagation),
            Cell::Address(self.address.0),
        ]
    }
}
