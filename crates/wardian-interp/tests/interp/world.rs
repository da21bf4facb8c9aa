//! A store without a runtime: what interpreted code needs, built by hand.

mod places;
mod signature;

use signature::signature;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use wardian_interp::{Env, Options, Translation, Translator, execute};
use wardian_module::{ConstOp, ElementItems, ItemIndex, Module, SegmentMode};
use wardian_types::{
    CoreFeatures, DefinedFuncIndex, DefinedGlobalIndex, FuncIndex, GlobalIndex, MemoryIndex,
    TableIndex, TrapCode, TypeNumber,
};
use wardian_vm::addr::{CodeAddr, CtxOffset, OwnerPtr, SlotsPtr, StackAddr, VmCtxPtr};
use wardian_vm::heap::HeapWords;
use wardian_vm::interpreted::{Boundary, SERVICES, Service, exit, flag, header, target};
use wardian_vm::layout::{
    Builtin, FuncId, HostFunc, InstanceLayout, StoreCtx, VmFunc, VmImport, VmMemory, VmTable,
    instance,
};

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Returned(Vec<u64>),
    /// The trap, and the offset of its operator in the code section.
    Trapped(TrapCode, u32),
    Ended,
    /// The runtime is to call something: its target word, its arguments, whether in tail position.
    Call(u64, Vec<u64>, bool),
    /// The runtime answered this to a countdown below zero.
    EnterLoop(CodeAddr),
}

/// An instance of a module.
pub struct Instance {
    pub module: Module,
    pub layout: InstanceLayout,
    pub options: Options,
    pub translations: Vec<Option<Translation>>,
    pub block: Vec<u128>,
    memories: Vec<Box<VmMemory>>,
    tables: Vec<Box<VmTable>>,
    globals: Vec<Box<[u64; 2]>>,
    signatures: Vec<u32>,
    funcs: Vec<Box<VmFunc>>,
}

/// A store, with its instances.
pub struct World {
    pub store: Box<StoreCtx>,
    pub instances: Vec<Box<Instance>>,
    slots: Vec<u64>,
    builtins: Vec<*const ()>,
    hosts: Vec<Box<HostFunc>>,
    boundary: Box<Boundary>,
    /// Whether functions stay without a target for the runtime to call.
    pub by_runtime: bool,
    /// What countdowns are answered with.
    pub hot: u64,
    /// What was asked of the runtime: names of builtins, with their arguments.
    pub log: Vec<(usize, Vec<u64>)>,
    start: usize,
}

/// Bytes of the heap, which is never collected.
const HEAP: usize = 1 << 20;
/// Bytes by which a memory can grow.
const ROOM: usize = 64 << 20;

type HostFn = unsafe extern "C" fn(*mut HostFunc, *mut u64) -> u64;

impl World {
    pub fn new() -> Box<World> {
        World::with_slots(1 << 20)
    }

    pub fn with_slots(count: usize) -> Box<World> {
        // SAFETY: all fields are numbers, null pointers or none.
        let store: StoreCtx = unsafe { std::mem::zeroed() };
        let mut world = Box::new(World {
            store: Box::new(store),
            instances: Vec::new(),
            slots: vec![0xdead_dead_dead; count],
            builtins: vec![unexpected as *const (); Builtin::COUNT + SERVICES],
            hosts: Vec::new(),
            boundary: Box::new(Boundary::of_embedder(0)),
            by_runtime: false,
            hot: 0,
            log: Vec::new(),
            start: 0,
        });
        let b = &mut world.builtins;
        b[Builtin::MemoryGrow as usize] = memory_grow as *const ();
        b[Builtin::MemoryCopy as usize] = memory_copy as *const ();
        b[Builtin::MemoryFill as usize] = memory_fill as *const ();
        b[Builtin::RefTest as usize] = ref_test as *const ();
        b[Builtin::RefFunc as usize] = ref_func as *const ();
        b[Builtin::OutOfFuel as usize] = out_of_fuel as *const ();
        b[Builtin::TableGrow as usize] = log3 as *const ();
        b[Builtin::AtomicWait32 as usize] = log4 as *const ();
        b[Builtin::AtomicNotify as usize] = log3 as *const ();
        b[Builtin::TableFill as usize] = log4 as *const ();
        b[Builtin::TableInit as usize] = log5 as *const ();
        b[Builtin::MemoryInit as usize] = log5 as *const ();
        b[Builtin::TableCopy as usize] = log5 as *const ();
        b[Builtin::ElemDrop as usize] = log1 as *const ();
        b[Builtin::AtomicWait64 as usize] = log4 as *const ();
        b[Builtin::DataDrop as usize] = log1 as *const ();
        b[Service::Resolve as usize] = resolve as *const ();
        b[Service::ResolveImport as usize] = resolve_import as *const ();
        b[Service::ResolveRef as usize] = resolve_ref as *const ();
        b[Service::Hot as usize] = hot as *const ();
        world.store.builtins = world.builtins.as_ptr();
        let base = vec![0_u64; HEAP / 8].leak().as_mut_ptr().cast();
        world.store.heap = HeapWords { base, next: 64, limit: HEAP as u64 };
        world.store.interp_limit = StackAddr::of(world.slots.as_ptr_range().end);
        world.store.owner = OwnerPtr::of(&raw const *world);
        world
    }

