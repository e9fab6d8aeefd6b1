//! Tables of functions of /proc, /sys and of the network's lists, which the kernel's own code fills.

use osier_memory::VirtAddr;
use osier_profile::{Kind, Profile, layout};

use super::context::{About, Context, Found, Owner, Rule};
use super::entries::leaves;
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
        let Some(table) = guest.symbol(name) else {
            continue;
        };
        // A table of the image alone is the kernel's: a module's is the module's own business.
        let (mut empty, mut whole) = (0_usize, true);
        let mut all = 0_usize;
        for (member, at) in functions(&guest.profile, structure, table) {
            known = true;
            all = all.saturating_add(1);
            match guest.space.read_pointer(at) {
                Ok(to) if to.is_null() => empty = empty.saturating_add(1),
                Ok(to) if context.owner(to) == Owner::Kernel => {}
                Ok(to) => found.kernel(leaves(context, &format!("{name}.{member}"), at, to)),
                Err(fault) => {
                    found.lost(name, Some(fault));
                    whole = false;
                    break;
                }
            }
        }
        // A list that is read line by line has all of its functions, and files have some.
        let lacks = *structure == SEQ_OPERATIONS && empty > 0 || empty == all;
        if whole && all > 0 && lacks {
            found.lost(&format!("{name}, of which a function is zero"), None);
        }
    }
    if !known {
        found.lost("tables of operations in the profile", None);
    }
}

/// The members of the table at `table` that are functions, and where they stand.
fn functions<'a>(
    profile: &'a Profile,
    structure: &str,
    table: VirtAddr,
) -> impl Iterator<Item = (&'a str, VirtAddr)> {
    let members = profile
        .find_type(structure)
        .map_or(&[][..], |ty| ty.members());
    // A pointer to a named structure is the module that the table belongs to.
    let is_function = |kind: &Kind| matches!(kind, Kind::Pointer { to } if to.is_empty());
    let functions = members
        .iter()
        .filter(move |member| is_function(&member.kind));
    functions.map(move |member| {
        let at = table.plus(member.offset.cast_unsigned());
        (member.name.as_str(), at)
    })
}
