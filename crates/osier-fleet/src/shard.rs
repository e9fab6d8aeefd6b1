//! A part of a run: which of its inputs, and where what is written of them lies.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One of the equal parts of a run. The inputs of the whole are cut into runs of neighbours, so that what
/// the parts write, one behind the other, is what the whole writes. Which inputs a part has depends
/// on the list of all and on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    /// The part of this number, counted from one, of so many; `None` where there is no such part.
    pub fn new(number: u32, of: u32) -> Option<Self> {
        (1..=of).contains(&number).then_some(Self { number, of })
    }

    /// Its number, from one on.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// The number of parts.
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Which of so many inputs are its own. Parts differ by one input at most; some have none when there are
    /// more parts than inputs.
    pub(crate) fn range(self, inputs: usize) -> Range<usize> {
        let cut = |number: u32| {
            let wide = (inputs as u128).saturating_mul(number.into());
            wide.checked_div(self.of.into())
                .and_then(|at| usize::try_from(at).ok())
                .unwrap_or(inputs)
        };
        cut(self.number.saturating_sub(1))..cut(self.number)
    }

    /// Where a file lies, below the folder of a run, that is called `name` in a whole run: `ps.parquet`
    /// becomes `ps/01-of-12.parquet`, so that the parts of a table are a folder of their own, in order.
    pub(crate) fn place(self, name: &str) -> PathBuf {
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        let width = self.of.to_string().len();
        let (number, of) = (self.number, self.of);
        Path::new(stem).join(format!("{number:0width$}-of-{of}.{ending}"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        text.split_once('/')
            .filter(|(number, of)| digits(number) && digits(of))
            .and_then(|(number, of)| Self::new(number.parse().ok()?, of.parse().ok()?))
            .ok_or_else(|| {
                format!("`{text}` is no part of a run; write 1/4 for the first of four, 4/4 for the last")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_inputs_once_and_in_order() {
        for (inputs, of) in [(0, 1), (1, 1), (5, 2), (7, 3), (3, 7), (1_000_003, 64)] {
            let mut next = 0;
            for number in 1..=of {
                let range = Shard::new(number, of).unwrap().range(inputs);
                assert_eq!(range.start, next);
                let (least, len) = (inputs / of as usize, range.len());
                assert!(len == least || len == least.checked_add(1).unwrap());
                next = range.end;
            }
            assert_eq!(next, inputs);
        }
        let last = Shard::new(u32::MAX, u32::MAX).unwrap().range(usize::MAX);
        assert_eq!(last.end, usize::MAX);
    }

    #[test]
    fn a_part_is_written_as_a_fraction() {
        let shard: Shard = "3/12".parse().unwrap();
        assert_eq!((shard.number(), shard.of()), (3, 12));
        assert_eq!(shard.place("ps.jsonl"), Path::new("ps/03-of-12.jsonl"));
        for text in [
            "0/4",
            "5/4",
            "0/0",
            "1",
            "1/",
            "/4",
            "+1/4",
            "1/4/4",
            "99999999999/1",
        ] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