    /// Adds an instance with an interpreted function for each import found in an earlier one, a host
    /// function for the others.
    pub fn add(&mut self, wat: &str, options: Options) -> usize {
        let bytes = wat::parse_str(wat).expect("the test's module is text");
        self.add_binary(bytes, options)
    }

    pub fn add_binary(&mut self, bytes: Vec<u8>, options: Options) -> usize {
        self.try_add(bytes, options).expect("its data fit")
    }

    /// As `add`; nothing if a segment does not fit.
    pub fn try_add(&mut self, bytes: Vec<u8>, options: Options) -> Option<usize> {
        let module = Module::decode(bytes, CoreFeatures::all(), 1).expect("it is valid");
        let layout = InstanceLayout::new(module.info().counts());
        let info = module.info();
        let memories = info.memories.iter().map(|ty| {
            let len = (ty.min * ty.page_size()) as usize;
            let room = vec![0_u8; len + ROOM].leak();
            Box::new(VmMemory { base: room.as_mut_ptr(), len: AtomicUsize::new(len) })
        });
        let tables = info.tables.iter().map(|ty| {
            let room = vec![0_u64; ty.min as usize].leak();
            Box::new(VmTable { base: room.as_mut_ptr(), len: ty.min })
        });
        let signatures = info.types.iter().map(signature).collect();
        let mut instance = Box::new(Instance {
            layout,
            options,
            translations: info.bodies.iter().map(|_| None).collect(),
            block: vec![0; layout.size() as usize / 16 + 1],
            memories: memories.collect(),
            tables: tables.collect(),
            globals: info.globals.iter().map(|_| Box::new([0; 2])).collect(),
            signatures,
            funcs: Vec::new(),
            module,
        });
        instance.fill(&mut self.store);
        self.import(&mut instance);
        instance.elements()?;
        instance.data()?;
        self.instances.push(instance);
        let which = self.instances.len() - 1;
        self.store.fuel = i64::MAX;
        if let Some(start) = self.instances[which].module.info().start {
            let defined = self.instances[which].module.info().defined_function(start)?;
            self.prepare(which, defined, &[]);
            matches!(self.go_on(), End::Returned(_)).then_some(())?;
        }
        Some(which)
    }

