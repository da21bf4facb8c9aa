//! Names for people: the name section, and names of what has none.

use std::collections::HashMap;
use std::hash::Hash;
use wardian_types::{
    FieldIndex, FuncIndex, GlobalIndex, Index, LocalIndex, MemoryIndex, TableIndex, TagIndex,
    TypeIndex,
};
use wasmparser::{BinaryReader, Name, NameSectionReader};

/// What the `name` section says (core specification, appendix "Custom Sections").
///
/// It is a custom section, so a broken one is no error: what can be read of it is used.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Name of the module.
    pub module: Option<String>,
    /// Function names.
    pub functions: HashMap<FuncIndex, String>,
    /// Names of locals, by function.
    pub locals: HashMap<FuncIndex, HashMap<LocalIndex, String>>,
    /// Global names.
    pub globals: HashMap<GlobalIndex, String>,
    /// Table names.
    pub tables: HashMap<TableIndex, String>,
    /// Memory names.
    pub memories: HashMap<MemoryIndex, String>,
    /// Tag names.
    pub tags: HashMap<TagIndex, String>,
    /// Names of declared types.
    pub types: HashMap<TypeIndex, String>,
    /// Names of fields, by type.
    pub fields: HashMap<TypeIndex, HashMap<FieldIndex, String>>,
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
                        names.fields.insert(TypeIndex::from_u32(ty.index), read_map(ty.names));
                    }
                }
                Ok(Name::Local(functions)) => {
                    for function in functions.into_iter().flatten() {
                        names
                            .locals
                            .insert(FuncIndex::from_u32(function.index), read_map(function.names));
                    }
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        names
    }
}

fn read_map<I: Index + Hash>(map: wasmparser::NameMap<'_>) -> HashMap<I, String> {
    let names = map.into_iter().map_while(Result::ok);
    names.map(|n| (I::from_usize(n.index as usize), n.name.to_owned())).collect()
}

/// The name of a function that has none: short, the same everywhere, and understood where functions are chosen
/// by name.
///
/// ```
/// use wardian_types::FuncIndex;
///
/// assert_eq!(wardian_module::unnamed(FuncIndex::from_u32(12)), "func:12");
/// ```
pub fn unnamed(index: FuncIndex) -> String {
    format!("func:{index}")
}
