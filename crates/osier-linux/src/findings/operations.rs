//! Tables of functions of /proc, /sys and of the network's lists, which the kernel's own code fills.

use osier_profile::layout;

use super::context::{About, Context, Found, Rule};
use super::tables::Table;
use crate::symbols;

layout! {
    /// A table of functions of a list that is read line by line: all its members are.
    pub(crate) struct SeqOperations: "seq_operations" {}
}

layout! {
    /// A table of functions of files.
    pub(crate) struct FileOperations: "file_operations" {}
}

/// The structures that tables are of.
const SEQ_OPERATIONS: &str = SeqOperations::STRUCTURE;
const FILE_OPERATIONS: &str = FileOperations::STRUCTURE;

/// What a list has that is read line by line.
const LIST: &[&[&str]] = &[&["start"], &["stop"], &["next"], &["show"]];
/// What a folder has; what lists it had another name before v3.11, and before Linux commit 6192269444eb ("introduce a
/// parallel variant of `->iterate()`"), v4.7.
const FOLDER: &[&[&str]] = &[&["read"], &["iterate_shared", "iterate", "readdir"]];
/// Tables of the kernel's image, by what they are of.
const TABLES: &[(&str, &str)] = &[
    (symbols::proc_root_operations, FILE_OPERATIONS),
    (symbols::proc_tgid_base_operations, FILE_OPERATIONS),
    (symbols::proc_tid_base_operations, FILE_OPERATIONS),
    (symbols::proc_dir_operations, FILE_OPERATIONS),
    (symbols::proc_net_operations, FILE_OPERATIONS),
    (symbols::kernfs_dir_fops, FILE_OPERATIONS),
    (symbols::simple_dir_operations, FILE_OPERATIONS),
    (symbols::tcp4_seq_ops, SEQ_OPERATIONS),
    (symbols::tcp6_seq_ops, SEQ_OPERATIONS),
    (symbols::udp_seq_ops, SEQ_OPERATIONS),
    (symbols::udp6_seq_ops, SEQ_OPERATIONS),
    (symbols::raw_seq_ops, SEQ_OPERATIONS),
    (symbols::raw6_seq_ops, SEQ_OPERATIONS),
    (symbols::unix_seq_ops, SEQ_OPERATIONS),
    (symbols::packet_seq_ops, SEQ_OPERATIONS),
    (symbols::netlink_seq_ops, SEQ_OPERATIONS),
    (symbols::modules_op, SEQ_OPERATIONS),
];

/// A function of /proc, /sys or the network's lists that is not the kernel's own.
pub(super) static OPERATIONS: Rule = Rule {
    about: About {
        name: "operations.hook",
        normal: "The functions of a table that is part of the kernel's image are the kernel's own code.",
        otherwise: "Nothing that is known: such tables are constants.",
    },
    look: operations,
};

fn operations(context: &Context<'_>, found: &mut Found) {
    if !context.knows_code(found) {
        return;
    }
    let guest = &context.linux.guest;
    let mut known = false;
    for (name, structure) in TABLES {
        let Some(at) = guest.symbol(name) else {
            continue;
        };
        let table = Table {
            name,
            structure,
            at,
            module: None,
            needs: if *structure == SEQ_OPERATIONS {
                LIST
            } else {
                FOLDER
            },
        };
        known |= table.look(context, found);
    }
    if !known {
        found.lost("tables of operations in the profile", None);
    }
}
