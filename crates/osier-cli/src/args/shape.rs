//! Which rows of a list are wanted, and what of them.

use clap::Args;

/// What these options stand under in the help.
const HEADING: &str = "Which rows, and what of them";

// Which rows of a list are wanted, and what of them.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShapeArgs {
    /// Of these processes only, such as 1 or 100-200; several with commas
    #[arg(help_heading = HEADING, long, value_name = "N,N-M", value_delimiter = ',', value_parser = pids, allow_negative_numbers = true)]
    pub(crate) pid: Vec<PidArg>,
    /// Only rows of this name, with * and ?; where a list has no names, of processes of this name
    #[arg(help_heading = HEADING, long, value_name = "GLOB")]
    pub(crate) name: Option<String>,
    /// Only rows of which this is true, such as 'uid = 0 and size > 1M'
    #[arg(help_heading = HEADING, long = "where", value_name = "EXPR")]
    pub(crate) condition: Option<String>,
    /// These columns only, in this order
    #[arg(help_heading = HEADING, long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// In the order of this column; with :desc the largest first
    #[arg(help_heading = HEADING, long, value_name = "COLUMN[:desc]", value_parser = order)]
    pub(crate) sort: Option<SortArg>,
}

impl ShapeArgs {
    /// Whether anything is said of the rows.
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// Process ids, from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PidArg {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

/// The order of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SortArg {
    pub(crate) column: String,
    pub(crate) descending: bool,
}

fn pids(text: &str) -> Result<PidArg, String> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let text = text.trim();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(PidArg { first, last }),
        (Some(_), Some(_)) => Err(format!("`{text}` ends before it begins")),
        _ => Err(format!(
            "`{text}` is no process id; write 100, or 100-200 for all between"
        )),
    }
}

fn order(text: &str) -> Result<SortArg, String> {
    let (column, descending) = match text.split_once(':') {
        None | Some((_, "asc")) => (text.trim_end_matches(":asc"), false),
        Some((column, "desc")) => (column, true),
        Some((_, other)) => {
            return Err(format!(
                "`{other}` is no order; write COLUMN or COLUMN:desc"
            ));
        }
    };
    Ok(SortArg {
        column: column.to_owned(),
        descending,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_are_numbers_and_stretches_of_them() {
        let all = |first, last| Ok(PidArg { first, last });
        assert_eq!(pids("7"), all(7, 7));
        assert_eq!(pids("7-9"), all(7, 9));
        for wrong in ["", "-", "9-7", "7-", "-7", "+7", "7-8-9", "x", "4294967296"] {
            assert!(pids(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_order_may_begin_with_the_largest() {
        let sort = |text| order(text).map(|sort| (sort.column, sort.descending));
        assert_eq!(sort("pid"), Ok(("pid".to_owned(), false)));
        assert_eq!(sort("pid:asc"), Ok(("pid".to_owned(), false)));
        assert_eq!(sort("pid:desc"), Ok(("pid".to_owned(), true)));
        assert!(order("pid:up").is_err());
    }
}
