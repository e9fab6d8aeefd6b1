//! Fields that do not count.

use osier::ask::Question;

/// Fields that a comparison leaves out: `maps.flags` that of one table, `flags` that of all.
#[derive(Clone, Debug, Default)]
pub struct Ignore(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    question: Option<Question>,
    field: String,
    met: bool,
}

/// A field to leave out that no row has.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{}` names no field to leave out; write TABLE.FIELD or FIELD, as in maps.flags",
    osier_text::visible(field)
)]
pub struct IgnoreError {
    field: String,
}

impl Ignore {
    /// The fields that these words name.
    ///
    /// # Errors
    ///
    /// [`IgnoreError`], for a table that there is not or an empty name.
    pub fn parse(words: &[String]) -> Result<Self, IgnoreError> {
        let rule = |word: &String| {
            let (question, field) = match word.split_once('.') {
                None => (None, word.as_str()),
                Some((table, field)) => match Question::of_word(table) {
                    Some(question) => (Some(question), field),
                    None => {
                        return Err(IgnoreError {
                            field: word.clone(),
                        });
                    }
                },
            };
            if field.is_empty() {
                return Err(IgnoreError {
                    field: word.clone(),
                });
            }
            Ok(Rule {
                question,
                field: field.to_owned(),
                met: false,
            })
        };
        Ok(Self(words.iter().map(rule).collect::<Result<_, _>>()?))
    }

    /// Whether `field` of a row that answers `question` is left out.
    pub(super) fn covers(&mut self, question: Question, field: &str) -> bool {
        let mut covered = false;
        for rule in &mut self.0 {
            if rule.field == field && rule.question.is_none_or(|of| of == question) {
                rule.met = true;
                covered = true;
            }
        }
        covered
    }

    /// What was to be left out and never met: misspelt, most likely.
    pub fn unmet(&self) -> impl Iterator<Item = String> {
        let unmet = self.0.iter().filter(|rule| !rule.met);
        unmet.map(|rule| match rule.question {
            Some(question) => format!("{}.{}", question.word(), rule.field),
            None => rule.field.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_for_one_table_or_for_all() {
        let words = ["maps.flags", "name", "ps.pdg"].map(str::to_owned);
        let mut ignore = Ignore::parse(&words).unwrap();
        assert!(ignore.covers(Question::Mappings, "flags"));
        assert!(!ignore.covers(Question::Pages, "flags"));
        assert!(ignore.covers(Question::Pages, "name"));
        assert_eq!(ignore.unmet().collect::<Vec<_>>(), ["ps.pdg"]);
        for wrong in ["map.flags", "maps.", ""] {
            assert!(Ignore::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
