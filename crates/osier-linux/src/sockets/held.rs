//! What a socket says twice, or its table says of it.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, Socket};

use super::describe::{Describer, swapped};
use super::numbers::{
    CLOSE, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, LISTEN, SOCK_DGRAM, SOCK_PACKET, SOCK_RAW,
    SOCK_SEQPACKET, SOCK_STREAM,
};
use super::tables::{Entry, Protocol};

/// All types.
const KINDS: [u16; 7] = [1, 2, 3, 4, 5, 6, 10];

impl Describer<'_> {
    /// The type, which the file system's half says, too.
    pub(super) fn kind(&self, at: VirtAddr, entry: Option<Entry>) -> Seen<u16> {
        let kind = self.small(self.sock.sk_type, at)?;
        let place = self.sock.sk_type.map(|field| field.place(at));
        let known: &[u16] = entry.map_or(&KINDS, |entry| match entry.protocol {
            Protocol::Tcp => &[SOCK_STREAM],
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
    pub(super) fn protocol(&self, at: VirtAddr, entry: Option<Entry>) -> Seen<u16> {
        let protocol = self.small(self.sock.sk_protocol, at)?;
        let expected = entry.and_then(|entry| match entry.protocol {
            Protocol::Tcp => Some(IPPROTO_TCP),
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

    /// Its own port, of TCP and UDP. In a table it has one, which stands there twice.
    pub(super) fn own_port(&self, at: VirtAddr, entry: Option<Entry>) -> Seen<u32> {
        let port = self.port(at, false)?;
        let of_ports = matches!(
            entry.map(|entry| entry.protocol),
            Some(Protocol::Tcp | Protocol::Udp | Protocol::UdpLite)
        );
        let place = self
            .common
            .skc_num
            .or(self.inet.num)
            .map(|field| field.place(at));
        let implausible = |rule| Err(Absent::implausible(port.into(), rule, place));
        if of_ports && port == 0 {
            return implausible("a socket in a table has a port (skc_num)");
        }
        let twin = self.inet.inet_sport.filter(|_| of_ports);
        let twin = twin.map(|field| field.read(&self.linux.guest.space, at));
        if matches!(twin, Some(Ok(twin)) if u32::from(swapped(twin)) != port) {
            return implausible("a socket's port stands in it twice (skc_num, inet_sport)");
        }
        Ok(port)
    }

    /// Holds the other end of a socket of TCP or UDP against its state.
    pub(super) fn ends_fit(&self, at: VirtAddr, socket: &mut Socket, state: &Seen<u64>) {
        let tcp = match (&socket.protocol, &socket.kind) {
            (Ok(IPPROTO_TCP), Ok(SOCK_STREAM)) => true,
            (Ok(IPPROTO_UDP | IPPROTO_UDPLITE), Ok(SOCK_DGRAM)) => false,
            _ => return,
        };
        let place = self.common.skc_dport.or(self.inet.dport);
        let place = place.map(|field| field.place(at));
        // A connection of TCP that was reset has its ends still.
        let alone = matches!((tcp, state), (true, Ok(LISTEN)) | (false, Ok(CLOSE)));
        let connected = tcp && matches!(state, Ok(state) if ![LISTEN, CLOSE].contains(state));
        if alone {
            let rule = "what is not connected has no other end (skc_daddr, skc_dport)";
            if let Ok(port) = socket.remote_port {
                socket.remote_port = Err(Absent::implausible(port.into(), rule, place));
            }
            if socket.remote.is_ok() {
                socket.remote = Err(Absent::implausible(0, rule, place));
            }
        } else if connected && matches!(&socket.remote_port, Err(absent) if !absent.is_loss()) {
            let rule = "a connection has another end (skc_dport)";
            socket.remote_port = Err(Absent::implausible(0, rule, place));
        }
    }

    /// So many bytes that were sent and not acknowledged, which the socket holds until they are. The first and
    /// the last packet of a connection count as a byte each.
    pub(super) fn held(&self, at: VirtAddr, sent: u64) -> Seen<u64> {
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
}
