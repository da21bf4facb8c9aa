//! Flame graphs.

use super::{describe, folded};
use crate::profile::tree::CallTree;
use crate::{FunctionKind, Profile, Unit};
use inferno::flamegraph::color::{BasicPalette, MultiPalette, Palette};
use inferno::flamegraph::{Options, from_lines};
use std::io::{self, Write};

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let lines = lines(profile, value)?;
    let ty = profile.value_types()[value];
    let mut options = Options::default();
    options.title = clean(&profile.meta().program);
    let shown = format!("{} ({})", ty.name, profile.kind());
    options.subtitle = Some([shown, describe(profile)].join("   ").trim_end().to_owned());
    options.count_name = match ty.unit {
        Unit::Count => ty.name.to_owned(),
        unit => unit.name().to_owned(),
    };
    options.colors = match is_rust(profile) {
        true => Palette::Multi(MultiPalette::Rust),
        false => Palette::Basic(BasicPalette::Hot),
    };
    // The same profile gives the same picture.
    options.deterministic = true;
    options.name_type = "Function:".into();
    if lines.is_empty() {
        return writer.write_all(nothing(profile).as_bytes());
    }
    from_lines(&mut options, lines.iter().map(String::as_str), writer)
}

/// Of all of it a frame is so much at least, or it is too narrow to be seen: a ten thousandth.
const NARROW: u64 = 10_000;
/// Bytes of all lines together at most: the picture is made of all of them at once.
const MAX_LINES: usize = 32 << 20;

/// The folded stacks. What is too narrow to be seen is part of its caller, and if stacks are so many and
/// so deep that they do not fit, more is.
fn lines(profile: &Profile, value: usize) -> io::Result<Vec<String>> {
    let tree = CallTree::new(profile);
    let least = tree.roots_total(value) / NARROW;
    let amounts = folded::amounts(profile, &tree, value, least, MAX_LINES);
    let mut lines = Vec::new();
    folded::each_line(profile, &tree, &amounts, |line| {
        lines.push(line.to_owned());
        Ok(())
    })?;
    Ok(lines)
}

fn is_rust(profile: &Profile) -> bool {
    let is_rust = |f: &crate::Function| {
        f.kind == FunctionKind::Guest
            && (f.name.starts_with("core::") || f.name.starts_with("std::"))
    };
    profile.functions().iter().any(is_rust)
}

/// A picture for a profile in which there is nothing to be seen.
fn nothing(profile: &Profile) -> String {
    let name = profile.value_types()[0].name;
    format!(
        "<?xml version=\"1.0\" standalone=\"no\"?>\n<svg version=\"1.1\" width=\"600\" height=\"60\" \
         xmlns=\"http://www.w3.org/2000/svg\"><text x=\"20\" y=\"35\" font-family=\"sans-serif\" \
         font-size=\"16\">Nothing to show: no {name} were recorded.</text></svg>\n"
    )
}

/// Text without what XML cannot hold.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
