//! What can be tuned, and the Cranelift settings that follow from it.

use crate::CompileError;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use wardian_vm::unwind::CALLEE_SAVED;

/// How hard to optimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OptLevel {
    /// Compile quickly.
    None,
    /// Produce fast code.
    Speed,
}

/// What the produced code assumes of the runtime, and how it is produced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tunables {
    /// Whether signal handlers turn faults into traps. Without them the code checks everything
    /// itself and polls for interrupts.
    pub signals: bool,
    /// Whether Cranelift checks its own input; slow, for tests.
    pub verifier: bool,
    /// How hard to optimise.
    pub opt_level: OptLevel,
    /// Inaccessible bytes that follow the 4 GiB of a guarded memory.
    pub guard_size: u64,
    /// Whether operators whose NaNs may be any give the canonical one.
    pub canonical_nans: bool,
    /// Whether vectors are multiplied and added with two roundings, whatever the machine can do.
    pub deterministic_simd: bool,
    /// Whether the code counts fuel.
    pub fuel: bool,
    /// Whether an access behind a check of bounds cannot be executed speculatively with an index that is
    /// out of bounds.
    pub speculation_guards: bool,
    /// Where a function's frame can be captured.
    pub capture: Capture,
    /// Whether small functions that call nothing are compiled into their callers, where that can be taken back: see
    /// `crates/wardian-jit/src/translate/inline.rs`. Not with [`OptLevel::None`].
    pub inlining: bool,
    /// Whether paths that can only end in a trap are placed behind all other code. Not with [`OptLevel::None`].
    pub cold_paths: bool,
}

/// Where the frame of a compiled function can be written down in WebAssembly's own terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Capture {
    /// Nowhere.
    #[default]
    Off,
    /// In calls, and where it begins.
    Calls,
    /// Also at the headers of loops.
    CallsAndLoops,
}

impl Default for Tunables {
    fn default() -> Self {
        Tunables {
            signals: true,
            verifier: cfg!(debug_assertions),
            opt_level: OptLevel::Speed,
            guard_size: 32 << 20,
            canonical_nans: false,
            deterministic_simd: false,
            fuel: false,
            speculation_guards: true,
            capture: Capture::Off,
            inlining: true,
            cold_paths: true,
        }
    }
}

/// How the code of a module reaches linear memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryVariant {
    /// 32-bit memories with 64 KiB pages rely on guard pages: each has 4 GiB of reserved
    /// addresses and [`Tunables::guard_size`] inaccessible bytes after them, and never moves.
    /// All others are checked. Without signals everything is checked.
    Guarded,
    /// Every access is checked against the memory's length; memories may move.
    Checked,
}

/// Stack that a frame may take when there are no signals: the check of the stack limit runs after
/// the frame was made, so that much must be mapped below [`wardian_vm::layout::StoreCtx`]'s limit.
pub const MAX_UNCHECKED_FRAME: u32 = 128 << 10;

/// The code generator for this machine, with every feature that it has.
pub(crate) fn isa(tunables: &Tunables) -> Result<OwnedTargetIsa, CompileError> {
    let unsupported = |e: &dyn std::fmt::Display| CompileError::Unsupported(e.to_string());
    let mut flags = settings::builder();
    let opt = match tunables.opt_level {
        OptLevel::None => "none",
        OptLevel::Speed => "speed",
    };
    for (name, value) in [
        ("opt_level", opt),
        ("regalloc_algorithm", "backtracking"),
        ("is_pic", "false"),
        // Says which registers a function saves: see `crate::places::saved`. The code is the same.
        ("unwind_info", bool_str(!CALLEE_SAVED.is_empty())),
        ("preserve_frame_pointers", "true"),
        ("enable_verifier", bool_str(tunables.verifier)),
        // Covers all float arithmetic, rounding and conversions that are translated, vectors too.
        ("enable_nan_canonicalization", bool_str(tunables.canonical_nans)),
        // A frame larger than the guard region touches every 64 KiB of itself.
        ("enable_probestack", bool_str(tunables.signals)),
        // More results than registers go through memory of the caller.
        ("enable_multi_ret_implicit_sret", "true"),
        ("probestack_strategy", "inline"),
        ("probestack_size_log2", "16"),
        // Accesses to memories and tables are translated here: see `Translator::guard_speculation`.
        ("enable_heap_access_spectre_mitigation", "false"),
        // What is left of this in the code generator is the index of `br_table`.
        ("enable_table_access_spectre_mitigation", bool_str(tunables.speculation_guards)),
    ] {
        flags.set(name, value).map_err(|e| unsupported(&format!("{name}: {e}")))?;
    }
    let isa = cranelift_native::builder()
        .map_err(|e| unsupported(&e))?
        .finish(settings::Flags::new(flags))
        .map_err(|e| unsupported(&e))?;
    // Without these, rounding and shuffles would become calls into the C library.
    if isa.name() == "x64" && !(flag(&isa, "has_sse41") && flag(&isa, "has_ssse3")) {
        return Err(CompileError::Unsupported(
            "the processor lacks SSE4.1 or SSSE3, which compiled code needs".into(),
        ));
    }
    Ok(isa)
}

fn bool_str(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Whether a machine-specific flag is set.
pub(crate) fn flag(isa: &OwnedTargetIsa, name: &str) -> bool {
    isa.isa_flags().iter().any(|f| f.name == name && f.as_bool() == Some(true))
}

/// Whether the machine multiplies and adds with one rounding.
pub(crate) fn has_fma(isa: &OwnedTargetIsa) -> bool {
    isa.name() != "x64" || flag(isa, "has_fma")
}
