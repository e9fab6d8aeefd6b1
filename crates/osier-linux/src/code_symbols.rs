//! Where functions begin in code, and what they are called.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use osier_memory::{AddressSpace, VirtAddr};

/// What a function is called, by where it begins. Bytes.
type Name = dyn Fn(VirtAddr) -> Option<Vec<u8>>;

/// Where the functions begin that have a name which begins with one of these. A function may have several names.
type Named = dyn Fn(&[&[u8]]) -> HashSet<VirtAddr>;

/// Where the symbol of exactly that name is, of code or of data.
type Place = dyn Fn(&[u8]) -> Option<VirtAddr>;

/// Where functions begin, and what they are called.
pub struct CodeSymbols {
    starts: Vec<VirtAddr>,
    name: Box<Name>,
    named: Box<Named>,
    place: Box<Place>,
}

/// Reads the symbols of a kernel's code, out of the image that lies in this range.
///
/// # Errors
///
/// Why there are none, in words.
pub type ReadCodeSymbols = fn(&AddressSpace, Range<VirtAddr>) -> Result<CodeSymbols, String>;

impl CodeSymbols {
    /// Functions that begin at `starts`, in any order, each of which `name` calls by its name; `named` tells where
    /// those begin that have a name which begins with one of some words, `place` where the symbol of a name is.
    pub fn new(
        mut starts: Vec<VirtAddr>,
        name: Box<Name>,
        named: Box<Named>,
        place: Box<Place>,
    ) -> Self {
        starts.sort_unstable();
        starts.dedup();
        Self {
            starts,
            name,
            named,
            place,
        }
    }

    /// Where they begin, ascending.
    pub(crate) fn starts(&self) -> &[VirtAddr] {
        &self.starts
    }

    /// What the function that begins at `start` is called; `None` where that cannot be read.
    pub(crate) fn name(&self, start: VirtAddr) -> Option<Vec<u8>> {
        (self.name)(start)
    }

    /// Where the functions begin that have a name which begins with one of `words`.
    pub(crate) fn named(&self, words: &[&[u8]]) -> HashSet<VirtAddr> {
        (self.named)(words)
    }

    /// Where the symbol of exactly that name is, of code or of data; `None` where there is none.
    pub(crate) fn place(&self, name: &[u8]) -> Option<VirtAddr> {
        (self.place)(name)
    }
}

impl fmt::Debug for CodeSymbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starts = self.starts.len();
        f.debug_struct("CodeSymbols")
            .field("starts", &starts)
            .finish_non_exhaustive()
    }
}
