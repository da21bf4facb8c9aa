//! How large a module is.

/// How many of each thing a module has: all that the layout of its instances depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Globals that the module defines.
    pub defined_globals: u32,
    /// All globals.
    pub globals: u32,
    /// All memories; each has a `VmMemory` of its own, unused where it is imported or shared.
    pub memories: u32,
    /// Tables that the module defines.
    pub defined_tables: u32,
    /// All tables.
    pub tables: u32,
    /// Imported functions.
    pub imported_functions: u32,
    /// Functions that the module defines.
    pub defined_functions: u32,
}
