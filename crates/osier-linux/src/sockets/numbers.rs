//! Numbers of families, kinds, protocols and states of sockets, and how they stand in memory.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};

/// `AF_…`.
pub(super) const AF_UNIX: u16 = 1;
pub(super) const AF_INET: u16 = 2;
pub(super) const AF_INET6: u16 = 10;
pub(super) const AF_NETLINK: u16 = 16;
pub(crate) const AF_PACKET: u16 = 17;
/// One more than the highest family that there is, with room for some to come.
pub(super) const MOST_FAMILIES: u64 = 64;
/// `SOCK_…`.
pub(super) const SOCK_STREAM: u16 = 1;
pub(super) const SOCK_DGRAM: u16 = 2;
pub(super) const SOCK_RAW: u16 = 3;
pub(super) const SOCK_SEQPACKET: u16 = 5;
pub(super) const SOCK_PACKET: u16 = 10;
/// All of them.
pub(super) const KINDS: [u16; 7] = [1, 2, 3, 4, 5, 6, 10];
/// `IPPROTO_…`.
pub(super) const IPPROTO_TCP: u16 = 6;
pub(super) const IPPROTO_UDP: u16 = 17;
pub(super) const IPPROTO_UDPLITE: u16 = 136;
/// States: `TCP_…`.
pub(super) const ESTABLISHED: u64 = 1;
pub(super) const SYN_RECV: u64 = 3;
pub(super) const TIME_WAIT: u64 = 6;
pub(super) const CLOSE: u64 = 7;
pub(super) const LISTEN: u64 = 10;
pub(super) const NEW_SYN_RECV: u64 = 12;
/// Their words, from 1 on.
pub(super) const STATES: [&str; 12] = [
    "established",
    "syn-sent",
    "syn-recv",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "close",
    "close-wait",
    "last-ack",
    "listen",
    "closing",
    "syn-recv",
];

/// A number of 16 bits in the network's order of bytes.
pub(super) fn swapped(value: u64) -> u16 {
    u16::try_from(value & 0xffff).unwrap_or(0).swap_bytes()
}

/// The word of a state that stands at `at`.
pub(super) fn word(state: u64, at: Option<VirtAddr>) -> Seen<&'static str> {
    let index = usize::try_from(state)
        .ok()
        .and_then(|state| state.checked_sub(1));
    let word = index.and_then(|index| STATES.get(index)).copied();
    word.ok_or_else(|| {
        Absent::implausible(state, "a state is a number from 1 to 12 (skc_state)", at)
    })
}
