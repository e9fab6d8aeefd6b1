//! What is read of tables of sockets.

use osier_profile::{Embed, Field, Ptr, UInt, layout};

layout! {
    /// Fields read from `inet_hashinfo`.
    pub(crate) struct TcpTable: "inet_hashinfo" {
        /// Connections, those that wait for stray packets among them since v3.14.
        ehash: Option<Field<Ptr<()>>>,
        /// One less than how many buckets; before v2.6.33 their number.
        ehash_mask: Option<Field<UInt>>,
        /// Before v2.6.33.
        ehash_size: Option<Field<UInt>>,
        /// Listeners. Until v5.18.
        listening_hash: Option<Field<Embed<()>>>,
        /// Listeners by address and port: the only table of them since Linux commit cae3873c5b3a ("net: inet:
        /// Retire port only `listening_hash`"), v5.19.
        lhash2: Option<Field<Ptr<()>>>,
        /// One less than how many buckets.
        lhash2_mask: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `inet_ehash_bucket`.
    pub(crate) struct TcpBucket: "inet_ehash_bucket" {
        /// Connections.
        chain: Option<Field<Embed<()>>>,
        /// What waits for stray packets. Until v3.13.
        twchain: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `inet_listen_hashbucket`.
    pub(crate) struct Listeners: "inet_listen_hashbucket" {
        /// Listeners. Linux commit 8dbd76e79a16 ("tcp/dccp: fix possible race `__inet_lookup_established()`"),
        /// v5.5.
        nulls_head: Option<Field<Embed<()>>>,
        /// The same before: an `hlist_head`, and until Linux commit 3b24d854cb35 ("tcp/dccp: do not touch
        /// listener `sk_refcnt` under synflood"), v4.7, an `hlist_nulls_head`.
        head: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct udp_table`.
    pub(crate) struct UdpTable: "udp_table" {
        /// Sockets by port.
        hash: Option<Field<Ptr<()>>>,
        /// One less than how many buckets. Linux commit f86dcc5aa8c7 ("udp: dynamically size hash tables at boot time"), v2.6.33.
        mask: Option<Field<UInt>>,
        /// The buckets themselves, before.
        buckets: Option<Field<Embed<()>>> = ["hash"],
    }
}

layout! {
    /// Fields read from `udp_hslot`.
    pub(crate) struct UdpSlot: "udp_hslot" {
        /// Sockets.
        head: Option<Field<Embed<()>>>,
        /// How many.
        count: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `raw_hashinfo`.
    pub(crate) struct RawTable: "raw_hashinfo" {
        /// Sockets by protocol.
        ht: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `netlink_table`.
    pub(crate) struct NetlinkTable: "netlink_table" {
        /// Sockets by port id: a `rhashtable` since Linux commit e341694e3eb5 ("netlink: Convert
        /// netlink_lookup() to use RCU protected hash table"), v3.17.
        hash: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from what netlink's `hash` was before: buckets of sockets by port id. Linux commit 15e473046cb6
    /// ("netlink: Rename pid to portid to avoid confusion"), v3.7, gave it its later name.
    pub(crate) struct PortTable: "nl_portid_hash" or "nl_pid_hash" {
        /// The buckets, made for each protocol that a part of the kernel serves.
        table: Option<Field<Ptr<()>>>,
        /// One less than how many.
        mask: Option<Field<UInt>>,
        /// How many sockets.
        entries: Option<Field<UInt>>,
    }
}
