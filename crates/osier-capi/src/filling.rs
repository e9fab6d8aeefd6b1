//! How a row's struct is filled: by name, from the cells of `osier::tables`, so that what a field holds is what
//! `docs/rows.md` says of the column of that name.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use osier::tables::{Cell, Cells};

use crate::error::text;

/// Bytes of the guest. They need not be UTF-8 and may hold NULs; one more NUL stands behind them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The first byte; NULL when the field is absent.
    pub data: *const c_char,
    /// How many, without the NUL behind them.
    pub len: usize,
}

impl Default for Bytes {
    fn default() -> Self {
        Self {
            data: ptr::null(),
            len: 0,
        }
    }
}

/// What the fields of the row that is shown point to, and why others are absent.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<Box<[u8]>>,
    absent: Vec<Option<CString>>,
}

impl Held {
    /// Why the field of that number is absent; `None` when it is there.
    pub(crate) fn absence(&self, field: usize) -> Option<&CStr> {
        self.absent.get(field)?.as_deref()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.absent.clear();
    }

    fn keep(&mut self, bytes: &[u8]) -> Bytes {
        let mut ended = Vec::with_capacity(bytes.len().saturating_add(1));
        ended.extend_from_slice(bytes);
        ended.push(0);
        self.bytes.push(ended.into_boxed_slice());
        let data = self.bytes.last().map_or(ptr::null(), |kept| kept.as_ptr());
        Bytes {
            data: data.cast(),
            len: bytes.len(),
        }
    }
}

/// What a field of C's is filled from.
pub(crate) trait Field: Default {
    fn fill(cell: &Cell<'_>, held: &mut Held) -> Self;
}

impl Field for u64 {
    fn fill(cell: &Cell<'_>, _: &mut Held) -> Self {
        match cell {
            Cell::Address(number) | Cell::Number(number) => *number,
            _ => 0,
        }
    }
}

impl Field for i64 {
    fn fill(cell: &Cell<'_>, _: &mut Held) -> Self {
        match cell {
            Cell::Instant(at) => *at,
            Cell::Number(number) => i64::try_from(*number).unwrap_or(i64::MAX),
            Cell::Numeral(number) => number.parse().unwrap_or(0),
            _ => 0,
        }
    }
}

impl Field for bool {
    fn fill(cell: &Cell<'_>, _: &mut Held) -> Self {
        matches!(cell, Cell::Flag(true))
    }
}

impl Field for Bytes {
    fn fill(cell: &Cell<'_>, held: &mut Held) -> Self {
        match cell {
            Cell::Bytes(bytes) | Cell::Arguments(bytes) => held.keep(bytes),
            Cell::Word(word) => held.keep(word.as_bytes()),
            Cell::Text(words) | Cell::Numeral(words) => held.keep(words.as_bytes()),
            _ => Self::default(),
        }
    }
}

/// A kind of row, as C has it.
pub(crate) trait Shown: Default {
    /// The names of its columns, in the order of its fields.
    const FIELDS: &'static [&'static str];

    /// The row of these cells. `held` keeps what it points to.
    fn show(cells: &Cells<'_>, held: &mut Held) -> Self;
}

/// Fills the struct from the cells, each field from the column of its name. A field that is left out
/// here does not compile.
macro_rules! shown {
    ($name:ident: $($field:ident),*) => {
        impl $crate::filling::Shown for $name {
            const FIELDS: &'static [&'static str] = &[$($crate::filling::plain(stringify!($field))),*];

            fn show(
                cells: &osier::tables::Cells<'_>,
                held: &mut $crate::filling::Held,
            ) -> Self {
                held.clear();
                let mut present = 0_u64;
                let mut bit = 1_u64;
                $(
                    let $field = $crate::filling::field(cells, $crate::filling::plain(stringify!($field)), held);
                    present |= if $field.is_some() { bit } else { 0 };
                    bit = bit.wrapping_shl(1);
                )*
                let _ = bit;
                Self {
                    struct_size: size_of::<Self>(),
                    present,
                    $($field: $field.unwrap_or_default(),)*
                }
            }
        }
    };
}
pub(crate) use shown;

/// A field's name without what Rust puts before one that is a word of its own.
pub(crate) const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// The value of the column `name`; notes why there is none.
pub(crate) fn field<F: Field>(cells: &Cells<'_>, name: &str, held: &mut Held) -> Option<F> {
    let cell = cells.iter().find(|(column, _)| column.name == name);
    let (value, why) = match cell {
        Some((_, Cell::Absent(why))) => (None, Some(text(why.to_string().into()))),
        None | Some((_, Cell::Null)) => (None, Some(c"not a field of this system".into())),
        Some((_, cell)) => (Some(F::fill(cell, held)), None),
    };
    held.absent.push(why);
    value
}
