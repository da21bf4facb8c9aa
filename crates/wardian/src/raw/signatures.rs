//! Signatures of an engine: their numbers, and their trampolines.
//!
//! ```text
//!   module, host function of a store ── Signature (counted) ──> number
//!                                            │                  trampolines ──> code memory (counted)
//!   engine ── by type, not counted ──────────┘
//! ```
//!
//! A trampoline is the code by which the host enters guest functions of a signature, by which guests call
//! host functions of it, or which stands between two kinds of code. Trampolines are made on first need.
//!
//! **Invariant.** A signature lives as long as a module or a host function in a store that has it, and with
//! it its number and its trampolines. So what a guest can call, and what stands on its stack, is there; and
//! an engine that sees new types all the time does not grow.
//!
//! **Invariant.** Equal types have equal numbers as long as both are there. No number is used twice.

use crate::jit::{CompiledFunction, Compiler};
use crate::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, Weak};
use wardian_types::FuncType;
use wardian_vm::code_memory::CodeMemory;

/// A signature of an engine.
#[derive(Clone)]
pub(crate) struct Signature(Arc<Inner>);

struct Inner {
    ty: FuncType,
    number: u32,
    all: Weak<Signatures>,
    both: OnceLock<Both>,
    /// What notes the caller: only for signatures of functions that are listened to.
    noting: OnceLock<Single>,
    /// By which compiled code calls interpreted functions.
    interpreted: OnceLock<Single>,
}

/// Addresses of the two trampolines of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trampoline {
    /// Host calls guest.
    pub(crate) entry: usize,
    /// Guest calls host.
    pub(crate) host: usize,
}

struct Both {
    trampoline: Trampoline,
    #[expect(dead_code, reason = "keeps the code")]
    code: Arc<CodeMemory>,
}

struct Single {
    address: usize,
    #[expect(dead_code, reason = "keeps the code")]
    code: Arc<CodeMemory>,
}

/// The signatures of an engine that somebody has.
#[derive(Default)]
pub(crate) struct Signatures {
    known: RwLock<Known>,
    /// The code of trampolines, to tell whether an address lies in it.
    code: Mutex<Vec<Weak<CodeMemory>>>,
}

#[derive(Default)]
struct Known {
    by_type: HashMap<FuncType, Weak<Inner>>,
    /// The number of the next new signature.
    next: u32,
}

impl Signature {
    pub(crate) fn number(&self) -> u32 {
        self.0.number
    }

    /// The trampolines between the host and guests.
    pub(crate) fn trampoline(&self, compiler: &Compiler) -> Result<Trampoline> {
        if let Some(both) = self.0.both.get() {
            return Ok(both.trampoline);
        }
        prepare(compiler, [self])?;
        self.0.both.get().map(|both| both.trampoline).ok_or_else(|| {
            Error::new(ErrorKind::Internal("a trampoline just made is missing".into()))
        })
    }

    /// What stands between importers and a function that wants to know who calls.
    pub(crate) fn noting(&self, compiler: &Compiler) -> Result<usize> {
        self.single(&self.0.noting, || compiler.noting_trampoline(&self.0.ty))
    }

    /// What stands between compiled code and an interpreted function.
    pub(crate) fn interpreted(&self, compiler: &Compiler) -> Result<usize> {
        self.single(&self.0.interpreted, || compiler.host_trampoline(&self.0.ty))
    }

    /// A trampoline of a kind that is made one by one.
    fn single(
        &self,
        place: &OnceLock<Single>,
        make: impl FnOnce() -> std::result::Result<CompiledFunction, crate::jit::CompileError>,
    ) -> Result<usize> {
        if let Some(single) = place.get() {
            return Ok(single.address);
        }
        let made = make().map_err(|e| self.not_compiled(&e))?;
        let code = self.publish(&made.text)?;
        let address = code.start();
        // Two threads may make the same one; either's will do.
        Ok(place.get_or_init(|| Single { address, code }).address)
    }

    fn publish(&self, text: &[u8]) -> Result<Arc<CodeMemory>> {
        let code = CodeMemory::publish(text)
            .map_err(|e| Error::limit(format!("no executable memory for trampolines: {e}")))?;
        let code = Arc::new(code);
        if let Some(all) = self.0.all.upgrade() {
            let mut known = all.code();
            known.retain(|code| code.strong_count() > 0);
            known.push(Arc::downgrade(&code));
        }
        Ok(code)
    }

    fn not_compiled(&self, error: &crate::jit::CompileError) -> Error {
        Error::new(ErrorKind::Compile(format!("trampoline for {}: {error}", self.0.ty)))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(all) = self.all.upgrade() else { return };
        let mut known = all.known.write().unwrap_or_else(|e| e.into_inner());
        // Somebody may have made it anew meanwhile.
        if known.by_type.get(&self.ty).is_some_and(|inner| inner.strong_count() == 0) {
            known.by_type.remove(&self.ty);
        }
    }
}

