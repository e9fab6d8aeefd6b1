//! A page as a tree of elements, read strictly: what is not closed, or is no markup of ours, fails the test.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and each test program uses what it needs"
)]

use osier::format::Style;
use osier::tables::{Cell, Column};

/// An element, or text.
#[derive(Debug)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

/// An element.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Node>,
}

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "input"];

impl Element {
    /// The document.
    pub(crate) fn read(html: &str) -> Self {
        let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap();
        let mut stack = vec![Self::default()];
        while !rest.is_empty() {
            let Some(tag) = rest.strip_prefix('<') else {
                let end = rest.find('<').unwrap_or(rest.len());
                let text = Node::Text(plain(&rest[..end]));
                stack.last_mut().unwrap().children.push(text);
                rest = &rest[end..];
                continue;
            };
            if let Some(closing) = tag.strip_prefix('/') {
                let (name, after) = closing.split_once('>').unwrap();
                let closed = stack.pop().unwrap();
                assert_eq!(closed.name, name, "before {:?}", head(after));
                stack
                    .last_mut()
                    .unwrap()
                    .children
                    .push(Node::Element(closed));
                rest = after;
                continue;
            }
            let (element, ends, after) = opening(tag);
            rest = after;
            let name = element.name.clone();
            if ends || VOID.contains(&name.as_str()) {
                stack
                    .last_mut()
                    .unwrap()
                    .children
                    .push(Node::Element(element));
                continue;
            }
            stack.push(element);
            if name == "style" || name == "script" {
                let end = rest.find(&format!("</{name}>")).unwrap();
                let text = Node::Text(rest[..end].to_owned());
                stack.last_mut().unwrap().children.push(text);
                rest = &rest[end..];
            }
        }
        let document = stack.pop().unwrap();
        assert!(stack.is_empty(), "not closed: {}", document.name);
        document
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        let found = all.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All text in it.
    pub(crate) fn text(&self) -> String {
        let text = |node: &Node| match node {
            Node::Element(element) => element.text(),
            Node::Text(text) => text.clone(),
        };
        self.children.iter().map(text).collect()
    }

    /// The elements in it of which that is true, in their order.
    pub(crate) fn all<'a>(&'a self, wanted: &dyn Fn(&Self) -> bool) -> Vec<&'a Self> {
        let mut found = Vec::new();
        for node in &self.children {
            if let Node::Element(element) = node {
                if wanted(element) {
                    found.push(element);
                }
                found.extend(element.all(wanted));
            }
        }
        found
    }

    pub(crate) fn named(&self, name: &str) -> Vec<&Self> {
        self.all(&|element| element.name == name)
    }

    pub(crate) fn id(&self, id: &str) -> &Self {
        let found = self.all(&|element| element.attribute("id") == Some(id));
        assert_eq!(found.len(), 1, "{id}");
        found[0]
    }

    /// The rows of all tables of the list `list` in it.
    pub(crate) fn rows(&self, list: &str) -> Vec<Vec<String>> {
        let tables = self.all(&|element| {
            element.name == "table" && element.attribute("data-list") == Some(list)
        });
        let bodies = tables.into_iter().flat_map(|table| table.named("tbody"));
        let rows = bodies.flat_map(|body| body.named("tr"));
        rows.map(|row| row.named("td").iter().map(|cell| cell.text()).collect())
            .collect()
    }

    /// Every element in it.
    pub(crate) fn every(&self) -> Vec<&Self> {
        self.all(&|_| true)
    }
}

/// The element that begins in `tag`, whether it ends at once, and what follows.
fn opening(tag: &str) -> (Element, bool, &str) {
    let end = tag.find([' ', '>', '/']).unwrap();
    let mut element = Element {
        name: tag[..end].to_owned(),
        ..Element::default()
    };
    assert!(
        element.name.chars().all(|c| c.is_ascii_alphanumeric()),
        "<{:?}",
        head(tag)
    );
    let mut rest = &tag[end..];
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return (element, true, after);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (element, false, after);
        }
        let end = rest.find(['=', ' ', '>']).unwrap();
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        let mut value = "";
        if let Some(quoted) = rest.strip_prefix("=\"") {
            (value, rest) = quoted.split_once('"').unwrap();
        }
        assert!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !name.is_empty(),
            "{name:?} in {:?}",
            head(tag)
        );
        element.attributes.push((name, plain(value)));
    }
}

/// Text without its escapes, of which there are five.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = [
            ("&amp;", '&'),
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&quot;", '"'),
            ("&#39;", '\''),
        ];
        let known = known.iter().find(|(escape, _)| rest.starts_with(escape));
        let (escape, c) = known.unwrap_or_else(|| panic!("{:?}", head(rest)));
        plain.push(*c);
        rest = &rest[escape.len()..];
    }
    plain + rest
}

fn head(text: &str) -> String {
    text.chars().take(60).collect()
}

/// How a page shows the value.
pub(crate) fn shown(column: &Column, cell: &Cell<'_>) -> String {
    let style = Style {
        pointer_bytes: 0,
        colour: false,
        wide: true,
        ascii: false,
        width: None,
        leave_out: false,
    };
    let text = style.text(column, cell);
    match cell {
        Cell::Absent(absent) if absent.is_loss() => text + " could not be read",
        _ => text,
    }
}
