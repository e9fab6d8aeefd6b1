//! Bytes, of kernels before v3.5.

use osier_memory::Each;
use osier_osi::{Absent, LogLine, WalkEnd, WalkEnds};

use super::buffer::{Buffer, number};
use super::line::{WALK, byte, no_start, text};
use crate::guest::Guest;
use crate::symbols;

/// Bytes, of kernels before v3.5: lines that may begin with `<LEVEL>` and `[SECONDS.MICROSECONDS] `.
pub(super) fn bytes(guest: &Guest, row: Each<'_, LogLine>) -> Result<WalkEnds, WalkEnds> {
    let buffer = Buffer::read(guest)?;
    let end = number(guest, symbols::log_end, 4)?;
    let kept = number(guest, symbols::logged_chars, 4)?.min(buffer.bytes);
    if !buffer.bytes.is_power_of_two() {
        return Err(no_start("log_buf_len: a power of two", None));
    }
    let mask = buffer.bytes.wrapping_sub(1);
    let mut all = Vec::new();
    let mut ends = WalkEnds::default();
    let mut at = end.wrapping_sub(kept);
    while at != end {
        let index = at & mask;
        let count = buffer
            .bytes
            .wrapping_sub(index)
            .min(end.wrapping_sub(at))
            .min(4096);
        let place = buffer.at.plus(index);
        match text(guest, place, count) {
            Ok(piece) => all.extend(piece),
            Err(absent) => {
                if let osier_osi::Why::Unreadable(fault) = absent.why {
                    let from = place;
                    ends.add(WALK, WalkEnd::broken(from, None, fault));
                }
            }
        }
        at = at.wrapping_add(count);
    }
    for (number, line) in all
        .split(|&byte| byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let (level, line) = bracketed(line, b'<', b'>');
        let (time, text) = bracketed(line, b'[', b']');
        let level = level.and_then(|level| std::str::from_utf8(level).ok()?.parse::<u64>().ok());
        let time = time.and_then(|time| {
            let (seconds, micros) = std::str::from_utf8(time).ok()?.trim().split_once('.')?;
            let seconds: u64 = seconds.parse().ok()?;
            let micros: u64 = micros.parse().ok()?;
            let nanos = micros.checked_mul(1000)?;
            seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
        });
        let none = "the line does not say";
        let line = LogLine {
            seq: Err(Absent::not_in_this_kernel()),
            time: time.ok_or_else(|| Absent::not_applicable(none)),
            level: level
                .map(|level| byte(level & 7))
                .ok_or_else(|| Absent::not_applicable(none)),
            facility: level
                .map(|level| byte(level.wrapping_shr(3)))
                .ok_or_else(|| Absent::not_applicable(none)),
            caller: Err(Absent::not_in_this_kernel()),
            text: Ok(text.strip_prefix(b" ").unwrap_or(text).to_vec()),
            address: buffer.at.plus(number as u64),
        };
        if row(line).is_break() {
            return Ok(ends.stopped(WALK));
        }
    }
    ends.add(WALK, WalkEnd::Closed);
    Ok(ends)
}

/// What stands between the marks at the start of a line, and what follows.
fn bracketed(line: &[u8], open: u8, close: u8) -> (Option<&[u8]>, &[u8]) {
    let inner = line.strip_prefix(&[open]);
    let parted = inner.and_then(|inner| {
        let at = inner.iter().position(|&byte| byte == close)?;
        let (inner, rest) = inner.split_at(at);
        Some((inner, rest.get(1..).unwrap_or_default()))
    });
    match parted {
        Some((inner, rest)) => (Some(inner), rest),
        None => (None, line),
    }
}
