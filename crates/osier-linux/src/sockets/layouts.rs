//! What is read of sockets themselves.

use osier_profile::{Bits, Embed, Field, Ptr, SInt, UInt, layout};

layout! {
    /// Fields read from `struct sock_common`.
    pub(crate) struct Common: "sock_common" {
        /// Family.
        skc_family: Option<Field<UInt>>,
        /// State.
        skc_state: Option<Field<UInt>>,
        /// Own port, in the processor's order of bytes.
        skc_num: Option<Field<UInt>>,
        /// The other's port, in the network's.
        skc_dport: Option<Field<UInt>>,
        /// The other's address, in the network's.
        skc_daddr: Option<Field<UInt>>,
        /// Own address.
        skc_rcv_saddr: Option<Field<UInt>>,
        /// The same of IPv6.
        skc_v6_daddr: Option<Field<Embed<()>>>,
        /// Likewise.
        skc_v6_rcv_saddr: Option<Field<Embed<()>>>,
        /// The interface that it is bound to; 0 for none.
        skc_bound_dev_if: Option<Field<SInt>>,
        /// The network namespace.
        skc_net: Option<Field<Embed<()>>>,
        /// The link in most tables.
        skc_node: Option<Field<Embed<()>>> = ["skc_node", "skc_nulls_node"],
        /// Of kernels whose table of UNIX sockets is the larger one.
        skc_portpair: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `inet_sock`. Ports and addresses stood here until they moved into `sock_common`: addresses by Linux
    /// commit 4dc6dc716200 ("net: sock_common: move daddr and rcv_saddr"), v2.6.38, ports by ce43b03e8889 ("net: move
    /// `inet_dport`/`inet_num` in `sock_common`"), v3.8; the shorter names are those before c720c7e8383a ("inet: rename some
    /// `inet_sock` fields"), v2.6.33.
    pub(crate) struct InetSock: "inet_sock" {
        /// Own port once more, in the network's order.
        inet_sport: Option<Field<UInt>> = ["inet_sport", "sport"],
        /// The other's address.
        daddr: Option<Field<UInt>> = ["inet_daddr", "daddr"],
        /// Own address.
        rcv_saddr: Option<Field<UInt>> = ["inet_rcv_saddr", "rcv_saddr"],
        /// Own port.
        num: Option<Field<UInt>> = ["inet_num", "num"],
        /// The other's port.
        dport: Option<Field<UInt>> = ["inet_dport", "dport"],
        /// What IPv6 keeps of it.
        pinet6: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `ipv6_pinfo`. Linux commit efe4208f47f9 ("ipv6: make lookups simpler and faster"), v3.13, moved both into
    /// `sock_common`.
    pub(crate) struct Ipv6: "ipv6_pinfo" {
        /// The other's address.
        daddr: Option<Field<Embed<()>>>,
        /// Own address.
        rcv_saddr: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `inet_timewait_sock`. Addresses and ports stood here as long as in `inet_sock`.
    pub(crate) struct TimeWait: "inet_timewait_sock" {
        /// Which state it waits in.
        tw_substate: Option<Field<UInt>>,
        /// The other's address.
        daddr: Option<Field<UInt>> = ["tw_daddr"],
        /// Own address.
        rcv_saddr: Option<Field<UInt>> = ["tw_rcv_saddr"],
        /// Own port.
        num: Option<Field<UInt>> = ["tw_num"],
        /// The other's port.
        dport: Option<Field<UInt>> = ["tw_dport"],
        /// How far behind its start its `inet6_timewait_sock` lies. Until v3.12.
        tw_ipv6_offset: Option<Field<Bits>>,
    }
}

layout! {
    /// Fields read from `inet6_timewait_sock`. Until v3.12.
    pub(crate) struct TimeWait6: "inet6_timewait_sock" {
        /// The other's address.
        daddr: Option<Field<Embed<()>>> = ["tw_v6_daddr"],
        /// Own address.
        rcv_saddr: Option<Field<Embed<()>>> = ["tw_v6_rcv_saddr"],
    }
}

layout! {
    /// Fields read from `tcp_sock`.
    pub(crate) struct TcpSock: "tcp_sock" {
        /// What comes next.
        rcv_nxt: Option<Field<UInt>>,
        /// What the program has read.
        copied_seq: Option<Field<UInt>>,
        /// One past what the program wrote.
        write_seq: Option<Field<UInt>>,
        /// The first that is not acknowledged.
        snd_una: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `udp_sock`.
    pub(crate) struct UdpSock: "udp_sock" {
        /// What was received and is charged still. Since v4.10.
        forward_deficit: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `unix_sock`.
    pub(crate) struct UnixSock: "unix_sock" through [path] {
        /// Its name; null where it has none.
        addr: Option<Field<Ptr<()>>>,
        /// The `dentry` that it is bound to.
        dentry: Option<Field<Ptr<()>>> = ["path.dentry", "dentry"],
        /// Of kernels whose table is the larger one: Linux commit 40ffe67d2e89 ("switch `unix_sock` to `struct path`"), v3.4.
        path: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `unix_address`.
    pub(crate) struct UnixAddress: "unix_address" {
        /// Bytes of the name, family included.
        len: Option<Field<UInt>>,
        /// The name.
        name: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `netlink_sock`.
    pub(crate) struct NetlinkSock: "netlink_sock" {
        /// Own port id.
        portid: Option<Field<UInt>> = ["portid", "pid"],
        /// The other's.
        dst_portid: Option<Field<UInt>> = ["dst_portid", "dst_pid"],
        /// The groups that it listens to, a bit for each.
        groups: Option<Field<Ptr<()>>>,
        /// The link in the table.
        node: Option<Field<Embed<()>>>,
        /// How many bits that are.
        ngroups: Option<Field<UInt>>,
        /// How many of the groups it has joined.
        subscriptions: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `packet_sock`.
    pub(crate) struct PacketSock: "packet_sock" {
        /// The interface that it is bound to; 0 for all.
        ifindex: Option<Field<SInt>>,
        /// The type of frames, in the network's order.
        num: Option<Field<UInt>>,
    }
}
