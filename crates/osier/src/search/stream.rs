//! Bytes that come in order of their addresses, and matches in them, also over the borders of what comes at a time.

use std::ops::ControlFlow;
use std::time::Instant;

use super::pattern::Pattern;

/// Bytes that are looked at together.
const WINDOW: usize = 1 << 20;
/// Bytes after which it is asked whether time is over: an expression may take seconds for so many.
const PIECE: usize = 128 << 10;

/// A match.
pub(super) struct Match<'a, From> {
    /// The first address.
    pub(super) at: u64,
    pub(super) pattern: &'a Pattern,
    pub(super) bytes: &'a [u8],
    /// What the stretch of the first byte came from, and how far in it the byte lies.
    pub(super) from: &'a From,
    pub(super) by: u64,
}

/// Whoever is told of a match.
pub(super) type Tell<'t, From> = dyn FnMut(Match<'_, From>) -> ControlFlow<()> + 't;

/// Looks for patterns in what is fed to it.
pub(super) struct Stream<'a, From> {
    patterns: &'a [Pattern],
    /// The bytes of the longest match that is surely found.
    reach: usize,
    /// When the search ends.
    until: Option<Instant>,
    bytes: Vec<u8>,
    /// The address of the first of them.
    base: u64,
    /// Where each pattern is looked for next.
    next: Vec<u64>,
    /// What the bytes came from: the first address, and what.
    parts: Vec<(u64, From)>,
}

impl<'a, From> Stream<'a, From> {
    pub(super) fn new(patterns: &'a [Pattern], until: Option<Instant>) -> Self {
        Self {
            patterns,
            reach: patterns.iter().map(Pattern::reach).max().unwrap_or(1),
            until,
            bytes: Vec::new(),
            base: 0,
            next: vec![0; patterns.len()],
            parts: Vec::new(),
        }
    }

    /// Adds `bytes`, which stand at `at` and came from `from`. What does not follow what was there begins again.
    pub(super) fn feed(
        &mut self,
        at: u64,
        bytes: &[u8],
        from: From,
        tell: &mut Tell<'_, From>,
    ) -> ControlFlow<()> {
        let end = self.base.wrapping_add(self.bytes.len() as u64);
        if !self.bytes.is_empty() && end != at {
            self.finish(tell)?;
        }
        if self.bytes.is_empty() {
            self.base = at;
            self.next.fill(at);
            self.parts.clear();
        }
        self.parts.push((at, from));
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= WINDOW.saturating_add(self.reach) {
            self.scan(false, tell)?;
        }
        ControlFlow::Continue(())
    }

    /// Looks at what is left: nothing follows.
    pub(super) fn finish(&mut self, tell: &mut Tell<'_, From>) -> ControlFlow<()> {
        let flow = self.scan(true, tell);
        self.bytes.clear();
        flow
    }

