//! A value in a row: there, or absent with the reason and the place.

use std::fmt;

use osier_memory::{Fault, VirtAddr};

/// A value in a row, or why there is none.
pub type Seen<T> = Result<T, Box<Absent>>;

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
    /// The value does not apply to this row: a kernel thread has no page table. The words say why.
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

impl Absent {
    /// A value that does not apply to its row.
    pub fn not_applicable(because: &'static str) -> Box<Self> {
        Box::new(Self {
            why: Why::NotApplicable(because),
            at: None,
        })
    }

    /// A value that this kernel does not keep.
    pub fn not_in_this_kernel() -> Box<Self> {
        Box::new(Self {
            why: Why::NotInThisKernel,
            at: None,
        })
    }

    /// A value whose bytes could not be read.
    pub fn unreadable(fault: Fault) -> Box<Self> {
        fault.into()
    }

    /// A value that cannot be right.
    pub fn implausible(raw: u64, rule: &'static str, at: Option<VirtAddr>) -> Box<Self> {
        Box::new(Self {
            why: Why::Implausible { raw, rule },
            at,
        })
    }

    /// Whether the value exists in the guest and was lost on the way to the row; a value that
    /// never was ([`Why::NotApplicable`], [`Why::NotInThisKernel`]) does not make an answer
    /// incomplete.
    pub fn is_loss(&self) -> bool {
        matches!(self.why, Why::Unreadable(_) | Why::Implausible { .. })
    }

    /// The read that failed; `None` where the value is absent for another reason.
    pub fn fault(&self) -> Option<Fault> {
        match self.why {
            Why::Unreadable(fault) => Some(fault),
            _ => None,
        }
    }

    /// Whether a value was read that cannot be right.
    pub fn is_implausible(&self) -> bool {
        matches!(self.why, Why::Implausible { .. })
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::NotApplicable(because) => f.write_str(because),
            Why::NotInThisKernel => f.write_str("this kernel does not keep it"),
            Why::Unreadable(fault) => fault.fmt(f),
            Why::Implausible { raw, rule } => {
                write!(f, "{raw:#x}")?;
                if let Some(at) = self.at {
                    write!(f, " at {at}")?;
                }
                write!(f, " cannot be right: {rule}")
            }
        }
    }
}

impl std::error::Error for Absent {}

impl From<Fault> for Box<Absent> {
    fn from(fault: Fault) -> Self {
        Self::new(Absent {
            why: Why::Unreadable(fault),
            at: fault.va,
        })
    }
}

/// Short ways to look at a [`Seen`] without taking it apart.
pub trait SeenExt<T> {
    /// The value, if there.
    fn get(&self) -> Option<&T>;

    /// A copy of the value, if there.
    fn value(&self) -> Option<T>
    where
        T: Copy,
    {
        self.get().copied()
    }

    /// The absence, if absent.
    fn absence(&self) -> Option<&Absent>;
}

impl<T> SeenExt<T> for Seen<T> {
    fn get(&self) -> Option<&T> {
        self.as_ref().ok()
    }

    fn absence(&self) -> Option<&Absent> {
        self.as_ref().err().map(|absent| &**absent)
    }
}
