//! Sockets of every network namespace: from the descriptors of processes, and from the kernel's own tables.
//!
//! A socket that no descriptor leads to is a row all the same: a connection that nobody has accepted, one that is
//! being closed, one that lies in another socket's queue, the kernel's own. One that a descriptor leads to and that
//! should stand in its protocol's table but does not is counted in an ending.

pub(crate) mod describe;
pub(crate) mod layouts;
pub(crate) mod numbers;
pub(crate) mod requests;
pub(crate) mod rhashtable;
pub(crate) mod tables;

use std::ops::ControlFlow;

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::{Each, VirtAddr};
use osier_osi::{
    Absent, FileExtra, FileKind, Seen, SeenExt as _, Socket, SocketSource, WalkEnd, WalkEnds, Why,
};
use osier_profile::Resolver;

use crate::netns::Nets;
use crate::wide::namespaces::networks;
use crate::{Linux, files, tasks};
use describe::Describer;
use tables::{Found, Tables};

/// The walk's name in its endings.
const WALK: &str = "sockets";

/// A descriptor that leads to a socket.
struct Holder {
    pid: Seen<u32>,
    fd: u32,
    /// Its `struct sock`.
    socket: VirtAddr,
}

/// Every socket: a row for each descriptor that leads to one, then one for each that none leads to.
pub(crate) fn sockets(linux: &Linux, row: Each<'_, Socket>) -> WalkEnds {
    let profile = linux.guest.profile.clone();
    let mut resolver = Resolver::new(&profile);
    let nets = Nets::resolve(&mut resolver);
    let (mut namespaces, mut ends) = nets.all(&linux.guest);
    Nets::with_those_of_processes(&mut namespaces, networks(linux), &mut ends);
    let tables = Tables::resolve(&mut resolver);
    let Found { entries, whole } = tables.walk(&linux.guest, &nets, &namespaces, &mut ends);
    let mut describer = Describer::new(linux, &mut resolver, nets, namespaces);
    let (holders, sound) = holders(linux, &mut ends);

    let mut untabled = 0_usize;
    let mut shown: HashMap<VirtAddr, Socket> = HashMap::new();
    for holder in &holders {
        let known = shown.entry(holder.socket).or_insert_with(|| {
            let entry = entries.get(&holder.socket).copied();
            let mut socket = describer.whole(holder.socket, entry);
            socket.found_by = if entry.is_some() {
                SocketSource::Both
            } else {
                if whole && Describer::belongs_into_table(&socket) {
                    untabled = untabled.saturating_add(1);
                }
                SocketSource::Descriptor
            };
            socket
        });
        let socket = Socket {
            pid: holder.pid.clone(),
            fd: Ok(holder.fd),
            ..known.clone()
        };
        if row(socket).is_break() {
            return ends.stopped(WALK);
        }
    }
    ends.disagree("the sockets of descriptors and their tables", untabled, 0);
    let mut left: Vec<_> = entries
        .iter()
        .filter(|(at, _)| !shown.contains_key(at))
        .collect();
    left.sort_by_key(|(_, entry)| entry.order);
    let nobody = |sound| -> Box<Absent> {
        if sound {
            Absent::not_applicable("no descriptor of a process leads to it")
        } else {
            Absent::implausible(
                0,
                "not every descriptor that may lead to it could be read",
                None,
            )
        }
    };
    for (&at, &entry) in left {
        let mut socket = describer.entry(at, entry);
        socket.pid = Err(nobody(sound));
        socket.fd = Err(nobody(sound));
        if row(socket).is_break() {
            return ends.stopped(WALK);
        }
    }
    let strange = describer.strange();
    ends.disagree("net_namespace_list and the sockets' namespaces", 0, strange);
    ends.add(WALK, WalkEnd::Closed);
    ends
}

/// The descriptors that lead to sockets, by process, and whether all of them are known.
fn holders(linux: &Linux, ends: &mut WalkEnds) -> (Vec<Holder>, bool) {
    let mut processes = Vec::new();
    let mut walks = tasks::handles(linux, &mut |handle| {
        processes.push(handle.taskd);
        ControlFlow::Continue(())
    });
    let mut holders = Vec::new();
    let mut lost = 0_usize;
    let mut first_lost = None;
    for taskd in processes {
        walks.join(files::files(linux, taskd, &mut |file| {
            let FileExtra::Linux(linux) = file.extra else {
                return ControlFlow::Continue(());
            };
            let why = [file.path.as_ref().err(), linux.inode.as_ref().err()];
            let in_doubt = why.into_iter().flatten().any(|absent| absent.is_loss());
            match (file.kind, linux.socket) {
                (Ok(FileKind::Socket), Ok(socket)) => holders.push(Holder {
                    pid: file.pid,
                    fd: file.fd,
                    socket,
                }),
                // Reserved for a file that is being opened: none of a socket yet.
                (Err(absent), _) if matches!(absent.why, Why::NotApplicable(_)) => {}
                (Ok(FileKind::Socket), Err(_)) | (Err(_), _) => {
                    lost = lost.saturating_add(1);
                    first_lost.get_or_insert(file.filed.value().unwrap_or(taskd));
                }
                // What is called otherwise, or has the inode of another, may be of another kind.
                _ if in_doubt => {
                    lost = lost.saturating_add(1);
                    first_lost.get_or_insert(file.filed.value().unwrap_or(taskd));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }));
    }
    let sound = walks.is_complete() && lost == 0;
    ends.join(walks);
    if let Some(at) = first_lost {
        // `files` shows which; each may be a socket.
        ends.add("descriptors", WalkEnd::Implausible { at, values: lost });
    }
    (holders, sound)
}
