//! Profiles of modules: what their functions did in the interpreter, kept for the compiler.
//!
//! A tiered engine counts calls and rounds of loops to find what is hot, and notes what calls through tables and references
//! call, to compile small functions into their callers. [`Module::profile`] gives what it has found. A module that is made
//! with it, [`CompileOptions::with_profile`](crate::CompileOptions::with_profile), in the same process or another, begins with
//! that knowledge: a compiled engine, which counts nothing, compiles small functions into those that call them through tables
//! and references, and a tiered engine compiles what was hot at once.
//!
//! A profile changes how fast a module is and nothing else. Where time goes is shown by the profiles of the crate
//! `wardian-observe`, which are something else.
//!
//! ```
//! use wardian::{CompileOptions, Engine, Instance, Module, Store, profile::ModuleProfile};
//!
//! const TEXT: &str = r#"(module (table funcref (elem $double $square))
//!   (type $f (func (param i32) (result i32)))
//!   (func $double (type $f) (i32.add (local.get 0) (local.get 0)))
//!   (func $square (type $f) (i32.mul (local.get 0) (local.get 0)))
//!   (func (export "apply") (param i32 i32) (result i32)
//!     (call_indirect (type $f) (local.get 0) (local.get 1))))"#;
//!
//! let engine = Engine::default();
//! let module = Module::new(&engine, TEXT)?;
//! let mut store = Store::new(&engine, ());
//! let instance = Instance::new(&mut store, &module, &[])?;
//! let apply = instance.typed_func::<(i32, i32), i32>(&mut store, "apply")?;
//! for i in 0..10 {
//!     apply.call(&mut store, (i, 1))?;
//! }
//! let profile = module.profile();
//! # #[cfg(feature = "jit")]
//! # {
//! let function = profile.functions().find(|function| function.index() == 2).unwrap();
//! assert_eq!(function.count(), 10);
//! let call = function.calls().next().unwrap();
//! assert_eq!(call.targets().next().unwrap().function, 1);
//! # }
//!
//! let bytes = profile.to_bytes();
//! let profile = ModuleProfile::from_bytes(&bytes)?;
//! let options = CompileOptions::new().with_profile(&profile);
//! let module = Module::new_with(&engine, TEXT, &options)?;
//! # Ok::<(), wardian::Error>(())
//! ```

use crate::{Module, Result};
use wardian_runtime::profile as raw;
use wardian_types::{CodeOffset, FuncIndex};

/// What the functions of a module did in the interpreter: see the [module's documentation](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleProfile(pub(crate) raw::ModuleProfile);

/// What a function did in the interpreter.
#[derive(Clone, Copy, Debug)]
pub struct FunctionProfile<'a> {
    index: FuncIndex,
    function: &'a raw::FunctionProfile,
}

/// What a `call_indirect` or a `call_ref` called.
#[derive(Clone, Copy, Debug)]
pub struct CallProfile<'a> {
    offset: CodeOffset,
    targets: &'a raw::CallTargets<FuncIndex>,
}

/// A function that is often called by a `call_indirect` or a `call_ref`, and how often.
///
/// A call has room for four functions. As long as it calls no more than those, both numbers are the same. Otherwise a function that
/// is called by more than a fifth of the calls is always there, and others may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallTarget {
    /// The index of the function in its module.
    pub function: u32,
    /// It was called so often at least.
    pub at_least: u64,
    /// It was called so often at most.
    pub at_most: u64,
}

impl Module {
    /// What the functions of the module have done so far in the interpreter of a tiered engine, in all its instances.
    ///
    /// It can be taken at any time, also while guests run on other threads. Functions that were never interpreted are not
    /// in it; so it is empty in an engine of another kind. What is compiled counts nothing, so a function is counted until its
    /// compiled code is there: the most frequent function need not have the greatest count.
    ///
    /// Functions whose code was in a cache (see [`Engine::set_cache`](crate::Engine::set_cache)) are hot, and have no counts.
    /// What the module itself was given by [`CompileOptions::with_profile`](crate::CompileOptions::with_profile) is not
    /// counted in: [`ModuleProfile::merge`] adds it.
    pub fn profile(&self) -> ModuleProfile {
        ModuleProfile(self.0.profile())
    }
}

impl ModuleProfile {
    /// The profile as bytes, for [`ModuleProfile::from_bytes`] of this version of Wardian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The profile that [`ModuleProfile::to_bytes`] wrote. The bytes may come from anywhere: a profile that somebody made up
    /// leads to slow code at worst.
    ///
    /// # Errors
    ///
    /// The bytes are no profile, or one of another version of Wardian, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<ModuleProfile> {
        Ok(ModuleProfile(raw::ModuleProfile::from_bytes(bytes)?))
    }

    /// Adds what the same module did elsewhere, for instance with other input. Counts are added.
    ///
    /// # Errors
    ///
    /// It is a profile of another module; then nothing is added.
    pub fn merge(&mut self, other: &ModuleProfile) -> Result<()> {
        Ok(self.0.merge(&other.0)?)
    }

    /// Whether it is a profile of this module. Custom sections may differ, as those with names and debug information.
    pub fn is_of(&self, module: &Module) -> bool {
        module.0.has_profile(&self.0)
    }

    /// Whether nothing is known of any function.
    pub fn is_empty(&self) -> bool {
        self.0.functions.is_empty()
    }

    /// The functions of which something is known, by their indices.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = FunctionProfile<'_>> {
        let functions = self.0.functions.iter();
        functions.map(|(index, function)| FunctionProfile { index: *index, function })
    }
}

impl<'a> FunctionProfile<'a> {
    /// The index of the function in its module.
    pub fn index(&self) -> u32 {
        self.index.as_u32()
    }

    /// How many calls of the function, and rounds of its loops, were interpreted, together. Exact where one thread at a time
    /// runs the module; threads that interpret the function at the same time lose some.
    pub fn count(&self) -> u64 {
        self.function.count
    }

    /// Whether the function became hot as a whole: it was called, and its loops went round, so often that the engine had it
    /// compiled from its beginning; or it came close to that while nothing was hot, with [`Config::idle_compilation`](crate::Config::idle_compilation).
    pub fn is_hot(&self) -> bool {
        self.function.is_hot
    }

    /// The loops of the function that became hot, in the order in which they did, by the offsets of their `loop` in the code
    /// section, as [`Module::source_locations`] takes them. The engine had the function compiled from there on.
    pub fn hot_loops(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.function.hot_loops.iter().map(|header| header.as_u32())
    }

    /// What each `call_indirect` and `call_ref` of the function called that was interpreted, in their order in the function.
    pub fn calls(&self) -> impl ExactSizeIterator<Item = CallProfile<'a>> + 'a {
        let calls = self.function.calls.iter();
        calls.map(|(offset, targets)| CallProfile { offset: *offset, targets })
    }
}

impl<'a> CallProfile<'a> {
    /// Where the call is: its offset in the code section, as [`Module::source_locations`] takes it.
    pub fn code_offset(&self) -> u32 {
        self.offset.as_u32()
    }

    /// How many calls were noted: of each run of the module the first 65535. Not noted are calls of host functions, and of
    /// functions that somebody listened to.
    pub fn count(&self) -> u64 {
        self.targets.calls()
    }

    /// The functions that were called most, the most frequent first. Functions of other instances are not among them, but are
    /// in the count.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = CallTarget> + 'a {
        let targets = self.targets;
        targets.votes().iter().map(move |(function, votes)| CallTarget {
            function: function.as_u32(),
            at_least: *votes,
            at_most: targets.most(*votes),
        })
    }
}
