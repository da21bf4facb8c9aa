//! Trampolines: the code by which the host enters guest functions of a signature, and by which
//! guests call host functions of it. Made once per engine and signature, kept as long as the engine.

use crate::jit::{CompiledFunction, Compiler};
use crate::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::sync::RwLock;
use wardian_types::FuncType;
use wardian_vm::code_memory::CodeMemory;

/// Addresses of the two trampolines of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trampoline {
    /// Host calls guest.
    pub(crate) entry: usize,
    /// Guest calls host.
    pub(crate) host: usize,
}

#[derive(Default)]
pub(crate) struct TrampolineCache(RwLock<Known>);

#[derive(Default)]
struct Known {
    by_type: HashMap<FuncType, Trampoline>,
    /// What notes the caller: only for signatures of functions that are listened to.
    noting: HashMap<FuncType, usize>,
    /// By which compiled code calls interpreted functions.
    interpreted: HashMap<FuncType, usize>,
    code: Vec<CodeMemory>,
}

impl TrampolineCache {
    pub(crate) fn get(&self, compiler: &Compiler, ty: &FuncType) -> Result<Trampoline> {
        if let Some(found) = self.known(ty) {
            return Ok(found);
        }
        self.prepare(compiler, [ty])?;
        self.known(ty).ok_or_else(|| {
            Error::new(ErrorKind::Internal("a trampoline just made is missing".into()))
        })
    }

    /// What stands between importers and a function that wants to know who calls.
    pub(crate) fn noting(&self, compiler: &Compiler, ty: &FuncType) -> Result<usize> {
        self.single(ty, |known| &mut known.noting, || compiler.noting_trampoline(ty))
    }

    /// What stands between compiled code and an interpreted function.
    pub(crate) fn interpreted(&self, compiler: &Compiler, ty: &FuncType) -> Result<usize> {
        self.single(ty, |known| &mut known.interpreted, || compiler.host_trampoline(ty))
    }

    /// A trampoline of a kind that is made one by one.
    fn single(
        &self,
        ty: &FuncType,
        of: impl Fn(&mut Known) -> &mut HashMap<FuncType, usize>,
        make: impl FnOnce() -> std::result::Result<CompiledFunction, crate::jit::CompileError>,
    ) -> Result<usize> {
        let mut known = self.0.write().unwrap_or_else(|e| e.into_inner());
        if let Some(found) = of(&mut known).get(ty) {
            return Ok(*found);
        }
        let made = make()
            .map_err(|e| Error::new(ErrorKind::Compile(format!("trampoline for {ty}: {e}"))))?;
        let code = CodeMemory::publish(&made.text)
            .map_err(|e| Error::limit(format!("no executable memory for trampolines: {e}")))?;
        of(&mut known).insert(ty.clone(), code.start());
        let start = code.start();
        known.code.push(code);
        Ok(start)
    }

    /// Whether an address lies in one.
    pub(crate) fn contains(&self, pc: usize) -> bool {
        let known = self.0.read().unwrap_or_else(|e| e.into_inner());
        known.code.iter().any(|c| pc.wrapping_sub(c.start()) < c.len())
    }

    fn known(&self, ty: &FuncType) -> Option<Trampoline> {
        self.0.read().unwrap_or_else(|e| e.into_inner()).by_type.get(ty).copied()
    }

    /// Makes those that are missing, all in one piece of code memory.
    pub(crate) fn prepare<'a>(
        &self,
        compiler: &Compiler,
        types: impl IntoIterator<Item = &'a FuncType>,
    ) -> Result<()> {
        let mut text = Vec::new();
        let mut made = Vec::new();
        for ty in types {
            if self.known(ty).is_some() || made.iter().any(|(t, _, _)| t == ty) {
                continue;
            }
            let fail = |e: crate::jit::CompileError| {
                Error::new(ErrorKind::Compile(format!("trampoline for {ty}: {e}")))
            };
            let entry = append(&mut text, compiler.entry_trampoline(ty).map_err(fail)?);
            let host = match wardian_vm::direct_host_stub(ty) {
                Some(stub) => Host::Stub(stub),
                None => Host::Made(append(&mut text, compiler.host_trampoline(ty).map_err(fail)?)),
            };
            made.push((ty.clone(), entry, host));
        }
        if made.is_empty() {
            return Ok(());
        }
        let code = CodeMemory::publish(&text)
            .map_err(|e| Error::limit(format!("no executable memory for trampolines: {e}")))?;
        let mut known = self.0.write().unwrap_or_else(|e| e.into_inner());
        for (ty, entry, host) in made {
            // Two threads may make the same ones; either's will do.
            let entry = code.start() + entry;
            let host = match host {
                Host::Stub(address) => address,
                Host::Made(offset) => code.start() + offset,
            };
            known.by_type.entry(ty).or_insert(Trampoline { entry, host });
        }
        known.code.push(code);
        Ok(())
    }
}

/// How guests call host functions of a signature.
enum Host {
    /// By a stub that fits many signatures, at this address.
    Stub(usize),
    /// By a trampoline at this offset in the code just made.
    Made(usize),
}

fn append(text: &mut Vec<u8>, function: CompiledFunction) -> usize {
    let align = function.align.max(16) as usize;
    text.resize(text.len().next_multiple_of(align), 0);
    let start = text.len();
    text.extend_from_slice(&function.text);
    start
}
