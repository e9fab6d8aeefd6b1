//! A cell as what it is compared by, and what is written in a condition as the same.

use osier::format::plain_text;
use osier::tables::{Cell, Column, Kind};

/// What a cell is compared by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// Of a column of numbers or addresses, or of words in an order: the word's place in it.
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
    /// The value of `cell`, which stands in `column`.
    pub(crate) fn of(column: &Column, cell: &Cell<'_>) -> Result<Self, NoValue> {
        match cell {
            Cell::Number(number) | Cell::Address(number) => Ok(Self::Number(i128::from(*number))),
            Cell::Numeral(text) => match text.parse() {
                Ok(number) => Ok(Self::Number(number)),
                Err(_) => Ok(Self::Text(text.clone())),
            },
            Cell::Absent(absent) => Err(NoValue {
                lost: absent.is_loss(),
            }),
            Cell::Null => Err(NoValue { lost: false }),
            Cell::Word(word) => {
                let word = Self::of_word(column, word);
                Ok(word.unwrap_or_else(|| Self::Text(shown(cell))))
            }
            Cell::Flag(_)
            | Cell::Text(_)
            | Cell::Bytes(_)
            | Cell::Arguments(_)
            | Cell::Instant(_) => Ok(Self::Text(shown(cell))),
        }
    }

    /// The place of `word` in the order of the column's words.
    fn of_word(column: &Column, word: &str) -> Option<Self> {
        let at = column.order.iter().position(|known| *known == word)?;
        Some(Self::Number(i128::try_from(at).ok()?))
    }

    /// The value that `text` writes, to compare with the values of `column`.
    pub(crate) fn written(column: &Column, text: &str) -> Result<Self, String> {
        let typed = osier_text::visible(text);
        let name = column.name;
        match column.kind {
            Kind::Number | Kind::Signed => {
                let in_seconds = text.strip_suffix('s').filter(|_| column.seconds);
                let number = in_seconds.map_or_else(|| number(text), nanoseconds);
                number.map(Self::Number).ok_or_else(|| {
                    let way = if column.seconds {
                        "nanoseconds, or seconds as in 12.5s"
                    } else {
                        "10, 0x10 or 10K"
                    };
                    format!("{name} is a number, which `{typed}` is not; write {way}")
                })
            }
            Kind::Address => address(text).map(Self::Number).ok_or_else(|| {
                format!(
                    "{name} is hexadecimal, which `{typed}` is not; write 0x400000 or 400000"
                )
            }),
            Kind::Flag => match text.to_ascii_lowercase().as_str() {
                "yes" | "true" => Ok(Self::Text(flag_word(true).to_owned())),
                "no" | "false" => Ok(Self::Text(flag_word(false).to_owned())),
                _ => Err(format!("{name} is yes or no, and never `{typed}`")),
            },
            Kind::Instant => moment(text).map(Self::Text).ok_or_else(|| {
                format!(
                    "{name} is a time, which `{typed}` is not; write 2024-05-01, or 2024-05-01T12:30"
                )
            }),
            Kind::Text | Kind::Bytes if column.order.is_empty() => Ok(Self::Text(text.to_owned())),
            Kind::Text | Kind::Bytes => {
                Self::of_word(column, &text.to_ascii_lowercase()).ok_or_else(|| {
                    let known = column.order.join(", ");
                    format!("{name} is one of {known}, and never `{typed}`")
                })
            }
        }
    }
}

/// A cell as patterns see it: as CSV has it, but for the words of flags.
pub(crate) fn shown(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Flag(flag) => flag_word(*flag).to_owned(),
        _ => plain_text(cell).into_owned(),
    }
}

/// The word of a flag in conditions, which is that of tables.
pub(crate) const fn flag_word(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// An address or a mask: hexadecimal, with `0x` or without.
fn address(text: &str) -> Option<i128> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let digits = digits.unwrap_or(text);
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let address = u64::from_str_radix(digits, 16).ok().filter(|_| all)?;
    Some(i128::from(address))
}

/// A number: decimal or, with `0x`, hexadecimal; K, M, G and T multiply by 1024.
fn number(text: &str) -> Option<i128> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
    let magnitude = if hexadecimal {
        address(digits)?
    } else {
        let suffix = digits.chars().last().map(|c| c.to_ascii_uppercase());
        let shift = match suffix {
            Some('K') => 10,
            Some('M') => 20,
            Some('G') => 30,
            Some('T') => 40,
            _ => 0,
        };
        let digits = if shift == 0 {
            digits
        } else {
            digits.get(..digits.len().saturating_sub(1))?
        };
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| all)?;
        i128::from(number.checked_mul(1_u64.checked_shl(shift)?)?)
    };
    Some(if negative {
        magnitude.checked_neg()?
    } else {
        magnitude
    })
}

/// Seconds, with a fraction perhaps, as nanoseconds.
fn nanoseconds(text: &str) -> Option<i128> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds: u64 = seconds.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
    i128::from(seconds)
        .checked_mul(1_000_000_000)?
        .checked_add(i128::from(fraction))
}

/// A moment of the calendar as ISO-8601, or the beginning of one: a year, a month, a day, an hour, a
/// minute, a second, or a fraction of it.
fn moment(text: &str) -> Option<String> {
    let form = "dddd-dd-ddTdd:dd:dd.";
    let text = match text.strip_suffix('Z') {
        // What ends with a Z is whole to the second.
        Some(whole) if whole.len() >= "dddd-dd-ddTdd:dd:dd".len() => whole,
        Some(_) => return None,
        None => text,
    };
    let forms = form.chars().chain(std::iter::repeat('d'));
    let fits = text.chars().zip(forms).all(|(c, form)| match form {
        'd' => c.is_ascii_digit(),
        form => c == form,
    });
    let ends = [4, 7, 10, 13, 16, 19].contains(&text.len()) || text.len() > 20;
    if !fits || !ends {
        return None;
    }
    let part = |at: usize| text.get(at..at.saturating_add(2))?.parse::<u32>().ok();
    let year: u32 = text.get(..4)?.parse().ok()?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match part(5) {
        Some(2) if leap => 29,
        Some(2) => 28,
        Some(4 | 6 | 9 | 11) => 30,
        _ => 31,
    };
    let within = |at, first, last| part(at).is_none_or(|part| (first..=last).contains(&part));
    let real = within(5, 1, 12)
        && within(8, 1, days)
        && within(11, 0, 23)
        && within(14, 0, 59)
        && within(17, 0, 59);
    real.then(|| text.to_owned())
}
