//! The kernel's log, in the three shapes that its buffer had.
//!
//! Since Linux commit 896fbe20b4e2 ("printk: use the lockless ringbuffer"), v5.10, it is a ring of
//! descriptors beside a ring of text, where each block of text names its descriptor, and each
//! descriptor its number; since Linux commit 7ff9554bb578 ("printk: convert byte-buffer to
//! variable-length record buffer"), v3.5, it was one ring of records with their texts; before, bytes.

use std::ops::ControlFlow;

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, LogLine, Seen, WalkEnd, WalkEnds};
use osier_profile::{Bits, Field, Ptr, Resolver, UInt, layout};

use crate::guest::Guest;

/// The walk's name in its endings.
const WALK: &str = "log";
/// Most bits of a number of descriptors, and of bytes of text, that are believed.
const MOST_BITS: u64 = 30;
/// Most records that are read.
const LIMIT: u64 = 1 << 22;
/// The largest buffer of old kernels that is believed.
const MOST_BYTES: u64 = 1 << 30;

layout! {
    /// Fields read from `struct printk_ringbuffer`.
    struct Ring: "printk_ringbuffer" {
        /// Bits of the number of descriptors.
        count_bits: Option<Field<UInt>> = ["desc_ring.count_bits"],
        /// The descriptors.
        descs: Option<Field<Ptr<()>>> = ["desc_ring.descs"],
        /// What is known of each, in the same order.
        infos: Option<Field<Ptr<()>>> = ["desc_ring.infos"],
        /// Number of the newest.
        head_id: Option<Field<UInt>> = ["desc_ring.head_id.counter", "desc_ring.head_id"],
        /// Number of the oldest.
        tail_id: Option<Field<UInt>> = ["desc_ring.tail_id.counter", "desc_ring.tail_id"],
        /// Bits of the number of bytes of text.
        size_bits: Option<Field<UInt>> = ["text_data_ring.size_bits"],
        /// The text.
        data: Option<Field<Ptr<()>>> = ["text_data_ring.data"],
    }
}

layout! {
    /// Fields read from `struct prb_desc`.
    struct Descriptor: "prb_desc" {
        /// Its state, in the two highest bits, and its number.
        state_var: Option<Field<UInt>> = ["state_var.counter", "state_var"],
        /// Where its text begins, counted since the log began.
        begin: Option<Field<UInt>> = ["text_blk_lpos.begin"],
        /// Where the next one's does.
        next: Option<Field<UInt>> = ["text_blk_lpos.next"],
    }
}

