//! What a crate offers: each public item with its signature, one a line, so that a change of the API is seen in review.
//!
//! Items are found from the crate's root: by public modules, and by what these pass on with `pub use`. Methods and
//! implementations of traits are listed under their type. Not seen is what macros make, and what is hidden from the
//! documentation.

use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, Visibility};

/// A crate below those that embedders use. What these pass on of it is theirs.
const BELOW: &str = "wardian_runtime";

/// The public items of a crate, in order. `files` are the paths below its `src` with their text, `below` those of
/// [`BELOW`].
pub(crate) fn public_items(
    krate: &str,
    files: &BTreeMap<String, String>,
    below: &BTreeMap<String, String>,
) -> Vec<String> {
    let parse = |(path, text): (&String, &String)| {
        let file = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}: {e}"));
        (crate::imports::module_of(path), file)
    };
    let mut sources: BTreeMap<Vec<String>, syn::File> = files.iter().map(parse).collect();
    sources.extend(
        below
            .iter()
            .map(parse)
            .map(|(module, file)| (joined_all(&[BELOW.to_owned()], &module), file)),
    );
    let mut api = Api { sources: &sources, lines: BTreeSet::new(), types: BTreeMap::new() };
    api.module(&[], &krate.replace('-', "_"));
    api.implementations();
    api.lines.into_iter().collect()
}

struct Api<'a> {
    sources: &'a BTreeMap<Vec<String>, syn::File>,
    lines: BTreeSet<String>,
    /// The public paths of types and traits, by whether they are of [`BELOW`] and their names.
    types: BTreeMap<(bool, String), String>,
}

impl Api<'_> {
    /// Lists what a module shows under the public path `shown`.
    fn module(&mut self, module: &[String], shown: &str) {
        let Some(file) = self.sources.get(module) else { return };
        for item in &file.items {
            match item {
                Item::Mod(inner) if is_public(&inner.vis, &inner.attrs) => {
                    let name = inner.ident.to_string();
                    self.lines.insert(format!("mod {shown}::{name}"));
                    self.module(&joined(module, &name), &format!("{shown}::{name}"));
                }
                Item::Use(item) if is_public(&item.vis, &item.attrs) => {
                    for path in crate::imports::leaves(&item.tree) {
                        self.passed_on(module, &path, shown);
                    }
                }
                _ => self.item(item, shown, is_below(module)),
            }
        }
    }

    /// Lists an item that a `pub use` in `module` shows.
    fn passed_on(&mut self, module: &[String], path: &[String], shown: &str) {
        let (name, parents) = path.split_last().expect("a path has a last part");
        let place = match parents.first().map(String::as_str) {
            Some("crate") if is_below(module) => joined_all(&module[..1], &parents[1..]),
            Some("crate") => parents[1..].to_vec(),
            Some(BELOW) => parents.to_vec(),
            Some("self") => joined_all(module, &parents[1..]),
            Some("super") => joined_all(&module[..module.len() - 1], &parents[1..]),
            _ => joined_all(module, parents),
        };
        let Some(file) = self.sources.get(&place) else {
            self.lines.insert(format!("use {shown}::{name} = {}", path.join("::")));
            return;
        };
        for item in &file.items {
            match item {
                // It is passed on once more.
                Item::Use(item) if !matches!(item.vis, Visibility::Inherited) => {
                    for inner in crate::imports::leaves(&item.tree) {
                        if inner.last() == Some(name) {
                            self.passed_on(&place, &inner, shown);
                        }
                    }
                }
                _ if name_of(item).as_ref() == Some(name) => {
                    self.item(item, shown, is_below(&place));
                }
                _ => {}
            }
        }
    }

    /// Lists an item that is defined here, if it is public.
    fn item(&mut self, item: &Item, shown: &str, below: bool) {
        let line = match item {
            Item::Fn(f) if is_public(&f.vis, &f.attrs) => {
                self.lines.insert(format!("{shown}: {}", text(&f.sig)));
                return;
            }
            Item::Const(c) if is_public(&c.vis, &c.attrs) => {
                self.lines.insert(format!("const {shown}::{}: {}", c.ident, text(&c.ty)));
                return;
            }
            Item::Struct(s) if is_public(&s.vis, &s.attrs) => {
                self.fields(&s.fields, &format!("{shown}::{}", s.ident));
                ("struct", &s.ident, text(&s.generics))
            }
            Item::Enum(e) if is_public(&e.vis, &e.attrs) => {
                for variant in e.variants.iter().filter(|v| !is_hidden(&v.attrs)) {
                    let fields = text(&variant.fields);
                    self.lines
                        .insert(format!("variant {shown}::{}::{}{fields}", e.ident, variant.ident));
                }
                ("enum", &e.ident, text(&e.generics))
            }
            Item::Trait(t) if is_public(&t.vis, &t.attrs) => {
                self.trait_items(t, &format!("{shown}::{}", t.ident));
                let bounds = if t.supertraits.is_empty() {
                    String::new()
                } else {
                    format!(": {}", text(&t.supertraits))
                };
                ("trait", &t.ident, format!("{}{bounds}", text(&t.generics)))
            }
            Item::Type(t) if is_public(&t.vis, &t.attrs) => {
                ("type", &t.ident, format!("{} = {}", text(&t.generics), text(&t.ty)))
            }
            _ => return,
        };
        let (kind, name, rest) = line;
        self.types.entry((below, name.to_string())).or_insert_with(|| format!("{shown}::{name}"));
        self.lines.insert(format!("{kind} {shown}::{name}{rest}"));
    }

    fn fields(&mut self, fields: &Fields, shown: &str) {
        for (at, field) in fields.iter().enumerate() {
            if is_public(&field.vis, &field.attrs) {
                let name = field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
                self.lines.insert(format!("field {shown}::{name}: {}", text(&field.ty)));
            }
        }
    }

    fn trait_items(&mut self, item: &syn::ItemTrait, shown: &str) {
        for item in &item.items {
            let line = match item {
                TraitItem::Fn(f) if !is_hidden(&f.attrs) => {
                    let default = if f.default.is_some() { " { .. }" } else { "" };
                    format!("{shown}: {}{default}", text(&f.sig))
                }
                TraitItem::Type(t) => format!("type {shown}::{}", t.ident),
                TraitItem::Const(c) => format!("const {shown}::{}: {}", c.ident, text(&c.ty)),
                _ => continue,
            };
            self.lines.insert(line);
        }
    }

    /// Lists what is implemented for the types that are listed.
    fn implementations(&mut self) {
        let items = self.sources.iter().flat_map(|(module, file)| {
            let below = is_below(module);
            file.items.iter().map(move |item| (below, item))
        });
        let implementations: Vec<(bool, &syn::ItemImpl)> = items
            .filter_map(|(below, item)| match item {
                Item::Impl(i) if !is_hidden(&i.attrs) => Some((below, i)),
                _ => None,
            })
            .collect();
        for (below, item) in implementations {
            let syn::Type::Path(of) = &*item.self_ty else { continue };
            let name = of.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default();
            let Some(shown) = self.types.get(&(below, name)).cloned() else { continue };
            match &item.trait_ {
                Some((_, path, _)) => {
                    self.lines.insert(format!("impl {} for {shown}", text(path)));
                }
                None => self.methods(item, &shown),
            }
        }
    }

    fn methods(&mut self, item: &syn::ItemImpl, shown: &str) {
        for item in &item.items {
            let line = match item {
                ImplItem::Fn(f) if is_public(&f.vis, &f.attrs) => {
                    format!("{shown}: {}", text(&f.sig))
                }
                ImplItem::Const(c) if is_public(&c.vis, &c.attrs) => {
                    format!("const {shown}::{}: {}", c.ident, text(&c.ty))
                }
                _ => continue,
            };
            self.lines.insert(line);
        }
    }
}

