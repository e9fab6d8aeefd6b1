//! One socket: from its `struct sock`, or what stands for it in a table, to a row.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::{HashMap, HashSet};

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, SeenExt as _, Socket, SocketSource};
use osier_profile::{Bits, Embed, Field, Ptr, Resolver, SInt, UInt, layout};

use super::tables::{Entry, Protocol};
use crate::Linux;
use crate::netns::Nets;

/// `AF_…`.
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const AF_PACKET: u16 = 17;
/// One more than the highest family that there is, with room for some to come.
const MOST_FAMILIES: u64 = 64;
/// `SOCK_…`.
const SOCK_STREAM: u16 = 1;
const SOCK_RAW: u16 = 3;
/// `IPPROTO_…`.
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_UDPLITE: u16 = 136;
/// States: `TCP_…`.
const ESTABLISHED: u64 = 1;
const TIME_WAIT: u64 = 6;
const CLOSE: u64 = 7;
const LISTEN: u64 = 10;
const NEW_SYN_RECV: u64 = 12;
/// Their words, from 1 on.
const STATES: [&str; 12] = [
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
/// Longest name of a UNIX socket: `sizeof(struct sockaddr_un)`, and where the path begins in it.
const UNIX_NAME: u64 = 110;
const UNIX_PATH: u64 = 2;

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
    }
}

