//! What imports are satisfied with: host functions that do everything to the guest that the embedding
//! API lets them do, all of it following from the seed and from what happened before.

use crate::heard::{self, Log};
use crate::random::Random;
use wardian::{
    AsContextMut, Caller, Error, ErrorKind, Extern, ExternRef, ExternType, Func, FuncType, Global,
    Instance, Memory, Module, Result, SharedMemory, Store, Table, Tag, Val, ValType,
    limits::StoreLimits, snapshot::Snapshot,
};

/// References that host functions keep.
const HELD: usize = 8;
/// Host calls in one call from outside; then they fail.
const HOST_CALLS: usize = 60;
/// How deep guests and host functions call each other.
const DEPTH: usize = 4;

/// What host functions keep.
pub(crate) struct World {
    pub(crate) log: Log,
    pub(crate) random: Random,
    pub(crate) limits: StoreLimits,
    pub(crate) calls: usize,
    pub(crate) instance: Option<Instance>,
    depth: usize,
    /// Those that were imported.
    tags: Vec<Tag>,
    /// With the types of what is to be returned.
    snapshots: Vec<(Snapshot, Vec<ValType>)>,
    /// References to objects and exceptions that the guest gave.
    held: Vec<Val>,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World {
            log: Log::default(),
            random: Random::new(seed, "world"),
            limits: StoreLimits {
                memory_bytes: 2 << 20,
                table_elements: 2000,
                ..StoreLimits::default()
            },
            calls: 0,
            instance: None,
            depth: 0,
            tags: Vec::new(),
            snapshots: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Another call from outside begins.
    pub(crate) fn begin(&mut self) {
        self.calls = 0;
        self.snapshots.clear();
    }
}

/// What a module imports, in order.
pub(crate) fn imports(store: &mut Store<World>, module: &Module) -> Result<Vec<Extern>> {
    let types: Vec<_> = module.imports().map(|(_, _, ty)| ty).collect();
    let make = |(index, ty)| import(store, index, ty);
    types.into_iter().enumerate().map(make).collect()
}

fn import(store: &mut Store<World>, index: usize, ty: ExternType) -> Result<Extern> {
    Ok(match ty {
        ExternType::Func(ty) => {
            let results = ty.results().to_vec();
            let host = move |caller: Caller<'_, World>, params: &[Val], out: &mut [Val]| {
                call_host(caller, index, params, &results, out)
            };
            Extern::Func(Func::new(store, ty, host))
        }
        ExternType::Table(ty) => {
            Extern::Table(Table::new(&mut *store, ty, Val::zero(ValType::Ref(ty.element)))?)
        }
        ExternType::Memory(ty) if ty.shared => {
            if ty.min << ty.page_size_log2 > 2 << 20 {
                return Err(Error::host("too large"));
            }
            Extern::SharedMemory(SharedMemory::new(store.engine(), ty)?)
        }
        ExternType::Memory(ty) => Extern::Memory(Memory::new(store, ty)?),
        ExternType::Tag(ty) => {
            let tag = Tag::new(&mut *store, &ty)?;
            store.data_mut().tags.push(tag);
            Extern::Tag(tag)
        }
        ExternType::Global(ty) => {
            let value = value(&mut *store, ty.content);
            Extern::Global(Global::new(store, ty, value)?)
        }
        other => return Err(Error::host(format!("no import of type {other}"))),
    })
}

/// A value of this type.
pub(crate) fn value(mut store: impl AsContextMut<Data = World>, ty: ValType) -> Val {
    let mut store = store.as_context_mut();
    let random = &mut store.data_mut().random;
    let bits = random.bits(ty);
    match ty {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits as i64),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits as u64),
        ValType::V128 => Val::V128(bits),
        // Of typed references many are of the wrong type, which is an error on all engines.
        ValType::Ref(r) if r.is_func() => {
            let instance = store.data().instance.filter(|_| bits & 1 == 0);
            Val::FuncRef(instance.and_then(|i| function(&mut store, i)).map(|(_, f)| f))
        }
        ValType::Ref(r) if r.is_any() || r.is_exn() => object(store.data_mut(), ty, bits),
        ValType::Ref(_) => {
            let number = (bits & 1 == 0).then(|| ExternRef::new((bits >> 1) as u16));
            Val::ExternRef(number)
        }
    }
}

/// Null, a small integer, or a reference that the guest gave before: of the wrong type as often as not, which is an
/// error on all engines.
fn object(world: &mut World, ty: ValType, bits: u128) -> Val {
    let fits = |value: &&Val| matches!((value.ty(), ty), (ValType::Ref(a), ValType::Ref(b)) if a.is_any() == b.is_any());
    let known: Vec<_> = world.held.iter().filter(fits).cloned().collect();
    match known.get(bits as usize % (known.len() + 1)) {
        Some(value) => value.clone(),
        None => Val::zero(ty),
    }
}

