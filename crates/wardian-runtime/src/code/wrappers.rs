//! Wrappers that notify listeners: compiled for a module on first need. They live as long as the module, since their
//! return addresses may be on a stack or in a snapshot.

use crate::code::glue::{Glue, Layout};
use crate::code::registry::LoadedCode;
use crate::module::ModuleInner;
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use wardian_types::DefinedFuncIndex;
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::{CallerOf, CompileError, MemoryVariant, TextOffset};
use wardian_vm::unwind::Saved;

/// Addresses of the wrapper of a function.
#[derive(Clone, Copy, Debug)]
pub struct Wrapper {
    /// For calls from the function's own instance.
    pub own: CodeAddr,
    /// For calls from elsewhere.
    pub noted: CodeAddr,
    /// Whether it needs a body that notifies listeners at its end.
    tail_calls: bool,
}

/// All wrappers of a module.
#[derive(Default)]
pub struct Wrappers(Mutex<Made>);

#[derive(Default)]
struct Made {
    wrappers: HashMap<DefinedFuncIndex, Wrapper>,
    /// Bodies that notify listeners at their end.
    bodies: HashMap<(DefinedFuncIndex, MemoryVariant), CodeAddr>,
    code: Vec<Glue>,
    loaded: Vec<Arc<LoadedCode>>,
}

impl ModuleInner {
    /// Makes sure that there are wrappers for these functions, and bodies where they need some.
    pub fn prepare_wrappers(
        self: &Arc<Self>,
        functions: &[DefinedFuncIndex],
        variant: MemoryVariant,
    ) -> Result<()> {
        let mut made = self.wrappers.0.lock().unwrap_or_else(|e| e.into_inner());
        let new: Vec<DefinedFuncIndex> =
            functions.iter().copied().filter(|f| !made.wrappers.contains_key(f)).collect();
        if !new.is_empty() {
            self.make_wrappers(&mut made, &new)?;
        }
        let bodies: Vec<DefinedFuncIndex> = functions
            .iter()
            .copied()
            .filter(|f| made.wrappers[f].tail_calls && !made.bodies.contains_key(&(*f, variant)))
            .collect();
        if bodies.is_empty() { Ok(()) } else { self.make_bodies(&mut made, bodies, variant) }
    }

    fn make_wrappers(&self, made: &mut Made, functions: &[DefinedFuncIndex]) -> Result<()> {
        let (info, bytes) = (self.decoded.info(), self.decoded.bytes());
        let compiler = self.engine.compiler()?;
        let compiled = self.compile_each(functions, |defined| {
            let tail_calls = wardian_module::makes_tail_calls(info, bytes, defined);
            let wrapper = |caller| compiler.listener_wrapper(info, defined, caller, tail_calls);
            Ok((tail_calls, wrapper(CallerOf::Own)?, wrapper(CallerOf::Noted)?))
        })?;
        let mut layout = Layout::default();
        let mut placed = Vec::new();
        for (defined, (tail_calls, own, noted)) in functions.iter().zip(compiled) {
            placed.push((*defined, tail_calls, layout.add(&own), layout.add(&noted)));
        }
        let code = layout
            .publish("listener")
            .map_err(|e| Error::system("no executable memory for listeners", e))?;
        for (defined, tail_calls, own, noted) in placed {
            let at = |offset: TextOffset| code.start().add(offset.index());
            let wrapper = Wrapper { own: at(own), noted: at(noted), tail_calls };
            made.wrappers.insert(defined, wrapper);
        }
        made.code.push(code);
        Ok(())
    }

    fn make_bodies(
        self: &Arc<Self>,
        made: &mut Made,
        functions: Vec<DefinedFuncIndex>,
        variant: MemoryVariant,
    ) -> Result<()> {
        let (info, bytes) = (self.decoded.info(), self.decoded.bytes());
        let compiler = self.engine.compiler()?;
        for defined in &functions {
            self.ensure_compilable(*defined, std::iter::empty())?;
        }
        let compiled = self.compile_each(&functions, |defined| {
            compiler.compile_notifying(info, bytes, defined, variant)
        })?;
        let code = compiler.assemble(compiled).map_err(compile_error)?;
        let code = Arc::new(LoadedCode::publish_some(code, functions)?);
        self.engine.code().insert(self, &code);
        for (defined, address) in code.functions() {
            made.bodies.insert((defined, variant), address);
        }
        made.loaded.push(code);
        Ok(())
    }

    /// Compiles something for each function, on several threads if there are many.
    fn compile_each<V: Send>(
        &self,
        functions: &[DefinedFuncIndex],
        compile: impl Fn(DefinedFuncIndex) -> Result<V, CompileError> + Sync,
    ) -> Result<Vec<V>> {
        const WORTH_A_THREAD: usize = 64;
        let threads = self.engine.settings().threads.min(functions.len() / WORTH_A_THREAD).max(1);
        let share = functions.len().div_ceil(threads);
        let work = |part: &[DefinedFuncIndex]| part.iter().map(|f| compile(*f)).collect::<Vec<_>>();
        let results = std::thread::scope(|scope| {
            let mut parts = functions.chunks(share);
            let first = parts.next().unwrap_or_default();
            let helpers: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
            let mut results = work(first);
            for helper in helpers {
                match helper.join() {
                    Ok(part) => results.extend(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            results
        });
        results.into_iter().collect::<Result<_, _>>().map_err(compile_error)
    }

    /// The wrapper of a function, and the body that it calls; `plain` is the function's own code.
    ///
    /// # Panics
    ///
    /// It has not been prepared.
    pub fn wrapper(
        &self,
        defined: DefinedFuncIndex,
        variant: MemoryVariant,
        plain: CodeAddr,
    ) -> (Wrapper, CodeAddr) {
        let made = self.wrappers.0.lock().unwrap_or_else(|e| e.into_inner());
        let wrapper = made.wrappers[&defined];
        let body = if wrapper.tail_calls { made.bodies[&(defined, variant)] } else { plain };
        (wrapper, body)
    }
}

impl Wrappers {
    /// Code that the engine has to forget when the module goes.
    pub fn loaded(&self) -> Vec<Arc<LoadedCode>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).loaded.clone()
    }

    /// Whether an address is in a wrapper.
    pub fn contains(&self, pc: CodeAddr) -> bool {
        let made = self.0.lock().unwrap_or_else(|e| e.into_inner());
        made.code.iter().any(|glue| glue.contains(pc))
    }

    /// Which registers the wrapper around an address saves in its frame; none if there is no wrapper.
    pub(crate) fn saved_at(&self, pc: CodeAddr) -> Option<Saved> {
        let made = self.0.lock().unwrap_or_else(|e| e.into_inner());
        made.code.iter().find_map(|glue| glue.saved_at(pc))
    }

    /// The code around an address, to its end or the next function's beginning.
    pub(crate) fn bytes_at(&self, address: CodeAddr) -> Option<Vec<u8>> {
        let made = self.0.lock().unwrap_or_else(|e| e.into_inner());
        made.code.iter().find_map(|glue| glue.bytes_at(address)).map(<[u8]>::to_vec)
    }
}

fn compile_error(error: CompileError) -> Error {
    Error::compile(error)
}
