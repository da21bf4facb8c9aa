//! The same names in a build that writes no object files: nothing is ever wanted.

use std::ops::Range;
use wardian_module::Module;
use wardian_types::DefinedFuncIndex;
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::CompiledFunction;
use wardian_vm::unwind::Saved;

pub(crate) fn enable() {}

pub(super) fn add(
    _: &Module,
    _: Range<CodeAddr>,
    _: impl Iterator<Item = (DefinedFuncIndex, CodeAddr, CompiledFunction)>,
) {
}

pub(super) fn add_glue<'c>(_: &str, _: impl Iterator<Item = (&'c [u8], Saved)>) {}

pub(super) fn remove(_: &[CodeAddr]) {}
