//! Tokens: whom processes act for.
//!
//! Sources: `_TOKEN` and its kin of the profile; the shape of a SID and the numbers of privileges in `winnt.h`.

use osier_memory::VirtAddr;

use super::objects::{self, EPROCESS};
use super::rows::{Process, Token};
use super::spaces::Space;
use super::writer::{Object, Writer};

const TOKEN: &str = "_TOKEN";
const ENTRY: &str = "_SID_AND_ATTRIBUTES";
const LUID: &str = "_LUID_AND_ATTRIBUTES";
const SESSION: &str = "_SEP_LOGON_SESSION_REFERENCES";
/// `SE_GROUP_MANDATORY`, `SE_GROUP_ENABLED_BY_DEFAULT`, `SE_GROUP_ENABLED`.
const GROUP: u64 = 7;
/// `SE_GROUP_INTEGRITY` and `SE_GROUP_INTEGRITY_ENABLED`.
const LEVEL: u64 = 0x60;
/// References that `_EX_FAST_REF` has handed out.
const FAST: u64 = 3;

/// Writes the token of a process that runs, where the layout has tokens.
pub(super) fn write(w: &mut Writer<'_>, eprocess: Object, process: &mut Process) {
    if w.manager.is_none() || !w.has_type(TOKEN) || !w.has(EPROCESS, "Token") {
        return;
    }
    let token = process.acts_for.clone();
    let object = objects::object(w, "Token", TOKEN, None, None);
    w.set(object, "TokenType", 1);
    w.set_if(object, "TokenInUse", 1);
    let luid = w.inner(object, "AuthenticationId", "_LUID");
    w.set(luid, "LowPart", token.logon);
    if w.has(TOKEN, "LogonSession") && w.has_type(SESSION) {
        let session = w.pool(*b"SeLs", SESSION);
        let own = w.inner(session, "LogonId", "_LUID");
        w.set(own, "LowPart", token.logon);
        w.set(object, "LogonSession", session.at.0);
    }
    w.set_if(object, "SessionId", u64::from(process.session.unwrap_or(0)));
    sids(w, object, &token);
    privileges(w, object, &token);
    let place = w.member(eprocess, "Token");
    w.pointer(Space::SYSTEM, place, object.at.plus(FAST));
    process.token = Some(object.at);
}

fn sids(w: &mut Writer<'_>, object: Object, token: &Token) {
    let mut all = vec![(token.user.clone(), 0)];
    all.extend(token.groups.iter().map(|group| (group.clone(), GROUP)));
    if w.has(TOKEN, "IntegrityLevelIndex") {
        // Among the groups, not at their end.
        let index = all.len().min(2);
        let level = token
            .integrity
            .map(|level| (format!("S-1-16-{level}"), LEVEL));
        w.set(object, "IntegrityLevelIndex", index as u64);
        match level {
            Some(level) => all.insert(index, level),
            None => w.set(object, "IntegrityLevelIndex", 0xffff_ffff),
        }
    }
    let bytes = w.size(ENTRY);
    let array = w.paged_room(bytes * all.len() as u64);
    for (nth, (sid, attributes)) in (0..).zip(&all) {
        let entry = Object::system(ENTRY, array.plus(nth * bytes));
        let sid = self::sid(w, sid);
        w.set(entry, "Sid", sid.0);
        w.set(entry, "Attributes", *attributes);
    }
    w.set(object, "UserAndGroups", array.0);
    w.set(object, "UserAndGroupCount", all.len() as u64);
    if w.has(TOKEN, "SidHash") {
        let hash = w.inner(object, "SidHash", "_SID_AND_ATTRIBUTES_HASH");
        w.set(hash, "SidCount", all.len() as u64);
        w.set(hash, "SidAttr", array.0);
    }
}

/// A `_SID`, of which SIDs in a token follow each other at multiples of 4.
fn sid(w: &mut Writer<'_>, text: &str) -> VirtAddr {
    let numbers = text.strip_prefix("S-1-").expect("a SID");
    let numbers = numbers.split('-').map(str::parse::<u64>);
    let numbers: Vec<u64> = numbers.map(|part| part.expect("a number")).collect();
    let (authority, parts) = numbers.split_first().expect("an authority");
    let mut bytes = vec![1, parts.len() as u8];
    bytes.extend(&authority.to_be_bytes()[2..]);
    for part in parts {
        bytes.extend((*part as u32).to_le_bytes());
    }
    let at = w.paged_room(bytes.len() as u64 + 4).plus(4);
    w.bytes(Space::SYSTEM, at, &bytes);
    at
}

fn privileges(w: &mut Writer<'_>, object: Object, token: &Token) {
    if w.has_type("_SEP_TOKEN_PRIVILEGES") {
        let held = w.inner(object, "Privileges", "_SEP_TOKEN_PRIVILEGES");
        let bits = |all: &mut dyn Iterator<Item = u32>| all.fold(0, |sum, bit| sum | 1 << bit);
        let numbers = token.privileges.iter();
        let present = bits(&mut numbers.clone().map(|(number, _)| *number));
        let enabled = bits(&mut numbers.filter(|(_, on)| *on).map(|(number, _)| *number));
        w.set(held, "Present", present);
        w.set(held, "Enabled", enabled);
        w.set_if(held, "EnabledByDefault", enabled);
        return;
    }
    // Before Vista a list.
    let bytes = w.size(LUID);
    let array = w.paged_room(bytes * token.privileges.len() as u64);
    for (nth, (number, enabled)) in (0..).zip(&token.privileges) {
        let entry = Object::system(LUID, array.plus(nth * bytes));
        let luid = w.inner(entry, "Luid", "_LUID");
        w.set(luid, "LowPart", u64::from(*number));
        w.set(entry, "Attributes", if *enabled { 3 } else { 0 });
    }
    w.set(object, "Privileges", array.0);
    w.set(object, "PrivilegeCount", token.privileges.len() as u64);
}
