//! Asks quickly whether a name is one of a wanted list.

/// A list of names, with a filter that turns nearly all others away at once.
pub(crate) struct Names {
    sorted: Vec<&'static str>,
    /// By first byte: the lengths that some wanted name of that byte has (63 stands for longer).
    lengths: [u64; 256],
}

impl Names {
    pub(crate) fn new(lists: &[&[&'static str]]) -> Self {
        let mut sorted: Vec<&'static str> = lists.iter().flat_map(|l| l.iter().copied()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut lengths = [0_u64; 256];
        for name in &sorted {
            if let Some(&first) = name.as_bytes().first()
                && let Some(slot) = lengths.get_mut(usize::from(first))
            {
                *slot |= 1 << name.len().min(63);
            }
        }
        Self { sorted, lengths }
    }

    /// Whether some name starts with `first` and is `len` bytes long; lengths of 63 and more count
    /// as one.
    pub(crate) fn may_contain(&self, first: u8, len: usize) -> bool {
        let lengths = self.lengths.get(usize::from(first)).copied().unwrap_or(0);
        lengths & (1 << len.min(63)) != 0
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        let same = |wanted: &&str| wanted.as_bytes().cmp(name);
        name.first()
            .is_some_and(|&first| self.may_contain(first, name.len()))
            && self.sorted.binary_search_by(same).is_ok()
    }
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
