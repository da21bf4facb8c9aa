//! What contexts and records name by numbers.

use wardian_types::DefinedFuncIndex;

wardian_types::index_types! {
    /// A function of a store.
    pub struct FuncId;

    /// An instance of a store.
    pub struct InstanceId;

    /// A word of an instance's table of interpreted functions, which has two for each function that it defines.
    pub struct InterpretedIndex;
}

impl InterpretedIndex {
    /// The word of a function: for callers that are noted if `noted`, otherwise for the instance itself.
    pub const fn new(defined: DefinedFuncIndex, noted: bool) -> InterpretedIndex {
        InterpretedIndex::from_u32(2 * defined.as_u32() + noted as u32)
    }

    /// The function.
    pub const fn defined(self) -> DefinedFuncIndex {
        DefinedFuncIndex::from_u32(self.as_u32() / 2)
    }

    /// Whether it is for callers that are noted.
    pub const fn is_noted(self) -> bool {
        self.as_u32() % 2 == 1
    }
}