layout! {
    /// Fields read from `struct sock`.
    pub(crate) struct Sock: "sock" {
        /// The file system's half of it; null when no file is of it.
        sk_socket: Option<Field<Ptr<()>>>,
        /// Type.
        sk_type: Option<Field<Bits>>,
        /// Protocol.
        sk_protocol: Option<Field<Bits>>,
        /// Connections that wait to be accepted.
        sk_ack_backlog: Option<Field<UInt>>,
        /// What waits to be received: its first member, `rmem_alloc`, counts it.
        sk_backlog: Option<Field<Embed<()>>>,
        /// The same before v3.0.
        sk_rmem_alloc: Option<Field<UInt>>,
        /// What waits to be sent, and one.
        sk_wmem_alloc: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `inet_sock`, of kernels before v2.6.33.
    pub(crate) struct InetSock: "inet_sock" {
        /// The other's address.
        daddr: Option<Field<UInt>>,
        /// Own address.
        rcv_saddr: Option<Field<UInt>>,
        /// Own port.
        num: Option<Field<UInt>>,
        /// The other's port.
        dport: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `inet_timewait_sock`.
    pub(crate) struct TimeWait: "inet_timewait_sock" {
        /// Which state it waits in.
        tw_substate: Option<Field<UInt>>,
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
    pub(crate) struct UnixSock: "unix_sock" {
        /// Its name; null where it has none.
        addr: Option<Field<Ptr<()>>>,
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

/// Makes rows of sockets.
pub(super) struct Describer<'a> {
    linux: &'a Linux,
    common: Common,
    sock: Sock,
    inet: InetSock,
    time_wait: TimeWait,
    tcp: TcpSock,
    udp: UdpSock,
    unix: UnixSock,
    unix_address: UnixAddress,
    netlink: NetlinkSock,
    packet: PacketSock,
    nets: Nets,
    namespaces: HashSet<VirtAddr>,
    /// Sockets of namespaces that are not in the list.
    strange: HashMap<VirtAddr, usize>,
}

impl<'a> Describer<'a> {
    pub(super) fn new(
        linux: &'a Linux,
        resolver: &mut Resolver<'_>,
        nets: Nets,
        namespaces: Vec<VirtAddr>,
    ) -> Self {
        Self {
            linux,
            common: Common::resolve(resolver),
            sock: Sock::resolve(resolver),
            inet: InetSock::resolve(resolver),
            time_wait: TimeWait::resolve(resolver),
            tcp: TcpSock::resolve(resolver),
            udp: UdpSock::resolve(resolver),
            unix: UnixSock::resolve(resolver),
            unix_address: UnixAddress::resolve(resolver),
            netlink: NetlinkSock::resolve(resolver),
            packet: PacketSock::resolve(resolver),
            nets,
            namespaces: namespaces.into_iter().collect(),
            strange: HashMap::new(),
        }
    }

    /// How many sockets are of a namespace that is not in the list of all.
    pub(super) fn strange(&self) -> usize {
        self.strange.values().sum()
    }

    /// The row of what stands in a table: a socket, or what stands for one.
    pub(super) fn entry(&mut self, at: VirtAddr, entry: Entry) -> Socket {
        let state = self.value(self.common.skc_state, at);
        match (entry.protocol, state.value()) {
            (Protocol::Tcp, Some(TIME_WAIT | NEW_SYN_RECV)) => self.part(at, state),
            (Protocol::Tcp, None) => {
                // What it is, nobody knows: its state stood there.
                let mut socket = self.part(at, state.clone());
                socket.state = state.map(|_| "");
                socket
            }
            _ => self.whole(at, Some(entry)),
        }
    }

    /// The row of an `inet_timewait_sock` or `request_sock`, which begins as a socket does and is none.
    fn part(&mut self, at: VirtAddr, state: Seen<u64>) -> Socket {
        fn none<T>() -> Seen<T> {
            Err(Absent::not_applicable("it is no whole socket"))
        }
        let state = match state {
            Ok(TIME_WAIT) => self
                .value(self.time_wait.tw_substate, at)
                .and_then(|state| word(state, self.time_wait.tw_substate.map(|f| f.place(at)))),
            other => other.and_then(|state| word(state, None)),
        };
        let family = self.family(at);
        Socket {
            pid: none(),
            fd: none(),
            kind: Ok(SOCK_STREAM),
            protocol: Ok(IPPROTO_TCP),
            local: self.address(at, &family, false),
            local_port: self.port(at, false),
            remote: self.address(at, &family, true),
            remote_port: self.port(at, true),
            family,
            state,
            inode: Ok(0),
            path: none(),
            netns: self.netns(at),
            address: at,
            recv_queue: none(),
            send_queue: none(),
            interface: self.bound(at),
            found_by: SocketSource::Table,
        }
    }

    /// The row of the `struct sock` at `at`.
    pub(super) fn whole(&mut self, at: VirtAddr, entry: Option<Entry>) -> Socket {
        fn none<T>(why: &'static str) -> Seen<T> {
            Err(Absent::not_applicable(why))
        }
        let family = self.family(at);
        let kind = self.small(self.sock.sk_type, at);
        let protocol = self.small(self.sock.sk_protocol, at);
        let state = self.value(self.common.skc_state, at);
        let of_ip = matches!(family, Ok(AF_INET | AF_INET6));
        let raw = kind.value() == Some(SOCK_RAW);
        let mut socket = Socket {
            pid: none("no descriptor of a process leads to it"),
            fd: none("no descriptor of a process leads to it"),
            local: none("its family has no addresses here"),
            local_port: none("its family has no ports here"),
            remote: none("it is not connected"),
            remote_port: none("it is not connected"),
            state: state
                .clone()
                .and_then(|state| word(state, self.common.skc_state.map(|field| field.place(at)))),
            inode: self.inode(at),
            path: none("no UNIX socket"),
            netns: self.netns(at),
            address: at,
            recv_queue: self.received(at),
            send_queue: none("its family does not count it"),
            interface: self.bound(at),
            found_by: SocketSource::Table,
            family,
            kind,
            protocol,
        };
        match socket.family {
            _ if of_ip => {
                socket.local = self.address(at, &socket.family, false);
                socket.remote = self.address(at, &socket.family, true);
                if raw {
                    socket.local_port = none("a raw socket has no port");
                } else {
                    socket.local_port = self.port(at, false);
                    socket.remote_port = self.port(at, true);
                }
                self.queues(at, &mut socket, state);
            }
            Ok(AF_UNIX) => {
                socket.protocol = none("a UNIX socket has no protocol");
                socket.recv_queue = none("a UNIX socket's is not counted");
                socket.path = self.unix_name(at);
                socket.state = state.and_then(|state| self.unix_state(at, state));
            }
            Ok(AF_NETLINK) => {
                socket.local = self.groups(at);
                socket.local_port = self.id(self.netlink.portid, at);
                socket.remote_port = match self.id(self.netlink.dst_portid, at) {
                    Ok(0) => none("it is not connected"),
                    other => other,
                };
                socket.state = none("netlink has no states");
            }
            Ok(AF_PACKET) => {
                socket.protocol = self.value(self.packet.num, at).map(swapped);
                socket.interface = match self.signed(self.packet.ifindex, at) {
                    Ok(0) => none("it is bound to no interface"),
                    other => other.and_then(Self::index),
                };
                socket.state = none("packet sockets have no states");
            }
            Ok(_) => {}
            // Whose addresses they are, nobody knows.
            Err(ref absent) => {
                socket.local = Err(absent.clone());
                socket.local_port = Err(absent.clone());
                socket.remote = Err(absent.clone());
                socket.remote_port = Err(absent.clone());
                socket.path = Err(absent.clone());
            }
        }
        let expected = entry.map(|entry| expected(entry.protocol));
        if let (Some(expected), Ok(family)) = (expected, &socket.family)
            && !expected.contains(family)
        {
            let rule = "a socket is of the family of the table that it stands in (skc_family)";
            let place = self.common.skc_family.map(|field| field.place(at));
            socket.family = Err(Absent::implausible(u64::from(*family), rule, place));
        }
        socket
    }

    /// Whether the kernel puts such a socket into a table that is read here.
    pub(super) fn belongs_into_table(socket: &Socket) -> bool {
        let bound = socket.local_port.value().is_some_and(|port| port != 0);
        match (&socket.family, &socket.protocol) {
            (Ok(AF_INET | AF_INET6), Ok(IPPROTO_TCP)) if socket.kind == Ok(SOCK_STREAM) => {
                !matches!(socket.state, Ok("close") | Err(_))
            }
            (Ok(AF_INET | AF_INET6), Ok(IPPROTO_UDP | IPPROTO_UDPLITE)) | (Ok(AF_NETLINK), _) => {
                bound
            }
            (Ok(AF_UNIX | AF_PACKET), _) => true,
            _ => false,
        }
    }

    fn value(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.linux.guest.space, base)?)
    }

    fn signed(&self, field: Option<Field<SInt>>, base: VirtAddr) -> Seen<i64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.linux.guest.space, base)?)
    }

    fn small(&self, field: Option<Field<Bits>>, base: VirtAddr) -> Seen<u16> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let value = field.read(&self.linux.guest.space, base)?;
        u16::try_from(value).map_err(|_| {
            let rule = "types and protocols have 16 bits";
            Absent::implausible(value, rule, Some(field.place(base)))
        })
    }

    fn id(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u32> {
        let value = self.value(field, base)?;
        u32::try_from(value).map_err(|_| Absent::implausible(value, "a number of 32 bits", None))
    }

    fn index(index: i64) -> Seen<u32> {
        u32::try_from(index).map_err(|_| {
            let rule = "an interface's number is not negative";
            Absent::implausible(index.cast_unsigned(), rule, None)
        })
    }

    fn family(&self, at: VirtAddr) -> Seen<u16> {
        let family = self.value(self.common.skc_family, at)?;
        match u16::try_from(family) {
            Ok(number) if (1..MOST_FAMILIES).contains(&family) => Ok(number),
            _ => {
                let place = self.common.skc_family.map(|field| field.place(at));
                let rule = "a family is a number from 1 to 63 (skc_family)";
                Err(Absent::implausible(family, rule, place))
            }
        }
    }

    fn bound(&self, at: VirtAddr) -> Seen<u32> {
        match self.signed(self.common.skc_bound_dev_if, at)? {
            0 => Err(Absent::not_applicable("it is bound to no interface")),
            index => Self::index(index),
        }
    }

    fn netns(&mut self, at: VirtAddr) -> Seen<u32> {
        let field = self.common.skc_net.ok_or_else(Absent::not_in_this_kernel)?;
        let guest = &self.linux.guest;
        let place = field.place(at);
        let net = guest.space.read_pointer(place)?;
        if !guest.can_be_object(net) {
            let rule = "a socket's network namespace is an aligned address of the kernel (skc_net)";
            return Err(Absent::implausible(net.0, rule, Some(place)));
        }
        if !self.namespaces.contains(&net) {
            let count = self.strange.entry(net).or_default();
            *count = count.saturating_add(1);
        }
        self.nets.number(guest, net)
    }

    /// An address of IPv4 or IPv6; of the other end not applicable where there is none.
    fn address(&self, at: VirtAddr, family: &Seen<u16>, remote: bool) -> Seen<String> {
        let common = &self.common;
        let space = &self.linux.guest.space;
        let unconnected = || Err(Absent::not_applicable("it is not connected"));
        match family.clone()? {
            AF_INET => {
                let field = if remote {
                    common.skc_daddr.or(self.inet.daddr)
                } else {
                    common.skc_rcv_saddr.or(self.inet.rcv_saddr)
                };
                let field = field.ok_or_else(Absent::not_in_this_kernel)?;
                let mut bytes = [0; 4];
                space.read(field.place(at), &mut bytes)?;
                if remote && bytes == [0; 4] {
                    return unconnected();
                }
                Ok(Ipv4Addr::from(bytes).to_string())
            }
            AF_INET6 => {
                let field = if remote {
                    common.skc_v6_daddr
                } else {
                    common.skc_v6_rcv_saddr
                };
                let field = field.ok_or_else(Absent::not_in_this_kernel)?;
                let mut bytes = [0; 16];
                space.read(field.place(at), &mut bytes)?;
                if remote && bytes == [0; 16] {
                    return unconnected();
                }
                Ok(Ipv6Addr::from(bytes).to_string())
            }
            _ => Err(Absent::not_applicable("its family has no addresses here")),
        }
    }

    fn port(&self, at: VirtAddr, remote: bool) -> Seen<u32> {
        if !remote {
            return self.id(self.common.skc_num.or(self.inet.num), at);
        }
        match self.value(self.common.skc_dport.or(self.inet.dport), at)? {
            0 => Err(Absent::not_applicable("it is not connected")),
            port => Ok(u32::from(swapped(port))),
        }
    }

    /// The number of its inode; 0 when no file is of it.
    fn inode(&self, at: VirtAddr) -> Seen<u64> {
        let field = self.sock.sk_socket.ok_or_else(Absent::not_in_this_kernel)?;
        let guest = &self.linux.guest;
        let socket = field.read(&guest.space, at)?;
        if socket.is_null() {
            return Ok(0);
        }
        if !guest.can_be_object(socket) {
            let rule = "a sock's socket is an aligned address of the kernel (sk_socket)";
            return Err(Absent::implausible(socket.0, rule, Some(field.place(at))));
        }
        if let Some(sk) = self.linux.sockets.socket.sk
            && sk.read(&guest.space, socket).is_ok_and(|back| back != at)
        {
            let rule = "a socket leads back to its sock (sk)";
            return Err(Absent::implausible(socket.0, rule, Some(field.place(at))));
        }
        let inode = self.linux.sockets.inode(socket);
        let inode = inode.ok_or_else(Absent::not_in_this_kernel)?;
        self.linux.maps.paths.inodes().number(guest, inode)
    }

    /// What is charged to it of what it received.
    fn received(&self, at: VirtAddr) -> Seen<u64> {
        let space = &self.linux.guest.space;
        match (self.sock.sk_backlog, self.sock.sk_rmem_alloc) {
            (_, Some(field)) => Ok(field.read(space, at)?),
            (Some(field), None) => Ok(space.read_uint(field.place(at), 4)?),
            (None, None) => Err(Absent::not_in_this_kernel()),
        }
    }

    fn queues(&self, at: VirtAddr, socket: &mut Socket, state: Seen<u64>) {
        let sent = || {
            let counted = self.value(self.sock.sk_wmem_alloc, at)?;
            Ok(counted.saturating_sub(1))
        };
        match (&socket.protocol, &socket.kind) {
            (Ok(IPPROTO_TCP), Ok(SOCK_STREAM)) => {
                let difference = |from, to| -> Seen<u64> {
                    let apart = self.id(to, at)?.wrapping_sub(self.id(from, at)?);
                    Ok(u64::try_from(apart.cast_signed()).unwrap_or(0))
                };
                socket.recv_queue = match state {
                    Ok(LISTEN) => self.value(self.sock.sk_ack_backlog, at),
                    Ok(_) => difference(self.tcp.copied_seq, self.tcp.rcv_nxt),
                    Err(absent) => Err(absent),
                };
                socket.send_queue = difference(self.tcp.snd_una, self.tcp.write_seq);
            }
            (Ok(IPPROTO_UDP | IPPROTO_UDPLITE), _) => {
                if let Some(field) = self.udp.forward_deficit {
                    let deficit = field.read(&self.linux.guest.space, at);
                    let charged = std::mem::replace(&mut socket.recv_queue, Ok(0));
                    socket.recv_queue =
                        charged.and_then(|charged| Ok(charged.saturating_sub(deficit?)));
                }
                socket.send_queue = sent();
            }
            _ => socket.send_queue = sent(),
        }
    }

    fn unix_state(&self, at: VirtAddr, state: u64) -> Seen<&'static str> {
        let socket = self.sock.sk_socket.ok_or_else(Absent::not_in_this_kernel)?;
        let accepted = !socket.read(&self.linux.guest.space, at)?.is_null();
        match state {
            LISTEN => Ok("listen"),
            ESTABLISHED if accepted => Ok("established"),
            ESTABLISHED => Ok("connecting"),
            CLOSE => Ok("unconnected"),
            other => word(other, self.common.skc_state.map(|field| field.place(at))),
        }
    }

    /// The name of a UNIX socket, as `/proc/net/unix` shows it.
    fn unix_name(&self, at: VirtAddr) -> Seen<Vec<u8>> {
        let field = self.unix.addr.ok_or_else(Absent::not_in_this_kernel)?;
        let guest = &self.linux.guest;
        let address = field.read(&guest.space, at)?;
        if address.is_null() {
            return Err(Absent::not_applicable("it has no name"));
        }
        let (Some(len), Some(name)) = (self.unix_address.len, self.unix_address.name) else {
            return Err(Absent::not_in_this_kernel());
        };
        if !guest.can_be_object(address) {
            let rule = "a socket's name is an aligned address of the kernel (addr)";
            return Err(Absent::implausible(address.0, rule, Some(field.place(at))));
        }
        let bytes = len.read(&guest.space, address)?;
        let family = guest.space.read_uint(name.place(address), 2)?;
        if bytes <= UNIX_PATH || bytes > UNIX_NAME || family != u64::from(AF_UNIX) {
            let rule = "a UNIX socket's name is of its family and has 3 to 110 bytes";
            return Err(Absent::implausible(bytes, rule, Some(len.place(address))));
        }
        let mut path = vec![0; bytes.wrapping_sub(UNIX_PATH) as usize];
        guest
            .space
            .read(name.place(address).plus(UNIX_PATH), &mut path)?;
        if path.first() != Some(&0) {
            // A path has a NUL behind it, which is counted.
            path.pop();
        }
        for byte in &mut path {
            if *byte == 0 {
                *byte = b'@';
            }
        }
        Ok(path)
    }

    /// The groups that a netlink socket listens to, the first 32 of them.
    fn groups(&self, at: VirtAddr) -> Seen<String> {
        let field = self.netlink.groups.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.linux.guest.space;
        let groups = field.read(space, at)?;
        if groups.is_null() {
            return Err(Absent::not_applicable("it listens to no group"));
        }
        Ok(format!("{:#x}", space.read_uint(groups, 4)?))
    }
}

/// A number of 16 bits in the network's order of bytes.
fn swapped(value: u64) -> u16 {
    u16::try_from(value & 0xffff).unwrap_or(0).swap_bytes()
}

/// The families of a table's sockets.
fn expected(protocol: Protocol) -> &'static [u16] {
    match protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::UdpLite | Protocol::Raw => &[AF_INET, AF_INET6],
        Protocol::Unix => &[AF_UNIX],
        Protocol::Netlink => &[AF_NETLINK],
        Protocol::Packet => &[AF_PACKET],
    }
}

fn word(state: u64, at: Option<VirtAddr>) -> Seen<&'static str> {
    let index = usize::try_from(state)
        .ok()
        .and_then(|state| state.checked_sub(1));
    let word = index.and_then(|index| STATES.get(index)).copied();
    word.ok_or_else(|| {
        Absent::implausible(state, "a state is a number from 1 to 12 (skc_state)", at)
    })
}
