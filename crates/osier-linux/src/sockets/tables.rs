//! The tables that the kernel finds sockets by, one for each protocol.

pub(crate) mod layouts;

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::VirtAddr;
use osier_osi::{Guard, WalkEnd, WalkEnds};
use osier_profile::{Embed, Field, Kind, Ptr, Resolver};

use super::numbers::LISTEN;
use super::requests::Requests;
use super::rhashtable::Rhashtables;
use crate::guest::Guest;
use crate::hashes::{self, Buckets, Chains, MOST_OBJECTS, broken};
use crate::netns::Nets;
use crate::sockets::layouts::{Common, NetlinkSock, UnixSock};
use crate::symbols;
use layouts::{
    Listeners, NetlinkTable, PortTable, RawTable, TcpBucket, TcpTable, UdpSlot, UdpTable,
};

/// Buckets of a table of UNIX sockets: Linux commit 7123aaa3a141 ("`af_unix`: speedup /proc/net/unix"), v3.4; before,
/// 256, and one for those without a name.
const UNIX_BUCKETS: u64 = 512;
const UNIX_BUCKETS_BEFORE: u64 = 257;
/// `MAX_LINKS`: netlink's protocols.
const NETLINK_PROTOCOLS: u64 = 32;
/// Most buckets of netlink's table that are believed.
const NETLINK_BUCKETS: u64 = 1 << 20;

/// The protocol whose table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    /// Of TCP, in the table of the listener at that address.
    Request(VirtAddr),
    Udp,
    UdpLite,
    Raw,
    Unix,
    /// Of netlink, by its number.
    Netlink(u16),
    Packet,
}

/// Where a socket was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) protocol: Protocol,
    /// Which of all it is.
    pub(super) order: usize,
}

/// The sockets of all tables.
pub(super) struct Found {
    pub(super) entries: HashMap<VirtAddr, Entry>,
    /// Whether every table was read from end to end.
    pub(super) whole: bool,
}

/// How to read the tables.
pub(super) struct Tables {
    common: Common,
    tcp: TcpTable,
    tcp_bucket: TcpBucket,
    listeners: Listeners,
    udp: UdpTable,
    udp_slot: UdpSlot,
    raw: RawTable,
    netlink: NetlinkTable,
    port_table: PortTable,
    unix: UnixSock,
    requests: Requests,
    rhashtables: Rhashtables,
    netlink_sock: NetlinkSock,
    /// How the chains of UDP and raw sockets end.
    udp_chains: Chains,
    raw_chains: Chains,
    listening_chains: Chains,
}

/// One walk over all of them.
struct Walk<'a> {
    tables: &'a Tables,
    guest: &'a Guest,
    ends: &'a mut WalkEnds,
    met: Guard,
    entries: HashMap<VirtAddr, Entry>,
}

