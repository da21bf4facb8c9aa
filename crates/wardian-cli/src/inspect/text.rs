//! The summary of a module for people.

mod sizes;

use super::{Item, Section, Summary};
use crate::output::bytes;
use std::collections::HashMap;
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;
use wardian_module::Import;
use wardian_observe::printable;

pub(super) fn render(summary: &Summary<'_>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut out, summary);
    let _ = imports(&mut out, summary);
    let _ = abilities(&mut out, summary);
    let _ = exports(&mut out, summary);
    for (title, list) in [
        ("memories", summary.memories()),
        ("tables", summary.tables()),
        ("globals", summary.globals()),
        ("tags", summary.tags()),
    ] {
        let _ = items(&mut out, title, &list);
    }
    let _ = sections(&mut out, &summary.sections);
    let _ = toolchain(&mut out, summary);
    if let Some(shown) = &summary.sizes {
        let _ = sizes::render(&mut out, shown);
    }
    out
}

fn head(out: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let info = summary.module.info();
    writeln!(out, "file       {}", printable(summary.file))?;
    if let Some(name) = summary.module.name() {
        writeln!(out, "name       {}", printable(name))?;
    }
    writeln!(out, "kind       {}", summary.kind)?;
    writeln!(out, "size       {}", size(summary.module.bytes().len()))?;
    writeln!(
        out,
        "functions  {} and {} imported, {} of code",
        info.bodies.len(),
        info.imported_functions,
        size(summary.code_size())
    )?;
    if let Some((index, name)) = summary.start() {
        writeln!(out, "start      function {index} {}", printable(name.unwrap_or_default()))?;
    }
    let features = summary.features.to_string();
    writeln!(out, "features   {}", if features.is_empty() { "none" } else { &features })
}

/// Grouped by module, in the order in which the modules appear.
fn imports(out: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let info = summary.module.info();
    let mut modules: Vec<(&str, Vec<&Import>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for import in &info.imports {
        let place = *places.entry(&import.module).or_insert(modules.len());
        if place == modules.len() {
            modules.push((&import.module, Vec::new()));
        }
        modules[place].1.push(import);
    }
    for (module, imports) in modules {
        writeln!(out, "\nimports from {}", printable(module))?;
        for import in imports {
            writeln!(out, "  {}: {}", printable(&import.name), info.item_type(import.item))?;
        }
    }
    Ok(())
}

/// What the imports are good for.
fn abilities(out: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let abilities = super::abilities::of(summary.module.info());
    if !abilities.is_empty() {
        writeln!(out, "\nwhat it can do")?;
    }
    for ability in abilities {
        let text = match ability.module {
            // Nothing is known of them but that the embedder has to have them, and they are listed above.
            Some(module) => {
                let (count, module) = (ability.imports.len(), printable(module));
                let s = if count == 1 { "" } else { "s" };
                format!("{}: {count} import{s} from {module}", ability.name)
            }
            None => {
                let names: Vec<String> =
                    ability.imports.iter().map(|i| printable(&i.name)).collect();
                format!("{}: {}", ability.name, names.join(", "))
            }
        };
        wrapped(out, &text)?;
    }
    Ok(())
}

/// Columns of a line that can be broken.
const COLUMNS: usize = 100;

/// A line that is broken after commas.
fn wrapped(out: &mut String, text: &str) -> std::fmt::Result {
    let mut column = 0;
    for word in text.split_inclusive(", ") {
        if column > 0 && column + word.trim_end().width() > COLUMNS {
            out.truncate(out.trim_end().len());
            out.push_str("\n    ");
            column = 4;
        } else if column == 0 {
            out.push_str("  ");
            column = 2;
        }
        out.push_str(word);
        column += word.width();
    }
    writeln!(out)
}

fn exports(out: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let info = summary.module.info();
    if !info.exports.is_empty() {
        writeln!(out, "\nexports")?;
    }
    for export in &info.exports {
        writeln!(out, "  {}: {}", printable(&export.name), info.item_type(export.item))?;
    }
    Ok(())
}

/// More of a kind than these are counted only: compilers make thousands of globals.
const SHOWN: usize = 16;

fn items(out: &mut String, title: &str, items: &[Item]) -> std::fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    let imported = items.iter().filter(|i| i.imported).count();
    writeln!(out, "\n{title}: {}, {imported} of them imported", items.len())?;
    for (index, item) in items.iter().enumerate().take(SHOWN) {
        write!(out, "  {index}: {}", item.ty)?;
        match &item.export {
            Some(name) => writeln!(out, ", exported as {}", printable(name))?,
            None => writeln!(out)?,
        }
    }
    if items.len() > SHOWN {
        writeln!(out, "  ... and {} more (--json has all)", items.len() - SHOWN)?;
    }
    Ok(())
}

fn sections(out: &mut String, sections: &[Section<'_>]) -> std::fmt::Result {
    if !sections.is_empty() {
        writeln!(out, "\nsections")?;
    }
    for section in sections {
        let name = section.name.map(|n| format!(" {}", printable(n))).unwrap_or_default();
        let name = format!("{}{name}", section.kind);
        writeln!(out, "  {name:<28} {:>12} at {:#x}", size(section.size), section.offset)?;
    }
    Ok(())
}

fn toolchain(out: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    if !summary.producers.is_empty() {
        writeln!(out, "\nproducers")?;
    }
    for (field, values) in &summary.producers {
        let values: Vec<String> = values
            .iter()
            .map(|(name, version)| printable(format!("{name} {version}").trim_end()))
            .collect();
        writeln!(out, "  {}: {}", printable(field), values.join(", "))?;
    }
    if !summary.target_features.is_empty() {
        let features = printable(&summary.target_features.join(" "));
        writeln!(out, "\ntarget features\n  {features}")?;
    }
    Ok(())
}

fn size(count: usize) -> String {
    bytes(count as u64)
}
