//! Numbers of families, types, protocols and states.

/// `AF_…`.
pub(super) const AF_UNIX: u16 = 1;
pub(super) const AF_INET: u16 = 2;
pub(super) const AF_INET6: u16 = 10;
pub(super) const AF_NETLINK: u16 = 16;
pub(super) const AF_PACKET: u16 = 17;
/// One more than the highest family that there is, with room for some to come.
pub(super) const MOST_FAMILIES: u64 = 64;
/// `SOCK_…`.
pub(super) const SOCK_STREAM: u16 = 1;
pub(super) const SOCK_DGRAM: u16 = 2;
pub(super) const SOCK_RAW: u16 = 3;
pub(super) const SOCK_SEQPACKET: u16 = 5;
pub(super) const SOCK_PACKET: u16 = 10;
/// `IPPROTO_…`.
pub(super) const IPPROTO_TCP: u16 = 6;
pub(super) const IPPROTO_UDP: u16 = 17;
pub(super) const IPPROTO_UDPLITE: u16 = 136;
/// States: `TCP_…`.
pub(super) const ESTABLISHED: u64 = 1;
pub(super) const TIME_WAIT: u64 = 6;
pub(super) const CLOSE: u64 = 7;
pub(super) const LISTEN: u64 = 10;
pub(super) const NEW_SYN_RECV: u64 = 12;
