//! Rows about the network.

use crate::filling::{Bytes, shown};

/// A socket, by one of the descriptors that lead to it, or by none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of the process that has a descriptor of it.
    pub pid: u64,
    /// The descriptor.
    pub fd: u64,
    /// Family of its protocol, in a word.
    pub family: Bytes,
    /// Its type, in a word.
    pub r#type: Bytes,
    /// Its protocol, in a word.
    pub protocol: Bytes,
    /// Its own address.
    pub local: Bytes,
    /// Its own port.
    pub local_port: u64,
    /// The other end's address.
    pub remote: Bytes,
    /// The other end's port.
    pub remote_port: u64,
    /// Its state, in a word.
    pub state: Bytes,
    /// Number of its inode; 0 when it has none.
    pub inode: u64,
    /// The name of a UNIX socket.
    pub path: Bytes,
    /// Number of its network namespace.
    pub netns: u64,
    /// Address of its `struct sock`.
    pub address: u64,
    /// What waits to be received.
    pub recv_queue: u64,
    /// What waits to be sent or acknowledged.
    pub send_queue: u64,
    /// Number of the interface that it is bound to.
    pub interface: u64,
    /// What leads to it: descriptor, table, or both.
    pub found_by: Bytes,
}

shown!(Socket: pid, fd, family, r#type, protocol, local, local_port, remote, remote_port, state, inode, path, netns, address, recv_queue, send_queue, interface, found_by);

/// A network interface.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Interface {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Number of its network namespace.
    pub netns: u64,
    /// Its number.
    pub index: u64,
    /// Its name.
    pub name: Bytes,
    /// What it is and does, in words.
    pub flags: Bytes,
    /// Its address on the wire.
    pub mac: Bytes,
    /// Its addresses, each with the length of its prefix.
    pub addresses: Bytes,
    /// The longest packet that it sends.
    pub mtu: u64,
    /// Address of its `net_device`.
    pub address: u64,
}

shown!(Interface: netns, index, name, flags, mac, addresses, mtu, address);