layout! {
    /// Fields read from `struct printk_info`.
    struct Info: "printk_info" {
        /// Number of the record.
        seq: Option<Field<UInt>>,
        /// Nanoseconds since boot.
        ts_nsec: Option<Field<UInt>>,
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

layout! {
    /// Fields read from `struct printk_log`. Linux commit 62e32ac3505a ("printk: rename struct log to
    /// struct `printk_log`"), v3.11.
    struct Record: "printk_log" {
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
        /// As in `printk_info`.
        caller_id: Option<Field<UInt>>,
    }
}

layout! {
    /// The same by its older name.
    struct OldRecord: "log" {
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
    }
}

/// The lines of the kernel's log, the oldest first.
pub(crate) fn log(guest: &Guest, row: &mut dyn FnMut(LogLine) -> ControlFlow<()>) -> WalkEnds {
    let profile = guest.profile.clone();
    let mut resolver = Resolver::new(&profile);
    let outcome = if let Some(prb) = guest.symbol("prb") {
        Rings::read(guest, &mut resolver, prb).map(|rings| rings.rows(row))
    } else if let Some(records) = Records::resolve(&mut resolver) {
        records.rows(guest, row)
    } else {
        bytes(guest, row)
    };
    match outcome {
        Ok(ends) | Err(ends) => ends,
    }
}

fn no_start(missing: &str, fault: Option<Fault>) -> WalkEnds {
    let missing = missing.to_owned();
    WalkEnds::one(WALK, WalkEnd::NoStart { missing, fault })
}

/// What a field of a record is without a member of that name.
fn read(guest: &Guest, field: Option<Field<UInt>>, at: VirtAddr) -> Seen<u64> {
    let field = field.ok_or_else(Absent::not_in_this_kernel)?;
    field.read(&guest.space, at).map_err(Absent::unreadable)
}

fn byte(value: u64) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

/// The level, which is a number below 8.
fn level(guest: &Guest, field: Option<Field<Bits>>, at: VirtAddr) -> Seen<u8> {
    let field = field.ok_or_else(Absent::not_in_this_kernel)?;
    let level = field.read(&guest.space, at);
    level.map(byte).map_err(Absent::unreadable)
}

/// Who wrote a line: `T` and the thread's id, or `C` and the processor's number.
fn caller(guest: &Guest, field: Option<Field<UInt>>, at: VirtAddr) -> Seen<Vec<u8>> {
    let id = read(guest, field, at)?;
    Ok(if id & 0x8000_0000 == 0 {
        format!("T{id}")
    } else {
        format!("C{}", id & 0x7fff_ffff)
    }
    .into_bytes())
}

/// `len` bytes of text at `at`.
fn text(guest: &Guest, at: VirtAddr, len: u64) -> Seen<Vec<u8>> {
    let mut text = vec![0; usize::try_from(len).unwrap_or(0)];
    match guest.space.read(at, &mut text) {
        Ok(()) => Ok(text),
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// The two rings, of v5.10 and later.
struct Rings<'a> {
    guest: &'a Guest,
    descriptor: Descriptor,
    info: Info,
    descs: VirtAddr,
    infos: VirtAddr,
    count: u64,
    head: u64,
    tail: u64,
    size_bits: u64,
    data: VirtAddr,
    /// The bits of a number.
    id_mask: u64,
}

/// A descriptor's state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Somebody writes it.
    Reserved,
    /// It is written, and may grow.
    Committed,
    /// It is written.
    Finalized,
    /// Its text is gone.
    Reusable,
}

impl<'a> Rings<'a> {
    fn read(
        guest: &'a Guest,
        resolver: &mut Resolver<'_>,
        prb: VirtAddr,
    ) -> Result<Self, WalkEnds> {
        let ring = Ring::resolve(resolver);
        let (Some(count_bits), Some(descs), Some(infos), Some(head_id), Some(tail_id)) = (
            ring.count_bits,
            ring.descs,
            ring.infos,
            ring.head_id,
            ring.tail_id,
        ) else {
            return Err(no_start("printk_ringbuffer in the profile", None));
        };
        let Some((size_bits, data)) = ring.size_bits.zip(ring.data) else {
            return Err(no_start("printk_ringbuffer in the profile", None));
        };
        let space = &guest.space;
        let read = || {
            let at = space.read_pointer(prb)?;
            Ok((
                at,
                count_bits.read(space, at)?,
                descs.read(space, at)?,
                infos.read(space, at)?,
                head_id.read(space, at)?,
                tail_id.read(space, at)?,
                size_bits.read(space, at)?,
                data.read(space, at)?,
            ))
        };
        let read: Result<_, Fault> = read();
        let (at, count_bits, descs, infos, head, tail, size_bits, data) =
            read.map_err(|fault| no_start("the ring buffer that prb names", Some(fault)))?;
        let bits = u64::from(guest.pointer_bytes()).saturating_mul(8);
        if !(4..=MOST_BITS).contains(&count_bits) || !(8..=MOST_BITS).contains(&size_bits) {
            let missing = format!(
                "the ring buffer at {at}: 2^{count_bits} descriptors and 2^{size_bits} bytes of text"
            );
            return Err(WalkEnds::one(
                WALK,
                WalkEnd::NoStart {
                    missing,
                    fault: None,
                },
            ));
        }
        Ok(Self {
            guest,
            descriptor: Descriptor::resolve(resolver),
            info: Info::resolve(resolver),
            descs,
            infos,
            count: 1_u64.wrapping_shl(count_bits as u32),
            head,
            tail,
            size_bits,
            data,
            id_mask: u64::MAX
                .wrapping_shr(64_u64.wrapping_sub(bits) as u32)
                .wrapping_shr(2),
        })
    }

    fn descriptor(&self, id: u64) -> VirtAddr {
        let index = id & self.count.wrapping_sub(1);
        self.descs.plus(index.wrapping_mul(self.descriptor.size))
    }

    fn info(&self, id: u64) -> VirtAddr {
        let index = id & self.count.wrapping_sub(1);
        self.infos.plus(index.wrapping_mul(self.info.size))
    }

    /// The state of the descriptor in the place of number `id`, and its own number.
    fn state(&self, id: u64) -> Seen<(State, u64)> {
        let value = read(self.guest, self.descriptor.state_var, self.descriptor(id))?;
        let own = value & self.id_mask;
        let state = match value.wrapping_sub(own).count_ones() {
            0 => State::Reserved,
            2 => State::Reusable,
            _ if value & self.id_mask.wrapping_add(1) != 0 => State::Committed,
            _ => State::Finalized,
        };
        Ok((state, own))
    }

    fn rows(&self, row: &mut dyn FnMut(LogLine) -> ControlFlow<()>) -> WalkEnds {
        let mut ends = WalkEnds::default();
        let between = self.head.wrapping_sub(self.tail) & self.id_mask;
        let mut records = between.saturating_add(1);
        let mut first = self.tail & self.id_mask;
        if records > self.count {
            // One of the two lies; the newest that there can be are read.
            ends.differ(
                "head_id and tail_id, and the number of descriptors",
                usize::try_from(records).unwrap_or(usize::MAX),
                usize::try_from(self.count).unwrap_or(usize::MAX),
            );
            records = self.count;
            first = self.head.wrapping_sub(records).wrapping_add(1) & self.id_mask;
        }
        // Nothing before the oldest is kept, and nothing behind the newest is written.
        for outside in [first.wrapping_sub(1), self.head.wrapping_add(1)] {
            let outside = outside & self.id_mask;
            let written = matches!(
                self.state(outside),
                Ok((State::Committed | State::Finalized, own)) if own == outside
            );
            if written {
                ends.disagree("head_id and tail_id, and the states of descriptors", 0, 1);
            }
        }
        let mut expected: Option<u64> = None;
        for step in 0..records.min(LIMIT) {
            let id = first.wrapping_add(step) & self.id_mask;
            let line = match self.state(id) {
                Ok((State::Reusable, own)) if own == id && step == 0 => continue,
                Ok((State::Reserved, own)) if own == id && step.wrapping_add(1) == records => {
                    continue;
                }
                Ok((State::Committed | State::Finalized, own)) if own == id => {
                    self.line(id, expected)
                }
                Ok((_, own)) => {
                    let rule = "a descriptor has the number of its place, and is written";
                    let at = self.descriptor(id);
                    self.lost(id, expected, &Absent::implausible(own, rule, Some(at)))
                }
                Err(absent) => self.lost(id, expected, &absent),
            };
            expected = match (&line.seq, expected) {
                (Ok(seq), _) => Some(seq.wrapping_add(1)),
                (Err(_), before) => before.map(|seq| seq.wrapping_add(1)),
            };
            if row(line).is_break() {
                return ends.stopped(WALK);
            }
        }
        ends.add(WALK, WalkEnd::Closed);
        ends
    }

    /// A line of which nothing is known but its place.
    fn lost(&self, id: u64, expected: Option<u64>, absent: &Absent) -> LogLine {
        fn none<T>(absent: &Absent) -> Seen<T> {
            Err(Box::new(absent.clone()))
        }
        LogLine {
            seq: expected.map_or_else(|| none(absent), Ok),
            time: none(absent),
            level: none(absent),
            facility: none(absent),
            caller: none(absent),
            text: none(absent),
            address: self.descriptor(id),
        }
    }

    fn line(&self, id: u64, expected: Option<u64>) -> LogLine {
        let (guest, info, at) = (self.guest, &self.info, self.info(id));
        let seq = read(guest, info.seq, at).and_then(|seq| match expected {
            Some(expected) if expected != seq => {
                let rule = "records are numbered one after another (seq)";
                let at = info.seq.map(|field| field.place(at));
                Err(Absent::implausible(seq, rule, at))
            }
            _ => Ok(seq),
        });
        LogLine {
            seq,
            time: read(guest, info.ts_nsec, at),
            level: level(guest, info.level, at),
            facility: read(guest, info.facility, at).map(byte),
            caller: caller(guest, info.caller_id, at),
            text: self.text(id),
            address: self.descriptor(id),
        }
    }

    fn text(&self, id: u64) -> Seen<Vec<u8>> {
        /// What stands for the text of an empty line.
        const EMPTY: u64 = 3;
        let at = self.descriptor(id);
        let begin = read(self.guest, self.descriptor.begin, at)?;
        let next = read(self.guest, self.descriptor.next, at)?;
        let len = read(self.guest, self.info.text_len, self.info(id))?;
        if begin & 1 == 1 && next & 1 == 1 {
            return if begin == EMPTY && len == 0 {
                Ok(Vec::new())
            } else {
                Err(Absent::not_applicable(
                    "the kernel had no room for the text",
                ))
            };
        }
        let word = u64::from(self.guest.pointer_bytes());
        let mask = 1_u64.wrapping_shl(self.size_bits as u32).wrapping_sub(1);
        let turn = |position: u64| position.wrapping_shr(self.size_bits as u32);
        // A block that does not fit behind the others lies at the start.
        let (block, end) = if turn(begin) == turn(next) {
            (begin & mask, next & mask)
        } else if next & mask == 0 {
            (begin & mask, mask.wrapping_add(1))
        } else {
            (0, next & mask)
        };
        let room = end
            .checked_sub(block)
            .and_then(|room| room.checked_sub(word));
        let Some(room) = room.filter(|room| len <= *room && *room <= mask) else {
            let rule = "a text fits into its block (text_len, text_blk_lpos)";
            let at = self.descriptor.begin.map(|field| field.place(at));
            return Err(Absent::implausible(len, rule, at));
        };
        let _ = room;
        let at = self.data.plus(block);
        let own = self.guest.space.read_uint(at, word as usize);
        let own = own.map_err(Absent::unreadable)?;
        if own & self.id_mask != id {
            let rule = "a block of text names its descriptor";
            return Err(Absent::implausible(own, rule, Some(at)));
        }
        text(self.guest, at.plus(word), len)
    }
}

/// One ring of records, of v3.5 to v5.9.
struct Records {
    bytes: u64,
    ts_nsec: Option<Field<UInt>>,
    len: Field<UInt>,
    text_len: Field<UInt>,
    facility: Option<Field<UInt>>,
    level: Option<Field<Bits>>,
    caller_id: Option<Field<UInt>>,
}

impl Records {
    fn resolve(resolver: &mut Resolver<'_>) -> Option<Self> {
        let record = Record::resolve(resolver);
        if let Some((len, text_len)) = record.len.zip(record.text_len) {
            return Some(Self {
                bytes: record.size,
                ts_nsec: record.ts_nsec,
                len,
                text_len,
                facility: record.facility,
                level: record.level,
                caller_id: record.caller_id,
            });
        }
        let record = OldRecord::resolve(resolver);
        let (len, text_len) = record.len.zip(record.text_len)?;
        Some(Self {
            bytes: record.size,
            ts_nsec: record.ts_nsec,
            len,
            text_len,
            facility: record.facility,
            level: record.level,
            caller_id: None,
        })
    }

    fn rows(
        &self,
        guest: &Guest,
        row: &mut dyn FnMut(LogLine) -> ControlFlow<()>,
    ) -> Result<WalkEnds, WalkEnds> {
        let buffer = Buffer::read(guest)?;
        let first = number(guest, "log_first_idx", 4)?;
        let next = number(guest, "log_next_idx", 4)?;
        let mut seq = number(guest, "log_first_seq", 8)?;
        let last = number(guest, "log_next_seq", 8)?;
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
                    ends.add(
                        WALK,
                        WalkEnd::BrokenLink {
                            from,
                            to: None,
                            fault,
                        },
                    );
                    return Ok(ends);
                }
            };
            let end = index.saturating_add(len);
            if len < self.bytes || end > buffer.bytes {
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
            let text = if text_len > len.saturating_sub(self.bytes) {
                let rule = "a text fits into its record (text_len, len)";
                let at = Some(self.text_len.place(at));
                Err(Absent::implausible(text_len, rule, at))
            } else {
                text(guest, at.plus(self.bytes), text_len)
            };
            let line = LogLine {
                seq: Ok(seq),
                time: read(guest, self.ts_nsec, at),
                level: level(guest, self.level, at),
                facility: read(guest, self.facility, at).map(byte),
                caller: caller(guest, self.caller_id, at),
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

/// The buffer of old kernels.
struct Buffer {
    at: VirtAddr,
    bytes: u64,
}

impl Buffer {
    fn read(guest: &Guest) -> Result<Self, WalkEnds> {
        let symbol = guest.symbol("log_buf");
        let symbol = symbol.ok_or_else(|| no_start("the symbol log_buf", None))?;
        let at = guest.space.read_pointer(symbol);
        let at = at.map_err(|fault| no_start("log_buf", Some(fault)))?;
        let bytes = number(guest, "log_buf_len", 4)?;
        if bytes == 0 || bytes > MOST_BYTES || !guest.is_kernel_address(at) {
            return Err(no_start(
                "log_buf and log_buf_len: a buffer of the kernel",
                None,
            ));
        }
        Ok(Self { at, bytes })
    }
}

/// The number of `bytes` bytes at the symbol `name`.
fn number(guest: &Guest, name: &'static str, bytes: usize) -> Result<u64, WalkEnds> {
    let at = guest.symbol(name);
    let at = at.ok_or_else(|| no_start("symbols of the log in the profile", None))?;
    let number = guest.space.read_uint(at, bytes);
    number.map_err(|fault| no_start(name, Some(fault)))
}

/// Bytes, of kernels before v3.5: lines that may begin with `<LEVEL>` and `[SECONDS.MICROSECONDS] `.
fn bytes(
    guest: &Guest,
    row: &mut dyn FnMut(LogLine) -> ControlFlow<()>,
) -> Result<WalkEnds, WalkEnds> {
    let buffer = Buffer::read(guest)?;
    let end = number(guest, "log_end", 4)?;
    let kept = number(guest, "logged_chars", 4)?.min(buffer.bytes);
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
                    ends.add(
                        WALK,
                        WalkEnd::BrokenLink {
                            from,
                            to: None,
                            fault,
                        },
                    );
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

#[cfg(test)]
mod tests;
