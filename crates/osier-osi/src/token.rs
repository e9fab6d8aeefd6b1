//! What `ps --wide` shows of a Windows process beside its row: whom it acts for.

use std::fmt;

use osier_memory::VirtAddr;

use crate::Seen;

/// Whom a Windows process acts for, by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowsWide {
    /// The `_TOKEN`: `_EPROCESS.Token`; not applicable to a process that has exited and has none any more.
    pub token: Seen<VirtAddr>,
    /// The user: the first of `_TOKEN.UserAndGroups`.
    pub user: Seen<Sid>,
    /// The groups, in the kernel's order, without the integrity level: the others of `_TOKEN.UserAndGroups`.
    pub groups: Seen<Vec<Sid>>,
    /// The privileges that the token has, by number: `_TOKEN.Privileges`.
    pub privileges: Seen<Vec<Privilege>>,
    /// The integrity level: the group of `_TOKEN.IntegrityLevelIndex`. Vista and later.
    pub integrity: Seen<Integrity>,
    /// The logon that the token comes of: `_TOKEN.AuthenticationId`; 0x3e7 is the system's own.
    pub logon: Seen<u64>,
}

/// A security identifier, `_SID`: who somebody is. It is shown as Windows does: `S-1-5-32-544`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sid {
    /// Who gave it, 48 bits: 5 is Windows itself.
    pub authority: u64,
    /// Its parts, at most 15; the last is the one within what the others name.
    pub parts: Vec<u32>,
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What does not fit into 32 bits is written in hexadecimal.
        match u32::try_from(self.authority) {
            Ok(authority) => write!(f, "S-1-{authority}")?,
            Err(_) => write!(f, "S-1-{:#x}", self.authority)?,
        }
        for part in &self.parts {
            write!(f, "-{part}")?;
        }
        Ok(())
    }
}

/// How far a process is trusted: the last part of the SID of its integrity level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Integrity(pub u32);

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "untrusted",
            0x1000 => "low",
            0x2000 => "medium",
            0x2100 => "medium-plus",
            0x3000 => "high",
            0x4000 => "system",
            0x5000 => "protected",
            other => return write!(f, "{other:#x}"),
        })
    }
}

/// A privilege that a token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privilege {
    /// Its number, 2 to 36.
    pub number: u32,
    /// Whether it is in force.
    pub enabled: bool,
}

/// The names of privileges, from number 2 on.
const NAMES: [&str; 35] = [
    "SeCreateTokenPrivilege",
    "SeAssignPrimaryTokenPrivilege",
    "SeLockMemoryPrivilege",
    "SeIncreaseQuotaPrivilege",
    "SeMachineAccountPrivilege",
    "SeTcbPrivilege",
    "SeSecurityPrivilege",
    "SeTakeOwnershipPrivilege",
    "SeLoadDriverPrivilege",
    "SeSystemProfilePrivilege",
    "SeSystemtimePrivilege",
    "SeProfileSingleProcessPrivilege",
    "SeIncreaseBasePriorityPrivilege",
    "SeCreatePagefilePrivilege",
    "SeCreatePermanentPrivilege",
    "SeBackupPrivilege",
    "SeRestorePrivilege",
    "SeShutdownPrivilege",
    "SeDebugPrivilege",
    "SeAuditPrivilege",
    "SeSystemEnvironmentPrivilege",
    "SeChangeNotifyPrivilege",
    "SeRemoteShutdownPrivilege",
    "SeUndockPrivilege",
    "SeSyncAgentPrivilege",
    "SeEnableDelegationPrivilege",
    "SeManageVolumePrivilege",
    "SeImpersonatePrivilege",
    "SeCreateGlobalPrivilege",
    "SeTrustedCredManAccessPrivilege",
    "SeRelabelPrivilege",
    "SeIncreaseWorkingSetPrivilege",
    "SeTimeZonePrivilege",
    "SeCreateSymbolicLinkPrivilege",
    "SeDelegateSessionUserImpersonatePrivilege",
];

/// Its name, with `:disabled` behind it where it is not in force; its number where it has no name.
impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nth = self.number.checked_sub(2);
        let name = nth.and_then(|nth| NAMES.get(usize::try_from(nth).ok()?));
        match name {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", self.number)?,
        }
        f.write_str(if self.enabled { "" } else { ":disabled" })
    }
}

#[cfg(test)]
mod tests {
    use super::{Integrity, Privilege, Sid};

    #[test]
    fn they_are_shown_as_windows_shows_them() {
        let sid = |authority, parts: &[u32]| {
            let parts = parts.to_vec();
            Sid { authority, parts }.to_string()
        };
        assert_eq!(sid(5, &[32, 544]), "S-1-5-32-544");
        assert_eq!(sid(0, &[]), "S-1-0");
        assert_eq!(sid(1 << 32, &[7]), "S-1-0x100000000-7");
        let privilege = |number, enabled| Privilege { number, enabled }.to_string();
        assert_eq!(privilege(20, true), "SeDebugPrivilege");
        assert_eq!(privilege(2, false), "SeCreateTokenPrivilege:disabled");
        let last = "SeDelegateSessionUserImpersonatePrivilege";
        assert_eq!(privilege(36, true), last);
        assert_eq!(privilege(37, true), "37");
        assert_eq!(privilege(0, true), "0");
        assert_eq!(Integrity(0x2000).to_string(), "medium");
        assert_eq!(Integrity(0x2010).to_string(), "0x2010");
    }
}
