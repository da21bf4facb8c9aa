//! Core dumps: what a guest had in memory and on its stack, as a file for debuggers.
//!
//! ```text
//!   magic, version
//!   custom "core"            the program's name
//!   memory, global, data     of all instances, one after the other; data leaves out pages of zeroes
//!   custom "coremodules"     names
//!   custom "coreinstances"   module, memories and globals of each
//!   custom "corestack"       one for each thread: frames, the innermost first
//!   custom "wardian.heap"    objects of garbage collection; no part of the format
//! ```
//!
//! The format is that of the WebAssembly tool conventions (`Coredump.md`): a module that nobody runs.

mod memory;
mod objects;

use memory::DumpedMemory;
use std::io::{self, Write};
use wardian::{Backtrace, Frame, Module, Val, ValType, inspect::InternalModule};
use wasm_encoder::{
    ConstExpr, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection,
    CoreDumpStackSection, CoreDumpValue, CustomSection, Encode, GlobalSection, Ieee32, Ieee64,
    MemorySection, Section,
};

/// A core dump in the making.
///
/// ```
/// use wardian::{Config, Engine, Instance, Module, Store};
/// use wardian_observe::CoreDump;
///
/// // Locals are known of interpreted code.
/// let engine = Engine::new(Config::new().backtrace_locals(true))?;
/// let module = Module::new(&engine, r#"(module (memory 1) (data (i32.const 8) "state")
///   (func $fail (param i32) unreachable)
///   (func (export "run") (call $fail (i32.const 7))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ()).unwrap_err();
///
/// let mut dump = CoreDump::new("example.wasm");
/// dump.add_instance(instance.internal(&store));
/// dump.add_thread("main", error.backtrace().unwrap());
/// let mut file = Vec::new();
/// dump.write(&mut file)?;
/// assert_eq!(file[..4], *b"\0asm");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CoreDump<'a> {
    program: String,
    instances: Vec<InternalModule<'a>>,
    threads: Vec<(String, &'a Backtrace)>,
}

impl<'a> CoreDump<'a> {
    /// A dump of a program, which readers show by this name.
    pub fn new(program: impl Into<String>) -> CoreDump<'a> {
        CoreDump { program: program.into(), instances: Vec::new(), threads: Vec::new() }
    }

    /// Adds an instance: its memories and globals as they are when the dump is written.
    pub fn add_instance(&mut self, instance: InternalModule<'a>) {
        self.instances.push(instance);
    }

    /// Adds a thread: the calls that were open, say when it trapped. Values of locals are those that
    /// the backtrace has ([`wardian::Config::backtrace_locals`]); all others are said to be missing, and
    /// so are values on operand stacks. If the backtrace lacks calls
    /// ([`wardian::Config::backtrace_frames`]), the thread's name says how many. Objects that its calls hold are in
    /// the dump if they are of the store of an instance that was added.
    pub fn add_thread(&mut self, name: impl Into<String>, backtrace: &'a Backtrace) {
        self.threads.push((name.into(), backtrace));
    }

    /// Writes it. Memories are read piece by piece, so that it takes little memory itself.
    ///
    /// # Errors
    ///
    /// Those of `out`. Before anything is written: there are more than 4 GiB of memory that is not zero,
    /// for which the format has no room.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let parts = Parts::of(self);
        memory::check_size(&parts.memories)?;
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        CoreDumpSection::new(self.program.as_str()).append_to(&mut bytes);
        let (mut memories, mut globals) = (MemorySection::new(), GlobalSection::new());
        for memory in &parts.memories {
            memories.memory(memory.ty());
        }
        for value in &parts.globals {
            let (ty, init) = global(value);
            globals.global(ty, &init);
        }
        memories.append_to(&mut bytes);
        globals.append_to(&mut bytes);
        out.write_all(&bytes)?;
        memory::write_data(&parts.memories, out)?;
        let mut bytes = Vec::new();
        parts.modules.append_to(&mut bytes);
        parts.instances.append_to(&mut bytes);
        for (name, backtrace) in &self.threads {
            parts.stack(name, backtrace).append_to(&mut bytes);
        }
        if let Some(text) = objects::text(self, |module| parts.position(module)) {
            let (name, data) = (objects::SECTION.into(), text.into_bytes().into());
            CustomSection { name, data }.append_to(&mut bytes);
        }
        out.write_all(&bytes)
    }
}

/// The instances of a dump, with everything in one list of its kind.
struct Parts<'a> {
    memories: Vec<DumpedMemory<'a>>,
    globals: Vec<Val>,
    modules: CoreDumpModulesSection,
    instances: CoreDumpInstancesSection,
    /// Where the bytes of each instance's module are, which identifies the module.
    known: Vec<*const u8>,
}

