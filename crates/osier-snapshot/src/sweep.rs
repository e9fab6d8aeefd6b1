//! Sweeps over file-backed memory: one buffer, filled window by window, and each window piece by piece.

use std::ops::ControlFlow;

use osier_memory::{PAGE_BYTES, PhysAddr, PhysRun, Visit};

/// Runs of captured memory, as `(start, length)` stretches sorted by start; neighbours are joined.
pub(crate) fn join(mut stretches: Vec<(u64, u64)>) -> Vec<PhysRun> {
    stretches.sort_unstable();
    let mut runs: Vec<PhysRun> = Vec::new();
    for (start, len) in stretches {
        let len = len.min(u64::MAX.saturating_sub(start)); // memory that nobody can address is none
        if len == 0 {
            continue;
        }
        match runs.last_mut() {
            Some(last) if last.end().0 >= start => {
                let end = last.end().0.max(start.saturating_add(len));
                last.len = end.saturating_sub(last.start.0);
            }
            _ => runs.push(PhysRun {
                start: PhysAddr(start),
                len,
            }),
        }
    }
    runs
}

/// Fills `buf` piece by piece: `piece` fills the first of what is left, so many bytes behind the start, and says how many
/// it filled. Ends early where that is none, or an error; returns the bytes filled.
///
/// # Errors
///
/// The first piece's. Whoever asks for the rest is told of that of another.
pub(crate) fn fill<E>(
    buf: &mut [u8],
    mut piece: impl FnMut(u64, &mut [u8]) -> Result<usize, E>,
) -> Result<usize, E> {
    let mut done = 0_usize;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match piece(done as u64, rest) {
            Ok(0) => break,
            Ok(n) => done = done.saturating_add(n),
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Copies as many bytes as there is room for; returns how many.
pub(crate) fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let n = from.len().min(into.len());
    if let (Some(into), Some(from)) = (into.get_mut(..n), from.get(..n)) {
        into.copy_from_slice(from);
    }
    n
}

/// Shows every captured byte of `run` in windows; the contract is
/// [`osier_memory::PhysicalMemory::sweep`]'s.
///
/// `fill` fills a buffer from an address on and returns how many bytes it could fill; it is only
/// asked for stretches of `runs`.
pub(crate) fn in_windows(
    runs: &[PhysRun],
    run: PhysRun,
    window: usize,
    mut fill: impl FnMut(PhysAddr, &mut [u8]) -> usize,
    visit: Visit<'_, PhysAddr>,
) -> ControlFlow<()> {
    let page = PAGE_BYTES as usize;
    let window = window.clamp(page, 1 << 30).next_multiple_of(page);
    let mut buf = Vec::new();
    let first = runs.partition_point(|r| r.end() <= run.start);
    for captured in runs.get(first..).unwrap_or_default() {
        let end = captured.end().min(run.end());
        let mut at = captured.start.max(run.start);
        if at >= run.end() {
            break;
        }
        while at < end {
            // Windows end at page boundaries even when the run starts inside a page.
            let max = window.wrapping_sub(at.in_page() as usize);
            let want = usize::try_from(end.since(at)).unwrap_or(max).min(max);
            if buf.len() < want {
                buf.resize(want, 0);
            }
            let filled = buf.get_mut(..want).map_or(0, |buf| fill(at, buf));
            if filled == 0 {
                at = at.page().plus(PAGE_BYTES);
                if at.is_null() {
                    break;
                }
                continue;
            }
            visit(at, buf.get(..filled).unwrap_or_default())?;
            at = at.plus(filled as u64);
        }
    }
    ControlFlow::Continue(())
}
