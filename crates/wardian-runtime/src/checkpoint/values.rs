//! Values as guests hold them, and as checkpoints have them.

use super::graph::Graph;
use super::{refused, unusable};
use crate::Result;
use crate::checkpoint::state::{
    ExceptionNumber, ExceptionState, Item, ModuleNumber, ObjectNumber, ObjectState, Shared,
    SharedNumber, Value,
};
use crate::gc::objects::Referent;
use crate::ids::FuncId;
use crate::store::functions::FuncKind;
use crate::store::inner::StoreInner;
use crate::value::{AnyRef, Func, Val};
use std::collections::HashMap;
use wardian_types::{FuncIndex, IndexVec, RefType, TypeIndex, TypeNumber, ValType};
use wardian_vm::heap::HeapRef;

/// Writes values down. Objects and exceptions get numbers, and are written down afterwards.
pub(super) struct ValueWriter<'a> {
    pub(super) graph: &'a Graph,
    /// Objects by reference, and in the order of their numbers.
    object_numbers: HashMap<HeapRef, ObjectNumber>,
    objects: IndexVec<ObjectNumber, AnyRef>,
    exception_numbers: HashMap<u64, ExceptionNumber>,
    exceptions: IndexVec<ExceptionNumber, u64>,
    /// What a fork shares with its parent, and the numbers of it by reference; none for a checkpoint.
    shared: Option<(IndexVec<SharedNumber, Shared>, HashMap<u64, SharedNumber>)>,
}