impl<'a> Parts<'a> {
    fn of(dump: &CoreDump<'a>) -> Parts<'a> {
        let mut parts = Parts {
            memories: Vec::new(),
            globals: Vec::new(),
            modules: CoreDumpModulesSection::new(),
            instances: CoreDumpInstancesSection::new(),
            known: Vec::new(),
        };
        let count = dump.instances.iter().map(InternalModule::num_memories).sum();
        for instance in &dump.instances {
            let (memories, globals) = (parts.memories.len() as u32, parts.globals.len() as u32);
            let all = (0..instance.num_memories() as u32).filter_map(|i| instance.memory(i));
            parts.memories.extend(all.map(|view| DumpedMemory::new(view, count)));
            parts
                .globals
                .extend((0..instance.num_globals() as u32).filter_map(|i| instance.global(i)));
            let (memories, globals) =
                (memories..parts.memories.len() as u32, globals..parts.globals.len() as u32);
            parts.add(instance.module().as_ref(), instance.name(), memories, globals);
        }
        // Functions of instances that nobody added have a module all the same.
        for frame in dump.threads.iter().flat_map(|(_, backtrace)| backtrace.frames()) {
            if parts.position(frame.module()).is_none() {
                parts.add(Some(frame.module()), frame.module().name(), 0..0, 0..0);
            }
        }
        parts
    }

    fn add(
        &mut self,
        module: Option<&Module>,
        name: Option<&str>,
        memories: std::ops::Range<u32>,
        globals: std::ops::Range<u32>,
    ) {
        self.known.push(module.map_or(std::ptr::null(), |m| m.bytes().as_ptr()));
        self.modules.module(name.unwrap_or_default());
        self.instances.instance(self.modules.len() - 1, memories, globals);
    }

    fn position(&self, module: &Module) -> Option<u32> {
        let found = self.known.iter().position(|at| *at == module.bytes().as_ptr())?;
        u32::try_from(found).ok()
    }

    fn stack(&self, name: &str, backtrace: &Backtrace) -> CoreDumpStackSection {
        // The format has no other place to say so.
        let name = match backtrace.omitted() {
            0 => name.to_owned(),
            omitted => format!("{name} (without the {omitted} outermost calls)"),
        };
        let mut section = CoreDumpStackSection::new(name);
        for frame in backtrace.frames() {
            let instance = self.position(frame.module()).unwrap_or_default();
            let start = frame.definition().body_offset().unwrap_or_default();
            let offset = frame.code_offset().unwrap_or(start).saturating_sub(start);
            section.frame(instance, frame.func_index(), offset, locals(frame), []);
        }
        section
    }
}

/// A value for each local; the format has none for vectors and references.
fn locals(frame: &Frame) -> Vec<CoreDumpValue> {
    let values = crate::values::locals(frame);
    values
        .into_iter()
        .map(|value| match value {
            Some(Val::I32(value)) => CoreDumpValue::I32(value),
            Some(Val::I64(value)) => CoreDumpValue::I64(value),
            Some(Val::F32(bits)) => CoreDumpValue::F32(Ieee32::new(bits)),
            Some(Val::F64(bits)) => CoreDumpValue::F64(Ieee64::new(bits)),
            _ => CoreDumpValue::Missing,
        })
        .collect()
}

/// A constant, as the format has globals. References are null: what they refer to is not dumped.
fn global(value: &Val) -> (wasm_encoder::GlobalType, ConstExpr) {
    use wasm_encoder::{HeapType, RefType};
    let (val_type, init) = match value {
        Val::I32(value) => (wasm_encoder::ValType::I32, ConstExpr::i32_const(*value)),
        Val::I64(value) => (wasm_encoder::ValType::I64, ConstExpr::i64_const(*value)),
        Val::F32(bits) => (wasm_encoder::ValType::F32, ConstExpr::f32_const(Ieee32::new(*bits))),
        Val::F64(bits) => (wasm_encoder::ValType::F64, ConstExpr::f64_const(Ieee64::new(*bits))),
        Val::V128(value) => {
            (wasm_encoder::ValType::V128, ConstExpr::v128_const(value.cast_signed()))
        }
        value if value.ty() == ValType::Ref(wardian::RefType::EXTERN) => {
            (RefType::EXTERNREF.into(), ConstExpr::ref_null(HeapType::EXTERN))
        }
        Val::AnyRef(_) => (RefType::ANYREF.into(), ConstExpr::ref_null(HeapType::ANY)),
        // The format's tools know no references to exceptions.
        Val::ExnRef(_) => (RefType::EXTERNREF.into(), ConstExpr::ref_null(HeapType::EXTERN)),
        _ => (RefType::FUNCREF.into(), ConstExpr::ref_null(HeapType::FUNC)),
    };
    (wasm_encoder::GlobalType { val_type, mutable: false, shared: false }, init)
}

/// The length of something, as sections have it.
fn encoded_len(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    len.encode(&mut bytes);
    bytes
}
