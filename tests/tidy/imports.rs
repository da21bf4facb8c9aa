//! Which files of a crate import each other in a circle.
//!
//! A file is a module. It imports those that its `use` declarations and its paths from `crate`, `super` or `self` lead
//! to; a name that a module only passes on (`pub use`) leads to where it comes from. The crate's root is left out: it
//! names everything. So are modules of tests.

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

/// A module's path from the root of its crate.
type Module = Vec<String>;

/// The largest set of files of a crate that import each other in a circle; empty if there is none. `files` are
/// their paths below `src` with their text.
pub(crate) fn largest_circle(files: &BTreeMap<String, String>) -> Vec<String> {
    let modules: BTreeMap<Module, Imports> =
        files.iter().map(|(path, text)| (module_of(path), Imports::read(path, text))).collect();
    let names: Vec<&Module> = modules.keys().collect();
    let for_tests: BTreeSet<&Module> = modules.values().flat_map(|i| &i.for_tests).collect();
    let left_out = |module: &Module| module.is_empty() || for_tests.contains(module);
    let mut graph = DiGraphMap::<usize, ()>::new();
    for (from, (module, imports)) in modules.iter().enumerate() {
        let found: BTreeSet<&Module> =
            imports.paths.iter().filter_map(|path| resolve(&modules, path, 0)).collect();
        for to in found.into_iter().filter(|to| *to != module && !left_out(to) && !left_out(module))
        {
            let to = names.binary_search(&to).expect("it was found among them");
            graph.add_edge(from, to, ());
        }
    }
    let circles = tarjan_scc(&graph);
    let largest =
        circles.iter().max_by_key(|circle| circle.len()).filter(|circle| circle.len() > 1);
    let mut names: Vec<String> =
        largest.into_iter().flatten().map(|module| names[*module].join("::")).collect();
    names.sort();
    names
}

/// The paths that a `use` declaration names, a rename by its original.
pub(crate) fn leaves(tree: &syn::UseTree) -> Vec<Vec<String>> {
    let below = |name: &syn::Ident, inner: Vec<Vec<String>>| {
        inner.into_iter().map(|path| [vec![name.to_string()], path].concat()).collect()
    };
    match tree {
        syn::UseTree::Path(path) => below(&path.ident, leaves(&path.tree)),
        syn::UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        syn::UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        syn::UseTree::Rename(rename) => vec![vec![rename.ident.to_string()]],
        syn::UseTree::Glob(_) => vec![vec!["*".to_owned()]],
    }
}

/// The module that a file below `src` is.
pub(crate) fn module_of(path: &str) -> Module {
    let path = path.trim_end_matches(".rs");
    let mut parts: Module = path.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("lib" | "main" | "mod")) {
        parts.pop();
    }
    parts
}

/// The module that a path leads to.
fn resolve<'a>(
    modules: &'a BTreeMap<Module, Imports>,
    path: &[String],
    depth: usize,
) -> Option<&'a Module> {
    let longest = (0..=path.len()).rev().find(|n| modules.contains_key(&path[..*n]))?;
    let (module, imports) = modules.get_key_value(&path[..longest])?;
    let passed_on = path.get(longest).and_then(|name| imports.passed_on.get(name));
    match passed_on {
        Some(to) if depth < 8 => {
            let further: Vec<_> = to.iter().chain(&path[longest + 1..]).cloned().collect();
            resolve(modules, &further, depth + 1)
        }
        _ => Some(module),
    }
}

/// What a file imports, as paths from the root of its crate.
#[derive(Default)]
struct Imports {
    paths: BTreeSet<Vec<String>>,
    /// Names that it passes on, with where they come from.
    passed_on: BTreeMap<String, Vec<String>>,
    /// Modules below that are there for tests only.
    for_tests: Vec<Module>,
    /// The module that is being visited: those in braces are below that of the file.
    at: Module,
}

impl Imports {
    fn read(path: &str, text: &str) -> Imports {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut imports = Imports { at: module_of(path), ..Imports::default() };
        imports.visit_file(&file);
        imports
    }

    /// A path from the root; none if it leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let first = path.first()?.as_str();
        let mut base = if first == "crate" { Vec::new() } else { self.at.clone() };
        let ups = path.iter().take_while(|part| *part == "super").count();
        base.truncate(base.len().saturating_sub(ups));
        let rest = if matches!(first, "crate" | "self") { &path[1..] } else { &path[ups..] };
        let is_local = ups > 0 || matches!(first, "crate" | "self");
        is_local.then(|| base.into_iter().chain(rest.iter().cloned()).collect())
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree, public: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                let path_before = [before, &[path.ident.to_string()]].concat();
                self.tree(&path_before, &path.tree, public);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.tree(before, tree, public));
            }
            syn::UseTree::Name(name) => self.name(before, &name.ident, &name.ident, public),
            syn::UseTree::Rename(rename) => {
                self.name(before, &rename.ident, &rename.rename, public)
            }
            syn::UseTree::Glob(_) => self.paths.extend(self.absolute(before)),
        }
    }

    fn name(&mut self, before: &[String], name: &syn::Ident, known_as: &syn::Ident, public: bool) {
        let mut path = before.to_vec();
        if name != "self" {
            path.push(name.to_string());
        }
        // `pub use child::Name` names a module below this one.
        let below = [&self.at[..], &path[..]].concat();
        match (self.absolute(&path), public) {
            (Some(path), false) => drop(self.paths.insert(path)),
            (Some(path), true) => drop(self.passed_on.insert(known_as.to_string(), path)),
            (None, true) => drop(self.passed_on.insert(known_as.to_string(), below)),
            (None, false) => drop(self.paths.insert(below)),
        }
    }
}

impl<'a> Visit<'a> for Imports {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&[], &item.tree, public);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let parts: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        // A single part is a visibility, `pub(super)`, or a value, `self`.
        if parts.len() > 1 {
            self.paths.extend(self.absolute(&parts));
        }
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        self.at.push(item.ident.to_string());
        if is_for_tests(&item.attrs) {
            self.for_tests.push(self.at.clone());
            self.at.pop();
            return;
        }
        visit::visit_item_mod(self, item);
        self.at.pop();
    }
}

/// Whether the condition names `test`, alone or among others.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    let conditions = attributes.iter().filter(|a| a.path().is_ident("cfg"));
    conditions.filter_map(|a| a.meta.require_list().ok()).any(|list| {
        list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
    })
}

#[test]
fn circles_are_found_through_names_that_are_passed_on() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; #[cfg(all(test, unix))] mod t; pub use c::C;"),
        ("a.rs", "use crate::b::B; fn f(_: B) {}"),
        ("b/mod.rs", "mod inner; pub(crate) use inner::B;"),
        ("b/inner.rs", "pub struct B; impl B { fn c(_: crate::C) {} }"),
        ("c.rs", "use super::{a, t}; pub struct C; #[cfg(test)] mod tests { use crate::d::D; }"),
        ("t.rs", "use crate::{b::inner, d};"),
        ("d.rs", "use crate::{c, a as b}; pub struct D;"),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(largest_circle(&BTreeMap::from(files)), ["a", "b::inner", "c"]);
}
