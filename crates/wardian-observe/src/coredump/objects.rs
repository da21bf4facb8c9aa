//! Objects of garbage collection in a core dump: the format has no place for them, so they are in a custom section
//! of their own, which readers of the format pass over.
//!
//! The section is text, a JSON object a line: first what refers to objects from outside, then the objects in the order
//! of their distance from there.

use super::CoreDump;
use serde_json::{Map, Value, json};
use std::collections::{HashSet, VecDeque};
use wardian::{
    Func, Val,
    gc::AnyRef,
    inspect::{InternalModule, ObjectView},
};

/// The name of the section.
pub(super) const SECTION: &str = "wardian.heap";

/// Objects that a dump has at most, and references to them from outside.
const MOST: usize = 1 << 16;

/// Elements of an array that are written at most.
const ELEMENTS: usize = 256;

/// Elements of a table that are looked at.
const TABLE: u64 = 1 << 16;

/// Text after which no further line is begun.
const TEXT: usize = 32 << 20;

/// The text of the section; none if nothing refers to an object.
pub(super) fn text(
    dump: &CoreDump<'_>,
    position: impl Fn(&wardian::Module) -> Option<u32>,
) -> Option<String> {
    let mut heap = Heap::default();
    for (thread, backtrace) in &dump.threads {
        for (number, frame) in backtrace.frames().iter().enumerate() {
            let at = position(frame.module()).and_then(|at| dump.instances.get(at as usize));
            let Some(names) = at.or(dump.instances.first()) else { continue };
            for (local, object) in frame.objects() {
                let mut root = Map::new();
                root.insert("thread".into(), json!(thread));
                root.insert("frame".into(), json!(number));
                if let Some(local) = local {
                    root.insert("local".into(), json!(local));
                }
                heap.root(*names, root.into(), object);
            }
        }
    }
    for (number, instance) in dump.instances.iter().enumerate() {
        heap.roots_of(number, *instance);
    }
    heap.trace();
    (!heap.lines.is_empty()).then_some(heap.lines)
}

#[derive(Default)]
struct Heap<'a> {
    lines: String,
    roots: usize,
    /// Where the objects are that have a line, or will get one.
    known: HashSet<u32>,
    /// Those that will, and the instances that their names are from.
    next: VecDeque<(InternalModule<'a>, AnyRef)>,
    /// Whether something was left out.
    is_part: bool,
}

impl<'a> Heap<'a> {
    fn roots_of(&mut self, number: usize, instance: InternalModule<'a>) {
        for global in 0..instance.num_globals() as u32 {
            if let Some(Val::AnyRef(Some(object))) = instance.global(global) {
                self.root(instance, json!({"instance": number, "global": global}), &object);
            }
        }
        for table in 0..instance.num_tables() as u32 {
            let Some(ty) = instance.table_type(table).filter(|ty| ty.element.is_any()) else {
                continue;
            };
            self.is_part |= ty.min > TABLE;
            for element in 0..ty.min.min(TABLE) {
                if let Some(Val::AnyRef(Some(object))) = instance.table_element(table, element) {
                    let root = json!({"instance": number, "table": table, "element": element});
                    self.root(instance, root, &object);
                }
            }
        }
    }

    /// Notes what refers to an object from outside.
    fn root(&mut self, names: InternalModule<'a>, root: Value, object: &AnyRef) {
        if self.roots == MOST {
            self.is_part = true;
        } else if let Some(address) = self.reach(names, object) {
            self.roots += 1;
            self.line(&json!({"root": root, "object": address}));
        }
    }

    /// Where an object is; it gets a line if there is room. None of what is no object of these instances' store.
    fn reach(&mut self, names: InternalModule<'a>, object: &AnyRef) -> Option<u32> {
        let address = names.object(object)?.address();
        if self.known.contains(&address) {
            return Some(address);
        }
        if self.known.len() < MOST {
            self.known.insert(address);
            self.next.push_back((names, object.clone()));
        } else {
            self.is_part = true;
        }
        Some(address)
    }

    fn trace(&mut self) {
        while let Some((names, object)) = self.next.pop_front() {
            if self.lines.len() > TEXT {
                self.is_part = true;
                break;
            }
            if let Some(view) = names.object(&object) {
                let line = self.object(names, &view);
                self.line(&line);
            }
        }
        if self.is_part {
            self.line(&json!({"incomplete": true}));
        }
    }

    fn object(&mut self, names: InternalModule<'a>, view: &ObjectView<'_>) -> Value {
        let mut line = Map::new();
        line.insert("object".into(), json!(view.address()));
        if let Some(name) = view.type_name() {
            line.insert("type".into(), json!(name));
        }
        let most = if view.is_array() { ELEMENTS } else { usize::MAX };
        let values: Vec<_> =
            (0..view.len().min(most)).filter_map(|index| view.get(index)).collect();
        let mut values = values.iter().map(|value| self.value(names, value));
        if view.is_array() {
            line.insert("length".into(), json!(view.len()));
            line.insert("elements".into(), values.collect());
        } else {
            let field = |(index, value)| match view.field_name(index) {
                Some(name) => json!({"name": name, "value": value}),
                None => json!({"value": value}),
            };
            line.insert("fields".into(), values.by_ref().enumerate().map(field).collect());
        }
        line.into()
    }

    fn value(&mut self, names: InternalModule<'a>, value: &Val) -> Value {
        match value {
            Val::I32(value) => json!(value),
            Val::I64(value) => json!(value),
            Val::F32(bits) => float(f32::from_bits(*bits).into()),
            Val::F64(bits) => float(f64::from_bits(*bits)),
            Val::V128(value) => json!(format!("{value:#034x}")),
            Val::AnyRef(Some(any)) => match (any.as_i31(), self.reach(names, any)) {
                (Some(integer), _) => json!({"i31": integer.get_i32()}),
                (None, Some(address)) => json!({"object": address}),
                (None, None) => json!({"host": "anyref"}),
            },
            Val::FuncRef(Some(func)) => json!({"func": name_of(names, func)}),
            Val::ExternRef(Some(_)) => json!({"host": "externref"}),
            Val::ExnRef(Some(exception)) => json!({"exception": exception.to_string()}),
            _ => Value::Null,
        }
    }

    fn line(&mut self, line: &Value) {
        self.lines.push_str(&line.to_string());
        self.lines.push('\n');
    }
}

fn name_of(names: InternalModule<'_>, func: &Func) -> Option<String> {
    names.definition_of(func).map(|definition| definition.display_name())
}

/// JSON has no numbers that are not finite.
fn float(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}
