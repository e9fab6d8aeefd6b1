//! What is read of a listener's table of requests and of what stands in it. Until v4.3, and of it addresses and ports until v3.12.

use osier_profile::{Embed, Field, Ptr, UInt, layout};

layout! {
    /// Fields read from `inet_connection_sock`.
    pub(crate) struct Connection: "inet_connection_sock" through [request_sock_queue] {
        /// The listener's table.
        listen_opt: Option<Field<Ptr<()>>> = ["icsk_accept_queue.listen_opt"],
    }
}

layout! {
    /// Fields read from `listen_sock`.
    pub(crate) struct ListenSock: "listen_sock" {
        /// How many requests are in it.
        qlen: Option<Field<UInt>>,
        /// How many buckets.
        nr_table_entries: Option<Field<UInt>>,
        /// The buckets: pointers to the first request of each.
        syn_table: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `request_sock`.
    pub(crate) struct Request: "request_sock" {
        /// The next one of its bucket.
        dl_next: Option<Field<Ptr<()>>>,
        /// Operations, the first member of which is its family.
        rsk_ops: Option<Field<Ptr<()>>>,
        /// What it has of a socket. Linux commit 634fb979e8f3 ("inet: includes a sock_common in request_sock"), v3.13.
        common: Option<Field<Embed<()>>> = ["__req_common"],
    }
}

layout! {
    /// Fields read from `request_sock_ops`.
    pub(crate) struct RequestOps: "request_sock_ops" {
        /// Family.
        family: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `inet_request_sock`.
    pub(crate) struct InetRequest: "inet_request_sock" {
        /// Own address.
        loc_addr: Option<Field<UInt>>,
        /// The other's address.
        rmt_addr: Option<Field<UInt>>,
        /// The other's port, in the network's order.
        rmt_port: Option<Field<UInt>>,
        /// How far behind its start its `inet6_request_sock` lies.
        inet6_rsk_offset: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `inet6_request_sock`.
    pub(crate) struct Inet6Request: "inet6_request_sock" {
        /// Own address.
        loc_addr: Option<Field<Embed<()>>>,
        /// The other's address.
        rmt_addr: Option<Field<Embed<()>>>,
    }
}
