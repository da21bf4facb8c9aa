//! The Cranelift settings that follow from what is tuned.

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use wardian_vm::compiled::{CompileError, OptLevel, Tunables};
use wardian_vm::unwind::CALLEE_SAVED;

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
        // Where blocks begin: see `crate::lines`.
        ("machine_code_cfg_info", "true"),
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