    fn import(&mut self, instance: &mut Instance) {
        let imports = instance.module.info().imports.clone();
        let mut index = 0;
        for import in imports {
            let ItemIndex::Func(func) = import.item else { continue };
            let ty = instance.module.info().func_type(func).clone();
            let other = self.instances.iter_mut().enumerate().find_map(|(i, other)| {
                let found = (import.module == format!("m{i}")).then(|| other.export(&import.name));
                found.map(|index| (other.vmctx(), index))
            });
            let vm = match other {
                // Resolved when it is called.
                Some((ctx, defined)) => {
                    VmImport { code: CodeAddr::from_usize(defined.index()), ctx, target: 0 }
                }
                None => {
                    let dispatch: HostFn = match import.name.as_str() {
                        "add" => host_add,
                        "end" => host_end,
                        "grow" => host_grow,
                        _ => host_ignore,
                    };
                    let host = HostFunc {
                        store: &raw mut *self.store,
                        caller: instance.vmctx(),
                        dispatch: CodeAddr::of(dispatch as *const ()),
                        data: OwnerPtr::NULL,
                        nested: 0.into(),
                        stub: CodeAddr::NULL,
                        definition: OwnerPtr::NULL,
                        trampoline: CodeAddr::NULL,
                    };
                    self.hosts.push(Box::new(host));
                    let ctx = VmCtxPtr::of(&raw const **self.hosts.last().unwrap());
                    let target = target::HOST | (ty.buffer_slots() as u64) << 3;
                    VmImport { code: CodeAddr::NULL, ctx, target }
                }
            };
            let at = instance.layout.import(FuncIndex::from_u32(index));
            instance.set(at, vm);
            index += 1;
        }
    }

    /// Calls an exported function; interrupts and the like can be set before.
    pub fn call(&mut self, which: usize, name: &str, args: &[u64]) -> End {
        let defined = self.instances[which].export(name);
        self.prepare(which, DefinedFuncIndex::from_u32(defined.as_u32()), args);
        self.go_on()
    }

    /// Makes the frame of a call.
    pub fn prepare(&mut self, which: usize, defined: DefinedFuncIndex, args: &[u64]) {
        let vmctx = self.instances[which].vmctx();
        let function = self.instances[which].function(defined);
        self.start = 16;
        self.slots[16..16 + args.len()].copy_from_slice(args);
        // SAFETY: the function lives as long as the instance, the slots as long as the world.
        unsafe {
            assert_eq!((*function).param_slots as usize, args.len());
            let fp = self.slots.as_mut_ptr().add(16 + args.len());
            *fp.offset(header::PREVIOUS) = &raw const *self.boundary as u64 | flag::BOUNDARY as u64;
            *fp.offset(header::IP) = (*function).entry as u64;
            *fp.offset(header::FUNCTION) = function as u64;
            *fp.offset(header::VMCTX) = vmctx.as_usize() as u64;
            self.store.interp_fp = StackAddr::of(fp);
        }
        self.store.exit = 0;
    }

    /// Runs until the call ends in some way.
    pub fn go_on(&mut self) -> End {
        // SAFETY: the frame is one that was prepared, or that the executor left.
        let status = unsafe { execute(&raw mut *self.store) };
        let call = self.store.call;
        // SAFETY: slots of the world.
        let read = |at: SlotsPtr, count: usize| unsafe {
            std::slice::from_raw_parts(at.as_ptr(), count).to_vec()
        };
        match status {
            exit::RETURN => {
                let expected = &raw const *self.boundary as usize | flag::BOUNDARY;
                assert_eq!(call.target, expected as u64, "the runtime gets what the frame says");
                assert_eq!(call.slots, SlotsPtr::of(&raw const self.slots[self.start]));
                // SAFETY: the function of the frame.
                let count = unsafe {
                    (*(call.code.as_usize() as *const wardian_vm::interpreted::Function))
                        .result_slots
                };
                End::Returned(read(call.slots, count as usize))
            }
            exit::TRAP => {
                let code = TrapCode::from_u8(self.store.trap_code as u8).expect("a trap code");
                End::Trapped(code, self.location())
            }
            exit::CALL => {
                End::Call(call.target, read(call.slots, call.arg_slots as usize), call.tail != 0)
            }
            exit::ENDED => End::Ended,
            exit::ENTER_LOOP => End::EnterLoop(call.code),
            other => panic!("status {other}"),
        }
    }

    /// Writes results of a call that the runtime is to do.
    pub fn answer(&mut self, results: &[u64]) {
        // SAFETY: slots of the world.
        unsafe {
            std::slice::from_raw_parts_mut(self.store.call.slots.as_ptr(), results.len())
                .copy_from_slice(results);
        }
    }

    /// A word of the innermost frame.
    pub fn frame_word(&self, slot: isize) -> u64 {
        // SAFETY: a slot of the frame.
        unsafe { *self.store.interp_fp.as_ptr::<u64>().offset(slot) }
    }
}

