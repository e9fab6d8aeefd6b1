//! Tokens: whom a process acts for, by `_EPROCESS.Token`.
//!
//! Sources: `_TOKEN` and its kin in Microsoft's kernel PDBs from XP to 11; the numbers of privileges and of
//! integrity levels, and the shape of a SID, in the Windows SDK's `winnt.h`.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Integrity, Privilege, Seen, Sid};

use crate::layouts::token::Layout;
use crate::windows::Windows;
use crate::{object, twins};

/// `SID_MAX_SUB_AUTHORITIES`.
const MAX_PARTS: u64 = 15;
/// More groups than a token has: `SE_MAX_GROUPS_PER_TOKEN` is 1024, and the user is one more.
const MAX_GROUPS: u64 = 1025;
/// Numbers of privileges: the least, and one past the greatest of Windows 11.
const PRIVILEGES: std::ops::Range<u64> = 2..37;
/// The authority of integrity levels: `SECURITY_MANDATORY_LABEL_AUTHORITY`.
const LABEL: u64 = 16;

/// A token that is one.
pub(crate) struct Token<'w> {
    windows: &'w Windows,
    layout: Layout,
    pub(crate) at: VirtAddr,
}

/// Its user and groups.
pub(crate) struct Who {
    pub(crate) user: Sid,
    pub(crate) groups: Vec<Sid>,
    pub(crate) integrity: Seen<Integrity>,
}

/// The token of the process at `process`.
pub(crate) fn of_process(windows: &Windows, process: VirtAddr) -> Seen<Token<'_>> {
    let Some(field) = windows.process.fields.token else {
        return Err(Absent::not_in_this_kernel());
    };
    // `_EX_FAST_REF`: objects are aligned to twice a pointer, the bits below count.
    let low = u64::from(windows.guest.pointer_bytes())
        .wrapping_mul(2)
        .wrapping_sub(1);
    let place = field.place(process);
    let raw = windows.guest.space.read_pointer(place);
    let at = VirtAddr(raw.map_err(Absent::unreadable)?.0 & !low);
    if at.is_null() && !twins::runs(windows, process) {
        return Err(Absent::not_applicable("the process has exited"));
    }
    let implausible = |rule| Err(Absent::implausible(at.0, rule, Some(place)));
    if windows.guest.plausible(at).is_err() {
        return implausible("a process that runs has a token");
    }
    if let Some(header) = object::header(windows, at) {
        let kind = object::kind(windows, header);
        if kind.is_ok_and(|kind| kind.name != b"Token") {
            return implausible("a process's token is an object of that type");
        }
    }
    let layout = windows.token;
    if let Some(field) = layout.token.token_type {
        let kind = field.read(&windows.guest.space, at);
        if kind.map_err(Absent::unreadable)? != 1 {
            return implausible("a process's token is a primary one (TokenType)");
        }
    }
    Ok(Token {
        windows,
        layout,
        at,
    })
}