impl<'a> ValueWriter<'a> {
    /// `forks` says that the values are for another store of this process.
    pub(super) fn new(graph: &'a Graph, forks: bool) -> ValueWriter<'a> {
        ValueWriter {
            graph,
            shared: forks.then(Default::default),
            object_numbers: HashMap::new(),
            objects: IndexVec::new(),
            exception_numbers: HashMap::new(),
            exceptions: IndexVec::new(),
        }
    }

    /// A value of a type.
    ///
    /// # Safety
    ///
    /// The slots hold a value of this type, or zero.
    pub(super) unsafe fn value(
        &mut self,
        store: &StoreInner,
        ty: ValType,
        slots: &[u64],
    ) -> Result<Value> {
        let r = match ty {
            ValType::I32 | ValType::F32 => return Ok(Value::Bits(slots[0] & u64::from(u32::MAX))),
            ValType::I64 | ValType::F64 => return Ok(Value::Bits(slots[0])),
            ValType::V128 => {
                return Ok(Value::Vector(u128::from(slots[1]) << 64 | u128::from(slots[0])));
            }
            ValType::Ref(r) => r,
        };
        if slots[0] == 0 {
            return Ok(Value::Null);
        }
        if r.is_func() {
            // SAFETY: the caller's promise.
            let func = unsafe { store.func_of_reference(slots[0]) }.expect("it is not null");
            return match (store.entities.funcs().kind(func), self.graph.func(store, func)) {
                (FuncKind::Host(def), Err(_)) if self.shared.is_some() => {
                    Ok(self.share(slots[0], || Shared::Func(def.clone())))
                }
                (_, known) => known.map(Value::Func),
            };
        }
        if r.is_exn() {
            return self.exception(store, slots[0]);
        }
        if r.is_extern() && slots[0] >> 32 != 0 {
            if let (Some(value), true) = (store.externrefs.get(slots[0]), self.shared.is_some()) {
                return Ok(self.share(slots[0], || Shared::Value(value.clone())));
            }
            return Err(refused(
                "the guest holds a value of the embedder's (an externref), which has no bytes",
            ));
        }
        self.object(store, slots[0])
    }

    /// The number of what a reference refers to, which parent and child of a fork share.
    fn share(&mut self, reference: u64, what: impl FnOnce() -> Shared) -> Value {
        let (all, numbers) = self.shared.as_mut().expect("it is for a fork");
        let number = *numbers.entry(reference).or_insert(all.next_index());
        if number == all.next_index() {
            all.push(what());
        }
        Value::Shared(number)
    }

    fn object(&mut self, store: &StoreInner, word: u64) -> Result<Value> {
        let reference = HeapRef::in_low_half(word);
        if let Some(integer) = reference.integer() {
            return Ok(Value::I31(integer));
        }
        let next = self.objects.next_index();
        let number = *self.object_numbers.entry(reference).or_insert(next);
        if number == next
            && let Some(object) = store.hold(word)
        {
            self.objects.push(object);
        }
        Ok(Value::Object(number))
    }

    fn exception(&mut self, store: &StoreInner, handle: u64) -> Result<Value> {
        if store.exceptions.get(handle).is_none() {
            return Err(refused("the guest holds an exception that the store does not know"));
        }
        let next = self.exceptions.next_index();
        let number = *self.exception_numbers.entry(handle).or_insert(next);
        if number == next {
            self.exceptions.push(handle);
        }
        Ok(Value::Exception(number))
    }

    /// Writes down all objects and exceptions that were numbered, and those that they refer to.
    pub(super) fn finish(
        mut self,
        store: &StoreInner,
        types: &ObjectTypes,
    ) -> Result<(Vec<ObjectState>, Vec<ExceptionState>, Vec<Shared>)> {
        let mut objects = IndexVec::<ObjectNumber, _>::new();
        let mut exceptions = IndexVec::<ExceptionNumber, _>::new();
        loop {
            if let Some(object) = self.objects.get(objects.next_index()).cloned() {
                objects.push(self.object_state(store, types, &object)?);
            } else if let Some(handle) = self.exceptions.get(exceptions.next_index()).copied() {
                exceptions.push(self.exception_state(store, handle)?);
            } else {
                let shared = self.shared.map(|(shared, _)| shared).unwrap_or_default();
                return Ok((
                    objects.into_iter().collect(),
                    exceptions.into_iter().collect(),
                    shared.into_iter().collect(),
                ));
            }
        }
    }

    fn object_state(
        &mut self,
        store: &StoreInner,
        types: &ObjectTypes,
        object: &AnyRef,
    ) -> Result<ObjectState> {
        let number = match store.referent(object)? {
            Referent::Struct { number } | Referent::Array { number, .. } => number,
            _ => {
                return Err(refused(
                    "the guest holds a value of the embedder's in an object (any.convert_extern)",
                ));
            }
        };
        let (module, ty) = types.of_number(number).ok_or_else(|| {
            refused(
                "the guest holds an object of a type of the embedder's, which no module declares",
            )
        })?;
        let fields = store.fields_of(object)?;
        let mut values = Vec::with_capacity(fields.len());
        for (ty, slots) in fields {
            // SAFETY: what a field holds was stored as a value of its type.
            values.push(unsafe { self.value(store, ty, &slots)? });
        }
        Ok(ObjectState { module, ty, values })
    }

    fn exception_state(&mut self, store: &StoreInner, handle: u64) -> Result<ExceptionState> {
        let (tag, slots) = store.exceptions.get(handle).expect("it was numbered, and nothing ran");
        let item = self.graph.tags[tag]
            .ok_or_else(|| refused("the guest holds an exception whose tag no instance has"))?;
        let (slots, types) = (slots.to_vec(), store.tag_type(tag).params().to_vec());
        let (mut at, mut values) = (0, Vec::with_capacity(types.len()));
        for ty in types {
            // SAFETY: they are values of the tag's types.
            values.push(unsafe { self.value(store, ty, &slots[at..])? });
            at += ty.slots();
        }
        Ok(ExceptionState { tag: item, values })
    }
}

/// The types of objects that modules declare, by the engine's numbers and by module and index.
pub(super) struct ObjectTypes(HashMap<TypeNumber, (ModuleNumber, TypeIndex)>);

impl ObjectTypes {
    /// `signatures` are those of each module.
    pub(super) fn new<'a>(
        signatures: impl Iterator<Item = &'a IndexVec<TypeIndex, TypeNumber>>,
    ) -> ObjectTypes {
        let mut types = HashMap::new();
        for (module, numbers) in signatures.enumerate() {
            let module = ModuleNumber::from_usize(module);
            for (ty, number) in numbers.enumerated() {
                types.entry(*number).or_insert((module, ty));
            }
        }
        ObjectTypes(types)
    }

    fn of_number(&self, number: TypeNumber) -> Option<(ModuleNumber, TypeIndex)> {
        self.0.get(&number).copied()
    }
}