impl Instance {
    pub fn vmctx(&self) -> VmCtxPtr {
        VmCtxPtr::of(self.block.as_ptr())
    }

    pub fn env(&self) -> Env<'_> {
        let (info, bytes) = (self.module.info(), self.module.bytes());
        Env { info, bytes, layout: self.layout, options: self.options }
    }

    pub fn set<T>(&mut self, at: CtxOffset, value: T) {
        // SAFETY: the layout's offsets are within the block.
        unsafe { self.block.as_mut_ptr().byte_add(at.as_usize()).cast::<T>().write(value) }
    }

    /// The bytes of a memory.
    pub fn memory(&mut self, index: usize) -> &mut [u8] {
        let memory = &self.memories[index];
        // SAFETY: the memory has as many.
        unsafe { std::slice::from_raw_parts_mut(memory.base, memory.len.load(Ordering::SeqCst)) }
    }

    /// Lets a memory grow behind the guest's back.
    pub fn grow(&mut self, index: usize, by: usize) {
        self.memories[index].len.fetch_add(by, Ordering::SeqCst);
    }

    /// The defined function of that name.
    pub fn export(&self, name: &str) -> DefinedFuncIndex {
        let info = self.module.info();
        let export = info.exports.iter().find(|e| e.name == name).expect("an export");
        let ItemIndex::Func(func) = export.item else { panic!("no function") };
        info.defined_function(func).expect("the module's own")
    }

    pub fn translation(&mut self, defined: DefinedFuncIndex) -> &Translation {
        if self.translations[defined.index()].is_none() {
            let made = Translator::new().translate(&self.env(), defined).expect("it is translated");
            self.translations[defined.index()] = Some(made);
        }
        self.translations[defined.index()].as_ref().unwrap()
    }

    fn function(&mut self, defined: DefinedFuncIndex) -> *const wardian_vm::interpreted::Function {
        self.translation(defined).function()
    }

    fn fill(&mut self, store: &mut StoreCtx) {
        let layout = self.layout;
        self.set(CtxOffset::of(instance::STORE), &raw mut *store);
        self.set(CtxOffset::of(instance::SIGNATURES), self.signatures.as_ptr());
        self.set(CtxOffset::of(instance::HEAP), store.heap.base);
        for i in 0..self.memories.len() {
            let at = layout.memory_ref(MemoryIndex::from_usize(i));
            self.set(at, &raw const *self.memories[i]);
        }
        for i in 0..self.tables.len() {
            self.set(layout.table_ref(TableIndex::from_usize(i)), &raw const *self.tables[i]);
        }
        let info = self.module.info().clone();
        for (defined, init) in info.global_inits.iter().enumerate() {
            let value = match init.ops[0] {
                ConstOp::I32(v) => u128::from(v as u32),
                ConstOp::I64(v) => u128::from(v as u64),
                ConstOp::F32(v) => u128::from(v),
                ConstOp::F64(v) => u128::from(v),
                ConstOp::V128(v) => v,
                _ => 0,
            };
            self.set(layout.global(DefinedGlobalIndex::from_u32(defined as u32)), value);
        }
        for i in 0..info.imported_globals {
            let at = layout.global_ref(GlobalIndex::from_u32(i));
            self.set(at, &raw const *self.globals[i as usize]);
        }
    }

    /// Fills tables from active segments of functions.
    fn elements(&mut self) -> Option<()> {
        let info = self.module.info().clone();
        for index in 0..info.functions.len() as u32 {
            let sig = self.signatures[info.functions[FuncIndex::from_u32(index)].index()];
            let (ctx, target) = match info.defined_function(FuncIndex::from_u32(index)) {
                Some(_) => (self.vmctx(), 0),
                None => {
                    let at = self.layout.import(FuncIndex::from_u32(index));
                    // SAFETY: the import was written before.
                    let import = unsafe { *self.vmctx().word::<VmImport>(at) };
                    (import.ctx, import.target)
                }
            };
            let (sig, index) = (TypeNumber::from_u32(sig), FuncId::from_u32(index));
            let (code, handle, entry, identity) = (CodeAddr::NULL, 0, 0.into(), Default::default());
            let func = VmFunc { code, ctx, sig, index, handle, target, entry, identity };
            self.funcs.push(Box::new(func));
        }
        for segment in &info.elements {
            let SegmentMode::Active { index, offset } = &segment.mode else { continue };
            let ElementItems::Functions(items) = &segment.items else { return None };
            let offset = match offset.ops[..] {
                [ConstOp::I32(offset)] => u64::from(offset as u32),
                [ConstOp::I64(offset)] => offset as u64,
                _ => return None,
            };
            if offset.checked_add(items.len() as u64)? > self.tables[index.index()].len {
                return None;
            }
            for (i, func) in items.iter().enumerate() {
                let func = &raw const *self.funcs[func.index()];
                // SAFETY: the test's segments are within their tables.
                unsafe {
                    let base = self.tables[index.index()].base;
                    *base.add(offset as usize + i) = func as u64;
                }
            }
        }
        Some(())
    }

    /// Fills memories from active segments.
    fn data(&mut self) -> Option<()> {
        let info = self.module.info().clone();
        for segment in &info.data {
            let SegmentMode::Active { index, offset } = &segment.mode else { continue };
            let offset = match offset.ops[..] {
                [ConstOp::I32(offset)] => u64::from(offset as u32),
                [ConstOp::I64(offset)] => offset as u64,
                _ => return None,
            };
            let bytes = self.module.bytes()[segment.range.clone()].to_vec();
            let offset = usize::try_from(offset).ok()?;
            let end = offset.checked_add(bytes.len())?;
            self.memory(index.index()).get_mut(offset..end)?.copy_from_slice(&bytes);
        }
        Some(())
    }

    /// Whether it exports a function of its own by this name.
    pub fn has(&self, name: &str) -> bool {
        let info = self.module.info();
        let own = |item| matches!(item, ItemIndex::Func(f) if info.defined_function(f).is_some());
        info.exports.iter().any(|e| e.name == name && own(e.item))
    }
}

