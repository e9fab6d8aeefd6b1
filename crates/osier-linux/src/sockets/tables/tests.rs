#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::VirtAddr;
use osier_osi::{Guard, WalkEnds};

use super::{Entry, Protocol, Tables, Walk};
use crate::hashes::{Chains, MOST_OBJECTS};
use crate::toy::{Is, Toy};

/// Until v4.6 the chains of listeners end with the bucket's number, and their head is called `head` (4.4.155).
#[test]
fn how_chains_of_listeners_end_is_told_by_what_their_head_is() {
    for (head, chains) in [
        ("hlist_nulls_head", Chains::Nulls),
        ("hlist_head", Chains::Plain),
    ] {
        let mut toy = Toy::new();
        let members = [("lock", 0, Is::Int(4)), ("head", 8, Is::Struct(head, 8))];
        toy.structure("inet_listen_hashbucket", 16, &members);
        let tables = toy.resolve(Tables::resolve);
        assert_eq!(tables.listening_chains, chains, "{head}");
    }
}

const NODE: u64 = 16;
const STATE: u64 = 32;

/// `sock_common`, as far as tables read it.
fn common(toy: &mut Toy) {
    let members = [
        ("skc_node", 16, Is::Struct("hlist_node", 16)),
        ("skc_state", 32, Is::Int(1)),
    ];
    toy.structure("sock_common", 48, &members);
}

