//! Rows of the network: sockets, and interfaces with their addresses.

use core::net::IpAddr;

use osier_memory::VirtAddr;

use crate::Seen;

/// What led to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketSource {
    /// A descriptor, and the table of its protocol.
    Both,
    /// A descriptor alone.
    Descriptor,
    /// The table alone: no descriptor of any process leads to it.
    Table,
}

impl SocketSource {
    /// The word that rows know it by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Descriptor => "descriptor",
            Self::Table => "table",
        }
    }
}

/// A socket, by one of the descriptors that lead to it, or by none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Id of the process that has a descriptor of it; not applicable to a socket that nobody has one of.
    pub pid: Seen<u32>,
    /// The descriptor; not applicable likewise.
    pub fd: Seen<u32>,
    /// Family of its protocol, `AF_…`: `skc_family`.
    pub family: Seen<u16>,
    /// Its type, `SOCK_…`: `sk_type`.
    pub kind: Seen<u16>,
    /// Its protocol, by its family's numbers: `sk_protocol`; of a packet socket the type of frames, `num`. Not
    /// applicable to a UNIX socket.
    pub protocol: Seen<u16>,
    /// Its own address. IPv4 and IPv6: where it is bound or connected. Netlink: its groups, as a
    /// number in hexadecimal. Not applicable to others.
    pub local: Seen<String>,
    /// Its own port. Netlink: its port id. Not applicable to others and to raw sockets.
    pub local_port: Seen<u32>,
    /// The other end's address; not applicable to what is not connected.
    pub remote: Seen<String>,
    /// The other end's port; likewise.
    pub remote_port: Seen<u32>,
    /// Its state, in a word: `established`, `listen`, `time-wait` and so on. UNIX: `listen`, `established`, `connecting`
    /// (nobody has accepted it) and `unconnected`. Not applicable to netlink and packet sockets.
    pub state: Seen<&'static str>,
    /// Number of its inode, by which `/proc/PID/fd` calls it; 0 when no file is of it.
    pub inode: Seen<u64>,
    /// The name of a UNIX socket, as `/proc/net/unix` shows it: with `@` for NUL where it is abstract; not applicable to
    /// others and to one without a name. Bytes.
    pub path: Seen<Vec<u8>>,
    /// Number of its network namespace.
    pub netns: Seen<u32>,
    /// Its `struct sock`, or what stands for it: `inet_timewait_sock`, `request_sock`.
    pub address: VirtAddr,
    /// What waits to be received: bytes, of a listener connections. Not applicable to UNIX sockets and to what is no
    /// whole socket.
    pub recv_queue: Seen<u64>,
    /// What waits to be sent or acknowledged: bytes. TCP, UDP and raw sockets.
    pub send_queue: Seen<u64>,
    /// Number of the interface that it is bound to; not applicable to what is bound to none.
    pub interface: Seen<u32>,
    /// What led to it.
    pub found_by: SocketSource,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Number of its network namespace.
    pub netns: Seen<u32>,
    /// Its number in it: `ifindex`.
    pub index: Seen<u32>,
    /// Its name. Bytes.
    pub name: Seen<Vec<u8>>,
    /// What it is and does, as `ip link` shows it, `IFF_…`: `flags`, `gflags`, `operstate` and `state`.
    pub flags: Seen<u32>,
    /// Its address on the wire: `dev_addr`; not applicable to an interface without.
    pub mac: Seen<Vec<u8>>,
    /// Its addresses and the lengths of their prefixes: IPv4, then IPv6, each in the kernel's order.
    pub addresses: Seen<Vec<(IpAddr, u8)>>,
    /// The longest packet that it sends: `mtu`, in bytes.
    pub mtu: Seen<u64>,
    /// Its `net_device`.
    pub address: VirtAddr,
}
