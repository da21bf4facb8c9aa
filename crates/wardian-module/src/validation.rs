//! Validation of function bodies: of all of them at once, or of each before it is used.

use crate::{DecodeError, ModuleInfo};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use wardian_types::{DefinedFuncIndex, IndexVec};
use wasmparser::{
    BinaryReader, FuncToValidate, FuncValidatorAllocations, FunctionBody, ValidatorResources,
};

/// What the bodies of a module, whose declarations are valid, have in common: a large module has half a million of
/// them.
pub(crate) struct Validation {
    pub(crate) resources: ValidatorResources,
    pub(crate) features: wasmparser::WasmFeatures,
}

impl Validation {
    /// Validates all bodies in parallel. Of several errors the one that comes first in the module is returned, so
    /// that the message does not depend on the threads.
    pub(crate) fn all(
        &self,
        bytes: &[u8],
        info: &ModuleInfo,
        threads: usize,
    ) -> Result<(), wasmparser::Error> {
        const CHUNK: usize = 64;
        /// Bytes of code whose validation takes about half a millisecond.
        const THREAD_BYTES: usize = 128 << 10;
        let total = info.bodies.len();
        let next = AtomicUsize::new(0);
        let first: Mutex<Option<wasmparser::Error>> = Mutex::new(None);
        let work = || {
            let mut allocs = FuncValidatorAllocations::default();
            loop {
                let begin = next.fetch_add(CHUNK, Ordering::Relaxed);
                for defined in begin..total.min(begin.saturating_add(CHUNK)) {
                    let defined = DefinedFuncIndex::from_usize(defined);
                    if let Err(error) = self.one(bytes, info, defined, &mut allocs) {
                        let mut first = first.lock().unwrap_or_else(|e| e.into_inner());
                        if first.as_ref().is_none_or(|f| error.offset() < f.offset()) {
                            *first = Some(error);
                        }
                        return;
                    }
                }
                if begin >= total {
                    return;
                }
            }
        };
        // What a thread does must take longer than to start it.
        let code = info.bodies.iter().map(|body| body.len()).sum::<usize>();
        let worthwhile = total.div_ceil(CHUNK).min(1 + code / THREAD_BYTES).max(1);
        let threads = threads.clamp(1, worthwhile);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        first.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
    }

    fn one(
        &self,
        bytes: &[u8],
        info: &ModuleInfo,
        defined: DefinedFuncIndex,
        allocs: &mut FuncValidatorAllocations,
    ) -> Result<(), wasmparser::Error> {
        let range = info.bodies[defined].clone();
        let index = info.func_index(defined);
        let func = FuncToValidate {
            resources: &self.resources,
            index: index.as_u32(),
            ty: info.functions[index].as_u32(),
            features: self.features,
        };
        let start = range.start as u64;
        let body = FunctionBody::new(BinaryReader::new(&bytes[range], start));
        let mut validator = func.into_validator(std::mem::take(allocs));
        validator.validate(&body)?;
        *allocs = validator.into_allocations();
        Ok(())
    }
}

/// Bodies that are validated before they are used.
pub(crate) struct Unvalidated {
    validation: Validation,
    /// Bodies that were found to be valid. One that is not valid is validated again at each use, for the error.
    valid: IndexVec<DefinedFuncIndex, AtomicBool>,
    all_are_valid: AtomicBool,
}

impl Unvalidated {
    pub(crate) fn new(validation: Validation, info: &ModuleInfo) -> Unvalidated {
        let valid = info.bodies.iter().map(|_| AtomicBool::new(false)).collect();
        Unvalidated { validation, valid, all_are_valid: AtomicBool::new(false) }
    }

    /// Validates a body, unless that was done before.
    pub(crate) fn ensure(
        &self,
        bytes: &[u8],
        info: &ModuleInfo,
        defined: DefinedFuncIndex,
    ) -> Result<(), DecodeError> {
        let Some(valid) = self.valid.get(defined) else { return Ok(()) };
        // The body and what it is compared with do not change, so nothing is published by these words.
        if valid.load(Ordering::Relaxed) || self.all_are_valid.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut allocs = FuncValidatorAllocations::default();
        self.validation.one(bytes, info, defined, &mut allocs).map_err(DecodeError::parser)?;
        valid.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Validates all bodies, unless that was done before.
    pub(crate) fn ensure_all(
        &self,
        bytes: &[u8],
        info: &ModuleInfo,
        threads: usize,
    ) -> Result<(), DecodeError> {
        if !self.all_are_valid.load(Ordering::Relaxed) {
            self.validation.all(bytes, info, threads).map_err(DecodeError::parser)?;
            self.all_are_valid.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Unvalidated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unvalidated").finish_non_exhaustive()
    }
}
