//! How to read tokens: whom a process acts for.

use osier_profile::{Bits, Embed, Field, Ptr, Resolver, SInt, UInt, layout};

layout! {
    /// Fields read from `_TOKEN`.
    pub(crate) struct Token: "_TOKEN" through [_LUID _SEP_TOKEN_PRIVILEGES _SID_AND_ATTRIBUTES_HASH] {
        /// The user, then the groups: an array of `_SID_AND_ATTRIBUTES`.
        user_and_groups: Option<Field<Ptr<()>>> = ["UserAndGroups"],
        user_and_group_count: Option<Field<UInt>> = ["UserAndGroupCount"],
        /// The same count again, beside the hashes of these. Vista and later.
        hashed: Option<Field<UInt>> = ["SidHash.SidCount"],
        /// The privileges that it has, a bit each. Vista and later.
        present: Option<Field<UInt>> = ["Privileges.Present"],
        /// Those in force.
        enabled: Option<Field<UInt>> = ["Privileges.Enabled"],
        /// Before: an array of `_LUID_AND_ATTRIBUTES`.
        privileges: Option<Field<Ptr<()>>> = ["Privileges"],
        privilege_count: Option<Field<UInt>> = ["PrivilegeCount"],
        /// Which of the groups is the integrity level, -1 for none. Vista and later.
        integrity_level_index: Option<Field<SInt>> = ["IntegrityLevelIndex"],
        /// 1 for a process's, 2 for what a thread acts by for somebody else.
        token_type: Option<Field<UInt>> = ["TokenType"],
        /// The logon that it comes of.
        logon: Option<Field<UInt>> = ["AuthenticationId.LowPart"],
        logon_high: Option<Field<UInt>> = ["AuthenticationId.HighPart"],
        /// What the kernel keeps of that logon. Vista and later.
        session: Option<Field<Ptr<()>>> = ["LogonSession"],
    }
}

layout! {
    /// Fields read from `_SEP_LOGON_SESSION_REFERENCES`, of which every logon has one.
    pub(crate) struct LogonSession: "_SEP_LOGON_SESSION_REFERENCES" {
        /// The logon's number, a `_LUID`.
        logon: Option<Field<Embed<()>>> = ["LogonId"],
    }
}

layout! {
    /// Fields read from `_SID_AND_ATTRIBUTES`.
    pub(crate) struct SidAndAttributes: "_SID_AND_ATTRIBUTES" {
        sid: Option<Field<Ptr<()>>> = ["Sid"],
    }
}

layout! {
    /// Fields read from `_LUID_AND_ATTRIBUTES`.
    pub(crate) struct LuidAndAttributes: "_LUID_AND_ATTRIBUTES" {
        /// The privilege's number, in its lower half.
        luid: Option<Field<Embed<()>>> = ["Luid"],
        /// Bit 1: in force.
        attributes: Option<Field<Bits>> = ["Attributes"],
    }
}

/// How to read tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) token: Token,
    pub(crate) session: LogonSession,
    pub(crate) sid: SidAndAttributes,
    pub(crate) luid: LuidAndAttributes,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            token: Token::resolve(resolver),
            session: LogonSession::resolve(resolver),
            sid: SidAndAttributes::resolve(resolver),
            luid: LuidAndAttributes::resolve(resolver),
        }
    }
}