fn is_below(module: &[String]) -> bool {
    module.first().is_some_and(|first| first == BELOW)
}

fn joined(module: &[String], name: &str) -> Vec<String> {
    joined_all(module, &[name.to_owned()])
}

fn joined_all(module: &[String], rest: &[String]) -> Vec<String> {
    module.iter().chain(rest).cloned().collect()
}

fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Fn(f) => f.sig.ident.to_string(),
        Item::Const(c) => c.ident.to_string(),
        Item::Struct(s) => s.ident.to_string(),
        Item::Enum(e) => e.ident.to_string(),
        Item::Trait(t) => t.ident.to_string(),
        Item::Type(t) => t.ident.to_string(),
        _ => return None,
    })
}

fn is_public(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    matches!(visibility, Visibility::Public(_)) && !is_hidden(attributes)
}

/// Whether an item is hidden from the documentation, or only there for tests.
fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string();
        text == "doc (hidden)" || text == "cfg (test)"
    })
}

/// Tokens as text, without the blanks that are not needed.
fn text(tokens: &impl ToTokens) -> String {
    let mut tokens = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" ::", "::"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        (" :", ":"),
        (" ;", ";"),
        ("( ", "("),
        (" (", "("),
        (" )", ")"),
        (",)", ")"),
        ("' ", "'"),
        (" !", "!"),
        ("->", " ->"),
        ("  ", " "),
        ("- >", "->"),
        ("=(", "= ("),
        ("->(", "-> ("),
        (",(", ", ("),
        ("impl(", "impl ("),
    ] {
        tokens = tokens.replace(from, to);
    }
    tokens
}
