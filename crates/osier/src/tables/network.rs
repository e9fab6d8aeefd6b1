//! Sockets, and interfaces with their addresses.

use osier_osi::{Interface, Socket};

use super::{Cell, Kind, Row, Table, brief, bytes, count, id, number, seen, wide, words};

static SOCKET: Table = Table {
    name: "socket",
    columns: &[
        number("pid"),
        number("fd"),
        brief("family"),
        brief("type"),
        brief("protocol"),
        brief("local"),
        number("local_port"),
        brief("remote"),
        number("remote_port"),
        brief("state"),
        number("inode"),
        brief("path").of(Kind::Bytes),
        number("netns"),
        wide("address").of(Kind::Address),
        wide("recv_queue").of(Kind::Number),
        wide("send_queue").of(Kind::Number),
        wide("interface").of(Kind::Number),
        brief("found_by"),
    ],
};

/// Every kind of socket.
pub(super) static SOCKETS: [&Table; 1] = [&SOCKET];

/// Families by their numbers, `AF_…`.
const FAMILIES: &[(u16, &str)] = &[
    (1, "unix"),
    (2, "inet"),
    (3, "ax25"),
    (9, "x25"),
    (10, "inet6"),
    (15, "key"),
    (16, "netlink"),
    (17, "packet"),
    (21, "rds"),
    (29, "can"),
    (30, "tipc"),
    (31, "bluetooth"),
    (33, "rxrpc"),
    (38, "alg"),
    (39, "nfc"),
    (40, "vsock"),
    (41, "kcm"),
    (42, "qipcrtr"),
    (43, "smc"),
    (44, "xdp"),
    (45, "mctp"),
];
/// Types by their numbers, `SOCK_…`.
const TYPES: &[(u16, &str)] = &[
    (1, "stream"),
    (2, "dgram"),
    (3, "raw"),
    (4, "rdm"),
    (5, "seqpacket"),
    (6, "dccp"),
    (10, "packet"),
];
/// Protocols of IPv4 and IPv6, `IPPROTO_…`.
const PROTOCOLS: &[(u16, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (89, "ospf"),
    (132, "sctp"),
    (136, "udplite"),
    (255, "raw"),
    (262, "mptcp"),
];
/// Protocols of netlink, `NETLINK_…`.
const NETLINK: &[(u16, &str)] = &[
    (0, "route"),
    (2, "usersock"),
    (3, "firewall"),
    (4, "sock_diag"),
    (5, "nflog"),
    (6, "xfrm"),
    (7, "selinux"),
    (8, "iscsi"),
    (9, "audit"),
    (10, "fib_lookup"),
    (11, "connector"),
    (12, "netfilter"),
    (13, "ip6_fw"),
    (14, "dnrtmsg"),
    (15, "kobject_uevent"),
    (16, "generic"),
    (18, "scsitransport"),
    (19, "ecryptfs"),
    (20, "rdma"),
    (21, "crypto"),
    (22, "smc"),
];

/// The word of a number, or the number where it has none.
fn word(words: &'static [(u16, &'static str)], number: u16) -> Cell<'static> {
    match words.iter().find(|(known, _)| *known == number) {
        Some((_, word)) => Cell::Word(word),
        None => Cell::Text(number.to_string()),
    }
}

fn protocol(socket: &Socket) -> Cell<'_> {
    seen(&socket.protocol, |&protocol| match socket.family {
        Ok(2 | 10) => word(PROTOCOLS, protocol),
        Ok(16) => word(NETLINK, protocol),
        Ok(17) => Cell::Text(format!("{protocol:#06x}")),
        _ => Cell::Text(protocol.to_string()),
    })
}

impl Row for Socket {
    fn table(&self) -> &'static Table {
        &SOCKET
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.pid),
            id(&self.fd),
            seen(&self.family, |&family| word(FAMILIES, family)),
            seen(&self.kind, |&kind| word(TYPES, kind)),
            protocol(self),
            words(&self.local),
            id(&self.local_port),
            words(&self.remote),
            id(&self.remote_port),
            seen(&self.state, |state| Cell::Word(state)),
            count(&self.inode),
            bytes(&self.path),
            id(&self.netns),
            Cell::Address(self.address.0),
            count(&self.recv_queue),
            count(&self.send_queue),
            id(&self.interface),
            Cell::Word(self.found_by.word()),
        ]
    }
}

static INTERFACE: Table = Table {
    name: "interface",
    columns: &[
        number("netns"),
        number("index"),
        brief("name").of(Kind::Bytes),
        brief("flags"),
        brief("mac"),
        brief("addresses"),
        wide("mtu").of(Kind::Number),
        wide("address").of(Kind::Address),
    ],
};

/// Every kind of interface.
pub(super) static INTERFACES: [&Table; 1] = [&INTERFACE];

/// What is set in the flags, from the lowest bit on, as `ip link` calls it.
const FLAGS: [&str; 19] = [
    "up",
    "broadcast",
    "debug",
    "loopback",
    "pointopoint",
    "notrailers",
    "running",
    "noarp",
    "promisc",
    "allmulti",
    "master",
    "slave",
    "multicast",
    "portsel",
    "automedia",
    "dynamic",
    "lower_up",
    "dormant",
    "echo",
];

fn flags(flags: u32) -> String {
    let set = FLAGS.iter().zip(0_u32..);
    let set = set.filter(|(_, bit)| flags.wrapping_shr(*bit) & 1 == 1);
    set.map(|(word, _)| *word).collect::<Vec<_>>().join(",")
}

impl Row for Interface {
    fn table(&self) -> &'static Table {
        &INTERFACE
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.netns),
            id(&self.index),
            bytes(&self.name),
            seen(&self.flags, |&set| Cell::Text(flags(set))),
            seen(&self.mac, |mac| {
                let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                Cell::Text(bytes.join(":"))
            }),
            seen(&self.addresses, |addresses| {
                let each: Vec<String> = addresses
                    .iter()
                    .map(|(address, prefix)| format!("{address}/{prefix}"))
                    .collect();
                Cell::Text(each.join(" "))
            }),
            count(&self.mtu),
            Cell::Address(self.address.0),
        ]
    }
}
