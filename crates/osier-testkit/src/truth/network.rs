//! Sockets and interfaces: as the guest told them, and as rows do.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::text::{bytes, lines, processes, words};

/// Namespace, family, then the fields that its file in `/proc/net` has, each by its name.
pub(super) type Socket = (u64, String, BTreeMap<&'static str, String>);
/// Pid, descriptor, inode.
pub(super) type Holder = (u64, u64, u64);
/// Namespace, interface, and one of its addresses or what it is.
pub(super) type Address = (u64, Vec<u8>, String);

/// States by their numbers in `/proc/net/tcp`, from 1 on.
const STATES: [&str; 11] = [
    "established",
    "syn-sent",
    "syn-recv",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "close",
    "close-wait",
    "last-ack",
    "listen",
    "closing",
];
/// Protocols of raw sockets and of netlink, and types, by their numbers.
const RAW: [(u32, &str); 2] = [(1, "icmp"), (58, "icmpv6")];
const NETLINK: [(u32, &str); 10] = [
    (0, "route"),
    (4, "sock_diag"),
    (6, "xfrm"),
    (7, "selinux"),
    (9, "audit"),
    (10, "fib_lookup"),
    (11, "connector"),
    (12, "netfilter"),
    (15, "kobject_uevent"),
    (16, "generic"),
];
const TYPES: [(u32, &str); 4] = [(1, "stream"), (2, "dgram"), (3, "raw"), (5, "seqpacket")];
/// What is set in an interface's flags, from the lowest bit on.
const FLAGS: [&str; 19] = [
    "up",
    "broadcast",
    "debug",
    "loopback",
    "pointopoint",
    "notrailers",
    "running",
    "noarp",
    "promisc",
    "allmulti",
    "master",
    "slave",
    "multicast",
    "portsel",
    "automedia",
    "dynamic",
    "lower_up",
    "dormant",
    "echo",
];

fn word(words: &[(u32, &str)], number: u32) -> String {
    let known = words.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| number.to_string(), |(_, word)| (*word).to_owned())
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap()
}

/// The number of a process's network namespace, by its link.
fn namespace(folder: &Path) -> Option<u64> {
    let lines = lines(&folder.join("ns"));
    let line = lines
        .iter()
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .find(|line| line.contains(" net -> net:["))?;
    let number = line.rsplit_once('[')?.1.strip_suffix(']')?;
    number.parse().ok()
}

/// What was told of each network namespace: `first` of the first one, `own` of a process in another.
fn told(truth: &Path, first: &str, own: &str) -> BTreeMap<u64, PathBuf> {
    let all = processes(truth);
    let init = &all.iter().find(|(pid, _)| *pid == 1).unwrap().1;
    let mut told = BTreeMap::from([(namespace(init).unwrap(), truth.join(first))]);
    for (_, folder) in &all {
        let path = folder.join(own);
        if path.exists() {
            told.entry(namespace(folder).unwrap()).or_insert(path);
        }
    }
    told
}

/// An address of `/proc/net/tcp`: words in the processor's order of bytes.
fn address(text: &str) -> String {
    let words = text.as_bytes().chunks(8);
    let bytes: Vec<u8> = words
        .flat_map(|word| hex(std::str::from_utf8(word).unwrap()).to_le_bytes())
        .collect();
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ipv4Addr::from(bytes).to_string(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string(),
    }
}

fn connection(file: &str, line: &[u8]) -> (String, BTreeMap<&'static str, String>) {
    let words = words(line);
    let family = if file.ends_with('6') { "inet6" } else { "inet" };
    let (local, local_port) = words[1].split_once(':').unwrap();
    let (remote, remote_port) = words[2].split_once(':').unwrap();
    let (sent, received) = words[4].split_once(':').unwrap();
    let state = STATES[hex(&words[3]) as usize - 1];
    let mut fields = BTreeMap::from([
        ("local", address(local)),
        ("state", state.to_owned()),
        ("inode", words[9].clone()),
    ]);
    // What stands for a socket in these states has no queues.
    if !matches!(state, "time-wait" | "syn-recv")
        && (state, words[9].as_str()) != ("fin-wait-2", "0")
    {
        fields.insert("send_queue", hex(sent).to_string());
        fields.insert("recv_queue", hex(received).to_string());
    }
    let remote = address(remote);
    if !matches!(remote.as_str(), "0.0.0.0" | "::") {
        fields.insert("remote", remote);
    }
    let kind = file.trim_end_matches('6');
    if kind == "raw" {
        fields.insert("protocol", word(&RAW, hex(local_port)));
    } else {
        fields.insert("protocol", kind.to_owned());
        fields.insert("local_port", hex(local_port).to_string());
        if hex(remote_port) != 0 {
            fields.insert("remote_port", hex(remote_port).to_string());
        }
    }
    (family.to_owned(), fields)
}

fn unix(line: &[u8]) -> BTreeMap<&'static str, String> {
    let words = words(line);
    let state = match (hex(&words[3]) & 0x1_0000, words[5].as_str()) {
        (0, "01") => "unconnected",
        (0, "02") => "connecting",
        (0, "03") => "established",
        (0, other) => other,
        _ => "listen",
    };
    let mut fields = BTreeMap::from([
        ("type", word(&TYPES, hex(&words[4]))),
        ("state", state.to_owned()),
        ("inode", words[6].clone()),
    ]);
    if let Some(path) = words.get(7) {
        fields.insert("path", path.clone());
    }
    fields
}