impl Tables {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let profile = resolver.profile();
        let chains = |structure, member| {
            let ty = profile.find_type(structure);
            let kind = ty
                .and_then(|ty| ty.member(member))
                .map(|member| &member.kind);
            let name = match kind {
                Some(Kind::Embedded { name }) => name.as_str(),
                Some(Kind::Array { of, .. }) => match &**of {
                    Kind::Embedded { name } => name.as_str(),
                    _ => "",
                },
                Some(Kind::Pointer { to }) => to.as_str(),
                _ => "",
            };
            if name == "hlist_nulls_head" {
                Chains::Nulls
            } else {
                Chains::Plain
            }
        };
        let (udp_chains, raw_chains) = (chains("udp_hslot", "head"), chains("raw_hashinfo", "ht"));
        let listening_chains = chains("inet_listen_hashbucket", "head");
        Self {
            common: Common::resolve(resolver),
            tcp: TcpTable::resolve(resolver),
            tcp_bucket: TcpBucket::resolve(resolver),
            listeners: Listeners::resolve(resolver),
            udp: UdpTable::resolve(resolver),
            udp_slot: UdpSlot::resolve(resolver),
            raw: RawTable::resolve(resolver),
            netlink: NetlinkTable::resolve(resolver),
            port_table: PortTable::resolve(resolver),
            unix: UnixSock::resolve(resolver),
            requests: Requests::resolve(resolver),
            rhashtables: Rhashtables::resolve(resolver),
            netlink_sock: NetlinkSock::resolve(resolver),
            udp_chains,
            raw_chains,
            listening_chains,
        }
    }

    /// The sockets of all tables. How each was walked is added to `ends`.
    pub(super) fn walk(
        &self,
        guest: &Guest,
        nets: &Nets,
        namespaces: &[VirtAddr],
        ends: &mut WalkEnds,
    ) -> Found {
        let before = ends.bad().count();
        let mut walk = Walk {
            tables: self,
            guest,
            ends,
            met: Guard::new(MOST_OBJECTS),
            entries: HashMap::new(),
        };
        let space = &guest.space;
        // A namespace may have tables of its own, and most share the first one's.
        let mut tcp = BTreeSet::from_iter(guest.symbol(symbols::tcp_hashinfo));
        let mut udp = BTreeSet::from_iter(guest.symbol(symbols::udp_table));
        for &net in namespaces {
            for (field, tables) in [
                (nets.net.hashinfo, &mut tcp),
                (nets.net.udp_table, &mut udp),
            ] {
                let Some(field) = field else { continue };
                match field.read(space, net) {
                    Ok(at) if guest.can_be_object(at) => {
                        tables.insert(at);
                    }
                    Ok(at) => {
                        let fault = osier_memory::Fault::new(osier_memory::Cause::NonCanonical);
                        let from = field.place(net);
                        walk.ends
                            .add("sockets", broken(from, Some(at), fault.with_va(at)));
                    }
                    Err(fault) => walk.ends.add("sockets", broken(net, None, fault)),
                }
            }
        }
        for table in tcp {
            walk.tcp(table);
        }
        walk.requests();
        for table in udp {
            walk.udp("UDP sockets", table, Protocol::Udp);
        }
        if let Some(table) = guest.symbol(symbols::udplite_table) {
            walk.udp("UDP-Lite sockets", table, Protocol::UdpLite);
        }
        for name in [symbols::raw_v4_hashinfo, symbols::raw_v6_hashinfo] {
            if let Some(table) = guest.symbol(name) {
                walk.raw(table);
            }
        }
        walk.unix(nets, namespaces);
        walk.netlink();
        walk.packets(nets, namespaces);
        let entries = walk.entries;
        let whole = ends.bad().count() == before;
        Found { entries, whole }
    }
}

