//! Functions that packets pass through.

use osier_memory::VirtAddr;
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use super::context::{About, Context, Found, Owner, Rule};
use super::entries::leaves;
use super::hooks::UNKNOWN;
use crate::list;
use crate::netns::{Net, Nets};

/// More functions than any real chain has: `MAX_HOOK_COUNT`.
const MOST: u64 = 1024;

layout! {
    /// Fields read from `nf_hook_entries`. Linux commit 960632ece694 ("netfilter: convert hook list to an array"), v4.14.
    pub(crate) struct Entries: "nf_hook_entries" {
        /// How many there are.
        num_hook_entries: Option<Field<UInt>>,
        /// The functions, each with what it is given.
        hooks: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `nf_hook_entry`.
    pub(crate) struct Entry: "nf_hook_entry" {
        /// What is called.
        hook: Option<Field<Ptr<()>>>,
    }
}

/// A function that packets pass through.
pub(super) static HOOKS: Rule = Rule {
    about: About {
        name: "netfilter.hook",
        normal: "What packets pass through is the kernel's own code, or that of a module on the list.",
        otherwise: "A module that is being removed as the machine stops.",
    },
    look: hooks,
};

fn hooks(context: &Context<'_>, found: &mut Found) {
    if !context.knows_code(found) {
        return;
    }
    let guest = &context.linux.guest;
    let resolver = &mut Resolver::new(&guest.profile);
    let chains = Net::resolve(resolver);
    let entries = Entries::resolve(resolver);
    let entry = Entry::resolve(resolver);
    let whole = entries.num_hook_entries.zip(entries.hooks).zip(entry.hook);
    let families = [
        ("ipv4", chains.nf_ipv4),
        ("ipv6", chains.nf_ipv6),
        ("arp", chains.nf_arp),
        ("bridge", chains.nf_bridge),
    ];
    let (Some(((count, first), hook)), true) = (whole, chains.nf_ipv4.is_some()) else {
        found.lost("netfilter's chains in the profile", None);
        return;
    };
    let word = u64::from(guest.pointer_bytes());
    let nets = Nets::resolve(resolver);
    let (all, ends) = nets.all(guest);
    found.ends.join(ends);
    for net in all {
        for (family, field) in families {
            let Some(field) = field else { continue };
            for number in 0..field.bytes.checked_div(word).unwrap_or(0).min(8) {
                let at = field.place(net).plus(number.wrapping_mul(word));
                let chain = match guest.space.read_pointer(at) {
                    Ok(chain) if chain.is_null() => continue,
                    Ok(chain) => chain,
                    Err(fault) => return found.lost("a chain of netfilter", Some(fault)),
                };
                let count =
                    list::plausible(guest, chain).and_then(|()| count.read(&guest.space, chain));
                let count = match count {
                    Ok(count @ 1..=MOST) => count,
                    Ok(count) => {
                        // One without functions is given back.
                        let missing = format!("a chain of netfilter, which has {count} functions");
                        return found.lost(&missing, None);
                    }
                    Err(fault) => return found.lost("a chain of netfilter", Some(fault)),
                };
                for nth in 0..count {
                    let place = hook.place(first.place(chain).plus(nth.wrapping_mul(entry.size)));
                    match guest.space.read_pointer(place) {
                        Ok(to) if to.is_null() => {
                            found.lost("a function of netfilter, which is zero", None);
                        }
                        Ok(to) => judge(context, found, (family, number), place, to),
                        Err(fault) => return found.lost("a chain of netfilter", Some(fault)),
                    }
                }
            }
        }
    }
}

fn judge(
    context: &Context<'_>,
    found: &mut Found,
    (family, number): (&str, u64),
    at: VirtAddr,
    to: VirtAddr,
) {
    match context.owner(to) {
        Owner::Nobody | Owner::Hidden(_) => {
            let hook = format!("netfilter {family} hook {number}");
            found.kernel(leaves(context, &hook, at, to));
        }
        Owner::Unknown => found.lost(UNKNOWN, None),
        Owner::Kernel | Owner::Module(_) => {}
    }
}