/// Notes references that a guest gives, for later.
fn hold(world: &mut World, values: &[Val]) {
    for value in values {
        if matches!(value, Val::AnyRef(Some(_)) | Val::ExnRef(Some(_))) {
            if world.held.len() >= HELD {
                world.held.remove(0);
            }
            world.held.push(value.clone());
        }
    }
}

/// One of the functions that an instance exports.
fn function(
    mut store: impl AsContextMut<Data = World>,
    instance: Instance,
) -> Option<(String, Func)> {
    let exports = instance.exports(store.as_context_mut()).into_iter();
    let mut functions: Vec<_> =
        exports.filter_map(|(name, e)| Some((name, e.into_func()?))).collect();
    if functions.is_empty() {
        return None;
    }
    let chosen = store.as_context_mut().data_mut().random.below(functions.len());
    Some(functions.swap_remove(chosen))
}

/// A value for people, the same for the same value.
pub(crate) fn show(store: impl wardian::AsContext, value: &Val) -> String {
    match value {
        Val::FuncRef(Some(f)) => format!("func {}", f.ty(store)),
        Val::ExternRef(Some(e)) => format!("extern {:?}", e.data().downcast_ref::<u16>()),
        Val::F32(bits) => format!("f32 {bits:#x}"),
        Val::F64(bits) => format!("f64 {bits:#x}"),
        Val::AnyRef(Some(any)) => show_object(store, any),
        Val::ExnRef(Some(exception)) => format!("exception of {} values", exception.values().len()),
        other => format!("{other:?}"),
    }
}

/// An object with its fields, but without those of the objects that it refers to.
fn show_object(store: impl wardian::AsContext, any: &wardian::gc::AnyRef) -> String {
    let store = store.as_context();
    let brief = |value: &Val| match value {
        Val::AnyRef(any) => any.as_ref().map_or("null", |_| "object").to_owned(),
        Val::FuncRef(f) => f.as_ref().map_or("null", |_| "func").to_owned(),
        Val::ExternRef(Some(e)) if e.data().is::<wardian::gc::AnyRef>() => "object".to_owned(),
        other => show_plain(other),
    };
    if let Some(integer) = any.as_i31() {
        return format!("i31 {}", integer.get_i32());
    }
    let fields = match (any.as_struct(&store), any.as_array(&store)) {
        (Ok(Some(object)), _) => object.fields(&store),
        (_, Ok(Some(array))) => {
            let length = array.len(&store).unwrap_or_default().min(20);
            (0..length).map(|index| array.get(&store, index)).collect()
        }
        (Err(error), _) => return error.to_string(),
        _ => return "extern as any".to_owned(),
    };
    let fields: Vec<_> = fields.iter().flatten().map(brief).collect();
    format!("object of {}", fields.join(" "))
}

