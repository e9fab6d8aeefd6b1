//! Process lists, and whether two of them say the same.

use std::collections::BTreeMap;

/// A process as a program told it; what the program cannot tell is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) pid: i64,
    pub(crate) ppid: Option<i64>,
    pub(crate) name: Option<String>,
}

/// How a peer's list compares with Osier's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    rows: usize,
    missing: Vec<String>,
    more: usize,
    parents: usize,
    names: usize,
    no_parents: bool,
    no_names: bool,
}

/// A name by its ASCII letters and digits: programs print blanks, line ends, brackets and bytes
/// that are no UTF-8 each in a way of its own, or escape them with a backslash.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    let mut left = name.chars();
    while let Some(next) = left.next() {
        match next {
            '\\' if left.next() == Some('x') => drop(left.by_ref().take(2).count()),
            '\\' => {}
            letter if letter.is_ascii_alphanumeric() => plain.push(letter),
            _ => {}
        }
    }
    plain
}

impl Verdict {
    /// Compares; the idle task, which not every program lists, does not count. A process that is
    /// told twice counts as one row more.
    pub(crate) fn of(ours: &[Row], theirs: &[Row]) -> Self {
        let real = |rows: &[Row]| -> BTreeMap<i64, Row> {
            let rows = rows.iter().filter(|row| row.pid != 0);
            rows.map(|row| (row.pid, row.clone())).collect()
        };
        let told = theirs.iter().filter(|row| row.pid != 0).count();
        let (ours, by_pid) = (real(ours), real(theirs));
        let mut verdict = Self {
            rows: told,
            more: told - by_pid.len(),
            no_parents: theirs.iter().all(|row| row.ppid.is_none()),
            no_names: theirs.iter().all(|row| row.name.is_none()),
            ..Self::default()
        };
        let missing = ours.values().filter(|row| !by_pid.contains_key(&row.pid));
        let named = |row: &Row| plain(row.name.as_deref().unwrap_or_default());
        verdict.missing = missing.map(named).collect();
        for (pid, row) in &by_pid {
            let Some(own) = ours.get(pid) else {
                verdict.more += 1;
                continue;
            };
            let differs = row.ppid.is_some() && row.ppid != own.ppid;
            verdict.parents += usize::from(differs);
            let own = own.name.as_deref().map(plain);
            let name = row.name.as_deref().map(plain);
            verdict.names += usize::from(name.is_some() && name != own);
        }
        verdict
    }

    /// Whether nothing that was told differs.
    pub(crate) fn agrees(&self) -> bool {
        self.missing.is_empty() && self.more + self.parents + self.names == 0
    }

    /// In words, for the table.
    pub(crate) fn words(&self) -> String {
        let mut words = Vec::new();
        let mut say = |count: usize, what: &str| {
            if count > 0 {
                words.push(format!("{count} {what}"));
            }
        };
        // A few are told by name, for they have something in common.
        let few = match self.missing.as_slice() {
            few @ ([] | [_] | [_, _] | [_, _, _]) => format!("missing ({})", few.join(", ")),
            _ => "missing".to_owned(),
        };
        say(self.missing.len(), &few);
        say(self.more, "that are none");
        say(self.parents, "other parents");
        say(self.names, "wrong names");
        let but = match (self.no_parents, self.no_names) {
            _ if self.rows == 0 => "",
            (true, true) => " (pids only)",
            (true, false) => " (tells no parents)",
            (false, true) => " (tells no names)",
            (false, false) => "",
        };
        let rows = self.rows;
        let words = words.join(", ");
        if self.agrees() {
            format!("{rows} rows, equal{but}")
        } else if self.missing.is_empty() && self.more + self.names == 0 {
            // A parent is the one that forked, or the one that traces: both are in the kernel.
            format!("{rows} rows, {words}{but}")
        } else {
            format!("**wrong**: {rows} rows, {words}{but}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Verdict};

    fn row(pid: i64, ppid: Option<i64>, name: Option<&str>) -> Row {
        let name = name.map(str::to_owned);
        Row { pid, ppid, name }
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let ours = [
            row(0, Some(0), Some("swapper/0")),
            row(1, Some(0), Some("init")),
            row(2, Some(0), Some("a b")),
        ];
        assert!(Verdict::of(&ours, &ours).agrees());
        let spelled = [
            row(1, Some(0), Some("[init]")),
            row(2, Some(0), Some("a\\tb\\xff")),
        ];
        assert!(Verdict::of(&ours, &spelled).agrees());
        let spelled = [row(1, Some(0), Some("[init]")), row(2, None, Some("a c"))];
        let verdict = Verdict::of(&ours, &spelled);
        assert_eq!(verdict.words(), "**wrong**: 2 rows, 1 wrong names");
        let pids = [row(1, None, None), row(2, None, None)];
        let words = Verdict::of(&ours, &pids).words();
        assert_eq!(words, "2 rows, equal (pids only)");
        let other = [row(1, Some(7), Some("init")), row(1, Some(7), Some("init"))];
        let words = Verdict::of(&ours, &other).words();
        assert_eq!(
            words,
            "**wrong**: 2 rows, 1 missing (ab), 1 that are none, 1 other parents"
        );
        assert_eq!(
            Verdict::of(&ours, &[]).words(),
            "**wrong**: 0 rows, 2 missing (init, ab)"
        );
    }
}