pub(super) fn sockets_of(truth: &Path) -> BTreeSet<Socket> {
    let mut all = BTreeSet::new();
    for (net, folder) in told(truth, "net", "net") {
        let of = |file: &str| lines(&folder.join(file)).into_iter().skip(1);
        for file in ["tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6"] {
            for line in of(file) {
                let (family, fields) = connection(file, &line);
                all.insert((net, family, fields));
            }
        }
        all.extend(of("unix").map(|line| (net, "unix".to_owned(), unix(&line))));
        for line in of("netlink") {
            let words = words(&line);
            let mut fields = BTreeMap::from([
                ("protocol", word(&NETLINK, words[1].parse().unwrap())),
                ("local_port", words[2].clone()),
                ("recv_queue", words[4].clone()),
                ("inode", words[9].clone()),
            ]);
            if hex(&words[3]) != 0 {
                fields.insert("local", format!("{:#x}", hex(&words[3])));
            }
            all.insert((net, "netlink".to_owned(), fields));
        }
        for line in of("packet") {
            let words = words(&line);
            // What it received meanwhile is not compared: the kernel's own packets go on.
            let fields = BTreeMap::from([
                ("type", word(&TYPES, words[2].parse().unwrap())),
                ("protocol", format!("{:#06x}", hex(&words[3]))),
                ("inode", words[8].clone()),
            ]);
            all.insert((net, "packet".to_owned(), fields));
        }
    }
    all
}

/// The sockets that rows tell, each once, with the fields that the guest tells.
pub(super) fn sockets(rows: &[Value]) -> BTreeSet<Socket> {
    let mut all = BTreeSet::new();
    for row in rows {
        let family = row["family"].as_str().unwrap();
        let fields: &[&'static str] = match family {
            "inet" | "inet6" => &[
                "protocol",
                "local",
                "local_port",
                "remote",
                "remote_port",
                "state",
                "inode",
                "send_queue",
                "recv_queue",
            ],
            "unix" => &["type", "state", "inode", "path"],
            "netlink" => &["protocol", "local", "local_port", "recv_queue", "inode"],
            "packet" => &["type", "protocol", "inode"],
            // The guest has no file of them.
            _ => continue,
        };
        let mut told = BTreeMap::new();
        for &field in fields {
            let value = match &row[field] {
                Value::Null => continue,
                Value::String(_) => String::from_utf8_lossy(&bytes(row, field)).into_owned(),
                other => other.to_string(),
            };
            told.insert(field, value);
        }
        if family == "netlink" && told.get("local").is_some_and(|groups| groups == "0x0") {
            told.remove("local");
        }
        all.insert((row["netns"].as_u64().unwrap(), family.to_owned(), told));
    }
    all
}

pub(super) fn is_unbound(socket: &Socket) -> bool {
    matches!(socket.1.as_str(), "inet" | "inet6" | "netlink")
        && socket.2.get("local_port").is_some_and(|port| port == "0")
}

pub(super) fn is_waiting(socket: &Socket) -> bool {
    let state = socket.2.get("state").map(String::as_str);
    let orphan = socket.2.get("inode").is_some_and(|inode| inode == "0");
    orphan && matches!(state, Some("time-wait" | "fin-wait-2"))
}

pub(super) fn holders_of(truth: &Path) -> BTreeSet<Holder> {
    let mut all = BTreeSet::new();
    for (pid, folder) in processes(truth) {
        for line in lines(&folder.join("fd")) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let Some((before, inode)) = line.split_once(" -> socket:[") else {
                continue;
            };
            let fd = before.rsplit_once(' ').unwrap().1.parse().unwrap();
            all.insert((pid, fd, inode.trim_end_matches(']').parse().unwrap()));
        }
    }
    all
}

pub(super) fn holders(rows: &[Value]) -> BTreeSet<Holder> {
    let held = rows.iter().filter(|row| !row["pid"].is_null());
    held.map(|row| {
        let number = |field: &str| row[field].as_u64().unwrap();
        (number("pid"), number("fd"), number("inode"))
    })
    .collect()
}

/// Bits of a mask.
fn prefix(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => u32::from(mask).count_ones(),
        IpAddr::V6(mask) => u128::from(mask).count_ones(),
    }
}

pub(super) fn addresses_of(truth: &Path) -> BTreeSet<Address> {
    let mut all = BTreeSet::new();
    for (net, file) in told(truth, "addresses", "addresses") {
        for line in lines(&file) {
            let line = String::from_utf8(line).unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            // An address may have a label of its own behind the name.
            let name = words[0].split(':').next().unwrap().as_bytes().to_vec();
            let told = if words[1] == "17" {
                let flags = hex(words[2]);
                let set = FLAGS.iter().zip(0_u32..);
                let set = set.filter(|(_, bit)| flags >> bit & 1 == 1);
                let set: Vec<&str> = set.map(|(word, _)| *word).collect();
                format!("{} {} {}", words[4], set.join(","), words[3])
            } else {
                format!("{}/{}", words[3], prefix(words[4].parse().unwrap()))
            };
            all.insert((net, name, told));
        }
    }
    all
}

pub(super) fn addresses(rows: &[Value]) -> BTreeSet<Address> {
    let mut all = BTreeSet::new();
    for row in rows {
        let net = row["netns"].as_u64().unwrap();
        let name = bytes(row, "name");
        let text = |field: &str| row[field].as_str().unwrap();
        let link = format!("{} {} {}", row["index"], text("flags"), text("mac"));
        all.insert((net, name.clone(), link));
        for address in text("addresses").split_whitespace() {
            all.insert((net, name.clone(), address.to_owned()));
        }
    }
    all
}
