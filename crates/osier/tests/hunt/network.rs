//! What the network says twice: with one word of it changed, the answer says that it is lost.

use osier::FileKind;
use osier_testkit::need::Real;

use crate::machine::Machine;

/// What IPv4 or IPv6 keeps of an interface cannot be missing where it can send the protocol's packets.
pub(crate) fn an_interface_that_no_protocol_keeps(real: &Real) {
    for member in ["ip_ptr", "ip6_ptr"] {
        let mut machine = Machine::of(real);
        let interfaces = machine.guest().interfaces();
        let named = |name: &osier::Seen<Vec<u8>>| matches!(name, Ok(name) if name != b"lo");
        let all: Vec<_> = interfaces.filter(|row| named(&row.name)).collect();
        let device = all.iter().find(|row| row.addresses.is_ok()).unwrap();
        let place = machine.place("net_device", device.address, member);
        machine.put_pointer(place, osier::VirtAddr(0));
        let mut answer = machine.guest().interfaces();
        let lost: Vec<_> = answer
            .by_ref()
            .filter(|row| row.addresses.is_err())
            .collect();
        let [row] = lost.as_slice() else {
            panic!("{} {member}: {lost:#?}", real.name);
        };
        assert_eq!(row.address, device.address);
        let is_lost = matches!(&row.addresses, Err(absent) if absent.is_loss());
        assert!(is_lost, "{} {member}: {row:?}", real.name);
    }
}

/// Connections in the rest of the table would be missing.
pub(crate) fn a_table_of_connections_that_says_to_be_smaller(real: &Real) {
    let mut machine = Machine::of(real);
    let table = machine.symbol("tcp_hashinfo");
    let place = machine.place("inet_hashinfo", table, "ehash_mask");
    let mask = u32::from_le_bytes(machine.bytes(place));
    assert!(mask.trailing_ones() > 8 && machine.guest().sockets().all(|_| true));
    for fewer in [mask >> 1, mask >> 4, 0, mask - 1] {
        machine.put(place, &fewer.to_le_bytes());
        let mut answer = machine.guest().sockets();
        let _ = answer.by_ref().count();
        assert!(!answer.is_complete(), "{}: {fewer:#x}", real.name);
    }
}

/// A descriptor of a socket whose file has the inode of another, and so may be of another kind, may still hold it.
pub(crate) fn a_socket_whose_file_has_another_inode(real: &Real) {
    let mut machine = Machine::of(real);
    let files: Vec<_> = machine.guest().files(None).collect();
    let of = |wanted: &FileKind| {
        let mut all = files.iter().filter(|row| row.kind.as_ref() == Ok(wanted));
        all.find_map(|row| row.filed.clone().ok()).unwrap()
    };
    let (socket, regular) = (of(&FileKind::Socket), of(&FileKind::Regular));
    let place = |file| machine.place("file", file, "f_inode");
    let (place, inode) = (place(socket), machine.pointer(place(regular)));
    assert!(machine.guest().sockets().all(|_| true));
    machine.put_pointer(place, inode);
    let mut answer = machine.guest().sockets();
    let _ = answer.by_ref().count();
    assert!(!answer.is_complete(), "{}", real.name);
}
