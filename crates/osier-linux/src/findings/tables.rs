//! Tables of functions that the kernel calls by: whose code each function is.

use osier_memory::VirtAddr;
use osier_profile::{Kind, Profile};

use super::context::{Context, Found, Owner};
use super::entries::{in_image, leaves};
use super::hooks;
use super::lost::leads_somewhere;

/// A table of functions in memory.
pub(super) struct Table<'a> {
    /// What it is called: a function of it is `NAME.MEMBER`.
    pub(super) name: &'a str,
    /// What it is.
    pub(super) structure: &'static str,
    /// Where it lies.
    pub(super) at: VirtAddr,
    /// The module that it is said to be of.
    pub(super) module: Option<VirtAddr>,
    /// The functions that every such table has: of each group one at least. What the structure lacks in this kernel, no
    /// table has.
    pub(super) needs: &'a [&'a [&'a str]],
}

impl Table<'_> {
    /// Judges each function; `false` where the profile does not tell which there are.
    ///
    /// Those of a table of the image are the kernel's own code. Those of another may be any module's, which is a note
    /// where the table is not that module's. A table most of whose functions lead nowhere was lost.
    pub(super) fn look(&self, context: &Context<'_>, found: &mut Found) -> bool {
        let guest = &context.linux.guest;
        let (mut known, mut filled) = (Vec::new(), Vec::new());
        for (member, at) in functions(&guest.profile, self.structure, self.at) {
            known.push(member);
            match guest.space.read_pointer(at) {
                Ok(to) if to.is_null() => {}
                Ok(to) => filled.push((member, at, to)),
                Err(fault) => {
                    found.lost(self.name, Some(fault));
                    return true;
                }
            }
        }
        let nowhere = filled
            .iter()
            .filter(|(_, _, to)| !leads_somewhere(context, *to));
        let nowhere = nowhere.count();
        if nowhere > 1 && nowhere > filled.len() / 2 {
            found.lost(
                &format!("{}, most of whose functions lead nowhere", self.name),
                None,
            );
            return true;
        }
        if !known.is_empty() && filled.is_empty() {
            found.lost(&format!("{}, which has no function", self.name), None);
        }
        for group in self.needs {
            let first = group.iter().find(|member| known.contains(member));
            let has = |(member, _, _): &(&str, _, _)| group.contains(member);
            if let Some(first) = first.filter(|_| !filled.iter().any(has)) {
                found.lost(&format!("{}.{first}, which is zero", self.name), None);
            }
        }
        for (member, at, to) in filled {
            self.judge(context, found, &format!("{}.{member}", self.name), at, to);
        }
        !known.is_empty()
    }

    fn judge(
        &self,
        context: &Context<'_>,
        found: &mut Found,
        function: &str,
        at: VirtAddr,
        to: VirtAddr,
    ) {
        match context.owner(to) {
            Owner::Kernel => {}
            _ if in_image(context, self.at) => found.kernel(leaves(context, function, at, to)),
            Owner::Module(name) if self.is_of(context, &name) => {}
            _ => hooks::judge(context, found, function, at, to),
        }
    }

    /// Whether the table is the module's of that `name`: it lies in that, or it is said so.
    fn is_of(&self, context: &Context<'_>, name: &[u8]) -> bool {
        let lies_in = |owner| matches!(owner, Owner::Module(own) if own == name);
        let (guest, modules) = (&context.linux.guest, &context.linux.modules);
        let says = || {
            let module = self.module.filter(|module| !module.is_null())?;
            modules.named(guest, module).ok()
        };
        lies_in(context.owner(self.at)) || says().is_some_and(|own| own == name)
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
    // A pointer to a named structure is the module that the table belongs to; one to characters is its name.
    let is_function = |kind: &Kind| matches!(kind, Kind::Pointer { to } if to.is_empty());
    let functions = members
        .iter()
        .filter(move |member| is_function(&member.kind) && member.name != "name");
    functions.map(move |member| {
        let at = table.plus(member.offset.cast_unsigned());
        (member.name.as_str(), at)
    })
}
