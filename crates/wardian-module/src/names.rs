//! Names for people: the name section, and mangled names made readable.

use cpp_demangle::{DemangleOptions, ParseOptions};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use wasmparser::{BinaryReader, Name, NameSectionReader};

/// What the `name` section says (core specification, appendix "Custom Sections").
///
/// It is a custom section, so a broken one is no error: what can be read of it is used.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Name of the module.
    pub module: Option<String>,
    /// Function names by index.
    pub functions: HashMap<u32, String>,
    /// Names of locals, parameters first, by function and local index.
    pub locals: HashMap<u32, HashMap<u32, String>>,
    /// Global names by index.
    pub globals: HashMap<u32, String>,
    /// Table names by index.
    pub tables: HashMap<u32, String>,
    /// Memory names by index.
    pub memories: HashMap<u32, String>,
    /// Tag names by index.
    pub tags: HashMap<u32, String>,
    /// Names of declared types by index.
    pub types: HashMap<u32, String>,
    /// Names of fields, by declared type and position.
    pub fields: HashMap<u32, HashMap<u32, String>>,
}

impl Names {
    /// Reads the contents of a `name` section.
    pub fn read(section: &[u8]) -> Names {
        let mut names = Names::default();
        for subsection in NameSectionReader::new(BinaryReader::new(section, 0)) {
            match subsection {
                Ok(Name::Module { name, .. }) => names.module = Some(name.to_owned()),
                Ok(Name::Function(map)) => names.functions = read_map(map),
                Ok(Name::Global(map)) => names.globals = read_map(map),
                Ok(Name::Table(map)) => names.tables = read_map(map),
                Ok(Name::Memory(map)) => names.memories = read_map(map),
                Ok(Name::Tag(map)) => names.tags = read_map(map),
                Ok(Name::Type(map)) => names.types = read_map(map),
                Ok(Name::Field(types)) => {
                    for ty in types.into_iter().flatten() {
                        names.fields.insert(ty.index, read_map(ty.names));
                    }
                }
                Ok(Name::Local(functions)) => {
                    for function in functions.into_iter().flatten() {
                        names.locals.insert(function.index, read_map(function.names));
                    }
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        names
    }
}

fn read_map(map: wasmparser::NameMap<'_>) -> HashMap<u32, String> {
    map.into_iter().map_while(Result::ok).map(|n| (n.index, n.name.to_owned())).collect()
}

/// Bytes of a name that is looked at: of longer ones the beginning is shown, and none is demangled.
const LONGEST: usize = 16 << 10;

/// A function name as its author wrote it: Rust and C++ names demangled, others unchanged.
///
/// Names come from modules that nobody trusts. A name whose demangled form is out of proportion to it, or
/// nests too deep, is not demangled; names of more than 16 KiB are cut.
pub fn demangle(name: &str) -> String {
    if name.len() > LONGEST {
        let cut = name.floor_char_boundary(LONGEST);
        return format!("{}…", &name[..cut]);
    }
    let room = LONGEST.min(256 + 32 * name.len());
    rust(name, room).or_else(|| cpp(name, room)).unwrap_or_else(|| name.to_owned())
}

/// The name of a function that has none: short, the same everywhere, and understood where functions are chosen
/// by name.
///
/// ```
/// assert_eq!(wardian_module::unnamed(12), "func:12");
/// ```
pub fn unnamed(index: u32) -> String {
    format!("func:{index}")
}

fn rust(name: &str, room: usize) -> Option<String> {
    let symbol = rustc_demangle::try_demangle(name).ok()?;
    let mut text = Text { text: String::new(), room };
    // The alternate form leaves out the hash.
    write!(text, "{symbol:#}").ok()?;
    Some(text.text)
}

fn cpp(name: &str, room: usize) -> Option<String> {
    if !name.starts_with("_Z") {
        return None;
    }
    // Both recurse, by half a kilobyte and more each time.
    let parse = ParseOptions::default().recursion_limit(96);
    let print = DemangleOptions::default().recursion_limit(128);
    let symbol = cpp_demangle::Symbol::new_with_options(name, &parse).ok()?;
    let mut text = Text { text: String::new(), room };
    symbol.structured_demangle(&mut text, &print).ok()?;
    Some(text.text)
}

/// Text of a limited length. Writing more fails: a part that refers twice to another one is no longer than
/// its mangled form, but doubles the text and the time.
struct Text {
    text: String,
    room: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.room = self.room.checked_sub(s.len()).ok_or(fmt::Error)?;
        self.text.push_str(s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::demangle;

    #[test]
    fn demangles() {
        for (mangled, plain) in [
            ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
            ("_Z3addii", "add(int, int)"),
            ("main", "main"),
            ("_Zgarbage", "_Zgarbage"),
        ] {
            assert_eq!(demangle(mangled), plain);
        }
    }

    #[test]
    fn names_that_grow_out_of_proportion_stay_mangled() {
        let rust = "_RINvC1a1bTuuETB5_B5_ETBb_Bb_ETBj_Bj_ETBr_Br_ETBz_Bz_ETBH_BH_ETBP_BP_ETBX_BX_ETB15_B15_E\
                    TB1d_B1d_ETB1n_B1n_ETB1x_B1x_ETB1H_B1H_ETB1R_B1R_ETB21_B21_ETB2b_B2b_ETB2l_B2l_EE";
        for hostile in [rust.to_owned(), nested_pairs(40), nested_pairs(1000)] {
            let start = std::time::Instant::now();
            let shown = demangle(&hostile);
            assert!(
                shown.len() <= 256 + 32 * hostile.len(),
                "{} of {}",
                shown.len(),
                hostile.len()
            );
            assert!(start.elapsed().as_secs() < 5);
        }
        for (small, grown) in
            [(nested_pairs(1), nested_pairs(40)), (format!("{}E", &rust[..22]), rust.into())]
        {
            assert_ne!(demangle(&small), small);
            assert_eq!(demangle(&grown), grown);
        }
    }

    /// A C++ function whose argument types are pairs of the type before, each.
    fn nested_pairs(n: usize) -> String {
        let mut name = "_Z1f1aSt4pairIS_S_E".to_owned();
        for i in 0..n {
            let before = base_36(i + 1);
            name += &format!("S0_IS{before}_S{before}_E");
        }
        name
    }

    fn base_36(n: usize) -> String {
        let digit = |d: usize| char::from_digit(d as u32, 36).unwrap().to_ascii_uppercase();
        match n {
            0..36 => digit(n).to_string(),
            _ => format!("{}{}", base_36(n / 36), digit(n % 36)),
        }
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        let long = "ä".repeat(20_000);
        let shown = demangle(&format!("x{long}"));
        assert!(shown.ends_with("ä…") && shown.len() < 17_000);
    }
}
