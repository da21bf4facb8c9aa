//! Names for people: the name section, and mangled names made readable.

use std::collections::HashMap;
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

/// A function name as its author wrote it: Rust and C++ names demangled, others unchanged.
pub fn demangle(name: &str) -> String {
    if let Ok(name) = rustc_demangle::try_demangle(name) {
        // The alternate form leaves out the hash.
        return format!("{name:#}");
    }
    if name.starts_with("_Z")
        && let Ok(symbol) = cpp_demangle::Symbol::new(name)
        && let Ok(name) = symbol.demangle()
    {
        return name;
    }
    name.to_owned()
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
}
