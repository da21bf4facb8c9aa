//! Flame graphs.

use super::{describe, folded};
use crate::{FunctionKind, Profile, Unit};
use inferno::flamegraph::color::{BasicPalette, MultiPalette, Palette};
use inferno::flamegraph::{Options, from_lines};
use std::io::{self, Write};

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let lines = folded::lines(profile, value);
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
