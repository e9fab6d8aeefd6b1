//! Asks quickly whether a name is one of a wanted list.

/// A list of names, with a filter that turns nearly all others away at once.
pub(crate) struct Names {
    sorted: Vec<&'static str>,
    /// By first byte: the lengths that some wanted name of that byte has (63 stands for longer).
    lengths: [u64; 256],
    /// A bit for each [`shape`] that some wanted name has.
    shapes: [u64; SHAPES / 64],
}

/// Kinds of shapes.
const SHAPES: usize = 1 << 12;

impl Names {
    pub(crate) fn new(lists: &[&[&'static str]]) -> Self {
        let mut sorted: Vec<&'static str> = lists.iter().flat_map(|l| l.iter().copied()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let (mut lengths, mut shapes) = ([0_u64; 256], [0_u64; SHAPES / 64]);
        for name in &sorted {
            let bytes = name.as_bytes();
            let first = bytes.first().copied().unwrap_or(0);
            if let Some(slot) = lengths.get_mut(usize::from(first)) {
                *slot |= length(bytes.len());
            }
            let shape = shape(bytes);
            if let Some(slot) = shapes.get_mut(shape / 64) {
                *slot |= 1 << (shape % 64);
            }
        }
        Self {
            sorted,
            lengths,
            shapes,
        }
    }

    /// Whether some name starts with `first` and is `len` bytes long; lengths of 63 and more count
    /// as one.
    pub(crate) fn may_contain(&self, first: u8, len: usize) -> bool {
        let lengths = self.lengths.get(usize::from(first)).copied().unwrap_or(0);
        lengths & length(len) != 0
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        let shape = shape(name);
        let shapes = self.shapes.get(shape / 64).copied().unwrap_or(0);
        let same = |wanted: &&str| wanted.as_bytes().cmp(name);
        shapes & (1 << (shape % 64)) != 0 && self.sorted.binary_search_by(same).is_ok()
    }
}

/// A number below [`SHAPES`] that few names share, of the length and three bytes: it costs less than a comparison.
fn shape(name: &[u8]) -> usize {
    let [first, middle, last] = [0, name.len() / 2, name.len().wrapping_sub(1)]
        .map(|at| name.get(at).map_or(0, |byte| usize::from(*byte)));
    let mixed = name.len() ^ first.wrapping_shl(1) ^ middle.wrapping_shl(3) ^ last.wrapping_shl(5);
    mixed % SHAPES
}

/// The bit of a length.
fn length(len: usize) -> u64 {
    1 << len.min(63)
}

/// Whether this is a name that a compiler or another tool made up for a structure that has none:
/// `__unnamed`, `<unnamed-tag>`, `_MMVAD::<unnamed-type-u>`, `<anonymous-tag>`, and the numbered
/// ones of Volatility and Rekall, `__unnamed_17b2` and `__anonymous_1dd7`.
pub(crate) fn is_unnamed(name: &[u8]) -> bool {
    let ours = |part: &[u8]| memchr::memmem::find(name, part).is_some();
    name.is_empty()
        || name.starts_with(b"__unnamed")
        || name.starts_with(b"__anonymous")
        || ours(b"<unnamed-")
        || ours(b"<anonymous-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_are_told() {
        for name in [
            "",
            "__unnamed",
            "__anonymous_1dd7",
            "_MMVAD::<unnamed-type-u>",
            "<anonymous-tag>",
        ] {
            assert!(is_unnamed(name.as_bytes()), "{name}");
        }
        assert!(!is_unnamed(b"_EPROCESS"));
    }

    /// Names of three bytes and fewer meet in one shape often.
    #[test]
    fn names_that_look_alike_are_told_apart() {
        let letters = ["", "a", "b", "_", "q"];
        let all: Vec<String> = letters
            .iter()
            .flat_map(|one| letters.map(|two| format!("{one}{two}")))
            .flat_map(|two| letters.map(|three| format!("{two}{three}")))
            .collect();
        let wanted = ["a", "ab", "abq", "qq_", "_"];
        let names = Names::new(&[&wanted]);
        for name in &all {
            let is = wanted.contains(&name.as_str());
            assert_eq!(names.contains(name.as_bytes()), is, "{name}");
        }
    }

    #[test]
    fn finds_its_own_and_no_other() {
        let names = Names::new(&[&["list_head", "pid"], &["pid", "a"]]);
        for name in ["list_head", "pid", "a"] {
            assert!(names.contains(name.as_bytes()));
        }
        for name in ["", "b", "pit", "list_heads", "lisp_head"] {
            assert!(!names.contains(name.as_bytes()), "{name}");
        }
    }
}
