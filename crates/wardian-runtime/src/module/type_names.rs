//! Names that modules have for the types that they declare.

use super::ModuleInner;
use wardian_types::{DeclaredType, FieldIndex, HeapType, TypeIndex};

impl ModuleInner {
    /// The name that the module has for a type that it declares, as values of this module's engine have it.
    pub fn type_name(&self, ty: HeapType) -> Option<&str> {
        let names = &self.decoded.names().types;
        self.declared(ty).find_map(|index| names.get(&index)).map(String::as_str)
    }

    /// The name that the module has for a field of a struct type.
    pub fn field_name(&self, ty: HeapType, field: FieldIndex) -> Option<&str> {
        let names = &self.decoded.names().fields;
        self.declared(ty).find_map(|index| names.get(&index)?.get(&field)).map(String::as_str)
    }

    /// Where the module declares a type. It may do so several times.
    fn declared(&self, ty: HeapType) -> impl Iterator<Item = TypeIndex> + '_ {
        let number = match ty.named() {
            Some(DeclaredType::Engine(number)) => Some(number),
            _ => None,
        };
        let all = self.signatures.enumerated();
        all.filter(move |(_, known)| Some(**known) == number).map(|(index, _)| index)
    }
}
