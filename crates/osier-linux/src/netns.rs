//! Network namespaces: the list of all of them, and their numbers.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, WalkEnd, WalkEnds};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::guest::Guest;
use crate::list;
use crate::symbols;

/// The walk's name in its endings.
const WALK: &str = "network namespaces";

/// `PROC_NET_INIT_INO`, the number of the first network namespace. Before v6.18 it had one as any other.
pub(crate) const FIRST: u32 = 0xefff_fff9;
/// `PROC_DYNAMIC_FIRST`: numbers are given from here on.
const DYNAMIC: u32 = 0xf000_0000;

layout! {
    /// Fields read from `struct net`.
    pub(crate) struct Net: "net" through [netns_ipv4 inet_timewait_death_row netns_packet netns_unix ns_common unix_table netns_nf] {
        /// The link in the list of all.
        list: Option<Field<Embed<()>>>,
        /// Its number, by which `/proc/PID/ns/net` knows it. Since v3.8.
        inum: Option<Field<UInt>> = ["ns.inum", "proc_inum"],
        /// The list of its interfaces.
        dev_base_head: Option<Field<Embed<()>>>,
        /// 256 lists of its interfaces, by number.
        dev_index_head: Option<Field<Ptr<()>>>,
        /// Its TCP table. Linux commit 4461568aa4e5 ("tcp: Access &tcp_hashinfo via net."), v6.1, made the
        /// table each namespace's own; the pointer is older.
        hashinfo: Option<Field<Ptr<()>>> = ["ipv4.tcp_death_row.hashinfo"],
        /// Its UDP table. Linux commit ba6aac151671 ("udp: Access &udp_table via net."), v6.2.
        udp_table: Option<Field<Ptr<()>>> = ["ipv4.udp_table"],
        /// Its table of UNIX sockets. Linux commit b6e811383062 ("af_unix: Define a per-netns hash
        /// table."), v6.0.
        unix_buckets: Option<Field<Ptr<()>>> = ["unx.table.buckets"],
        /// The list of its packet sockets.
        packets: Option<Field<Embed<()>>> = ["packet.sklist"],
        /// What netfilter runs for IPv4: chains, one for each place that packets pass. Linux commit b0f38338aef2
        /// ("netfilter: reduce size of hook entry point locations"), v4.16; likewise of the others.
        nf_ipv4: Option<Field<Embed<()>>> = ["nf.hooks_ipv4"],
        /// IPv6.
        nf_ipv6: Option<Field<Embed<()>>> = ["nf.hooks_ipv6"],
        /// ARP.
        nf_arp: Option<Field<Embed<()>>> = ["nf.hooks_arp"],
        /// Bridges.
        nf_bridge: Option<Field<Embed<()>>> = ["nf.hooks_bridge"],
    }
}

/// How to read network namespaces.
pub(crate) struct Nets {
    pub(crate) net: Net,
}

impl Nets {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            net: Net::resolve(resolver),
        }
    }

    /// Every network namespace, the first one first.
    pub(crate) fn all(&self, guest: &Guest) -> (Vec<VirtAddr>, WalkEnds) {
        let (Some(head), Some(link)) = (guest.symbol(symbols::net_namespace_list), self.net.list)
        else {
            let end = WalkEnd::no_start("net_namespace_list and struct net in the profile", None);
            return (Vec::new(), WalkEnds::one(WALK, end));
        };
        let walked = list::ring(guest, head);
        let mut ends = WalkEnds::one(WALK, walked.end);
        let nodes = walked.nodes.into_iter();
        let mut nets: Vec<VirtAddr> = nodes.map(|node| link.container(node)).collect();
        if let Some(first) = guest.symbol(symbols::init_net)
            && !nets.contains(&first)
        {
            ends.disagree("net_namespace_list and init_net", 0, 1);
            nets.insert(0, first);
        }
        (nets, ends)
    }

    /// Adds those of `named`, which processes are in, that the list of all does not have.
    pub(crate) fn with_those_of_processes(
        all: &mut Vec<VirtAddr>,
        named: impl IntoIterator<Item = VirtAddr>,
        ends: &mut WalkEnds,
    ) {
        let mut unlisted: Vec<_> = named.into_iter().filter(|net| !all.contains(net)).collect();
        unlisted.sort_unstable();
        ends.disagree(
            "net_namespace_list and the processes' namespaces",
            0,
            unlisted.len(),
        );
        all.extend(unlisted);
    }

    /// The number of the namespace at `net`.
    pub(crate) fn number(&self, guest: &Guest, net: VirtAddr) -> Seen<u32> {
        let field = self.net.inum.ok_or_else(Absent::not_in_this_kernel)?;
        let number = field.read(&guest.space, net)?;
        numbered(number, FIRST, field.place(net))
    }
}

/// The number of a namespace, which stands at `place`, of a kind whose first one has the number `first`.
pub(crate) fn numbered(number: u64, first: u32, place: VirtAddr) -> Seen<u32> {
    match u32::try_from(number) {
        Ok(number) if number == first || number >= DYNAMIC => Ok(number),
        _ => {
            let rule = "a namespace has the first number of its kind, or one from 0xf0000000 on";
            Err(Absent::implausible(number, rule, Some(place)))
        }
    }
}
