//! What a provider reads, a profile keeps: every structure of a `layout!` and every symbol that is asked
//! for by name is in the provider's list of what it wants.

use std::collections::BTreeSet;

use osier::osier_profile::Wanted;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::{Crate, crates};

/// The structures and symbols that a crate's code names.
#[derive(Default)]
struct Names {
    structures: BTreeSet<String>,
    symbols: BTreeSet<String>,
}

impl Names {
    fn of(read: &Crate) -> Self {
        let mut names = Self::default();
        for module in &read.modules {
            names.visit_file(&module.syntax);
        }
        names
    }

    /// The structure of a `layout!`: the first string in it that is no part of an attribute.
    fn layout(&mut self, tokens: TokenStream) {
        let literal = tokens.into_iter().find_map(|token| match token {
            TokenTree::Literal(literal) => Some(literal.to_string()),
            _ => None,
        });
        self.structures.extend(literal.as_deref().map(unquoted));
    }

    /// The strings of a call of something named `symbol`.
    fn asked<'a>(&mut self, name: &syn::Ident, arguments: impl Iterator<Item = &'a syn::Expr>) {
        if name == "symbol" {
            for argument in arguments {
                if let syn::Expr::Lit(literal) = argument
                    && let syn::Lit::Str(text) = &literal.lit
                {
                    self.symbols.insert(text.value());
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if item.path.is_ident("layout") {
            self.layout(item.tokens.clone());
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

#[test]
fn what_layouts_read_is_wanted() {
    let all: [(&str, &Wanted); 2] = [
        ("osier-linux", &osier::osier_linux::WANTED),
        ("osier-windows", &osier::osier_windows::WANTED),
    ];
    let crates = crates();
    let mut missing = Vec::new();
    for (name, wanted) in all {
        let names = Names::of(crates.iter().find(|read| read.name == name).unwrap());
        assert!(
            names.structures.len() > 20 && names.symbols.len() > 10,
            "{name}"
        );
        let unknown = |names: &BTreeSet<String>, known: &[&str]| {
            let unknown = names.iter().filter(|name| !known.contains(&name.as_str()));
            unknown.cloned().collect::<Vec<String>>()
        };
        missing.extend(unknown(&names.structures, wanted.types));
        missing.extend(unknown(&names.symbols, wanted.symbols));
    }
    assert!(missing.is_empty(), "read and not wanted: {missing:?}");
}
