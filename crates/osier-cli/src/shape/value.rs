//! A cell as what it is compared by.

use osier::format::plain_text;
use osier::tables::Cell;

/// What a cell is compared by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// Of a column of numbers or addresses.
    Number(i128),
    /// Of any other column: the text that CSV has.
    Text(String),
}

/// A cell without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoValue {
    /// Whether the guest has one, which was lost on the way.
    pub(crate) lost: bool,
}

impl Value {
    /// The value of `cell`.
    pub(crate) fn of(cell: &Cell<'_>) -> Result<Self, NoValue> {
        match cell {
            Cell::Number(number) | Cell::Address(number) => Ok(Self::Number(i128::from(*number))),
            Cell::Numeral(text) => match text.parse() {
                Ok(number) => Ok(Self::Number(number)),
                Err(_) => Ok(Self::Text(text.clone())),
            },
            Cell::Flag(flag) => Ok(Self::Text(flag_word(*flag).to_owned())),
            Cell::Absent(absent) => Err(NoValue {
                lost: absent.is_loss(),
            }),
            Cell::Null => Err(NoValue { lost: false }),
            Cell::Word(_)
            | Cell::Text(_)
            | Cell::Bytes(_)
            | Cell::Arguments(_)
            | Cell::Instant(_) => Ok(Self::Text(plain_text(cell).into_owned())),
        }
    }
}

/// The word of a flag in conditions, which is that of tables.
pub(crate) const fn flag_word(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}