impl Signatures {
    /// The signature of a type.
    ///
    /// # Errors
    ///
    /// All numbers are used up.
    pub(crate) fn get(self: &Arc<Self>, ty: &FuncType) -> Result<Signature> {
        if let Some(found) = self.find(ty) {
            return Ok(found);
        }
        let mut known = self.known.write().unwrap_or_else(|e| e.into_inner());
        if let Some(found) = known.by_type.get(ty).and_then(Weak::upgrade) {
            return Ok(Signature(found));
        }
        let number = known.next;
        known.next = number.checked_add(1).ok_or_else(|| {
            Error::limit("the engine has seen 2^32 signatures come and go: make a new engine")
        })?;
        let inner = Arc::new(Inner {
            ty: ty.clone(),
            number,
            all: Arc::downgrade(self),
            both: OnceLock::new(),
            noting: OnceLock::new(),
            interpreted: OnceLock::new(),
        });
        known.by_type.insert(ty.clone(), Arc::downgrade(&inner));
        Ok(Signature(inner))
    }

    fn find(&self, ty: &FuncType) -> Option<Signature> {
        let known = self.known.read().unwrap_or_else(|e| e.into_inner());
        let found = known.by_type.get(ty).and_then(Weak::upgrade);
        // Its last reference must not be dropped while the lock is held.
        drop(known);
        found.map(Signature)
    }

    fn code(&self) -> MutexGuard<'_, Vec<Weak<CodeMemory>>> {
        self.code.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether an address lies in a trampoline.
    pub(crate) fn contains(&self, pc: usize) -> bool {
        let code: Vec<_> = self.code().iter().filter_map(Weak::upgrade).collect();
        code.iter().any(|c| pc.wrapping_sub(c.start()) < c.len())
    }

    /// How many signatures there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.read().unwrap_or_else(|e| e.into_inner()).by_type.len()
    }
}

/// Makes the trampolines that are missing, all in one piece of code memory.
pub(crate) fn prepare<'a>(
    compiler: &Compiler,
    signatures: impl IntoIterator<Item = &'a Signature>,
) -> Result<()> {
    let mut text = Vec::new();
    let mut made: Vec<(&Signature, usize, Host)> = Vec::new();
    for signature in signatures {
        let is_made =
            |(other, _, _): &(&Signature, usize, Host)| other.0.number == signature.0.number;
        if signature.0.both.get().is_some() || made.iter().any(is_made) {
            continue;
        }
        let ty = &signature.0.ty;
        let fail = |e: crate::jit::CompileError| signature.not_compiled(&e);
        let entry = append(&mut text, compiler.entry_trampoline(ty).map_err(fail)?);
        let host = match wardian_vm::direct_host_stub(ty) {
            Some(stub) => Host::Stub(stub),
            None => Host::Made(append(&mut text, compiler.host_trampoline(ty).map_err(fail)?)),
        };
        made.push((signature, entry, host));
    }
    let Some((first, _, _)) = made.first() else { return Ok(()) };
    let code = first.publish(&text)?;
    for (signature, entry, host) in made {
        let entry = code.start() + entry;
        let host = match host {
            Host::Stub(address) => address,
            Host::Made(offset) => code.start() + offset,
        };
        // Two threads may make the same ones; either's will do.
        let trampoline = Trampoline { entry, host };
        signature.0.both.get_or_init(|| Both { trampoline, code: code.clone() });
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use crate::{Engine, Func, Instance, Module, Store};

    /// A module whose type takes this number, in bits.
    fn module(engine: &Engine, number: u32) -> Module {
        let params: Vec<&str> =
            (0..16).map(|bit| if number >> bit & 1 == 0 { "i32" } else { "i64" }).collect();
        let text = format!(
            "(module (import \"h\" \"f\" (func (param {0}))) (func (export \"f\") (param {0})))",
            params.join(" ")
        );
        Module::new(engine, text).unwrap()
    }

    #[test]
    fn signatures_go_with_who_has_them() {
        let engine = Engine::default();
        let count = || engine.signatures().len();
        let before = count();
        let kept = module(&engine, 7);
        for number in 0..2000 {
            let module = module(&engine, number);
            let mut store = Store::new(&engine, ());
            let ty = module.func_type(0).unwrap().clone();
            let host = Func::new(&mut store, ty, |_, _, _| Ok(()));
            let i = Instance::new(&mut store, &module, &[host.into()]).unwrap();
            drop(module);
            let f = i.get_func(&mut store, "f").unwrap();
            let args: Vec<_> = f.ty(&store).params().iter().map(|t| crate::Val::zero(*t)).collect();
            f.call(&mut store, &args, &mut []).unwrap();
            host.call(&mut store, &args, &mut []).unwrap();
            assert!(count() <= before + 2, "{number}");
        }
        assert_eq!(count(), before + 1);
        // What is still there has kept its number.
        assert_eq!(kept.0.signatures[0], module(&engine, 7).0.signatures[0]);
        assert_ne!(kept.0.signatures[0], module(&engine, 8).0.signatures[0]);
    }
}
