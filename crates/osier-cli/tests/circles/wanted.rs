//! What a provider reads, a profile keeps, and each name stands in one place: a structure in its `layout!`,
//! a symbol in `symbols.rs`. `wanted.rs` collects both, and what nobody reads it names by itself.

use std::collections::BTreeSet;

use osier::osier_profile::Wanted;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::{Crate, crates};

/// The kernel's names in a crate's code.
#[derive(Default)]
struct Names {
    /// Of each layout: its structure, and those that its paths lead through.
    structures: BTreeSet<String>,
    /// The structure of each layout, by its newest name.
    layouts: Vec<String>,
    /// Looked up by a string in the place, not by a constant.
    asked: BTreeSet<String>,
    /// In a list of names: what no walker reads.
    listed: BTreeSet<String>,
}

impl Names {
    fn of(read: &Crate) -> Self {
        let mut names = Self::default();
        for module in &read.modules {
            names.visit_file(&module.syntax);
        }
        names
    }

    /// The structure of a `layout!`, all its names: the strings before its members that are no part of an
    /// attribute. The words in the brackets after them are those that paths lead through.
    fn layout(&mut self, tokens: TokenStream) {
        let tokens = tokens
            .into_iter()
            .skip_while(|token| !matches!(token, TokenTree::Literal(_)));
        let mut named = false;
        for token in tokens {
            match token {
                TokenTree::Literal(structure) => {
                    let structure = unquoted(&structure.to_string());
                    if !std::mem::replace(&mut named, true) {
                        self.layouts.push(structure.clone());
                    }
                    self.structures.insert(structure);
                }
                TokenTree::Group(through) if through.delimiter() == Delimiter::Bracket => {
                    self.structures.extend(words(through.stream()));
                }
                TokenTree::Group(_) => break,
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }

    /// The strings in the arguments of a look-up.
    fn asked<'a>(&mut self, name: &syn::Ident, arguments: impl Iterator<Item = &'a syn::Expr>) {
        if ["symbol", "constant", "anchor"].iter().any(|n| name == n) {
            arguments.for_each(|argument| self.string(argument));
        }
    }

    fn string(&mut self, argument: &syn::Expr) {
        match argument {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) => {
                self.asked.insert(text.value());
            }
            syn::Expr::Reference(reference) => self.string(&reference.expr),
            syn::Expr::Array(array) => array.elems.iter().for_each(|one| self.string(one)),
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if item.path.is_ident("layout") {
            self.layout(item.tokens.clone());
        } else if item.path.is_ident("names") {
            self.listed.extend(words(item.tokens.clone()));
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.asked(&call.method, call.args.iter());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func
            && let Some(name) = path.path.get_ident()
        {
            self.asked(name, call.args.iter());
        }
        visit::visit_expr_call(self, call);
    }
}

fn unquoted(literal: &str) -> String {
    literal.trim_matches('"').to_owned()
}

fn words(tokens: TokenStream) -> impl Iterator<Item = String> {
    tokens.into_iter().map(|token| token.to_string())
}

/// Each name that is there more than once.
fn twins<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut met = BTreeSet::new();
    names.filter(|name| !met.insert(*name)).collect()
}

/// One layout for a structure, so that a member is declared once: of two readers that have it, one learns of a new name
/// and the other does not.
#[test]
fn a_structure_has_one_layout() {
    let crates = crates();
    for (name, wanted) in [
        ("osier-linux", &osier::osier_linux::WANTED),
        ("osier-windows", &osier::osier_windows::WANTED),
    ] {
        let names = Names::of(crates.iter().find(|read| read.name == name).unwrap());
        assert!(names.layouts.len() > 40, "{name}");
        let written = twins(names.layouts.iter().map(String::as_str));
        // What a macro makes layouts of is not written out, and wanted all the same.
        let firsts = wanted.types.iter().filter_map(|types| types.first());
        let made = twins(firsts.copied());
        assert!(
            written.is_empty() && made.is_empty(),
            "{name}: have several layouts, whose members belong into one: {written:?} {made:?}"
        );
    }
}

#[test]
fn what_layouts_read_is_wanted() {
    let all: [(&str, &Wanted); 2] = [
        ("osier-linux", &osier::osier_linux::WANTED),
        ("osier-windows", &osier::osier_windows::WANTED),
    ];
    let crates = crates();
    for (name, wanted) in all {
        let names = Names::of(crates.iter().find(|read| read.name == name).unwrap());
        assert!(
            names.structures.len() > 20 && names.listed.len() > 20,
            "{name}"
        );
        let known: BTreeSet<&str> = wanted.types.iter().copied().flatten().copied().collect();
        let unknown: Vec<&String> = names
            .structures
            .iter()
            .filter(|name| !known.contains(name.as_str()))
            .collect();
        assert!(
            unknown.is_empty(),
            "{name}: have a layout!, whose WANTED is missing in wanted.rs: {unknown:?}"
        );
        let lists = [wanted.symbols, wanted.constants];
        let mut looked_up: BTreeSet<String> = names.structures.clone();
        // The first list of each is what `symbols.rs` and `constants.rs` declare.
        for list in lists.iter().filter_map(|lists| lists.first()) {
            looked_up.extend(list.iter().map(|name| (*name).to_owned()));
        }
        let both: Vec<&String> = names.listed.intersection(&looked_up).collect();
        assert!(
            both.is_empty(),
            "{name}: are read now, so that they leave the lists in wanted.rs: {both:?}"
        );
        assert!(
            names.asked.is_empty(),
            "{name}: are looked up by a string, where symbols.rs or constants.rs has the name: {:?}",
            names.asked
        );
    }
}
