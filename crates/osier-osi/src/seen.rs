//! A value in a row: there, or absent with the reason and the place.

use osier_memory::{Fault, VirtAddr};

/// A value in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// The value.
    Is(T),
    /// No value, and why.
    Not(Box<Absent>),
}

/// Why a value is absent, and where it would have stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Why.
    pub why: Why,
    /// The virtual address of the value, when there is one.
    pub at: Option<VirtAddr>,
}

/// Why a value is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is nothing to have: a kernel thread has no page table. The words say why.
    NotApplicable(&'static str),
    /// This kernel does not keep it.
    NotInThisKernel,
    /// Its bytes could not be read.
    Unreadable(Fault),
    /// Its bytes were read and cannot be right.
    Implausible {
        /// What was read.
        raw: u64,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl<T> Seen<T> {
    /// A value that there is nothing to have of.
    pub fn not_applicable(because: &'static str) -> Self {
        Self::Not(Box::new(Absent {
            why: Why::NotApplicable(because),
            at: None,
        }))
    }

    /// A value that this kernel does not keep.
    pub fn not_in_this_kernel() -> Self {
        Self::Not(Box::new(Absent {
            why: Why::NotInThisKernel,
            at: None,
        }))
    }

    /// A value whose bytes could not be read.
    pub fn unreadable(fault: Fault) -> Self {
        Self::Not(Box::new(Absent {
            why: Why::Unreadable(fault),
            at: fault.va,
        }))
    }

    /// A value that cannot be right.
    pub fn implausible(raw: u64, rule: &'static str, at: Option<VirtAddr>) -> Self {
        Self::Not(Box::new(Absent {
            why: Why::Implausible { raw, rule },
            at,
        }))
    }

    /// The value, if there.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Not(_) => None,
        }
    }

    /// The absence, if absent.
    pub fn absence(&self) -> Option<&Absent> {
        match self {
            Self::Is(_) => None,
            Self::Not(absent) => Some(absent),
        }
    }

    /// The value changed by `f`, or the same absence.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Is(value) => Seen::Is(f(value)),
            Self::Not(absent) => Seen::Not(absent),
        }
    }

    /// What `f` makes of the value, or the same absence.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Seen<U>) -> Seen<U> {
        match self {
            Self::Is(value) => f(value),
            Self::Not(absent) => Seen::Not(absent),
        }
    }
}

impl<T: Copy> Seen<T> {
    /// A copy of the value, if there.
    pub fn value(&self) -> Option<T> {
        self.get().copied()
    }
}

impl<T> From<Result<T, Fault>> for Seen<T> {
    fn from(outcome: Result<T, Fault>) -> Self {
        match outcome {
            Ok(value) => Self::Is(value),
            Err(fault) => Self::unreadable(fault),
        }
    }
}

impl From<Fault> for Box<Absent> {
    fn from(fault: Fault) -> Self {
        Self::new(Absent {
            why: Why::Unreadable(fault),
            at: fault.va,
        })
    }
}

impl Absent {
    /// Whether the value exists in the guest and was lost on the way to the row; a value that
    /// never was ([`Why::NotApplicable`], [`Why::NotInThisKernel`]) does not make an answer
    /// incomplete.
    pub fn is_loss(&self) -> bool {
        matches!(self.why, Why::Unreadable(_) | Why::Implausible { .. })
    }
}
