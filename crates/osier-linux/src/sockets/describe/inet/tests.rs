use osier_osi::Seen;

use super::{AF_INET, AF_INET6, Inet, Of};
use crate::toy::{Is, Toy};

/// Its own port.
const OWN: u32 = 8080;

/// What an end is: its address and its port.
type End = (Seen<String>, Seen<u32>);

fn ends(toy: &Toy, at: osier_memory::VirtAddr, of: Of, family: u16) -> [End; 2] {
    let guest = toy.guest();
    let profile = guest.profile.clone();
    let mut resolver = osier_profile::Resolver::new(&profile);
    let inet = Inet::resolve(&mut resolver, &guest);
    [false, true].map(|remote| {
        let address = inet.address(at, of, &Ok(family), remote);
        (address, inet.port(at, of, remote))
    })
}

fn told(address: &str, port: u32) -> End {
    (Ok(address.to_owned()), Ok(port))
}

/// Where the ends of a socket of IPv4 stand: of 2.6.32, of 2.6.33 to 2.6.37, of 2.6.38 to 3.7, and since.
#[test]
fn both_ends_of_each_shape() {
    for (version, daddr, rcv_saddr, num, dport) in [
        ("2.6.32", "daddr", "rcv_saddr", "num", "dport"),
        (
            "2.6.33",
            "inet_daddr",
            "inet_rcv_saddr",
            "inet_num",
            "inet_dport",
        ),
        ("2.6.38", "", "", "inet_num", "inet_dport"),
        ("3.8", "", "", "", ""),
    ] {
        let mut toy = Toy::new();
        let places = [
            (daddr, "skc_daddr", 0, 4),
            (rcv_saddr, "skc_rcv_saddr", 4, 4),
            (num, "skc_num", 8, 2),
            (dport, "skc_dport", 10, 2),
        ];
        let of_common = places.iter().filter(|(own, ..)| own.is_empty());
        let members = of_common.map(|(_, name, at, bytes)| (*name, *at, Is::Int(*bytes)));
        toy.structure("sock_common", 64, &members.collect::<Vec<_>>());
        let own = places.iter().filter(|(own, ..)| !own.is_empty());
        let members = own.map(|(name, _, at, bytes)| (*name, *at, Is::Int(*bytes)));
        toy.structure("inet_sock", 64, &members.collect::<Vec<_>>());
        let at = toy.room(64, 8);
        toy.memory
            .write_bytes(Toy::pa(at), &[10, 0, 0, 9, 127, 0, 0, 1]);
        let ports = OWN | u32::from(443_u16.swap_bytes()) << 16;
        toy.put_u32(at, 8, ports);
        let expected = [told("127.0.0.1", OWN), told("10.0.0.9", 443)];
        assert_eq!(ends(&toy, at, Of::Sock, AF_INET), expected, "{version}");
    }
}

const LOOPBACK: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const OTHER: [u8; 16] = [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// Until v3.12 addresses of IPv6 stand outside of what all sockets begin with (3.10.105).
#[test]
fn addresses_of_ipv6_before_sockets_had_them() {
    let mut toy = Toy::new();
    let ports = [("skc_num", 8, Is::Int(2)), ("skc_dport", 10, Is::Int(2))];
    toy.structure("sock_common", 32, &ports);
    toy.structure("inet_sock", 64, &[("pinet6", 32, Is::Pointer)]);
    let pair = |own, other| [(own, 16, Is::Words(2)), (other, 32, Is::Words(2))];
    toy.structure("ipv6_pinfo", 64, &pair("rcv_saddr", "daddr"));
    let waiting = [("tw_ipv6_offset", 34, Is::Int(2))];
    toy.structure("inet_timewait_sock", 40, &waiting);
    let members = pair("tw_v6_rcv_saddr", "tw_v6_daddr");
    toy.structure("inet6_timewait_sock", 48, &members);
    let request = [
        ("inet6_rsk_offset", 40, Is::Int(2)),
        ("loc_addr", 44, Is::Int(4)),
        ("rmt_addr", 48, Is::Int(4)),
        ("rmt_port", 52, Is::Int(2)),
    ];
    toy.structure("inet_request_sock", 56, &request);
    toy.structure("inet6_request_sock", 48, &pair("loc_addr", "rmt_addr"));

    let (socket, pinfo) = (toy.room(64, 8), toy.room(64, 8));
    toy.put(socket, 32, pinfo.0);
    let waiting = toy.room(128, 8);
    toy.put_u32(waiting, 32, 64 << 16);
    let request = toy.room(128, 8);
    toy.put_u32(request, 40, 64);
    let remote = u32::from(443_u16.swap_bytes());
    toy.put_u32(request, 52, remote);
    for (at, of) in [
        (pinfo, Of::Sock),
        (waiting.plus(64), Of::TimeWait),
        (request.plus(64), Of::Request),
    ] {
        toy.memory.write_bytes(Toy::pa(at.plus(16)), &LOOPBACK);
        toy.memory.write_bytes(Toy::pa(at.plus(32)), &OTHER);
        let object = match of {
            Of::Sock => socket,
            Of::TimeWait => waiting,
            Of::Request => request,
        };
        toy.put_u32(object, 8, OWN | remote << 16);
        let [own, other] = ends(&toy, object, of, AF_INET6);
        assert_eq!(own.0, Ok("::1".to_owned()), "{of:?}");
        assert_eq!(other, told("fd00:1::2", 443), "{of:?}");
    }
    // What would lie inside of what it is behind.
    toy.put_u32(waiting, 32, 8 << 16);
    toy.put(socket, 32, 0x1234);
    for (at, of) in [(waiting, Of::TimeWait), (socket, Of::Sock)] {
        let [own, other] = ends(&toy, at, of, AF_INET6);
        assert!(own.0.is_err() && other.0.is_err(), "{of:?}");
    }

    toy.memory
        .write_bytes(Toy::pa(request.plus(44)), &[127, 0, 0, 1, 10, 0, 0, 9]);
    let [own, other] = ends(&toy, request, Of::Request, AF_INET);
    assert_eq!(own.0, Ok("127.0.0.1".to_owned()));
    assert_eq!(other, told("10.0.0.9", 443));
}