impl Token<'_> {
    /// The user, the groups and, where the kernel has one, the integrity level, which is kept among these.
    pub(crate) fn who(&self) -> Seen<Who> {
        let (space, layout) = (&self.windows.guest.space, &self.layout.token);
        let (Some(array), Some(count), Some(sid)) = (
            layout.user_and_groups,
            layout.user_and_group_count,
            self.layout.sid.sid,
        ) else {
            return Err(Absent::not_in_this_kernel());
        };
        let place = count.place(self.at);
        let number = count.read(space, self.at).map_err(Absent::unreadable)?;
        if !(1..=MAX_GROUPS).contains(&number) {
            let rule = "a token has a user, and at most 1024 groups";
            return Err(Absent::implausible(number, rule, Some(place)));
        }
        if let Some(field) = layout.hashed
            && field.read(space, self.at).map_err(Absent::unreadable)? != number
        {
            let rule =
                "a token counts its user and groups twice alike (UserAndGroupCount, SidHash)";
            return Err(Absent::implausible(number, rule, Some(place)));
        }
        let array = object::pointer_at(self.windows, array, self.at)?;
        let mut sids = Vec::new();
        for nth in 0..number {
            let entry = array.plus(nth.saturating_mul(self.layout.sid.size));
            sids.push(self.sid(object::pointer_at(self.windows, sid, entry)?)?);
        }
        let integrity = self.take_integrity(&mut sids);
        let mut sids = sids.into_iter();
        let Some(user) = sids.next() else {
            return Err(Absent::not_in_this_kernel());
        };
        Ok(Who {
            user,
            groups: sids.collect(),
            integrity,
        })
    }

    /// Takes the integrity level out of the groups.
    fn take_integrity(&self, sids: &mut Vec<Sid>) -> Seen<Integrity> {
        let Some(field) = self.layout.token.integrity_level_index else {
            return Err(Absent::not_in_this_kernel());
        };
        let place = field.place(self.at);
        let index = field.read(&self.windows.guest.space, self.at);
        let index = index.map_err(Absent::unreadable)?;
        if index == -1 {
            return Err(Absent::not_applicable("the token has no integrity level"));
        }
        let index = usize::try_from(index).ok().filter(|at| *at != 0);
        let level = index.filter(|at| {
            let sid = sids.get(*at);
            sid.is_some_and(|sid| sid.authority == LABEL && sid.parts.len() == 1)
        });
        let rule = "an integrity level is a group of the authority 16 (IntegrityLevelIndex)";
        let Some(index) = level else {
            let raw = index.unwrap_or_default() as u64;
            return Err(Absent::implausible(raw, rule, Some(place)));
        };
        let level = sids.remove(index).parts.first().copied();
        level.map(Integrity).ok_or_else(Absent::not_in_this_kernel)
    }

    /// The `_SID` at `at`: revision, number of parts, six bytes of an authority, the highest first, and parts.
    fn sid(&self, at: VirtAddr) -> Seen<Sid> {
        const HEAD: usize = 8;
        let space = &self.windows.guest.space;
        let mut head = [0; HEAD];
        space.read(at, &mut head).map_err(Absent::unreadable)?;
        let [revision, count, authority @ ..] = head;
        if revision != 1 || u64::from(count) > MAX_PARTS {
            let rule = "a SID has revision 1 and at most 15 parts";
            let raw = u64::from_le_bytes(head);
            return Err(Absent::implausible(raw, rule, Some(at)));
        }
        let mut parts = vec![0; usize::from(count).saturating_mul(4)];
        let from = at.plus(HEAD as u64);
        space.read(from, &mut parts).map_err(Absent::unreadable)?;
        let (parts, _) = parts.as_chunks();
        let fold = |sum: u64, byte: &u8| sum.wrapping_shl(8) | u64::from(*byte);
        Ok(Sid {
            authority: authority.iter().fold(0, fold),
            parts: parts.iter().map(|part| u32::from_le_bytes(*part)).collect(),
        })
    }

    /// The logon that the token comes of: `AuthenticationId`.
    pub(crate) fn logon(&self) -> Seen<u64> {
        let (space, layout) = (&self.windows.guest.space, &self.layout.token);
        let (Some(low), Some(high)) = (layout.logon, layout.logon_high) else {
            return Err(Absent::not_in_this_kernel());
        };
        let low = low.read(space, self.at).map_err(Absent::unreadable)?;
        let high = high.read(space, self.at).map_err(Absent::unreadable)?;
        let logon = high.wrapping_shl(32) | low;
        if logon == 0 {
            let rule = "a token comes of a logon (AuthenticationId)";
            return Err(Absent::implausible(0, rule, None));
        }
        match self.session() {
            Some(session) if session != logon => {
                let rule =
                    "a token's logon is that of its session (AuthenticationId, LogonSession)";
                let place = layout.logon.map(|field| field.place(self.at));
                Err(Absent::implausible(logon, rule, place))
            }
            _ => Ok(logon),
        }
    }

    /// The number of the logon that the token's session is of; `None` where it has none, or that cannot be read.
    fn session(&self) -> Option<u64> {
        let space = &self.windows.guest.space;
        let session = self.layout.token.session?.read(space, self.at).ok()?;
        self.windows.guest.plausible(session).ok()?;
        let place = self.layout.session.logon?.place(session);
        space.read_uint(place, 8).ok()
    }

    /// The privileges that it has, by number.
    pub(crate) fn privileges(&self) -> Seen<Vec<Privilege>> {
        let (space, layout) = (&self.windows.guest.space, &self.layout.token);
        if let (Some(present), Some(enabled)) = (layout.present, layout.enabled) {
            let place = present.place(self.at);
            let enabled = enabled.read(space, self.at).map_err(Absent::unreadable)?;
            let present = present.read(space, self.at).map_err(Absent::unreadable)?;
            let known = PRIVILEGES.fold(0, |known, bit| known | 1_u64.wrapping_shl(bit as u32));
            let rule = if enabled & !present != 0 {
                "a privilege in force is one that the token has (Privileges)"
            } else if present & !known != 0 {
                "a token has privileges that there are (Privileges)"
            } else {
                let bit = |of: u64, number: &u64| of.wrapping_shr(*number as u32) & 1 != 0;
                let held = PRIVILEGES.filter(|number| bit(present, number));
                return Ok(held
                    .map(|number| Privilege {
                        number: number as u32,
                        enabled: bit(enabled, &number),
                    })
                    .collect());
            };
            return Err(Absent::implausible(present, rule, Some(place)));
        }
        self.listed_privileges()
    }

    /// The same of kernels before Vista, which keep a list.
    fn listed_privileges(&self) -> Seen<Vec<Privilege>> {
        const IN_FORCE: u64 = 2;
        let (space, layout) = (&self.windows.guest.space, &self.layout.token);
        let (Some(array), Some(count), Some(luid), Some(attributes)) = (
            layout.privileges,
            layout.privilege_count,
            self.layout.luid.luid,
            self.layout.luid.attributes,
        ) else {
            return Err(Absent::not_in_this_kernel());
        };
        let place = count.place(self.at);
        let number = count.read(space, self.at).map_err(Absent::unreadable)?;
        if number > PRIVILEGES.end {
            let rule = "a token has privileges that there are (PrivilegeCount)";
            return Err(Absent::implausible(number, rule, Some(place)));
        }
        if number == 0 {
            return Ok(Vec::new());
        }
        let array = object::pointer_at(self.windows, array, self.at)?;
        let mut held = Vec::new();
        for nth in 0..number {
            let entry = array.plus(nth.saturating_mul(self.layout.luid.size));
            let number = space.read_uint(luid.place(entry), 8);
            let number = number.map_err(Absent::unreadable)?;
            if !PRIVILEGES.contains(&number) {
                let rule = "a token has privileges that there are (Privileges)";
                return Err(Absent::implausible(number, rule, Some(luid.place(entry))));
            }
            let marks = attributes.read(space, entry).map_err(Absent::unreadable)?;
            held.push(Privilege {
                number: number as u32,
                enabled: marks & IN_FORCE != 0,
            });
        }
        held.sort_by_key(|privilege| privilege.number);
        Ok(held)
    }
}