/// What a walk of the sockets found, in its order, and how it ended.
fn walked(
    toy: &Toy,
    before: &[(VirtAddr, Protocol)],
    walk: impl Fn(&mut Walk<'_>),
) -> (Vec<(VirtAddr, Protocol)>, WalkEnds) {
    let tables = toy.resolve(Tables::resolve);
    let guest = toy.guest();
    let mut ends = WalkEnds::default();
    let mut entries = HashMap::new();
    for (order, (at, protocol)) in before.iter().enumerate() {
        let protocol = *protocol;
        entries.insert(*at, Entry { protocol, order });
    }
    let mut made = Walk {
        tables: &tables,
        guest: &guest,
        ends: &mut ends,
        met: Guard::new(MOST_OBJECTS),
        entries,
    };
    walk(&mut made);
    let mut found: Vec<_> = made.entries.into_iter().collect();
    found.sort_by_key(|(_, entry)| entry.order);
    let found = found.iter().map(|(at, entry)| (*at, entry.protocol));
    (found.collect(), ends)
}

fn netlink(walk: &mut Walk<'_>) {
    walk.netlink();
}

fn requests_of(walk: &mut Walk<'_>) {
    walk.requests();
}

/// A chain of sockets by their `skc_node`, from the head at `head`.
fn chain(toy: &mut Toy, head: VirtAddr, sockets: &[VirtAddr]) {
    let mut from = head;
    for socket in sockets {
        let node = socket.plus(NODE);
        toy.put(from, 0, node.0);
        toy.put(node, 8, from.0);
        from = node;
    }
    toy.put(from, 0, 0);
}

/// Netlink's tables of 2.6.32 to 3.16: buckets by port id, that sockets are in by their own link (3.10.105).
#[test]
fn netlink_sockets_by_port() {
    for name in ["nl_pid_hash", "nl_portid_hash"] {
        let mut toy = Toy::new();
        common(&mut toy);
        let members = [
            ("table", 0, Is::Pointer),
            ("rehash_time", 8, Is::Int(8)),
            ("mask", 16, Is::Int(4)),
            ("shift", 20, Is::Int(4)),
            ("entries", 24, Is::Int(4)),
        ];
        toy.structure(name, 48, &members);
        toy.structure("netlink_table", 64, &[("hash", 0, Is::Struct(name, 48))]);
        let (symbol, first) = (toy.room(8, 8), toy.room(32 * 64, 8));
        toy.symbol("nl_table", symbol);
        toy.put(symbol, 0, first.0);
        let mut sockets = Vec::new();
        for protocol in 0..32 {
            let at = first.plus(protocol * 64);
            let buckets = if protocol == 16 { 4 } else { 1 };
            let table = toy.room(buckets * 8, 8);
            toy.put(at, 0, table.0);
            toy.put_u32(at, 16, buckets as u32 - 1);
            for bucket in 0..buckets {
                let count = match (protocol, bucket) {
                    (0 | 15, 0) | (16, 3) => 2,
                    (16, 1) => 1,
                    _ => 0,
                };
                let own: Vec<_> = (0..count).map(|_| toy.room(48, 8)).collect();
                chain(&mut toy, table.plus(bucket * 8), &own);
                let protocol = Protocol::Netlink(protocol as u16);
                sockets.extend(own.into_iter().map(|at| (at, protocol)));
            }
            let of_it = Protocol::Netlink(protocol as u16);
            let count = sockets.iter().filter(|(_, of)| *of == of_it).count();
            toy.put_u32(at, 24, count as u32);
        }
        let (found, ends) = walked(&toy, &[], netlink);
        assert_eq!(found, sockets, "{name}");
        assert!(ends.is_complete(), "{name}: {ends}");

        // A number that is not that of the sockets, and a protocol without a table.
        let mut wrong = toy.clone();
        wrong.put_u32(first.plus(16 * 64), 24, 4);
        let (found, ends) = walked(&wrong, &[], netlink);
        assert_eq!(found, sockets, "{name}");
        assert!(!ends.is_complete(), "{name}");
        let mut wrong = toy.clone();
        wrong.put(first, 0, 0);
        let (found, ends) = walked(&wrong, &[], netlink);
        assert_eq!(found, sockets[2..], "{name}");
        assert!(!ends.is_complete(), "{name}");
        let mut wrong = toy.clone();
        wrong.put_u32(first.plus(16 * 64), 16, 4);
        let (_, ends) = walked(&wrong, &[], netlink);
        assert!(!ends.is_complete(), "{name}");
    }
}

/// Damages a listener's table: those of both listeners, and the last request.
type Harm = fn(&mut Toy, &[VirtAddr], VirtAddr);

/// Until v4.3 a listener keeps what it was asked for in a table of its own (3.10.105).
#[test]
fn what_a_listener_was_asked_for() {
    const LISTEN_OPT: u64 = 64;
    let mut toy = Toy::new();
    common(&mut toy);
    let queue = [("listen_opt", 16, Is::Pointer)];
    toy.structure("request_sock_queue", 24, &queue);
    let of_queue = Is::Struct("request_sock_queue", 24);
    let members = [("icsk_accept_queue", 48, of_queue)];
    toy.structure("inet_connection_sock", 96, &members);
    let members = [
        ("qlen", 4, Is::Int(4)),
        ("nr_table_entries", 20, Is::Int(4)),
        ("syn_table", 24, Is::Words(0)),
    ];
    toy.structure("listen_sock", 24, &members);
    toy.structure("request_sock", 16, &[("dl_next", 0, Is::Pointer)]);
    let (listener, other, connected) = (toy.room(96, 8), toy.room(96, 8), toy.room(96, 8));
    let mut table = toy.clone();
    let requests: Vec<_> = (0..3).map(|_| table.room(16, 8)).collect();
    for (socket, state) in [(listener, 10), (other, 10), (connected, 1)] {
        table.put(socket, STATE, state);
    }
    let mut own = Vec::new();
    for (socket, count) in [(listener, 3), (other, 0)] {
        let at = table.room(24 + 8 * 8, 8);
        table.put(socket, LISTEN_OPT, at.0);
        table.put_u32(at, 4, count);
        table.put_u32(at, 20, 8);
        own.push(at);
    }
    table.put(own[0], 24 + 2 * 8, requests[0].0);
    table.put(requests[0], 0, requests[1].0);
    table.put(own[0], 24 + 7 * 8, requests[2].0);
    let tcp = [listener, other, connected].map(|at| (at, Protocol::Tcp));
    let (found, ends) = walked(&table, &tcp, requests_of);
    assert!(ends.is_complete(), "{ends}");
    let expected = requests.iter().map(|at| (*at, Protocol::Request(listener)));
    assert_eq!(found[3..], expected.collect::<Vec<_>>());

    // A number that is another, a chain that goes round, a table that leads nowhere, one of too many buckets.
    let harms: [Harm; 4] = [
        |toy, own, _| toy.put_u32(own[0], 4, 2),
        |toy, own, last| {
            let first = toy.guest().space.read_uint(own[0].plus(40), 8);
            toy.put(last, 0, first.unwrap());
        },
        |toy, own, _| toy.put(own[0], 24, 0x1234),
        |toy, own, _| toy.put_u32(own[0], 20, 1 << 30),
    ];
    for harm in harms {
        let mut harmed = table.clone();
        harm(&mut harmed, &own, requests[2]);
        let (_, ends) = walked(&harmed, &tcp, requests_of);
        assert!(!ends.is_complete());
    }
}

/// 2.6.32 has its 128 buckets of UDP in the table itself.
#[test]
fn udp_sockets_of_a_table_of_one_size() {
    let mut toy = Toy::new();
    let members = [("skc_nulls_node", 16, Is::Struct("hlist_nulls_node", 16))];
    toy.structure("sock_common", 48, &members);
    let head = [("head", 0, Is::Struct("hlist_nulls_head", 8))];
    toy.structure("udp_hslot", 16, &head);
    let of_table = [("hash", 0, Is::Words(256))];
    toy.structure("udp_table", 128 * 16, &of_table);
    let table = toy.room(128 * 16 + 8, 16);
    for bucket in 0..128 {
        toy.put(table.plus(bucket * 16), 0, bucket << 1 | 1);
    }
    let sockets: Vec<_> = (0..3).map(|_| toy.room(48, 8)).collect();
    for (bucket, own) in [(0_u64, &sockets[..2]), (127, &sockets[2..])] {
        chain(&mut toy, table.plus(bucket * 16), own);
        let last = own.last().unwrap().plus(NODE);
        toy.put(last, 0, bucket << 1 | 1);
    }
    let udp = |walk: &mut Walk<'_>| walk.udp("UDP sockets", table, Protocol::Udp);
    let (found, ends) = walked(&toy, &[], udp);
    let expected = sockets.iter().map(|at| (*at, Protocol::Udp));
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert!(ends.is_complete(), "{ends}");
    toy.put(table.plus(127 * 16), 0, 5 << 1 | 1);
    assert!(!walked(&toy, &[], udp).1.is_complete());
}
