//! Compiling one function: from a body, or from what a trampoline builds, to bytes and tables.

use crate::cold;
use crate::lines;
use crate::places;
use crate::translate::{Env, Fail, Translated, Translator, guest_signature, loop_signature};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{Final, MachBufferFinalized};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian_module::Complexity;
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncIndex};
use wardian_vm::compiled::{
    CompiledFunction, FrameTable, MAX_UNCHECKED_FRAME, OptLevel, SpOffset, StackMap, TextOffset,
};
use wasmparser::{BinaryReader, FunctionBody};

/// The longest that compiling one function may be expected to take.
const MOST_SECONDS: u64 = 60;

/// Buffers that are reused from function to function.
pub(crate) struct Worker {
    context: Context,
    builder: FunctionBuilderContext,
}

impl Worker {
    pub(crate) fn new() -> Worker {
        Worker { context: Context::new(), builder: FunctionBuilderContext::new() }
    }

    /// Compiles the body of a function that the module defines; from its beginning, or from the loop
    /// at this code offset.
    pub(crate) fn body(
        &mut self,
        isa: &dyn TargetIsa,
        env: &Env<'_>,
        defined: DefinedFuncIndex,
        loop_entry: Option<CodeOffset>,
    ) -> Result<CompiledFunction, String> {
        self.guarded(|worker| {
            let info = env.info;
            let range = info.bodies.get(defined).ok_or("it has no body")?.clone();
            let start = range.start;
            let body = env.bytes.get(range).ok_or("its body is not in the module")?;
            let body = FunctionBody::new(BinaryReader::new(body, start as u64));
            let index = info.imported_functions as usize + defined.index();
            let ty =
                info.functions.get(FuncIndex::from_usize(index)).and_then(|t| info.signature(*t));
            let ty = ty.ok_or("it has no type")?;
            check_complexity(env, defined)?;
            worker.context.func.signature = match loop_entry {
                None => guest_signature(ty),
                Some(_) => loop_signature(ty),
            };
            let builder = FunctionBuilder::new(&mut worker.context.func, &mut worker.builder);
            let translated = Translator::translate(env, builder, ty, defined, &body, loop_entry);
            let Translated { builder, scopes, points, inlined } =
                translated.map_err(|Fail(reason)| reason)?;
            builder.finalize(isa.frontend_config());
            let tunables = env.tunables;
            if tunables.cold_paths && tunables.opt_level == OptLevel::Speed {
                cold::mark(&mut worker.context.func);
            }
            let frame_limit = (!env.tunables.signals).then_some(MAX_UNCHECKED_FRAME);
            let compiled = worker.finish(isa, frame_limit)?;
            let buffer = worker.context.compiled_code().map(|code| &code.buffer);
            let layout = buffer.and_then(|buffer| buffer.frame_layout());
            let frames = points.map(|points| points.table(layout)).transpose()?;
            let frames = frames.unwrap_or_default();
            Ok(CompiledFunction { scopes, frames, inlined, ..compiled })
        })
    }

    /// Compiles a function whose blocks `build` makes.
    pub(crate) fn built(
        &mut self,
        isa: &dyn TargetIsa,
        signature: Signature,
        build: impl FnOnce(&mut FunctionBuilder<'_>),
    ) -> Result<CompiledFunction, String> {
        self.guarded(|worker| {
            worker.context.func.signature = signature;
            let mut builder = FunctionBuilder::new(&mut worker.context.func, &mut worker.builder);
            build(&mut builder);
            builder.finalize(isa.frontend_config());
            worker.finish(isa, None)
        })
    }

    /// Runs `f`; after an error or panic the buffers are in an unknown state and are replaced.
    fn guarded(
        &mut self,
        f: impl FnOnce(&mut Worker) -> Result<CompiledFunction, String>,
    ) -> Result<CompiledFunction, String> {
        let result = catch_unwind(AssertUnwindSafe(|| f(self)))
            .unwrap_or_else(|panic| Err(format!("the compiler panicked: {}", message(&*panic))));
        match result {
            Ok(_) => self.context.clear(),
            Err(_) => *self = Worker::new(),
        }
        result
    }

    fn finish(
        &mut self,
        isa: &dyn TargetIsa,
        frame_limit: Option<u32>,
    ) -> Result<CompiledFunction, String> {
        let mut control = ControlPlane::default();
        self.context.compile(isa, &mut control).map_err(|e| match e.inner {
            cranelift_codegen::CodegenError::Verifier(errors) => {
                format!("the verifier says: {errors}")
            }
            inner => inner.to_string(),
        })?;
        let code = self.context.compiled_code().ok_or("there is no code")?;
        let buffer = &code.buffer;
        if let Some(reloc) = buffer.relocs().first() {
            return Err(format!(
                "the code refers to {:?}, which this machine would need a library for",
                reloc.target
            ));
        }
        let frame = buffer.frame_layout().map_or(0, |f| f.frame_to_fp_offset);
        if let Some(limit) = frame_limit.filter(|limit| frame > *limit) {
            return Err(format!(
                "its stack frame has {frame} bytes; without signals {limit} is the limit"
            ));
        }
        let alignment = isa.function_alignment();
        let (traps, locations) = places::tables(&self.context.func, buffer);
        let calls = places::calls(buffer)?;
        let saved = places::saved(buffer)?;
        Ok(CompiledFunction {
            text: code.code_buffer().to_vec(),
            align: alignment.minimum.max(alignment.preferred).max(CompiledFunction::LEAST_ALIGN),
            lead: lines::place(&code.bb_starts, &code.bb_edges, buffer.total_size()),
            traps,
            locations,
            maps: stack_maps(buffer),
            calls,
            saved,
            scopes: Vec::new(),
            frames: FrameTable::default(),
            inlined: Vec::new(),
        })
    }
}

/// Where references to objects lie during calls.
fn stack_maps(buffer: &MachBufferFinalized<Final>) -> Vec<StackMap> {
    let maps = buffer.user_stack_maps().iter();
    maps.map(|(offset, frame, map)| StackMap {
        offset: TextOffset::from_u32(*offset),
        frame: *frame,
        slots: map.entries().map(|(_, slot)| SpOffset::from_u32(slot)).collect(),
    })
    .collect()
}

/// Refuses what would take minutes: nothing can stop the compiler in the middle of a function.
fn check_complexity(env: &Env<'_>, defined: DefinedFuncIndex) -> Result<(), String> {
    let found = Complexity::of(env.info, env.bytes, defined);
    let seconds = found.micros() / 1_000_000;
    if seconds <= MOST_SECONDS {
        return Ok(());
    }
    let Complexity { bytes, loops, depth, blocks, locals, height, .. } = found;
    Err(format!(
        "it is too complex: compiling it may take {seconds} seconds, and {MOST_SECONDS} is the limit \
         ({bytes} bytes, {loops} loops up to {depth} deep, {blocks} blocks, {locals} locals, up to \
         {height} operands at once); an engine that interprets can run it"
    ))
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(s) = panic.downcast_ref::<&str>() {
        s
    } else if let Some(s) = panic.downcast_ref::<String>() {
        s
    } else {
        "no message"
    }
}
