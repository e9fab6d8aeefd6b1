//! The ring of records with their texts, of v3.5 to v5.9.

use osier_memory::{Each, VirtAddr};
use osier_osi::{Absent, LogLine, WalkEnd, WalkEnds};
use osier_profile::{Bits, Field, Resolver, UInt, layout};

use super::buffer::{Buffer, number};
use super::line::{LIMIT, WALK, byte, caller, level, no_start, read, text, time};
use crate::guest::Guest;
use crate::symbols;

layout! {
    /// Fields read from `struct printk_log`. Linux commit 62e32ac3505a ("printk: rename struct log to
    /// struct `printk_log`"), v3.11.
    pub(crate) struct Record: "printk_log" or "log" {
        /// Nanoseconds since boot.
        ts_nsec: Option<Field<UInt>>,
        /// Bytes of all of it.
        len: Option<Field<UInt>>,
        /// Bytes of text.
        text_len: Option<Field<UInt>>,
        /// Who speaks, as of syslog.
        facility: Option<Field<UInt>>,
        /// How grave it is.
        level: Option<Field<Bits>>,
        /// The thread, or the processor with the highest bit set; 0 where the kernel does not note it.
        caller_id: Option<Field<UInt>>,
    }
}

/// One ring of records, of v3.5 to v5.9.
pub(super) struct Records {
    record: Record,
    len: Field<UInt>,
    text_len: Field<UInt>,
}

impl Records {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Option<Self> {
        let record = Record::resolve(resolver);
        let (len, text_len) = record.len.zip(record.text_len)?;
        Some(Self {
            record,
            len,
            text_len,
        })
    }

    pub(super) fn rows(
        &self,
        guest: &Guest,
        now: Option<u64>,
        row: Each<'_, LogLine>,
    ) -> Result<WalkEnds, WalkEnds> {
        let buffer = Buffer::read(guest)?;
        let first = number(guest, symbols::log_first_idx, 4)?;
        let next = number(guest, symbols::log_next_idx, 4)?;
        let mut seq = number(guest, symbols::log_first_seq, 8)?;
        let last = number(guest, symbols::log_next_seq, 8)?;
        let mut ends = WalkEnds::default();
        let space = &guest.space;
        let records = last.saturating_sub(seq);
        if first >= buffer.bytes || next > buffer.bytes || last < seq {
            return Err(no_start(
                "log_first_idx and log_next_idx: places in log_buf",
                None,
            ));
        }
        let mut index = first;
        let mut left = records.min(LIMIT);
        let mut may_wrap = next <= first;
        // The sequence numbers tell a full buffer from an empty one.
        while left > 0 {
            let at = buffer.at.plus(index);
            let lens = self
                .len
                .read(space, at)
                .and_then(|len| Ok((len, self.text_len.read(space, at)?)));
            let (len, text_len) = match lens {
                Ok((0, _)) if may_wrap => {
                    may_wrap = false;
                    index = 0;
                    continue;
                }
                Ok(lens) => lens,
                Err(fault) => {
                    let from = at;
                    ends.add(WALK, WalkEnd::broken(from, None, fault));
                    return Ok(ends);
                }
            };
            let end = index.saturating_add(len);
            if len < self.record.size || end > buffer.bytes {
                let expected = buffer.at.plus(next);
                let back_link = VirtAddr(len);
                ends.add(
                    WALK,
                    WalkEnd::Inconsistent {
                        at,
                        back_link,
                        expected,
                    },
                );
                return Ok(ends);
            }
            let text = if text_len > len.saturating_sub(self.record.size) {
                let rule = "a text fits into its record (text_len, len)";
                let at = Some(self.text_len.place(at));
                Err(Absent::implausible(text_len, rule, at))
            } else {
                text(guest, at.plus(self.record.size), text_len)
            };
            let line = LogLine {
                seq: Ok(seq),
                time: time(guest, now, self.record.ts_nsec, at),
                level: level(guest, self.record.level, at),
                facility: read(guest, self.record.facility, at).map(byte),
                caller: caller(guest, self.record.caller_id, at),
                text,
                address: at,
            };
            if row(line).is_break() {
                return Ok(ends.stopped(WALK));
            }
            seq = seq.wrapping_add(1);
            left = left.saturating_sub(1);
            index = end;
        }
        // A record of no length closes the buffer before its end.
        let wrapped =
            index != next && next == 0 && self.len.read(space, buffer.at.plus(index)) == Ok(0);
        if index == next || wrapped || (index == buffer.bytes && next == 0) {
            ends.add(WALK, WalkEnd::Closed);
        } else {
            ends.disagree("records of the log and log_next_seq", 0, 1);
        }
        Ok(ends)
    }
}
