//! Memory that was lost: pages of code that hold none, tables most of whose entries lead nowhere.

use std::ops::Range;

use osier_memory::VirtAddr;
use osier_osi::code::{self, Looks, Width};

use super::context::Context;

/// Bytes of a page, which is lost as a whole.
pub(super) const PAGE: u64 = 4096;
/// Bytes at the start of a function that are looked at.
const HEAD: usize = 32;
/// Instructions at the start of a function that are looked at.
const FIRST: usize = 8;
/// Functions that a page has at least, of which most begin with what no compiler makes, where it is lost; of fewer, none
/// begins with an instruction.
const FEW: usize = 4;
/// Entries of a table on one page that lead away, more than anybody replaces.
const MANY: usize = 16;

/// Whether the bytes of a page of code at `at`, in which functions begin at some of `starts`, are none. Unless it is
/// `doubtful` already, its first functions are looked at before the others are.
pub(super) fn holds_no_code(
    width: Width,
    starts: &[VirtAddr],
    page: &Range<VirtAddr>,
    bytes: &[u8],
    doubtful: bool,
) -> bool {
    let looks = |at: &VirtAddr| {
        let offset = usize::try_from(at.since(page.start)).unwrap_or(usize::MAX);
        let head = bytes.get(offset..).unwrap_or_default();
        code::looks(width, *at, head.get(..HEAD).unwrap_or(head), FIRST)
    };
    let from = starts.partition_point(|at| *at < page.start);
    let own = starts.get(from..).unwrap_or_default();
    let own = own
        .get(..own.partition_point(|at| *at < page.end))
        .unwrap_or_default();
    let heads = own.iter().map(looks);
    if !doubtful && heads.clone().take(FEW).all(|looks| looks == Looks::Code) {
        return false;
    }
    let heads: Vec<_> = heads.collect();
    let count = |is: &dyn Fn(&Looks) -> bool| heads.iter().filter(|looks| is(looks)).count();
    if own.len() < FEW {
        !own.is_empty() && count(&|looks| *looks == Looks::Nothing) == own.len()
    } else {
        count(&|looks| *looks != Looks::Code) > own.len() / 2
    }
}

/// The pages of a table in which most entries lead away: `away` of the entries at `all` places.
pub(super) fn pages(all: &[VirtAddr], away: &[VirtAddr]) -> Vec<VirtAddr> {
    let on = |page: VirtAddr, places: &[VirtAddr]| {
        let range = page..page.plus(PAGE);
        places.iter().filter(|at| range.contains(at)).count()
    };
    let mut pages: Vec<_> = away.iter().map(|at| VirtAddr(at.0 & !(PAGE - 1))).collect();
    pages.dedup();
    pages.retain(|page| {
        let lost = on(*page, away);
        lost >= MANY && lost > on(*page, all) / 2
    });
    pages
}

/// Whether a place is on one of these pages.
pub(super) fn is_of(pages: &[VirtAddr], at: VirtAddr) -> bool {
    pages.contains(&VirtAddr(at.0 & !(PAGE - 1)))
}

/// Whether something is mapped at `to`, where a function may lie.
pub(super) fn leads_somewhere(context: &Context<'_>, to: VirtAddr) -> bool {
    let guest = &context.linux.guest;
    guest.is_kernel_address(to) && guest.space.translate(to).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_lost_where_most_functions_are_no_code() {
        let at = VirtAddr(0xffff_ffff_8100_0000);
        let starts: Vec<_> = (0..8).map(|number| at.plus(number * 512)).collect();
        let page = at..at.plus(PAGE);
        let no_code = |bytes: &[u8], starts: &[VirtAddr]| {
            let [glance, closer] = [false, true]
                .map(|doubtful| holds_no_code(Width::Bits64, starts, &page, bytes, doubtful));
            (glance, closer)
        };
        let code = [0x0f, 0x1f, 0x44, 0, 0, 0x55, 0xc3, 0xcc].repeat(512);
        assert_eq!(no_code(&code, &starts), (false, false));
        assert_eq!(no_code(&[0xff; 4096], &starts), (true, true));
        assert_eq!(no_code(&[0; 4096], &starts[..1]), (true, true));
        assert_eq!(no_code(&[0xff; 4096], &[]), (false, false));
        // Three of eight functions that somebody wrote over.
        let mut some = code;
        for number in [0, 2, 5] {
            some[number * 512..number * 512 + 32].fill(0xff);
        }
        assert_eq!(no_code(&some, &starts), (false, false));
        assert_eq!(no_code(&some, &starts[..1]), (true, true));
    }

    #[test]
    fn a_page_of_a_table_is_lost_where_most_entries_lead_away() {
        let at = VirtAddr(0xffff_ffff_8200_0f00);
        let all: Vec<_> = (0..200).map(|number| at.plus(number * 8)).collect();
        let second = VirtAddr(0xffff_ffff_8200_1000);
        assert_eq!(pages(&all, &all[40..180]), [second]);
        assert!(pages(&all, &all[40..55]).is_empty());
        assert!(pages(&all, &all[100..180]).is_empty() && pages(&all, &[]).is_empty());
    }
}