    /// Tells the matches that start so far from the end that nothing which follows changes them, or all.
    fn scan(&mut self, last: bool, tell: &mut Tell<'_, From>) -> ControlFlow<()> {
        let held = self.bytes.len();
        let limit = if last {
            held
        } else {
            held.saturating_sub(self.reach)
        };
        for (pattern, next) in self.patterns.iter().zip(&mut self.next) {
            let mut from = usize::try_from(next.saturating_sub(self.base)).unwrap_or(held);
            while from < limit {
                if self.until.is_some_and(|until| Instant::now() >= until) {
                    return ControlFlow::Break(());
                }
                // A match that starts in a piece is whole in it and what lies within reach behind.
                let piece = from.saturating_add(PIECE).min(limit);
                let piece_end = piece.saturating_add(self.reach).min(held);
                let bytes = self.bytes.get(..piece_end).unwrap_or_default();
                let met = pattern.find(bytes, from);
                let Some((start, end)) = met.filter(|(start, _)| *start < piece) else {
                    from = piece;
                    continue;
                };
                let at = self.base.wrapping_add(start as u64);
                let part = self.parts.partition_point(|(first, _)| *first <= at);
                let part = part.checked_sub(1).and_then(|part| self.parts.get(part));
                let (Some((first, of)), Some(bytes)) = (part, self.bytes.get(start..end)) else {
                    break;
                };
                tell(Match {
                    at,
                    pattern,
                    bytes,
                    from: of,
                    by: at.wrapping_sub(*first),
                })?;
                from = end.max(start.saturating_add(1));
            }
            *next = self.base.wrapping_add(limit.max(from) as u64);
        }
        if !last {
            // One byte is kept before where an expression goes on, which may look at it.
            let drop = limit.saturating_sub(1);
            self.bytes.drain(..drop);
            self.base = self.base.wrapping_add(drop as u64);
            let base = self.base;
            let kept = self.parts.partition_point(|(first, _)| *first <= base);
            self.parts.drain(..kept.saturating_sub(1));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]
mod tests {
    use super::*;

    /// All matches of `patterns` in `pieces`, each at its address.
    fn found(patterns: &[Pattern], pieces: &[(u64, Vec<u8>)]) -> Vec<(u64, Vec<u8>, u64)> {
        let mut all = Vec::new();
        let mut stream = Stream::new(patterns, None);
        let mut tell = |met: Match<'_, u64>| {
            assert_eq!(*met.from + met.by, met.at);
            all.push((met.at, met.bytes.to_vec(), *met.from));
            ControlFlow::Continue(())
        };
        for (at, bytes) in pieces {
            let _ = stream.feed(*at, bytes, *at, &mut tell);
        }
        let _ = stream.finish(&mut tell);
        all
    }

    #[test]
    fn a_match_over_a_border_is_found_once_and_over_a_hole_not_at_all() {
        let text = [Pattern::text("needle").unwrap()];
        let met = found(
            &text,
            &[
                (0x1000, b"xxnee".to_vec()),
                (0x1005, b"dle needle".to_vec()),
            ],
        );
        assert_eq!(
            met,
            [
                (0x1002, b"needle".to_vec(), 0x1000),
                (0x1009, b"needle".to_vec(), 0x1005)
            ]
        );
        assert!(
            found(
                &text,
                &[(0x1000, b"nee".to_vec()), (0x2000, b"dle".to_vec())]
            )
            .is_empty()
        );
    }

    #[test]
    fn every_place_of_a_long_stream_is_found_once() {
        // A needle at every distance from the borders of windows, in pieces of a page.
        let step = 4099;
        let mut all = vec![b'.'; 5 << 20];
        for at in (0..all.len() - 8).step_by(step) {
            all[at..at + 8].copy_from_slice(b"<needle>");
        }
        let pieces: Vec<_> = all
            .chunks(4096)
            .zip(0_u64..)
            .map(|(page, nth)| (nth * 4096, page.to_vec()))
            .collect();
        let count = (0..all.len() - 8).step_by(step).count();
        for pattern in [
            Pattern::text("<needle>").unwrap(),
            Pattern::regex("<n[a-z]+>").unwrap(),
            Pattern::hex("3c 6e ?? 65 6? ?c 65 3e").unwrap(),
        ] {
            let met = found(&[pattern], &pieces);
            let places: Vec<u64> = met.iter().map(|(at, ..)| *at).collect();
            let wanted: Vec<u64> = (0..all.len() - 8)
                .step_by(step)
                .map(|at| at as u64)
                .collect();
            assert_eq!(met.len(), count);
            assert_eq!(places, wanted);
        }
    }

    #[test]
    fn an_expression_of_many_states_ends_when_time_is_over() {
        let patterns = [Pattern::regex("[^a]{3000}").unwrap()];
        let begun = Instant::now();
        let until = begun.checked_add(std::time::Duration::from_millis(50));
        let mut stream = Stream::new(&patterns, until);
        let mut tell = |_: Match<'_, ()>| ControlFlow::Continue(());
        let mut flow = ControlFlow::Continue(());
        // Text that nearly matches: every state is alive at every byte.
        let page: Vec<u8> = (0..4096)
            .map(|at| if at % 2999 == 0 { b'a' } else { b'.' })
            .collect();
        for nth in 0..(64 << 20) / 4096_u64 {
            flow = stream.feed(nth * 4096, &page, (), &mut tell);
            if flow.is_break() {
                break;
            }
        }
        assert!(flow.is_break());
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    #[test]
    fn an_expression_sees_the_byte_before_a_border() {
        // `\b` must not hold in the middle of a word that windows cut.
        let mut all = vec![b'a'; 3 << 20];
        all.extend_from_slice(b" word");
        let pieces: Vec<_> = all
            .chunks(4096)
            .zip(0_u64..)
            .map(|(page, nth)| (nth * 4096, page.to_vec()))
            .collect();
        let met = found(&[Pattern::regex(r"\bword").unwrap()], &pieces);
        assert_eq!(met.len(), 1);
        assert_eq!(
            found(&[Pattern::regex(r"\baaaa").unwrap()], &pieces).len(),
            1
        );
    }

    #[test]
    fn patterns_that_are_none_say_so() {
        for wrong in ["4", "4g", "", "?"] {
            assert!(Pattern::hex(wrong).is_err(), "{wrong}");
        }
        assert!(Pattern::regex("(").is_err());
        assert!(
            Pattern::regex("a*")
                .unwrap_err()
                .to_string()
                .contains("nothing")
        );
        for large in ["((a{1000}){1000}){1000}", "[^a]{16384}"] {
            let error = Pattern::regex(large).unwrap_err().to_string();
            assert!(error.contains("size limit"), "{error}");
        }
        assert!(Pattern::text("").is_err());
    }

    #[test]
    fn wide_text_is_utf_16() {
        let met = found(
            &[Pattern::wide_text("hé").unwrap()],
            &[(0, b"..h\0\xe9\0..".to_vec())],
        );
        assert_eq!(met, [(2, b"h\0\xe9\0".to_vec(), 0)]);
    }
}
