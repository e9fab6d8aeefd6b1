//! How large a process's memory is, and how much of it is in memory.

use osier_memory::{Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, Seen};
use osier_profile::{Embed, Field, Ptr, Resolver, SInt, layout};

use super::reader::Reader;
use crate::{mappings, symbols};

layout! {
    /// Fields read from `mm_rss_stat`.
    pub(crate) struct RssStat: "mm_rss_stat" {
        /// Pages in memory, by kind. Until v6.1.
        count: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `percpu_counter`.
    pub(crate) struct PerCpu: "percpu_counter" {
        /// What was counted together.
        count: Option<Field<SInt>>,
        /// What each processor counted since.
        counters: Option<Field<Ptr<()>>>,
    }
}

/// How to read it.
pub(super) struct Resident {
    rss: RssStat,
    per_cpu: PerCpu,
}

impl Resident {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            rss: RssStat::resolve(resolver),
            per_cpu: PerCpu::resolve(resolver),
        }
    }

    /// Bytes of all its mappings: those of each kind are no more, there is room for all of them, and they add
    /// up to it.
    pub(super) fn vsize(reader: &Reader<'_>, mm: VirtAddr) -> Seen<u64> {
        let sizes = &reader.linux.mm;
        let pages = reader.value(sizes.total_vm, mm)?;
        let bytes = pages.saturating_mul(PAGE_BYTES);
        let implausible = |rule| {
            let at = sizes.total_vm.map(|field| field.place(mm));
            Err(Absent::implausible(pages, rule, at))
        };
        let parts = [sizes.data_vm, sizes.exec_vm, sizes.stack_vm];
        let more = |part| reader.value(part, mm).is_ok_and(|part| part > pages);
        if parts.into_iter().any(more) {
            return implausible("pages of one kind are among all pages (total_vm)");
        }
        let room = reader.value(sizes.task_size, mm);
        if room.is_ok_and(|room| room != 0 && bytes > room) {
            return implausible("a process has room for its mappings (total_vm, task_size)");
        }
        if mappings::pages(reader.linux, mm).is_some_and(|mapped| mapped != pages) {
            return implausible("the mappings have as many pages as are counted (total_vm)");
        }
        Ok(bytes)
    }

    /// Bytes of it that are in memory.
    pub(super) fn rss(&self, reader: &Reader<'_>, mm: VirtAddr) -> Seen<u64> {
        let rss_stat = reader
            .linux
            .mm
            .rss_stat
            .ok_or_else(Absent::not_in_this_kernel)?;
        let space = &reader.linux.guest.space;
        let stat = rss_stat.place(mm);
        let word = u64::from(reader.linux.guest.pointer_bytes());
        // Pages of files, of no file, and shared ones; between them stand those in swap.
        let mut pages = 0_i64;
        for kind in [0_u64, 1, 3] {
            let own = if let Some(count) = self.rss.count {
                let at = count.place(stat).plus(kind.wrapping_mul(word));
                let bytes = word as usize;
                let count = space.read_uint(at, bytes).map_err(Absent::unreadable)?;
                if bytes == 4 {
                    i64::from((count as u32).cast_signed())
                } else {
                    count.cast_signed()
                }
            } else {
                let at = stat.plus(kind.wrapping_mul(self.per_cpu.size));
                self.counted(reader, at)?
            };
            pages = pages.saturating_add(own.max(0));
        }
        let mapped = reader.value(reader.linux.mm.total_vm, mm);
        let pages = pages.cast_unsigned();
        if mapped.is_ok_and(|mapped| pages > mapped) {
            let rule = "no more pages are in memory than are mapped (rss_stat, total_vm)";
            return Err(Absent::implausible(pages, rule, Some(stat)));
        }
        Ok(pages.saturating_mul(PAGE_BYTES))
    }

    /// The sum of a `percpu_counter`.
    fn counted(&self, reader: &Reader<'_>, at: VirtAddr) -> Seen<i64> {
        let (mut sum, _) = reader.signed(self.per_cpu.count, at)?;
        let field = self
            .per_cpu
            .counters
            .ok_or_else(Absent::not_in_this_kernel)?;
        let space = &reader.linux.guest.space;
        let counters = field.read(space, at).map_err(Absent::unreadable)?;
        let guest = &reader.linux.guest;
        let missing = Absent::not_in_this_kernel;
        let offsets = guest
            .symbol(symbols::__per_cpu_offset)
            .ok_or_else(missing)?;
        let cpus = guest.symbol(symbols::nr_cpu_ids).ok_or_else(missing)?;
        let cpus = space.read_uint(cpus, 4).map_err(Absent::unreadable)?;
        let word = u64::from(guest.pointer_bytes());
        for cpu in 0..cpus.min(8192) {
            let read = || -> Result<u64, Fault> {
                let offset =
                    space.read_uint(offsets.plus(cpu.wrapping_mul(word)), word as usize)?;
                space.read_uint(counters.plus(offset), 4)
            };
            let own = read().map_err(Absent::unreadable)?;
            sum = sum.wrapping_add(i64::from((own as u32).cast_signed()));
        }
        Ok(sum)
    }
}
