//! A row of a golden file: its fields by name, and what tells it from the others.

use std::collections::BTreeMap;

use osier::ask::Question;
use serde_json::{Map, Value};

/// A row's fields, and which row it is.
#[derive(Debug)]
pub(super) struct GoldenRow {
    /// What tells the row from the others of its table.
    pub(super) key: String,
    /// The row in words.
    pub(super) label: String,
    /// Each field's value as JSON; of an absent one `absent` and the reason.
    pub(super) fields: BTreeMap<String, String>,
}

/// The fields that tell rows of one table apart, and how many of them, from the first, are enough
/// for people.
fn key_fields(question: Question) -> (&'static [&'static str], usize) {
    match question {
        Question::Processes | Question::Wide => (&["pid", "create_time", "taskd"], 1),
        Question::Handles => (&["taskd"], 1),
        Question::Current => (&["cpu"], 1),
        Question::Threads => (&["pid", "tid", "task"], 2),
        Question::Modules => (&["name", "modd"], 1),
        Question::Mappings => (&["pid", "base"], 2),
        Question::Pages => (&["pid", "start"], 2),
        Question::Files => (&["pid", "fd"], 2),
        Question::Mounts => (&["pid", "id", "address"], 2),
        Question::Sockets => (&["address", "pid", "fd"], 3),
        Question::Interfaces => (&["netns", "index", "address"], 2),
        Question::Scan => (&["kind", "address"], 1),
        Question::Findings => (&["rule", "address", "subject"], 2),
        Question::Log => (&["seq", "address"], 1),
        Question::Environment => (&["pid", "address"], 2),
    }
}

impl GoldenRow {
    /// Reads a line; `keep` says which fields count.
    pub(super) fn parse(
        question: Question,
        line: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Self, serde_json::Error> {
        let mut object: Map<String, Value> = serde_json::from_str(line)?;
        let absent = match object.remove("absent") {
            Some(Value::Object(absent)) => absent,
            _ => Map::new(),
        };
        let mut fields = BTreeMap::new();
        for (name, value) in object {
            if !keep(name.strip_suffix("_hex").unwrap_or(&name)) {
                continue;
            }
            let text = match absent.get(&name) {
                Some(why) => format!("absent {why}"),
                None => value.to_string(),
            };
            fields.insert(name, text);
        }
        let (keys, enough) = key_fields(question);
        let part = |&name: &&str| {
            let value = fields.get(name)?;
            Some(format!("{name} {}", value.trim_matches('"')))
        };
        let key: Vec<String> = keys.iter().filter_map(part).collect();
        let mut label: Vec<String> = key.iter().take(enough).cloned().collect();
        if !keys.contains(&"name") {
            label.extend(fields.get("name").cloned());
        }
        if let Some(end) = fields.get("end") {
            label.push(format!("end {end}"));
        }
        let label = label.join(" ");
        // An ending has none of the fields that make a key.
        let key = if key.is_empty() {
            label.clone()
        } else {
            key.join(" ")
        };
        Ok(Self { key, label, fields })
    }
}