/// The world of an instance, and which instance it is.
unsafe fn world<'a>(vmctx: VmCtxPtr) -> (&'a mut World, usize) {
    // SAFETY: the instance begins with its store, whose owner is the world; the executor that calls
    // holds nothing of it.
    unsafe {
        let store = vmctx.store();
        let world = &mut *((*store).owner.as_ptr::<World>());
        let which = world.instances.iter().position(|i| i.vmctx() == vmctx).expect("an instance");
        (world, which)
    }
}

unsafe extern "C" fn unexpected(_: usize) -> u64 {
    panic!("a builtin that the test does not know")
}

macro_rules! builtins {
    ($($(#[$doc:meta])* $name:ident($world:ident, $which:ident $(, $arg:ident)*) $body:block)*) => { $(
        $(#[$doc])*
        unsafe extern "C" fn $name(vmctx: VmCtxPtr $(, $arg: u64)*) -> u64 {
            // SAFETY: the executor gives its instance.
            let ($world, $which) = unsafe { world(vmctx) };
            $body
        }
    )* };
}

builtins! {
    /// The test's modules have no subtypes.
    ref_test(_world, _which, _reference, _ty) {
        0
    }

    memory_grow(world, which, memory, pages) {
        let ty = world.instances[which].module.info().memories[MemoryIndex::from_u32(memory as u32)];
        let old = world.instances[which].memory(memory as usize).len() as u64 / ty.page_size();
        let new = old.saturating_add(pages);
        let fits = pages <= ROOM as u64 && (new - ty.min) * ty.page_size() <= ROOM as u64;
        if !fits || new > ty.max_pages() {
            return u64::MAX;
        }
        world.instances[which].grow(memory as usize, (pages * ty.page_size()) as usize);
        old
    }

    memory_copy(world, which, to_memory, from_memory, to, from, len) {
        let within = |world: &mut World, memory: u64, start: u64| {
            let size = world.instances[which].memory(memory as usize).len() as u64;
            start.checked_add(len).is_some_and(|end| end <= size)
        };
        if !within(world, to_memory, to) || !within(world, from_memory, from) {
            world.store.exit = 1;
            return 0;
        }
        let from = from as usize..(from + len) as usize;
        let bytes = world.instances[which].memory(from_memory as usize)[from].to_vec();
        world.instances[which].memory(to_memory as usize)[to as usize..][..len as usize]
            .copy_from_slice(&bytes);
        0
    }

    memory_fill(world, which, memory, to, byte, len) {
        let size = world.instances[which].memory(memory as usize).len() as u64;
        if to.checked_add(len).is_none_or(|end| end > size) {
            world.store.exit = 1;
            return 0;
        }
        world.instances[which].memory(memory as usize)[to as usize..][..len as usize].fill(byte as u8);
        0
    }

    ref_func(world, which, func) {
        &raw const *world.instances[which].funcs[func as usize] as u64
    }

    out_of_fuel(world, _which) {
        world.log.push((Builtin::OutOfFuel as usize, Vec::new()));
        world.store.exit = 1;
        0
    }

    log1(world, _which, a) { world.log.push((1, vec![a])); u64::MAX }
    log3(world, _which, a, b, c) { world.log.push((3, vec![a, b, c])); u64::MAX }
    log4(world, _which, a, b, c, d) { world.log.push((4, vec![a, b, c, d])); u64::MAX }
    log5(world, _which, a, b, c, d, e) { world.log.push((5, vec![a, b, c, d, e])); u64::MAX }

    resolve(world, which, defined) {
        if world.by_runtime {
            return target::RUNTIME;
        }
        let defined = DefinedFuncIndex::from_u32(defined as u32);
        let at = world.instances[which].layout.target(defined);
        let word = world.instances[which].function(defined) as u64 | target::INTERPRETED;
        world.instances[which].set(at, word);
        word
    }

    resolve_import(world, which, index) {
        if world.by_runtime {
            return target::RUNTIME | 64;
        }
        let at = world.instances[which].layout.import(FuncIndex::from_u32(index as u32));
        // SAFETY: the import was written when the instance was made.
        let mut import = unsafe { *world.instances[which].vmctx().word::<VmImport>(at) };
        let other = world.instances.iter_mut().find(|i| i.vmctx() == import.ctx).expect("a module");
        import.target = other.function(DefinedFuncIndex::from_u32(import.code.as_usize() as u32)) as u64 | target::INTERPRETED;
        world.instances[which].set(at, import);
        import.target
    }

    resolve_ref(world, _which, func) {
        // SAFETY: references point to functions of the world.
        let func = unsafe { &mut *(func as *mut VmFunc) };
        let other = world.instances.iter_mut().find(|i| i.vmctx() == func.ctx).expect("a module");
        let index = FuncIndex::from_u32(func.index.as_u32());
        let defined = other.module.info().defined_function(index).expect("no import");
        func.target = other.function(defined) as u64 | target::INTERPRETED;
        func.target
    }

    hot(world, which, fp, header) {
        assert_eq!(StackAddr::from_usize(fp as usize), world.store.interp_fp);
        world.log.push((Service::Hot as usize, vec![header]));
        for translation in world.instances[which].translations.iter().flatten() {
            translation.countdown().store(1000, Ordering::Relaxed);
        }
        world.hot
    }
}

/// Adds its two parameters.
unsafe extern "C" fn host_add(_host: *mut HostFunc, slots: *mut u64) -> u64 {
    // SAFETY: it has two parameters.
    unsafe { *slots = u64::from((*slots as u32).wrapping_add(*slots.add(1) as u32)) };
    0
}

/// Does nothing.
unsafe extern "C" fn host_ignore(_host: *mut HostFunc, _slots: *mut u64) -> u64 {
    0
}

/// How often a host function was called.
pub static HOST_CALLS: AtomicI64 = AtomicI64::new(0);

/// Ends the guest.
unsafe extern "C" fn host_end(host: *mut HostFunc, _slots: *mut u64) -> u64 {
    HOST_CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the store of the host function.
    unsafe { (*(*host).store).exit = 1 };
    1
}

/// Grows memory 0 of the caller by a page.
unsafe extern "C" fn host_grow(host: *mut HostFunc, _slots: *mut u64) -> u64 {
    // SAFETY: the caller is an instance.
    let (world, which) = unsafe { world((*host).caller) };
    world.instances[which].grow(0, 65536);
    0
}