/// Makes values of a new store of those in a checkpoint.
#[derive(Default)]
pub(super) struct ValueReader {
    /// The objects and exceptions of the store, by their numbers.
    pub(super) objects: Vec<AnyRef>,
    pub(super) exceptions: Vec<u64>,
    /// What is shared with the store that this one is forked from, as references of this one.
    shared: Vec<(Shared, u64)>,
}

impl ValueReader {
    /// Makes references of the store to what it shares with another one.
    pub(super) fn share(&mut self, store: &mut StoreInner, shared: Vec<Shared>) -> Result<()> {
        for what in shared {
            let word = match &what {
                Shared::Func(def) => {
                    let func = store.host_func(def.clone())?;
                    store.reference_to(func)
                }
                Shared::Value(value) => store.externrefs.insert(value.clone()),
            };
            self.shared.push((what, word));
        }
        Ok(())
    }

    /// Words that a collection has to keep until the guest runs.
    pub(super) fn held(&self) -> impl Iterator<Item = u64> + '_ {
        let values = self.shared.iter().filter(|(what, _)| matches!(what, Shared::Value(_)));
        self.exceptions.iter().copied().chain(values.map(|(_, word)| *word))
    }

    /// A value as guests hold it, if it is one of this type. `unset` says that it may be null whatever the type:
    /// it is a local that has not been set.
    pub(super) fn slots(
        &self,
        store: &mut StoreInner,
        ty: ValType,
        value: Value,
        unset: bool,
    ) -> Result<[u64; 2]> {
        let word = match (ty, value) {
            (ValType::I32 | ValType::F32, Value::Bits(bits)) if bits >> 32 == 0 => Some(bits),
            (ValType::I64 | ValType::F64, Value::Bits(bits)) => Some(bits),
            (ValType::V128, Value::Vector(v)) => return Ok([v as u64, (v >> 64) as u64]),
            (ValType::Ref(r), Value::Null) => (r.nullable || unset).then_some(0),
            (ValType::Ref(r), value) => self.reference(store, r, value)?,
            _ => None,
        };
        let word = word.ok_or_else(|| unusable(format!("{value:?} is no value of type {ty}")))?;
        Ok([word, 0])
    }

    fn reference(&self, store: &mut StoreInner, r: RefType, value: Value) -> Result<Option<u64>> {
        Ok(match value {
            Value::Func(item) if r.is_func() => {
                let func = func_of(store, item)?;
                let given = Val::FuncRef(Some(Func { store: store.id(), index: func }));
                store.check_value(&given, ValType::Ref(r)).ok().map(|()| store.reference_to(func))
            }
            Value::I31(bits) if bits >> 31 == 0 => self.any(store, r, HeapRef::of_integer(bits)),
            Value::Object(number) => {
                let object = self.objects.get(number.index()).cloned();
                let word = object.map(|object| store.reference_of(&object)).transpose()?;
                word.and_then(|word| self.any(store, r, word))
            }
            Value::Exception(number) if r == (RefType { nullable: r.nullable, ..RefType::EXN }) => {
                self.exceptions.get(number.index()).copied()
            }
            Value::Shared(number) => self.shared.get(number.index()).and_then(|(what, word)| {
                let fits = match what {
                    // What was of a type in the parent is of that type here.
                    Shared::Func(_) => r.is_func(),
                    Shared::Value(_) => r.is_extern(),
                };
                fits.then_some(*word)
            }),
            _ => None,
        })
    }

    fn any(&self, store: &StoreInner, r: RefType, word: HeapRef) -> Option<u64> {
        // A reference to an object that was converted to one of the embedder's values is one of any object.
        let fits = match r.heap {
            wardian_types::HeapType::Extern => true,
            heap => r.is_any() && store.is_of_heap_type(word, heap),
        };
        fits.then_some(word.as_word())
    }
}

/// The store's function that a checkpoint names.
pub(super) fn func_of(store: &mut StoreInner, item: Item) -> Result<FuncId> {
    let functions = store
        .entities
        .instances()
        .get(item.instance())
        .map_or(0, |data| data.module().decoded.info().functions.len());
    if item.index::<FuncIndex>().index() >= functions {
        return Err(unusable(format!("there is no function {item:?}")));
    }
    Ok(store.instance_func(item.instance(), item.index()))
}
