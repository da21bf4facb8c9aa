//! Coverage: which functions and source lines a guest executes, and how often.
//!
//! Nothing is sampled. The module is rewritten before it is compiled: each basic block adds one to a
//! counter of its own, in a memory that the module did not have. What the counters mean is looked up
//! afterwards in the original module, whose code offsets debug information is about.

mod blocks;
mod branches;
mod html;
mod lcov;
pub(crate) mod report;
mod rewrite;
mod table;

use report::CoverageReport;
use rewrite::Counters;
use wardian::{MemoryType, Module, Result, SharedMemory, inspect::InternalModule};

/// What the counters of an instrumented module count.
///
/// ```
/// use wardian::{Engine, Instance, Module, Store};
/// use wardian_observe::CoverageMap;
///
/// let engine = Engine::default();
/// let original = Module::new(&engine, r#"(module
///     (func $leaf)
///     (func $never)
///     (func (export "run") (param i32)
///         (if (local.get 0) (then (call $never)) (else (call $leaf) (call $leaf)))))"#)?;
/// let (bytes, map) = CoverageMap::instrument(&original)?;
/// let module = Module::new(&engine, bytes)?;
///
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// instance.typed_func::<i32, ()>(&mut store, "run")?.call(&mut store, 0)?;
///
/// let report = map.report(&map.counts(&instance.internal(&store))?, "example");
/// let calls: Vec<u64> = report.functions.iter().map(|f| f.calls).collect();
/// assert_eq!(calls, [2, 0, 1]);
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Debug)]
pub struct CoverageMap {
    original: Module,
    /// In the order of their counters, which is that of their offsets.
    blocks: Vec<blocks::Block>,
    branches: Vec<branches::Branch>,
    counters: Counters,
}

/// How often each block was entered, and each branch had each outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl CoverageMap {
    /// Where an instrumented module that uses threads imports its counters from, module and name: see
    /// [`CoverageMap::import`].
    pub const IMPORT: (&'static str, &'static str) = ("wardian:coverage", "counters");

    /// The module with counters, in the binary format, and what they count.
    ///
    /// It needs an engine with [`wardian::CoreFeatures::MULTI_MEMORY`]. Functions, and all memories and
    /// exports that were there, keep their indices and names; custom sections stay, without those that
    /// are about code offsets, which are other ones now.
    ///
    /// # Errors
    ///
    /// A function is not valid, which is possible only with [`wardian::Config::lazy_validation`].
    pub fn instrument(module: &Module) -> Result<(Vec<u8>, CoverageMap)> {
        CoverageMap::with_counters(module, false)
    }

    /// As [`CoverageMap::instrument`], with counters for both outcomes of each `br_if`, `if` and `select`, and for each
    /// target of a `br_table`: [`FileCoverage::branches`](crate::FileCoverage::branches) has them.
    ///
    /// # Errors
    ///
    /// As for [`CoverageMap::instrument`].
    pub fn instrument_branches(module: &Module) -> Result<(Vec<u8>, CoverageMap)> {
        CoverageMap::with_counters(module, true)
    }

    fn with_counters(module: &Module, has_branches: bool) -> Result<(Vec<u8>, CoverageMap)> {
        module.ensure_valid()?;
        let blocks = blocks::of(module);
        let branches = if has_branches { branches::of(module, &blocks) } else { Vec::new() };
        let counters = Counters::new(module, blocks.len() + branches::counters(&branches));
        let bytes = rewrite::rewrite(module, &blocks, &branches, &counters);
        Ok((bytes, CoverageMap { original: module.clone(), blocks, branches, counters }))
    }

    /// How many counters there are.
    fn len(&self) -> usize {
        self.blocks.len() + branches::counters(&self.branches)
    }

    /// The type of the shared memory that has to be given to the instrumented module as
    /// [`CoverageMap::IMPORT`]. Only a module whose memories are all imported, and one of them shared,
    /// has this import: all its instances, one for each thread, count in the same place.
    pub fn import(&self) -> Option<MemoryType> {
        self.counters.imported.then_some(self.counters.ty)
    }

    /// Reads the counters of an instance of the instrumented module. It may be running, or have trapped.
    /// An instance that has no counters counted nothing.
    ///
    /// # Errors
    ///
    /// The instance is of another module.
    pub fn counts(&self, instance: &InternalModule<'_>) -> Result<Counts> {
        let mut bytes = vec![0; self.len() * 8];
        if let Some(memory) = instance.memory(self.counters.memory) {
            memory.read(0, &mut bytes)?;
        }
        Ok(Counts::from_bytes(&bytes))
    }

    /// Reads counters that were given as [`CoverageMap::IMPORT`].
    ///
    /// # Errors
    ///
    /// The memory is smaller than [`CoverageMap::import`] says.
    pub fn shared_counts(&self, memory: &SharedMemory) -> Result<Counts> {
        let mut bytes = vec![0; self.len() * 8];
        memory.read(0, &mut bytes)?;
        Ok(Counts::from_bytes(&bytes))
    }

    /// What was executed, by function and by source line, of a program that is called so. Looks up debug
    /// information, which takes a while for large modules.
    pub fn report(&self, counts: &Counts, program: &str) -> CoverageReport {
        report::build(&self.original, (&self.blocks, &self.branches), &counts.0, program)
    }
}

impl Counts {
    /// Adds those of another instance of the same instrumented module.
    pub fn add(&mut self, other: &Counts) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count = count.wrapping_add(*more);
        }
    }

    fn from_bytes(bytes: &[u8]) -> Counts {
        Counts(bytes.as_chunks().0.iter().map(|count| u64::from_le_bytes(*count)).collect())
    }
}
