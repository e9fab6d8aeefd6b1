//! The ring of descriptors and the ring of text, of v5.10 and later.

use osier_memory::{Each, Fault, VirtAddr};
use osier_osi::{Absent, LogLine, Seen, WalkEnd, WalkEnds};
use osier_profile::{Bits, Field, Ptr, Resolver, UInt, layout};

use super::line::{LIMIT, WALK, byte, caller, level, no_start, now, read, text, time};
use crate::guest::Guest;

/// Most bits of a number of descriptors, and of bytes of text, that are believed.
const MOST_BITS: u64 = 30;

layout! {
    /// Fields read from `struct printk_ringbuffer`.
    pub(crate) struct Ring: "printk_ringbuffer" through [prb_data_ring prb_desc_ring] {
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
    pub(crate) struct Descriptor: "prb_desc" through [prb_data_blk_lpos] {
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
    pub(crate) struct Info: "printk_info" {
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

/// The two rings, of v5.10 and later.
pub(super) struct Rings<'a> {
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
    now: Option<u64>,
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
    pub(super) fn read(
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
            return Err(WalkEnds::one(WALK, WalkEnd::no_start(missing, None)));
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
            now: now(guest, resolver),
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

    pub(super) fn rows(&self, row: Each<'_, LogLine>) -> WalkEnds {
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
            time: time(guest, self.now, info.ts_nsec, at),
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
        /// Bytes that a block may have beside its text and its alignment.
        const SLACK: u64 = 8;
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
        // Room was taken for the mark of the level, a newline and a zero, which are no part of the text.
        let spare = room.saturating_sub(len);
        if spare > SLACK.saturating_add(word) || (len == 0 && spare > SLACK) {
            let rule = "a block is no larger than its text needs (text_len, text_blk_lpos)";
            let at = self.descriptor.begin.map(|field| field.place(at));
            return Err(Absent::implausible(len, rule, at));
        }
        let at = self.data.plus(block);
        let own = self.guest.space.read_uint(at, word as usize);
        let own = own.map_err(Absent::unreadable)?;
        if own & self.id_mask != id {
            let rule = "a block of text names its descriptor";
            return Err(Absent::implausible(own, rule, Some(at)));
        }
        let at = at.plus(word);
        let text = text(self.guest, at, len)?;
        if text.last() == Some(&0) || text.windows(4).any(|four| four == [0; 4]) {
            let rule = "a text ends before the zeros behind it (text_len)";
            return Err(Absent::implausible(len, rule, Some(at)));
        }
        Ok(text)
    }
}
