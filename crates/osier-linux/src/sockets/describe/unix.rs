//! A UNIX socket: its state and its name.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};
use osier_profile::Resolver;

use crate::Linux;
use crate::layouts::Sock;
use crate::sockets::layouts::{Common, UnixAddress, UnixSock};
use crate::sockets::numbers::{AF_UNIX, CLOSE, ESTABLISHED, LISTEN, word};

/// Longest name of a UNIX socket: `sizeof(struct sockaddr_un)`, and where the path begins in it.
const UNIX_NAME: u64 = 110;
const UNIX_PATH: u64 = 2;

/// Reads them.
pub(super) struct Unix<'a> {
    linux: &'a Linux,
    common: Common,
    sock: Sock,
    own: UnixSock,
    address: UnixAddress,
}

impl<'a> Unix<'a> {
    pub(super) fn resolve(resolver: &mut Resolver<'_>, linux: &'a Linux) -> Self {
        Self {
            linux,
            common: Common::resolve(resolver),
            sock: Sock::resolve(resolver),
            own: UnixSock::resolve(resolver),
            address: UnixAddress::resolve(resolver),
        }
    }

    /// The word of its state.
    pub(super) fn state(&self, at: VirtAddr, state: u64) -> Seen<&'static str> {
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
    pub(super) fn name(&self, at: VirtAddr) -> Seen<Vec<u8>> {
        let field = self.own.addr.ok_or_else(Absent::not_in_this_kernel)?;
        let guest = &self.linux.guest;
        let address = field.read(&guest.space, at)?;
        if address.is_null() {
            let bound = self.own.dentry.map(|field| field.read(&guest.space, at));
            if matches!(bound, Some(Ok(bound)) if !bound.is_null()) {
                let rule = "a socket that is bound to a file has a name (addr, path)";
                return Err(Absent::implausible(0, rule, Some(field.place(at))));
            }
            return Err(Absent::not_applicable("it has no name"));
        }
        let (Some(len), Some(name)) = (self.address.len, self.address.name) else {
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
            let end = path.pop();
            if end != Some(0) || path.contains(&0) {
                let rule = "a path ends with its first NUL (name)";
                return Err(Absent::implausible(bytes, rule, Some(name.place(address))));
            }
        }
        for byte in &mut path {
            if *byte == 0 {
                *byte = b'@';
            }
        }
        Ok(path)
    }
}
