//! What is read of tables of sockets.

use osier_profile::{Embed, Field, Ptr, UInt, layout};

layout! {
    /// Fields read from `struct sock_common`.
    pub(crate) struct Common: "sock_common" {
        /// The link in most tables.
        skc_node: Option<Field<Embed<()>>> = ["skc_node", "skc_nulls_node"],
        /// Of kernels whose table of UNIX sockets is the larger one.
        skc_portpair: Option<Field<UInt>>,
    }
}

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
        /// One less than how many buckets.
        mask: Option<Field<UInt>>,
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
    /// Fields read from `struct rhashtable`.
    pub(crate) struct Rhashtable: "rhashtable" through [atomic_t] {
        /// The table.
        tbl: Option<Field<Ptr<()>>>,
        /// How many objects.
        nelems: Option<Field<UInt>> = ["nelems.counter", "nelems"],
    }
}

layout! {
    /// Fields read from `bucket_table`.
    pub(crate) struct BucketTable: "bucket_table" {
        /// How many buckets.
        count: Option<Field<UInt>> = ["size"],
        /// Not 0 where the buckets lie in several pages.
        nest: Option<Field<UInt>>,
        /// The table that objects are moved to.
        future_tbl: Option<Field<Ptr<()>>>,
        /// The buckets.
        buckets: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `netlink_sock`.
    pub(crate) struct NetlinkSock: "netlink_sock" {
        /// The link in the table.
        node: Option<Field<Embed<()>>>,
    }
}
