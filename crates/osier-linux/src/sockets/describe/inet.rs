//! The two ends of a socket of IPv4 or IPv6: addresses and ports.

use core::net::{Ipv4Addr, Ipv6Addr};

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, Socket};
use osier_profile::{Embed, Field, Resolver, UInt};

use crate::guest::Guest;
use crate::sockets::layouts::{Common, InetSock, Ipv6, TimeWait, TimeWait6};
use crate::sockets::numbers::{
    AF_INET, AF_INET6, CLOSE, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, LISTEN, SOCK_DGRAM,
    SOCK_STREAM, swapped,
};
use crate::sockets::requests::layouts::{Inet6Request, InetRequest};
use crate::sockets::tables::{Entry, Protocol};

/// Reads both ends.
pub(super) struct Inet<'a> {
    guest: &'a Guest,
    common: Common,
    own: InetSock,
    own6: Ipv6,
    waiting: TimeWait,
    waiting6: TimeWait6,
    request: InetRequest,
    request6: Inet6Request,
}

/// What has the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A socket.
    Sock,
    /// An `inet_timewait_sock`.
    TimeWait,
    /// A `request_sock` of a listener's own table.
    Request,
}

impl<'a> Inet<'a> {
    pub(super) fn resolve(resolver: &mut Resolver<'_>, guest: &'a Guest) -> Self {
        Self {
            guest,
            common: Common::resolve(resolver),
            own: InetSock::resolve(resolver),
            own6: Ipv6::resolve(resolver),
            waiting: TimeWait::resolve(resolver),
            waiting6: TimeWait6::resolve(resolver),
            request: InetRequest::resolve(resolver),
            request6: Inet6Request::resolve(resolver),
        }
    }

    fn value(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.guest.space, base)?)
    }

    /// Where its ports stand: its own, and the other's.
    fn ports(&self, of: Of) -> (Option<Field<UInt>>, Option<Field<UInt>>) {
        let before = match of {
            Of::Sock => (self.own.num, self.own.dport),
            Of::TimeWait => (self.waiting.num, self.waiting.dport),
            Of::Request if self.request.rmt_port.is_some() => return (None, self.request.rmt_port),
            Of::Request => (None, None),
        };
        (
            self.common.skc_num.or(before.0),
            self.common.skc_dport.or(before.1),
        )
    }

    /// An address of IPv4 or IPv6; of the other end not applicable where there is none.
    pub(super) fn address(
        &self,
        at: VirtAddr,
        of: Of,
        family: &Seen<u16>,
        remote: bool,
    ) -> Seen<String> {
        let common = &self.common;
        let space = &self.guest.space;
        let unconnected = || Err(Absent::not_applicable("it is not connected"));
        match family.clone()? {
            AF_INET => {
                let before = match (of, remote) {
                    (Of::Sock, true) => self.own.daddr,
                    (Of::Sock, false) => self.own.rcv_saddr,
                    (Of::TimeWait, true) => self.waiting.daddr,
                    (Of::TimeWait, false) => self.waiting.rcv_saddr,
                    (Of::Request, true) => self.request.rmt_addr,
                    (Of::Request, false) => self.request.loc_addr,
                };
                let now = if remote {
                    common.skc_daddr
                } else {
                    common.skc_rcv_saddr
                };
                // A request began as a socket does later than sockets had their addresses there.
                let field = if of == Of::Request {
                    before.or(now)
                } else {
                    now.or(before)
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
                let place = match field {
                    Some(field) => field.place(at),
                    None => self.place6(at, of, remote)?,
                };
                let mut bytes = [0; 16];
                space.read(place, &mut bytes)?;
                if remote && bytes == [0; 16] {
                    return unconnected();
                }
                Ok(Ipv6Addr::from(bytes).to_string())
            }
            _ => Err(Absent::not_applicable("its family has no addresses here")),
        }
    }

    /// Where an address of IPv6 stands in kernels that keep them outside `sock_common`.
    fn place6(&self, at: VirtAddr, of: Of, remote: bool) -> Seen<VirtAddr> {
        let guest = self.guest;
        let one =
            |daddr: Option<Field<Embed<()>>>, rcv_saddr| if remote { daddr } else { rcv_saddr };
        let (field, base) = match of {
            Of::Sock => {
                let pinet6 = self.own.pinet6.ok_or_else(Absent::not_in_this_kernel)?;
                let base = pinet6.read(&guest.space, at)?;
                if !guest.can_be_object(base) {
                    let rule =
                        "what IPv6 keeps of a socket is an aligned address of the kernel (pinet6)";
                    return Err(Absent::implausible(base.0, rule, Some(pinet6.place(at))));
                }
                (one(self.own6.daddr, self.own6.rcv_saddr), base)
            }
            Of::TimeWait => {
                let offset = self.waiting.tw_ipv6_offset;
                let offset = offset.ok_or_else(Absent::not_in_this_kernel)?;
                let behind = offset.read(&guest.space, at)?;
                if behind < self.waiting.size {
                    let rule =
                        "the addresses of IPv6 lie behind an inet_timewait_sock (tw_ipv6_offset)";
                    return Err(Absent::implausible(behind, rule, Some(offset.place(at))));
                }
                let field = one(self.waiting6.daddr, self.waiting6.rcv_saddr);
                (field, at.plus(behind))
            }
            Of::Request => {
                let offset = self.request.inet6_rsk_offset;
                let offset = offset.ok_or_else(Absent::not_in_this_kernel)?;
                let behind = offset.read(&guest.space, at)?;
                if behind < self.request.size {
                    let rule =
                        "the addresses of IPv6 lie behind an inet_request_sock (inet6_rsk_offset)";
                    return Err(Absent::implausible(behind, rule, Some(offset.place(at))));
                }
                let field = one(self.request6.rmt_addr, self.request6.loc_addr);
                (field, at.plus(behind))
            }
        };
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.place(base))
    }

    pub(super) fn port(&self, at: VirtAddr, of: Of, remote: bool) -> Seen<u32> {
        let (own, other) = self.ports(of);
        if !remote {
            let value = self.value(own, at)?;
            return u32::try_from(value)
                .map_err(|_| Absent::implausible(value, "a number of 32 bits", None));
        }
        match self.value(other, at)? {
            0 => Err(Absent::not_applicable("it is not connected")),
            port => Ok(u32::from(swapped(port))),
        }
    }

    /// Its own port, of TCP and UDP. In a table it has one, which stands there twice.
    pub(super) fn own_port(&self, at: VirtAddr, entry: Option<Entry>) -> Seen<u32> {
        let port = self.port(at, Of::Sock, false)?;
        let of_ports = matches!(
            entry.map(|entry| entry.protocol),
            Some(Protocol::Tcp | Protocol::Udp | Protocol::UdpLite)
        );
        let place = self.ports(Of::Sock).0.map(|field| field.place(at));
        let implausible = |rule| Err(Absent::implausible(port.into(), rule, place));
        if of_ports && port == 0 {
            return implausible("a socket in a table has a port (skc_num)");
        }
        let twin = self.own.inet_sport.filter(|_| of_ports);
        let twin = twin.map(|field| field.read(&self.guest.space, at));
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
        let place = self.ports(Of::Sock).1.map(|field| field.place(at));
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

#[cfg(test)]
mod tests;
