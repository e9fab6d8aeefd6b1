//! The formats of programs: functions that the kernel calls for every program that is started.

use osier_memory::VirtAddr;
use osier_profile::{Embed, Field, Ptr, Resolver, layout};

use super::context::{About, Context, Found, Rule};
use super::entries::in_image;
use super::tables::Table;
use crate::{list, symbols};

layout! {
    /// Fields read from `linux_binfmt`, whose other members are functions.
    pub(crate) struct Format: "linux_binfmt" {
        /// The link in the list of all, `formats`.
        lh: Option<Field<Embed<()>>>,
        /// The module that it is of.
        module: Option<Field<Ptr<()>>>,
    }
}

/// Those that can be part of the kernel's image.
const OWN: &[&str] = &[
    symbols::elf_format,
    symbols::compat_elf_format,
    symbols::script_format,
    symbols::misc_format,
    symbols::aout_format,
    symbols::flat_format,
];

/// A function that programs are started by.
pub(super) static FORMATS: Rule = Rule {
    about: About {
        name: "program.format",
        normal: "What starts programs is the kernel's own code, or that of the module whose format it is.",
        otherwise: "Nothing that is known: modules with formats (binfmt_misc) are on the list.",
    },
    look: formats,
};

fn formats(context: &Context<'_>, found: &mut Found) {
    if !context.knows_code(found) {
        return;
    }
    let guest = &context.linux.guest;
    let layout = Format::resolve(&mut Resolver::new(&guest.profile));
    let start = guest.symbol(symbols::elf_format).zip(layout.lh);
    let Some((elf, link)) = start else {
        found.lost("elf_format in the profile", None);
        return;
    };
    // Several variables of a kernel are called `formats`: the list is walked from a format that is on it.
    let first = link.place(elf);
    let mut walked = list::ring(guest, first);
    walked.nodes.insert(0, first);
    if !walked.end.is_closed() {
        found.ends.add("formats", walked.end);
    }
    let own: Vec<(&str, VirtAddr)> = OWN
        .iter()
        .filter_map(|name| Some((*name, guest.symbol(name)?)))
        .collect();
    let mut unknown = Vec::new();
    for node in walked.nodes {
        let at = link.container(node);
        let name = own.iter().find(|(_, own)| *own == at).map(|(name, _)| name);
        if name.is_none() && in_image(context, node) {
            unknown.push(node);
            continue;
        }
        let module = layout.module.map(|module| module.read(&guest.space, at));
        let table = Table {
            name: name.unwrap_or(&Format::STRUCTURE),
            structure: Format::STRUCTURE,
            at,
            module: module.and_then(Result::ok),
            needs: &|member| member == "load_binary",
        };
        if !table.look(context, found) {
            found.lost("members of linux_binfmt in the profile", None);
            return;
        }
    }
    // The list's head lies in the image, too, and nothing else there is unknown.
    if unknown.len() != 1 {
        found.lost("formats, where the list begins", None);
    }
}
