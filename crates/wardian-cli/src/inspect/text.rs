//! The summary of a module for people.

use super::sizes::Part;
use super::{Item, Section, Summary};
use crate::output::bytes;
use std::fmt::Write;

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
    ] {
        let _ = items(&mut out, title, &list);
    }
    let _ = sections(&mut out, &summary.sections);
    let _ = toolchain(&mut out, summary);
    if let Some(sizes) = &summary.sizes {
        let _ = parts(&mut out, "functions by size", &sizes.functions);
        let _ = parts(&mut out, "source files by size", &sizes.files);
    }
    out
}

fn head(out: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let info = summary.module.info();
    writeln!(out, "file       {}", summary.file)?;
    if let Some(name) = summary.module.name() {
        writeln!(out, "name       {name}")?;
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
        writeln!(out, "start      function {index} {}", name.unwrap_or_default())?;
    }
    let features = summary.features.to_string();
    writeln!(out, "features   {}", if features.is_empty() { "none" } else { &features })
}

/// Grouped by module, in the order in which the modules appear.
fn imports(out: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let info = summary.module.info();
    let mut modules: Vec<&str> = Vec::new();
    for import in &info.imports {
        if !modules.contains(&import.module.as_str()) {
            modules.push(&import.module);
        }
    }
    for module in modules {
        writeln!(out, "\nimports from {module}")?;
        for import in info.imports.iter().filter(|i| i.module == module) {
            writeln!(out, "  {}: {}", import.name, info.item_type(import.item))?;
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
        let names: Vec<&str> = ability.imports.iter().map(|i| i.name.as_str()).collect();
        writeln!(out, "  {}: {}", ability.name, names.join(", "))?;
    }
    Ok(())
}

fn exports(out: &mut String, summary: &Summary<'_>) -> std::fmt::Result {
    let info = summary.module.info();
    if !info.exports.is_empty() {
        writeln!(out, "\nexports")?;
    }
    for export in &info.exports {
        writeln!(out, "  {}: {}", export.name, info.item_type(export.item))?;
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
            Some(name) => writeln!(out, ", exported as {name}")?,
            None => writeln!(out)?,
        }
    }
    if items.len() > SHOWN {
        writeln!(out, "  ... and {} more (--json has all)", items.len() - SHOWN)?;
    }
    Ok(())
}

/// More parts than these are summed up.
const PARTS: usize = 50;

fn parts(out: &mut String, title: &str, parts: &[Part]) -> std::fmt::Result {
    if parts.is_empty() {
        return Ok(());
    }
    let all = parts.iter().map(|part| part.bytes).sum::<usize>().max(1);
    let percent = |bytes: usize| bytes as f64 * 100.0 / all as f64;
    writeln!(out, "\n{title}\n  {:>10} {:>7} {:>7}", "bytes", "%", "sum %")?;
    let mut sum = 0;
    for Part { name, bytes } in parts.iter().take(PARTS) {
        sum += bytes;
        writeln!(out, "  {bytes:>10} {:>6.1}% {:>6.1}%  {name}", percent(*bytes), percent(sum))?;
    }
    if parts.len() > PARTS {
        let (rest, count) = (all - sum, parts.len() - PARTS);
        writeln!(
            out,
            "  {rest:>10} {:>6.1}% {:>6.1}%  ... and {count} more",
            percent(rest),
            100.0
        )?;
    }
    Ok(())
}

fn sections(out: &mut String, sections: &[Section<'_>]) -> std::fmt::Result {
    if !sections.is_empty() {
        writeln!(out, "\nsections")?;
    }
    for section in sections {
        let name = section.name.map(|n| format!(" {n}")).unwrap_or_default();
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
            .map(|(name, version)| format!("{name} {version}").trim_end().to_owned())
            .collect();
        writeln!(out, "  {field}: {}", values.join(", "))?;
    }
    if !summary.target_features.is_empty() {
        writeln!(out, "\ntarget features\n  {}", summary.target_features.join(" "))?;
    }
    Ok(())
}

fn size(count: usize) -> String {
    bytes(count as u64)
}
