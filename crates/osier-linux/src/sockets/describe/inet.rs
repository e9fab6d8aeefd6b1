//! The two ends of a socket of IPv4 or IPv6: addresses and ports.

use core::net::{Ipv4Addr, Ipv6Addr};

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, Socket};
use osier_profile::{Field, Resolver, UInt};

use crate::Linux;
use crate::sockets::layouts::{Common, InetSock};
use crate::sockets::numbers::{
    AF_INET, AF_INET6, CLOSE, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, LISTEN, SOCK_DGRAM,
    SOCK_STREAM, swapped,
};
use crate::sockets::tables::{Entry, Protocol};

/// Reads both ends.
pub(super) struct Inet<'a> {
    linux: &'a Linux,
    common: Common,
    own: InetSock,
}

impl<'a> Inet<'a> {
    pub(super) fn resolve(resolver: &mut Resolver<'_>, linux: &'a Linux) -> Self {
        Self {
            linux,
            common: Common::resolve(resolver),
            own: InetSock::resolve(resolver),
        }
    }

    fn value(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.linux.guest.space, base)?)
    }

    /// Its own port.
    fn number(&self, at: VirtAddr) -> Seen<u32> {
        let value = self.value(self.common.skc_num.or(self.own.num), at)?;
        u32::try_from(value).map_err(|_| Absent::implausible(value, "a number of 32 bits", None))
    }

    /// An address of IPv4 or IPv6; of the other end not applicable where there is none.
    pub(super) fn address(&self, at: VirtAddr, family: &Seen<u16>, remote: bool) -> Seen<String> {
        let common = &self.common;
        let space = &self.linux.guest.space;
        let unconnected = || Err(Absent::not_applicable("it is not connected"));
        match family.clone()? {
            AF_INET => {
                let field = if remote {
                    common.skc_daddr.or(self.own.daddr)
                } else {
                    common.skc_rcv_saddr.or(self.own.rcv_saddr)
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

    pub(super) fn port(&self, at: VirtAddr, remote: bool) -> Seen<u32> {
        if !remote {
            return self.number(at);
        }
        match self.value(self.common.skc_dport.or(self.own.dport), at)? {
            0 => Err(Absent::not_applicable("it is not connected")),
            port => Ok(u32::from(swapped(port))),
        }
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
            .or(self.own.num)
            .map(|field| field.place(at));
        let implausible = |rule| Err(Absent::implausible(port.into(), rule, place));
        if of_ports && port == 0 {
            return implausible("a socket in a table has a port (skc_num)");
        }
        let twin = self.own.inet_sport.filter(|_| of_ports);
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
        let place = self.common.skc_dport.or(self.own.dport);
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
}
