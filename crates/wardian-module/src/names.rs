//! Names for people: the name section, and names of what has none.

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

/// The name of a function that has none: short, the same everywhere, and understood where functions are chosen
/// by name.
///
/// ```
/// assert_eq!(wardian_module::unnamed(12), "func:12");
/// ```
pub fn unnamed(index: u32) -> String {
    format!("func:{index}")
}
