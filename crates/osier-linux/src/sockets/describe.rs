//! One socket: from its `struct sock`, or what stands for it in a table, to a row.

mod inet;
mod unix;

use foldhash::{HashMap, HashMapExt as _, HashSet};

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, SeenExt as _, Socket, SocketSource};
use osier_profile::{Bits, Field, Resolver, SInt, UInt};

use super::layouts::{Common, NetlinkSock, PacketSock, TcpSock, TimeWait, UdpSock};
use super::numbers::{
    AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, CLOSE, IPPROTO_TCP, IPPROTO_UDP,
    IPPROTO_UDPLITE, KINDS, LISTEN, MOST_FAMILIES, NEW_SYN_RECV, SOCK_DGRAM, SOCK_PACKET, SOCK_RAW,
    SOCK_SEQPACKET, SOCK_STREAM, SYN_RECV, TIME_WAIT, swapped, word,
};
use super::requests::layouts::{Request, RequestOps};
use super::tables::{Entry, Protocol};
use crate::Linux;
use crate::layouts::Sock;
use crate::netns::Nets;
use inet::{Inet, Of};
use unix::Unix;

/// Makes rows of sockets.
pub(super) struct Describer<'a> {
    linux: &'a Linux,
    common: Common,
    sock: Sock,
    inet: Inet<'a>,
    time_wait: TimeWait,
    tcp: TcpSock,
    udp: UdpSock,
    unix: Unix<'a>,
    netlink: NetlinkSock,
    packet: PacketSock,
    request: Request,
    request_ops: RequestOps,
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
            inet: Inet::resolve(resolver, &linux.guest),
            time_wait: TimeWait::resolve(resolver),
            tcp: TcpSock::resolve(resolver),
            udp: UdpSock::resolve(resolver),
            unix: Unix::resolve(resolver, linux),
            netlink: NetlinkSock::resolve(resolver),
            packet: PacketSock::resolve(resolver),
            request: Request::resolve(resolver),
            request_ops: RequestOps::resolve(resolver),
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
        if let Protocol::Request(listener) = entry.protocol {
            return self.request(at, listener);
        }
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

    /// The row of an `inet_timewait_sock` or `request_sock`, which begins as a socket does and is not one.
    fn part(&mut self, at: VirtAddr, state: Seen<u64>) -> Socket {
        let of = match state {
            Ok(TIME_WAIT) => Of::TimeWait,
            _ => Of::Sock,
        };
        let state = match state {
            Ok(TIME_WAIT) => self
                .value(self.time_wait.tw_substate, at)
                .and_then(|state| word(state, self.time_wait.tw_substate.map(|f| f.place(at)))),
            other => other.and_then(|state| word(state, None)),
        };
        let family = self.family(at);
        self.of_tcp(at, of, at, family, state)
    }

    /// The row of the `request_sock` at `at`, which stands in the table of `listener`.
    fn request(&mut self, at: VirtAddr, listener: VirtAddr) -> Socket {
        let (family, state) = (self.family_of_request(at), word(SYN_RECV, None));
        self.of_tcp(at, Of::Request, listener, family, state)
    }

    /// The row of what stands for a socket of TCP at `at`, and is bound as `bound` is.
    fn of_tcp(
        &mut self,
        at: VirtAddr,
        of: Of,
        bound: VirtAddr,
        family: Seen<u16>,
        state: Seen<&'static str>,
    ) -> Socket {
        fn none<T>() -> Seen<T> {
            Err(Absent::not_applicable("it is no whole socket"))
        }
        let own = if of == Of::Request { Of::Sock } else { of };
        Socket {
            pid: none(),
            fd: none(),
            kind: Ok(SOCK_STREAM),
            protocol: Ok(IPPROTO_TCP),
            local: self.inet.address(at, of, &family, false),
            local_port: self.inet.port(bound, own, false),
            remote: self.inet.address(at, of, &family, true),
            remote_port: self.inet.port(at, of, true),
            family,
            state,
            inode: Ok(0),
            path: none(),
            netns: self.netns(bound),
            address: at,
            recv_queue: none(),
            send_queue: none(),
            interface: self.bound(bound),
            found_by: SocketSource::Table,
        }
    }

    /// The family of a `request_sock`, which its operations say.
    fn family_of_request(&self, at: VirtAddr) -> Seen<u16> {
        let fields = self.request.rsk_ops.zip(self.request_ops.family);
        let (rsk_ops, family) = fields.ok_or_else(Absent::not_in_this_kernel)?;
        let guest = &self.linux.guest;
        let operations = rsk_ops.read(&guest.space, at)?;
        if !guest.is_kernel_address(operations) {
            let rule = "a request's operations are the kernel's (rsk_ops)";
            return Err(Absent::implausible(
                operations.0,
                rule,
                Some(rsk_ops.place(at)),
            ));
        }
        match family.read(&guest.space, operations)? {
            2 => Ok(AF_INET),
            10 => Ok(AF_INET6),
            other => {
                let rule = "a connection of TCP is of IPv4 or IPv6 (request_sock_ops.family)";
                Err(Absent::implausible(
                    other,
                    rule,
                    Some(family.place(operations)),
                ))
            }
        }
    }

    /// The row of the `struct sock` at `at`.
    pub(super) fn whole(&mut self, at: VirtAddr, entry: Option<Entry>) -> Socket {
        fn none<T>(why: &'static str) -> Seen<T> {
            Err(Absent::not_applicable(why))
        }
        let family = self.family(at);
        let kind = self.kind(at, entry);
        let protocol = self.protocol(at, entry);
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
            inode: self.inode(at, entry),
            path: none("no UNIX socket"),
            netns: self.netns(at),
            address: at,
            recv_queue: self.received(at),
            send_queue: none("its family does not count it"),
            interface: none("it is bound to no interface"),
            found_by: SocketSource::Table,
            family,
            kind,
            protocol,
        };
        match socket.family {
            _ if of_ip => {
                socket.interface = self.bound(at);
                socket.local = self.inet.address(at, Of::Sock, &socket.family, false);
                socket.remote = self.inet.address(at, Of::Sock, &socket.family, true);
                if raw {
                    socket.local_port = none("a raw socket has no port");
                } else {
                    socket.local_port = self.inet.own_port(at, entry);
                    socket.remote_port = self.inet.port(at, Of::Sock, true);
                }
                self.queues(at, &mut socket, &state);
                self.inet.ends_fit(at, &mut socket, &state);
            }
            Ok(AF_UNIX) => {
                socket.protocol = none("a UNIX socket has no protocol");
                socket.recv_queue = none("a UNIX socket's is not counted");
                socket.path = self.unix.name(at);
                socket.state = state.and_then(|state| self.unix.state(at, state));
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

    /// The type, which the file system's half says, too.
    fn kind(&self, at: VirtAddr, entry: Option<Entry>) -> Seen<u16> {
        let kind = self.small(self.sock.sk_type, at)?;
        let place = self.sock.sk_type.map(|field| field.place(at));
        let known: &[u16] = entry.map_or(&KINDS, |entry| match entry.protocol {
            Protocol::Tcp | Protocol::Request(_) => &[SOCK_STREAM],
            Protocol::Udp | Protocol::UdpLite => &[SOCK_DGRAM],
            Protocol::Raw => &[SOCK_RAW],
            Protocol::Unix => &[SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET],
            Protocol::Netlink(_) => &[SOCK_DGRAM, SOCK_RAW],
            Protocol::Packet => &[SOCK_DGRAM, SOCK_RAW, SOCK_PACKET],
        });
        if !known.contains(&kind) {
            let rule = "a socket is of a type that its table has (sk_type)";
            return Err(Absent::implausible(kind.into(), rule, place));
        }
        let space = &self.linux.guest.space;
        let socket = self.sock.sk_socket.map(|field| field.read(space, at));
        if let (Some(Ok(socket)), Some(field)) = (socket, self.linux.sockets.socket.kind)
            && self.linux.guest.can_be_object(socket)
            && field
                .read(space, socket)
                .is_ok_and(|other| other != u64::from(kind))
        {
            let rule = "both halves of a socket have one type (type, sk_type)";
            return Err(Absent::implausible(kind.into(), rule, place));
        }
        Ok(kind)
    }

    /// The protocol, which is that of the table.
    fn protocol(&self, at: VirtAddr, entry: Option<Entry>) -> Seen<u16> {
        let protocol = self.small(self.sock.sk_protocol, at)?;
        let expected = entry.and_then(|entry| match entry.protocol {
            Protocol::Tcp | Protocol::Request(_) => Some(IPPROTO_TCP),
            Protocol::Udp => Some(IPPROTO_UDP),
            Protocol::UdpLite => Some(IPPROTO_UDPLITE),
            Protocol::Netlink(number) => Some(number),
            Protocol::Raw | Protocol::Unix | Protocol::Packet => None,
        });
        if expected.is_some_and(|expected| expected != protocol) {
            let rule = "a socket is of the protocol of the table that it stands in (sk_protocol)";
            let place = self.sock.sk_protocol.map(|field| field.place(at));
            return Err(Absent::implausible(protocol.into(), rule, place));
        }
        Ok(protocol)
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

    /// The number of its inode; 0 when no file is of it.
    fn inode(&self, at: VirtAddr, entry: Option<Entry>) -> Seen<u64> {
        let field = self.sock.sk_socket.ok_or_else(Absent::not_in_this_kernel)?;
        let guest = &self.linux.guest;
        let socket = field.read(&guest.space, at)?;
        if socket.is_null() {
            // A connection may wait to be accepted, or to end; others leave their tables first.
            let orphaned =
                entry.is_none_or(|entry| matches!(entry.protocol, Protocol::Tcp | Protocol::Unix));
            if orphaned {
                return Ok(0);
            }
            let rule = "a socket that its table has is of a file (sk_socket)";
            return Err(Absent::implausible(0, rule, Some(field.place(at))));
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
        let number = self.linux.maps.paths.inodes().number(guest, inode)?;
        if u32::try_from(number).is_err() {
            let rule = "the kernel numbers what has no name with 32 bits (i_ino)";
            return Err(Absent::implausible(number, rule, Some(inode)));
        }
        Ok(number)
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

    fn queues(&self, at: VirtAddr, socket: &mut Socket, state: &Seen<u64>) {
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
                    Err(absent) => Err(absent.clone()),
                };
                let sent = difference(self.tcp.snd_una, self.tcp.write_seq);
                socket.send_queue = sent.and_then(|sent| match state {
                    Ok(LISTEN | CLOSE) | Err(_) => Ok(sent),
                    Ok(_) => self.held(at, sent),
                });
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

    /// So many bytes that were sent and not acknowledged, which the socket holds until they are. The first and
    /// the last packet of a connection count as a byte each.
    fn held(&self, at: VirtAddr, sent: u64) -> Seen<u64> {
        const ENDS: u64 = 2;
        let Some(field) = self.sock.sk_wmem_queued else {
            return Ok(sent);
        };
        let held = field.read(&self.linux.guest.space, at)?;
        if u64::try_from(held).unwrap_or(0).saturating_add(ENDS) < sent {
            let rule = "what is not acknowledged is held (write_seq, snd_una, sk_wmem_queued)";
            return Err(Absent::implausible(sent, rule, Some(field.place(at))));
        }
        Ok(sent)
    }

    /// The groups that a netlink socket listens to, the first 32 of them.
    fn groups(&self, at: VirtAddr) -> Seen<String> {
        let field = self.netlink.groups.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.linux.guest.space;
        let groups = field.read(space, at)?;
        let counted = self.netlink.subscriptions;
        let counted = counted.and_then(|field| field.read(space, at).ok());
        let joined = if groups.is_null() {
            Some(0)
        } else {
            self.joined(groups, at)
        };
        if let (Some(counted), Some(joined)) = (counted, joined)
            && counted != joined
        {
            let rule =
                "a netlink socket counts the groups that it has joined (groups, subscriptions)";
            return Err(Absent::implausible(groups.0, rule, Some(field.place(at))));
        }
        if groups.is_null() {
            return Err(Absent::not_applicable("it listens to no group"));
        }
        Ok(format!("{:#x}", space.read_uint(groups, 4)?))
    }

    /// How many of the groups at `groups` the netlink socket at `at` has joined; `None` where they cannot be read.
    fn joined(&self, groups: VirtAddr, at: VirtAddr) -> Option<u64> {
        /// More than any protocol has.
        const MOST: u64 = 1 << 16;
        let space = &self.linux.guest.space;
        let count = self.netlink.ngroups?.read(space, at).ok();
        let count = count.filter(|count| *count <= MOST)?;
        let mut bits = vec![0; usize::try_from(count.div_ceil(8)).ok()?];
        space.read(groups, &mut bits).ok()?;
        let ones = bits.iter().map(|byte| u64::from(byte.count_ones()));
        Some(ones.sum())
    }
}

/// The families of a table's sockets.
fn expected(protocol: Protocol) -> &'static [u16] {
    match protocol {
        Protocol::Tcp
        | Protocol::Request(_)
        | Protocol::Udp
        | Protocol::UdpLite
        | Protocol::Raw => &[AF_INET, AF_INET6],
        Protocol::Unix => &[AF_UNIX],
        Protocol::Netlink(_) => &[AF_NETLINK],
        Protocol::Packet => &[AF_PACKET],
    }
}
