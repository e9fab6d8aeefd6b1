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
    let is_unknown = |node: &VirtAddr| {
        let at = link.container(*node);
        in_image(context, *node) && own.iter().all(|(_, own)| *own != at)
    };
    let unknown: Vec<_> = walked.nodes.iter().copied().filter(is_unknown).collect();
    // The list's head lies in the image, too, and nothing else there is unknown.
    let named = if unknown.len() == 1 {
        Vec::new()
    } else {
        names(context, found, &unknown, link)
    };
    for node in walked.nodes {
        let at = link.container(node);
        let mut names = own
            .iter()
            .copied()
            .chain(named.iter().map(|(name, at)| (name.as_str(), *at)));
        let name = names.find(|(_, own)| *own == at).map(|(name, _)| name);
        if name.is_none() && in_image(context, node) {
            continue;
        }
        let module = layout.module.map(|module| module.read(&guest.space, at));
        let table = Table {
            name: name.unwrap_or(Format::STRUCTURE),
            structure: Format::STRUCTURE,
            at,
            module: module.and_then(Result::ok),
            needs: &[&["load_binary"]],
        };
        if !table.look(context, found) {
            found.lost("members of linux_binfmt in the profile", None);
            return;
        }
    }
}

/// What formats of the image are called that are none of those which are known, and where they are: their nodes are among
/// those `unknown`, as is the head of the list. What has no name that ends as those of formats do is told in an ending.
fn names(
    context: &Context<'_>,
    found: &mut Found,
    unknown: &[VirtAddr],
    link: Field<Embed<()>>,
) -> Vec<(String, VirtAddr)> {
    let symbols = context.symbols(found);
    let called = |at| symbols.and_then(|symbols| symbols.name(at));
    let (mut named, mut nameless) = (Vec::new(), Vec::new());
    for node in unknown
        .iter()
        .filter(|node| called(**node).as_deref() != Some(b"formats"))
    {
        let at = link.container(*node);
        match called(at) {
            Some(name) if name.ends_with(b"_format") => {
                named.push((name.escape_ascii().to_string(), at));
            }
            Some(name) => nameless.push(format!("{} at {at}", name.escape_ascii())),
            None => nameless.push(format!("what lies at {at}")),
        }
    }
    if unknown.is_empty() {
        found.lost("formats, where the list begins", None);
    } else if !nameless.is_empty() {
        let all = nameless.join(", ");
        found.lost(
            &format!("formats of the image that are none of the kernel's: {all}"),
            None,
        );
    }
    named
}
