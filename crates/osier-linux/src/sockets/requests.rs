//! Connections that a TCP listener has been asked for and has not answered to the end: until v4.3 they stand in a table of the
//! listener's own, then among all connections.
//!
//! Linux commit 079096f103fa ("tcp/dccp: install `syn_recv` requests into ehash table"), v4.4.

pub(crate) mod layouts;

use osier_memory::VirtAddr;
use osier_osi::{Guard, WalkEnd, WalkEnds};
use osier_profile::Resolver;

use crate::guest::Guest;
use crate::hashes::broken;
use crate::list;
use layouts::{Connection, ListenSock, Request};

/// The walk's name in its endings.
const WALK: &str = "half-open connections";
/// Most buckets of a listener's table that are believed: twice what `somaxconn` and `tcp_max_syn_backlog` usually give.
const MOST_BUCKETS: u64 = 1 << 20;

/// How to read a listener's table.
pub(super) struct Requests {
    connection: Connection,
    listen: ListenSock,
    request: Request,
}

impl Requests {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            connection: Connection::resolve(resolver),
            listen: ListenSock::resolve(resolver),
            request: Request::resolve(resolver),
        }
    }

    /// Adds the requests of the listener at `socket` to `found`, each with its listener; whether a table was looked at.
    pub(super) fn of(
        &self,
        guest: &Guest,
        socket: VirtAddr,
        met: &mut Guard,
        ends: &mut WalkEnds,
        found: &mut Vec<(VirtAddr, VirtAddr)>,
    ) -> bool {
        // Of kernels that have no such table.
        let Some(listen_opt) = self.connection.listen_opt else {
            return false;
        };
        let (Some(entries), Some(table), Some(next)) = (
            self.listen.nr_table_entries,
            self.listen.syn_table,
            self.request.dl_next,
        ) else {
            ends.add(
                WALK,
                WalkEnd::no_start(
                    "members of listen_sock and request_sock in the profile",
                    None,
                ),
            );
            return false;
        };
        let space = &guest.space;
        let lost = |what: &str, fault| WalkEnd::no_start(what, fault);
        let own = match listen_opt.read(space, socket) {
            Ok(own) if guest.can_be_object(own) => own,
            // A listener has one from `listen` on.
            Ok(own) => {
                let fault = osier_memory::Fault::new(osier_memory::Cause::NonCanonical);
                let from = listen_opt.place(socket);
                ends.add(WALK, broken(from, Some(own), fault.with_va(own)));
                return false;
            }
            Err(fault) => {
                ends.add(WALK, broken(socket, None, fault));
                return false;
            }
        };
        let count = match entries.read(space, own) {
            Ok(count) if count.is_power_of_two() && count <= MOST_BUCKETS => count,
            Ok(count) => {
                ends.add(WALK, lost(&format!("a table of {count} buckets"), None));
                return false;
            }
            Err(fault) => {
                ends.add(WALK, lost("a listener's table", Some(fault)));
                return false;
            }
        };
        let word = u64::from(guest.pointer_bytes());
        let before = found.len();
        let mut sound = true;
        for index in 0..count {
            let mut from = table.place(own).plus(index.wrapping_mul(word));
            let mut link = space.read_pointer(from);
            loop {
                let at = match link {
                    Ok(at) if at.is_null() => break,
                    Ok(at) => at,
                    Err(fault) => {
                        ends.add(WALK, broken(from, None, fault));
                        sound = false;
                        break;
                    }
                };
                let end = list::plausible(guest, at).map_err(|fault| broken(from, Some(at), fault));
                if let Err(end) = end.and_then(|()| met.meet(at)) {
                    ends.add(WALK, end);
                    sound = false;
                    break;
                }
                found.push((at, socket));
                from = next.place(at);
                link = next.read(space, at);
            }
            // A table that cannot be read is told once.
            if !sound {
                return false;
            }
        }
        let counted = self.listen.qlen.map(|field| field.read(space, own));
        if let Some(Ok(counted)) = counted {
            let counted = usize::try_from(counted).unwrap_or(usize::MAX);
            let met = found.len().wrapping_sub(before);
            ends.differ("half-open connections and their number", met, counted);
        }
        true
    }

    /// Notes that the tables of all listeners were gone through.
    pub(super) fn closed(ends: &mut WalkEnds) {
        ends.add(WALK, WalkEnd::Closed);
    }
}
