//! What the functions of a module did in the interpreter, as data that outlives the module.
//!
//! It is made by [`ModuleInner::profile`], and used by [`ModuleInner::use_profile`]: here it is merged, written and read.
//! Everything in it is a hint: whoever uses it checks that functions are there and of the right type.
//!
//! [`ModuleInner::profile`]: crate::module::ModuleInner::profile
//! [`ModuleInner::use_profile`]: crate::module::ModuleInner::use_profile

mod bytes;

use crate::error::UsageKind;
use crate::{Error, Result};
use std::collections::BTreeMap;
pub use wardian_interp::CallTargets;
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncIndex};

/// What the functions of a module did in the interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleProfile {
    pub(crate) module: CodeHash,
    /// Those of which something is known.
    pub functions: BTreeMap<FuncIndex, FunctionProfile>,
}

/// What a function did in the interpreter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionProfile {
    /// Calls of it and rounds of its loops that were counted.
    pub count: u64,
    /// Whether it became hot as a whole, or was compiled because it was warm.
    pub is_hot: bool,
    /// The headers of its loops that became hot, in the order in which they did.
    pub hot_loops: Vec<CodeOffset>,
    /// What its calls through tables and references called.
    pub calls: BTreeMap<CodeOffset, CallTargets<FuncIndex>>,
}

/// What a module was given of what its functions did elsewhere.
pub(crate) struct UsedProfile {
    pub(crate) profile: ModuleProfile,
    /// Whether it was kept in a cache, so that the module is one that is used again and again.
    pub(crate) is_kept: bool,
    /// Functions that took too long to compile in a program that was soon over.
    pub(crate) given_up: Vec<DefinedFuncIndex>,
    /// What calls through tables and references are expected to call, as a compiler wants it.
    pub(crate) expected: Vec<(CodeOffset, DefinedFuncIndex)>,
}

/// Names the code of a module: modules that differ in custom sections alone have the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeHash(pub(crate) [u8; 32]);

impl std::fmt::Debug for CodeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl CodeHash {
    pub(crate) fn of(module: &wardian_module::Module) -> CodeHash {
        const CUSTOM: u8 = 0;
        let mut hasher = blake3::Hasher::new();
        for section in module.info().sections.iter().filter(|section| section.id != CUSTOM) {
            let contents = module.bytes().get(section.range.clone()).unwrap_or_default();
            hasher.update(&[section.id]);
            hasher.update(&(contents.len() as u64).to_le_bytes());
            hasher.update(contents);
        }
        CodeHash(*hasher.finalize().as_bytes())
    }
}

impl ModuleProfile {
    /// A profile in which nothing is known of the module's functions.
    pub(crate) fn new(module: CodeHash) -> ModuleProfile {
        ModuleProfile { module, functions: BTreeMap::new() }
    }

    /// Adds what the same module did elsewhere.
    ///
    /// # Errors
    ///
    /// It is of another module.
    pub fn merge(&mut self, other: &ModuleProfile) -> Result<()> {
        self.check(other.module)?;
        for (index, function) in &other.functions {
            self.functions.entry(*index).or_default().merge(function);
        }
        Ok(())
    }

    /// Refuses other modules than its own.
    pub(crate) fn check(&self, module: CodeHash) -> Result<()> {
        match self.module == module {
            true => Ok(()),
            false => Err(Error::usage(UsageKind::Profile, "the profile is of another module")),
        }
    }

    /// Names what it says.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.to_bytes()).as_bytes()
    }
}

impl FunctionProfile {
    /// Whether nothing is known of the function.
    pub(crate) fn is_empty(&self) -> bool {
        *self == FunctionProfile::default()
    }

    fn merge(&mut self, other: &FunctionProfile) {
        self.count = self.count.saturating_add(other.count);
        self.is_hot |= other.is_hot;
        for header in &other.hot_loops {
            if !self.hot_loops.contains(header) {
                self.hot_loops.push(*header);
            }
        }
        for (offset, targets) in &other.calls {
            self.calls.entry(*offset).or_default().merge(targets);
        }
    }
}
