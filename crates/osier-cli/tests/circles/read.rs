//! Reads a crate's files: which there are, and what each needs of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Where something is needed: the place in the list of the crate's modules, and the line.
pub(super) type Needs = BTreeMap<usize, BTreeSet<usize>>;

/// A module that is a file.
pub(super) struct Module {
    /// The file below `src`, with slashes.
    pub(super) file: String,
    /// The module's path, empty for the crate's root.
    pub(super) path: Vec<String>,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// What its `use` lines name: the name here, and the path that it stands for.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths of which everything is imported.
    globs: Vec<Vec<String>>,
    pub(super) syntax: syn::File,
}

/// The modules of a crate.
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) modules: Vec<Module>,
}

impl Crate {
    /// The crate in `folder`; tests' modules left out.
    pub(super) fn read(folder: &Path) -> Self {
        let mut this = Self {
            name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            modules: Vec::new(),
        };
        let src = folder.join("src");
        let roots = ["lib.rs", "main.rs"].map(|name| src.join(name));
        for root in roots.into_iter().filter(|root| root.exists()) {
            this.load(&src, &root, &[], None);
        }
        this
    }

    fn load(&mut self, src: &Path, file: &Path, path: &[String], parent: Option<usize>) -> usize {
        let syntax = syn::parse_file(&fs::read_to_string(file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let index = self.modules.len();
        let (mut imports, mut globs) = (BTreeMap::new(), Vec::new());
        let mut parts = Vec::new();
        for item in &syntax.items {
            match item {
                syn::Item::Use(item) if !of_tests(&item.attrs) => {
                    for (name, path) in uses(&item.tree) {
                        match name {
                            Some(name) => drop(imports.insert(name, words(&path))),
                            None => globs.push(words(&path)),
                        }
                    }
                }
                syn::Item::Mod(item) if item.content.is_none() && !of_tests(&item.attrs) => {
                    parts.push(item.ident.to_string());
                }
                _ => {}
            }
        }
        let below = file.strip_prefix(src).unwrap().to_str().unwrap();
        self.modules.push(Module {
            file: below.replace('\\', "/"),
            path: path.to_vec(),
            parent,
            children: BTreeMap::new(),
            imports,
            globs,
            syntax,
        });
        let named = ["lib.rs", "main.rs", "mod.rs"].map(|name| file.ends_with(name));
        let folder = if named.contains(&true) {
            file.parent().unwrap().to_owned()
        } else {
            file.with_extension("")
        };
        for part in parts {
            let places = [format!("{part}.rs"), format!("{part}/mod.rs")];
            let places: [PathBuf; 2] = places.map(|place| folder.join(place));
            let place = places.iter().find(|place| place.exists()).unwrap();
            let path = [path, std::slice::from_ref(&part)].concat();
            let child = self.load(src, place, &path, Some(index));
            self.modules[index].children.insert(part, child);
        }
        index
    }

    /// What each module needs of the others.
    pub(super) fn needs(&self) -> Vec<Needs> {
        let mut all = vec![Needs::new(); self.modules.len()];
        let mut readers = Vec::new();
        for (index, module) in self.modules.iter().enumerate() {
            let mut reader = Reader::default();
            reader.visit_file(&module.syntax);
            for (name, path, line) in std::mem::take(&mut reader.handed) {
                if reader.firsts.contains(&name) {
                    reader.path(path, line);
                }
            }
            for (path, line) in &reader.paths {
                let to = self.find(index, path).filter(|to| *to != index);
                if let Some(to) = to {
                    all[index].entry(to).or_default().insert(*line);
                }
            }
            readers.push(reader);
        }
        for (index, reader) in readers.iter().enumerate() {
            for own in &reader.own {
                let of = self.find(index, &own.of).filter(|of| *of != index);
                let of = of.filter(|of| {
                    own.methods
                        .iter()
                        .any(|name| readers[*of].calls.contains(name))
                });
                if let Some(of) = of {
                    all[of].entry(index).or_default().insert(own.line);
                }
            }
        }
        all
    }

    /// The module that defines what `path` names in module `from`; `None` when it is not of this
    /// crate, or when the path is a lone name that no `use` line of the module has.
    fn find(&self, from: usize, path: &[String]) -> Option<usize> {
        self.follow(from, path, 0)
    }

    fn follow(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        assert!(depth < 32, "{path:?} in {}", self.modules[from].file);
        let mut at = from;
        let mut rest = path;
        let mut anchored = false;
        while let Some((first, behind)) = rest.split_first() {
            match first.as_str() {
                "crate" => at = self.root(from),
                "self" => {}
                "super" => at = self.modules[at].parent?,
                _ => break,
            }
            anchored = true;
            rest = behind;
        }
        loop {
            let module = &self.modules[at];
            let Some((first, behind)) = rest.split_first() else {
                return Some(at);
            };
            if let Some(child) = module.children.get(first) {
                (at, rest, anchored) = (*child, behind, true);
                continue;
            }
            if let Some(import) = module.imports.get(first) {
                // `use fs4::{self, …}`: another crate.
                if import.first() == Some(first) {
                    return None;
                }
                let whole = [import.as_slice(), behind].concat();
                return self.follow(at, &whole, depth + 1);
            }
            if !anchored {
                return None;
            }
            // What a glob brings is a guess; the file that stands in the path is not.
            let globbed = module.globs.iter().find_map(|glob| {
                let of = self.follow(at, glob, depth + 1)?;
                self.modules[of].defines(first).then_some(of)
            });
            return Some(globbed.unwrap_or(at));
        }
    }

    fn root(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(parent) = self.modules[at].parent {
            at = parent;
        }
        at
    }
}

impl Module {
    fn defines(&self, name: &str) -> bool {
        self.syntax.items.iter().any(|item| match item {
            syn::Item::Const(item) => item.ident == name,
            syn::Item::Enum(item) => item.ident == name,
            syn::Item::Fn(item) => item.sig.ident == name,
            syn::Item::Static(item) => item.ident == name,
            syn::Item::Struct(item) => item.ident == name,
            syn::Item::Trait(item) => item.ident == name,
            syn::Item::Type(item) => item.ident == name,
            _ => false,
        })
    }
}

/// Collects the paths of a file.
#[derive(Default)]
struct Reader {
    paths: Vec<(Vec<String>, usize)>,
    own: Vec<Own>,
    /// What is handed on: the name, the path and the line.
    handed: Vec<(String, Vec<String>, usize)>,
    /// The words that paths begin with.
    firsts: BTreeSet<String>,
    /// What is called: the names of methods, and the last words of paths.
    calls: BTreeSet<String>,
    /// How deep within modules that are in the file itself.
    depth: usize,
}

/// An inherent `impl`.
struct Own {
    /// The type, as the file names it.
    of: Vec<String>,
    line: usize,
    methods: Vec<String>,
}

impl Reader {
    fn path(&mut self, mut path: Vec<String>, line: usize) {
        for _ in 0..self.depth {
            match path.first().map(String::as_str) {
                Some("super") => drop(path.remove(0)),
                Some("crate") => {}
                _ => return,
            }
        }
        self.paths.push((path, line));
    }

    /// The paths in a macro's words.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<Ident> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            if let TokenTree::Ident(word) = &token {
                self.calls.insert(word.to_string());
                self.firsts.insert(word.to_string());
            }
            match token {
                TokenTree::Ident(word) if colons == 2 || path.is_empty() => path.push(word),
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                token => {
                    self.found(&path);
                    path.clear();
                    match token {
                        TokenTree::Ident(word) => path.push(word),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
            colons = 0;
        }
        self.found(&path);
    }

    fn found(&mut self, path: &[Ident]) {
        if let Some(first) = path.first().filter(|_| path.len() > 1) {
            let line = first.span().start().line;
            self.path(words(path), line);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !attributes(item).is_some_and(of_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let private = matches!(item.vis, syn::Visibility::Inherited);
        for (name, path) in uses(&item.tree) {
            let line = path[0].span().start().line;
            match name.filter(|_| !private) {
                Some(name) => self.handed.push((name, words(&path), line)),
                None => self.path(words(&path), line),
            }
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.trait_.is_none()
            && let syn::Type::Path(path) = &*item.self_ty
        {
            let methods = item.items.iter().filter_map(|item| match item {
                syn::ImplItem::Fn(item) => Some(item.sig.ident.to_string()),
                _ => None,
            });
            let words = path.path.segments.iter().map(|part| part.ident.to_string());
            self.own.push(Own {
                of: words.collect(),
                line: line_of(&path.path),
                methods: methods.collect(),
            });
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        self.firsts.extend(words.first().cloned());
        if words.len() > 1 {
            self.calls.extend(words.last().cloned());
            self.path(words, line_of(path));
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.calls.insert(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.tokens(item.tokens.clone());
    }
}

fn line_of(path: &syn::Path) -> usize {
    path.segments[0].ident.span().start().line
}

fn attributes(item: &syn::Item) -> Option<&[syn::Attribute]> {
    Some(match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => return None,
    })
}

fn of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let mut words = list
            .tokens
            .clone()
            .into_iter()
            .map(|token| token.to_string());
        let first = words.next();
        list.path.is_ident("cfg")
            && (first.as_deref() == Some("test")
                || first.as_deref() == Some("all") && list.tokens.to_string().contains("test"))
    })
}

/// The paths of a `use` line, each with the name that it gives; none for a glob.
fn uses(tree: &syn::UseTree) -> Vec<(Option<String>, Vec<Ident>)> {
    match tree {
        syn::UseTree::Path(path) => uses(&path.tree)
            .into_iter()
            .map(|(name, mut rest)| {
                // `use a::b::{self}` is `use a::b`.
                let own = rest.len() == 1 && rest[0] == "self";
                let name = if own {
                    Some(path.ident.to_string())
                } else {
                    name
                };
                if own {
                    rest.clear();
                }
                rest.insert(0, path.ident.clone());
                (name, rest)
            })
            .collect(),
        syn::UseTree::Name(name) => vec![(Some(name.ident.to_string()), vec![name.ident.clone()])],
        syn::UseTree::Rename(name) => {
            vec![(Some(name.rename.to_string()), vec![name.ident.clone()])]
        }
        syn::UseTree::Glob(_) => vec![(None, Vec::new())],
        syn::UseTree::Group(group) => group.items.iter().flat_map(uses).collect(),
    }
}

fn words(path: &[Ident]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}
