//! Sockets, and interfaces with their addresses.

use osier_osi::{Interface, Socket};

use super::{Cell, Kind, brief, bytes, count, id, number, seen, wide, words};

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

rows! {
    /// Every kind of socket.
    SOCKETS: Socket, "socket", |row| {
        number("pid") => id(&row.pid),
        number("fd") => id(&row.fd),
        brief("family") => seen(&row.family, |&family| word(FAMILIES, family)),
        brief("type") => seen(&row.kind, |&kind| word(TYPES, kind)),
        brief("protocol") => protocol(row),
        brief("local") => words(&row.local),
        number("local_port") => id(&row.local_port),
        brief("remote") => words(&row.remote),
        number("remote_port") => id(&row.remote_port),
        brief("state") => seen(&row.state, |state| Cell::Word(state)),
        number("inode") => count(&row.inode),
        brief("path").of(Kind::Bytes) => bytes(&row.path),
        number("netns") => id(&row.netns),
        wide("address").of(Kind::Address) => Cell::Address(row.address.0),
        wide("recv_queue").of(Kind::Number) => count(&row.recv_queue),
        wide("send_queue").of(Kind::Number) => count(&row.send_queue),
        wide("interface").of(Kind::Number) => id(&row.interface),
        brief("found_by") => Cell::Word(row.found_by.word()),
    }
}

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

rows! {
    /// Every kind of interface.
    INTERFACES: Interface, "interface", |row| {
        number("netns") => id(&row.netns),
        number("index") => id(&row.index),
        brief("name").of(Kind::Bytes) => bytes(&row.name),
        brief("flags") => seen(&row.flags, |&set| Cell::Text(flags(set))),
        brief("mac") => seen(&row.mac, |mac| {
            let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            Cell::Text(bytes.join(":"))
        }),
        brief("addresses") => seen(&row.addresses, |addresses| {
            let each: Vec<String> = addresses
                .iter()
                .map(|(address, prefix)| format!("{address}/{prefix}"))
                .collect();
            Cell::Text(each.join(" "))
        }),
        wide("mtu").of(Kind::Number) => count(&row.mtu),
        wide("address").of(Kind::Address) => Cell::Address(row.address.0),
    }
}