impl Walk<'_> {
    fn missing(&mut self, walk: &'static str, what: &str) {
        self.ends.add(walk, WalkEnd::no_start(what, None));
    }

    fn unreadable(&mut self, walk: &'static str, what: &str, fault: osier_memory::Fault) {
        self.ends.add(walk, WalkEnd::no_start(what, fault));
    }

    /// Notes the sockets that `links` are in, by the link that lies `link` bytes behind their start.
    fn note(&mut self, links: &[VirtAddr], link: Field<Embed<()>>, protocol: Protocol) {
        for &at in links {
            let order = self.entries.len();
            let entry = Entry { protocol, order };
            self.entries.entry(link.container(at)).or_insert(entry);
        }
    }

    fn table(&mut self, walk: &'static str, buckets: Buckets, protocol: Protocol) {
        let Some(link) = self.tables.common.skc_node else {
            return self.missing(walk, "members of sock_common in the profile");
        };
        let links = hashes::links(self.guest, walk, buckets, &mut self.met, self.ends);
        self.note(&links, link, protocol);
    }

    fn tcp(&mut self, table: VirtAddr) {
        const WALK: &str = "TCP sockets";
        let space = &self.guest.space;
        let (tcp, bucket, listeners) = (
            &self.tables.tcp,
            &self.tables.tcp_bucket,
            &self.tables.listeners,
        );
        let listening = listeners.nulls_head.map(|head| (head, Chains::Nulls));
        let chains = self.tables.listening_chains;
        let listening = listening.or_else(|| Some((listeners.head?, chains)));
        if let Some((head, chains)) = listening {
            let (first, count) = match (tcp.listening_hash, tcp.lhash2.zip(tcp.lhash2_mask)) {
                (Some(field), _) => {
                    let count = field.bytes.checked_div(listeners.size).unwrap_or(0);
                    (Ok(field.place(table)), Ok(count))
                }
                (None, Some((lhash2, mask))) => {
                    let mask = mask.read(space, table);
                    let count = mask.map(|mask| mask.wrapping_add(1));
                    (lhash2.read(space, table), count)
                }
                (None, None) => {
                    return self.missing(WALK, "members of inet_hashinfo in the profile");
                }
            };
            match (first, count) {
                (Ok(first), Ok(count)) => {
                    let buckets = Buckets {
                        first: head.place(first),
                        count,
                        stride: listeners.size,
                        counted: None,
                        chains,
                    };
                    self.table(WALK, buckets, Protocol::Tcp);
                }
                (Err(fault), _) | (_, Err(fault)) => {
                    self.unreadable(WALK, "the table of listeners", fault);
                }
            }
        }
        let (Some(ehash), Some(chain)) = (tcp.ehash, bucket.chain) else {
            return self.missing(WALK, "members of inet_hashinfo in the profile");
        };
        let count = match (tcp.ehash_mask, tcp.ehash_size) {
            (Some(mask), _) => mask.read(space, table).map(|mask| mask.wrapping_add(1)),
            (None, Some(size)) => size.read(space, table),
            (None, None) => return self.missing(WALK, "members of inet_hashinfo in the profile"),
        };
        match (ehash.read(space, table), count) {
            (Ok(first), Ok(count)) => {
                for head in [Some(chain), bucket.twchain].into_iter().flatten() {
                    let buckets = Buckets {
                        first: head.place(first),
                        count,
                        stride: bucket.size,
                        counted: None,
                        chains: Chains::Nulls,
                    };
                    self.table(WALK, buckets, Protocol::Tcp);
                }
            }
            (Err(fault), _) | (_, Err(fault)) => {
                self.unreadable(WALK, "the table of connections", fault);
            }
        }
    }

    /// What the listeners among the sockets found so far were asked for.
    fn requests(&mut self) {
        let (space, state) = (&self.guest.space, self.tables.common.skc_state);
        let listens = |at: VirtAddr| {
            let state = state.map(|field| field.read(space, at));
            matches!(state, Some(Ok(LISTEN)))
        };
        let mut listeners: Vec<_> = self.entries.iter().collect();
        listeners.sort_by_key(|(_, entry)| entry.order);
        let listeners = listeners.into_iter().map(|(at, _)| *at);
        let listeners: Vec<_> = listeners.filter(|at| listens(*at)).collect();
        let mut found = Vec::new();
        let mut looked = false;
        for listener in listeners {
            let requests = &self.tables.requests;
            looked |= requests.of(self.guest, listener, &mut self.met, self.ends, &mut found);
        }
        if looked {
            Requests::closed(self.ends);
        }
        for (at, listener) in found {
            let protocol = Protocol::Request(listener);
            let order = self.entries.len();
            self.entries.entry(at).or_insert(Entry { protocol, order });
        }
    }

    fn udp(&mut self, walk: &'static str, table: VirtAddr, protocol: Protocol) {
        let (udp, slot) = (&self.tables.udp, &self.tables.udp_slot);
        let space = &self.guest.space;
        let found = match (udp.hash.zip(udp.mask), udp.buckets) {
            (Some((hash, mask)), _) => {
                let count = mask.read(space, table).map(|mask| mask.wrapping_add(1));
                (hash.read(space, table), count)
            }
            (None, Some(buckets)) => {
                let count = buckets.bytes.checked_div(slot.size).unwrap_or(0);
                (Ok(buckets.place(table)), Ok(count))
            }
            (None, None) => return self.missing(walk, "members of udp_table in the profile"),
        };
        let Some(head) = slot.head else {
            return self.missing(walk, "members of udp_hslot in the profile");
        };
        match found {
            (Ok(first), Ok(count)) => {
                let counted = slot
                    .count
                    .map(|count| count.offset.wrapping_sub(head.offset));
                let buckets = Buckets {
                    first: head.place(first),
                    count,
                    stride: slot.size,
                    counted: counted.and_then(|offset| u64::try_from(offset).ok()),
                    chains: self.tables.udp_chains,
                };
                self.table(walk, buckets, protocol);
            }
            (Err(fault), _) | (_, Err(fault)) => {
                self.unreadable(walk, "the table of sockets", fault);
            }
        }
    }

    fn raw(&mut self, table: VirtAddr) {
        const WALK: &str = "raw sockets";
        let Some(ht) = self.tables.raw.ht else {
            return self.missing(WALK, "members of raw_hashinfo in the profile");
        };
        let word = u64::from(self.guest.pointer_bytes());
        let buckets = Buckets {
            first: ht.place(table),
            count: ht.bytes.checked_div(word).unwrap_or(0),
            stride: word,
            counted: None,
            chains: self.tables.raw_chains,
        };
        self.table(WALK, buckets, Protocol::Raw);
    }

    fn unix(&mut self, nets: &Nets, namespaces: &[VirtAddr]) {
        const WALK: &str = "UNIX sockets";
        let word = u64::from(self.guest.pointer_bytes());
        let buckets = |first, count| Buckets {
            first,
            count,
            stride: word,
            counted: None,
            chains: Chains::Plain,
        };
        if let Some(field) = nets.net.unix_buckets {
            for &net in namespaces {
                match field.read(&self.guest.space, net) {
                    Ok(first) => self.table(WALK, buckets(first, UNIX_BUCKETS), Protocol::Unix),
                    Err(fault) => self.unreadable(WALK, "the table of sockets", fault),
                }
            }
        } else if let Some(first) = self.guest.symbol(symbols::unix_socket_table) {
            let tables = self.tables;
            let large = tables.common.skc_portpair.is_some() || tables.unix.path.is_some();
            let count = if large {
                UNIX_BUCKETS
            } else {
                UNIX_BUCKETS_BEFORE
            };
            self.table(WALK, buckets(first, count), Protocol::Unix);
        } else {
            self.missing(WALK, "the table of UNIX sockets in the profile");
        }
    }

    fn packets(&mut self, nets: &Nets, namespaces: &[VirtAddr]) {
        const WALK: &str = "packet sockets";
        // A module's, which need not be loaded.
        let Some(field) = nets.net.packets else {
            return;
        };
        for &net in namespaces {
            let buckets = Buckets {
                first: field.place(net),
                count: 1,
                stride: u64::from(self.guest.pointer_bytes()),
                counted: None,
                chains: Chains::Plain,
            };
            self.table(WALK, buckets, Protocol::Packet);
        }
    }

    fn netlink(&mut self) {
        const WALK: &str = "netlink sockets";
        let tables = self.tables;
        let (Some(symbol), Some(hash)) =
            (self.guest.symbol(symbols::nl_table), tables.netlink.hash)
        else {
            return self.missing(WALK, "nl_table and its members in the profile");
        };
        let first = match self.guest.space.read_pointer(symbol) {
            Ok(first) => first,
            Err(fault) => return self.unreadable(WALK, "nl_table", fault),
        };
        let by_ports = tables.port_table.table.zip(tables.port_table.mask);
        let by_objects = tables.rhashtables.table.tbl.zip(tables.netlink_sock.node);
        for number in 0..NETLINK_PROTOCOLS {
            let at = hash.place(first.plus(number.wrapping_mul(tables.netlink.size)));
            let protocol = Protocol::Netlink(u16::try_from(number).unwrap_or(u16::MAX));
            let before = self.entries.len();
            // A node of its own, and the kernel hashes objects; a socket's own link before.
            let (sound, counted) = if let Some((tbl, node)) = by_objects {
                let Some(table) = self.netlink_table(tbl, at, number) else {
                    continue;
                };
                let bad = self.ends.bad().count();
                let (guest, met) = (self.guest, &mut self.met);
                let links = tables.rhashtables.links(guest, WALK, table, met, self.ends);
                self.note(&links, node, protocol);
                (
                    self.ends.bad().count() == bad,
                    tables.rhashtables.table.nelems,
                )
            } else if let Some((table, mask)) = by_ports {
                let Some(first) = self.netlink_table(table, at, number) else {
                    continue;
                };
                let count = match mask.read(&self.guest.space, at) {
                    Ok(mask) => mask.wrapping_add(1),
                    Err(fault) => {
                        self.unreadable(WALK, "the table of a protocol", fault);
                        continue;
                    }
                };
                if !count.is_power_of_two() || count > NETLINK_BUCKETS {
                    self.missing(WALK, &format!("a table of {count} buckets"));
                    continue;
                }
                let buckets = Buckets {
                    first,
                    count,
                    stride: u64::from(self.guest.pointer_bytes()),
                    counted: None,
                    chains: Chains::Plain,
                };
                let bad = self.ends.bad().count();
                self.table(WALK, buckets, protocol);
                (self.ends.bad().count() == bad, tables.port_table.entries)
            } else {
                return self.missing(WALK, "nl_table and its members in the profile");
            };
            let counted = counted.map(|field| field.read(&self.guest.space, at));
            if let (true, Some(Ok(counted))) = (sound, counted) {
                let met = self.entries.len().wrapping_sub(before);
                let counted = usize::try_from(counted).unwrap_or(usize::MAX);
                self.ends
                    .differ("netlink sockets and their number", met, counted);
            }
        }
    }

    /// What the `hash` at `at` of a netlink protocol leads to. There is one for each, whether anybody has a socket of it or not
    /// (`netlink_proto_init`).
    fn netlink_table(
        &mut self,
        field: Field<Ptr<()>>,
        at: VirtAddr,
        number: u64,
    ) -> Option<VirtAddr> {
        const WALK: &str = "netlink sockets";
        match field.read(&self.guest.space, at) {
            Ok(table) if table.is_null() => {
                self.missing(WALK, &format!("the table of protocol {number}"));
                None
            }
            Ok(table) => Some(table),
            Err(fault) => {
                self.unreadable(WALK, "the table of a protocol", fault);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