fn show_plain(value: &Val) -> String {
    match value {
        Val::ExternRef(Some(e)) => format!("extern {:?}", e.data().downcast_ref::<u16>()),
        Val::ExnRef(Some(_)) => "exception".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Calls a function with random arguments, and writes down how that ends.
pub(crate) fn call(
    mut store: impl AsContextMut<Data = World>,
    name: &str,
    f: Func,
    enter: impl FnOnce(wardian::StoreContextMut<'_, World>, &[Val], &mut [Val]) -> Result<()>,
) -> Result<()> {
    let ty: FuncType = f.ty(&store);
    let params: Vec<Val> = ty.params().iter().map(|ty| value(&mut store, *ty)).collect();
    let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::zero(*ty)).collect();
    let done = enter(store.as_context_mut(), &params, &mut results);
    let reported = match &done {
        Ok(()) => results.iter().map(|v| show(&store, v)).collect::<Vec<_>>().join(", "),
        Err(error) => heard::error(error),
    };
    let store = store.as_context_mut();
    let (fuel, log) = (store.fuel().unwrap_or_default(), &store.data().log);
    log.write(format!("{name} {ty}: {reported}; {fuel} fuel"));
    done
}

fn call_host(
    mut caller: Caller<'_, World>,
    index: usize,
    params: &[Val],
    types: &[ValType],
    out: &mut [Val],
) -> Result<()> {
    hold(caller.data_mut(), params);
    let params: Vec<_> = params.iter().map(|v| show(&caller, v)).collect();
    // Not every way counts it.
    let (fuel, place) = (caller.fuel(), heard::backtrace(&caller.backtrace()));
    let left = fuel.as_ref().map_or(0, |fuel| *fuel);
    let line = format!("host {index} {}; {left} fuel, at{place}", params.join(", "));
    let world = caller.data_mut();
    world.log.write(line);
    world.calls += 1;
    if world.calls > HOST_CALLS {
        return Err(Error::host("too many calls"));
    }
    match world.random.below(16) {
        0..=3 => call_back(&mut caller)?,
        4 => return Err(Error::host("on purpose")),
        5..=6 => snapshot(&mut caller, types, false),
        7 => snapshot(&mut caller, types, true),
        8..=11 => restore(&mut caller)?,
        12 if fuel.is_ok() => caller.set_fuel(left.saturating_sub(100))?,
        13 => meddle(&mut caller)?,
        14 => throw(&mut caller)?,
        15 => caller.as_context_mut().gc(),
        _ => {}
    }
    for (ty, out) in types.iter().zip(out) {
        *out = value(&mut caller, *ty);
    }
    Ok(())
}

/// Calls the guest that calls, and may swallow what goes wrong.
fn call_back(caller: &mut Caller<'_, World>) -> Result<()> {
    let Some(instance) = caller.instance().or(caller.data().instance) else { return Ok(()) };
    let Some((name, f)) = function(&mut *caller, instance) else { return Ok(()) };
    if caller.data().depth == DEPTH {
        return Ok(());
    }
    caller.data_mut().depth += 1;
    let done = call(&mut *caller, &format!("inner {name}"), f, |store, params, results| {
        f.call(store, params, results)
    });
    let world = caller.data_mut();
    world.depth -= 1;
    if world.random.below(3) == 0 { Ok(()) } else { done }
}

fn snapshot(caller: &mut Caller<'_, World>, types: &[ValType], with_state: bool) {
    let Some(mut snapshotter) = caller.get_snapshotter() else { return };
    let taken =
        if with_state { snapshotter.snapshot_with_state() } else { Ok(snapshotter.snapshot()) };
    let world = caller.data_mut();
    world.log.write(format!("snapshot: {:?}", taken.as_ref().map_err(heard::kind).map(|_| ())));
    if let Ok(taken) = taken {
        world.snapshots.push((taken, types.to_vec()));
    }
}

/// Each at most once, so that guests end.
fn restore(caller: &mut Caller<'_, World>) -> Result<()> {
    let world = caller.data_mut();
    if world.snapshots.is_empty() {
        return Ok(());
    }
    let chosen = world.random.below(world.snapshots.len());
    let (snapshot, types) = world.snapshots.swap_remove(chosen);
    let values: Vec<_> = types.iter().map(|ty| value(&mut *caller, *ty)).collect();
    let depth = caller.data().depth;
    let error = snapshot.restore(&mut *caller, &values);
    caller.data_mut().log.write(format!("restore at depth {depth}: {}", heard::kind(&error)));
    // It is said only while the calls are open in which it was taken.
    if matches!(error.kind(), ErrorKind::Restored) { Err(error) } else { Ok(()) }
}

/// An exception with a tag that the module imports.
fn throw(caller: &mut Caller<'_, World>) -> Result<()> {
    let Some(tag) = caller.data().tags.first().copied() else { return Ok(()) };
    let types = tag.ty(&*caller).ty.params().to_vec();
    let values: Vec<_> = types.iter().map(|ty| value(&mut *caller, *ty)).collect();
    Err(Error::exception_with(tag, values))
}

/// Changes what the guest exports.
fn meddle(caller: &mut Caller<'_, World>) -> Result<()> {
    let Some(instance) = caller.instance() else { return Ok(()) };
    for (_, item) in instance.exports(&mut *caller) {
        let chance = caller.data_mut().random.below(4);
        match item {
            Extern::Global(g) if g.ty().mutable && chance < 2 => {
                let value = value(&mut *caller, g.ty().content);
                g.set(&mut *caller, value)?;
            }
            Extern::Memory(m) if chance == 0 => drop(m.grow(&mut *caller, 1)),
            Extern::Memory(m) if chance == 1 => {
                let bytes = caller.data_mut().random.bytes(64);
                drop(m.write(&mut *caller, 16, &bytes));
            }
            Extern::Table(t) if chance == 0 => {
                let ty = ValType::Ref(t.ty(&*caller).element);
                let value = value(&mut *caller, ty);
                drop(t.set(&mut *caller, 1, value.clone()));
                drop(t.grow(&mut *caller, 1, value));
            }
            _ => {}
        }
    }
    Ok(())
}
