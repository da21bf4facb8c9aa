//! References as text or JSON: functions by name, objects by their fields, exceptions by their tag and values.

use super::function::escaped;
use super::value::{escape_json, escape_text, value};
use std::io::Write;
use wardian::{
    Val, ValType,
    gc::AnyRef,
    inspect::{InternalModule, ObjectView},
    listener::Call,
    types::StorageType,
};

/// Objects inside of objects that are shown.
const DEPTH: usize = 3;

/// Fields and elements of one object that are shown.
const WIDTH: usize = 16;

/// Values that are shown for one reference, those inside of objects included.
const VALUES: usize = 64;

/// Bytes of text that are shown of an array of characters.
const TEXT: usize = 128;

/// Writes a value with what its references refer to.
#[inline(never)]
pub(super) fn reference(out: &mut Vec<u8>, call: &Call<'_>, value: &Val, json: bool) {
    let module = call.module().or_else(|| call.caller());
    Writer { out, module, json, values: VALUES }.value(value, 0);
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// The instance whose names are used.
    module: Option<InternalModule<'a>>,
    json: bool,
    /// Values that may still be shown.
    values: usize,
}

impl Writer<'_> {
    fn value(&mut self, val: &Val, depth: usize) {
        self.values = self.values.saturating_sub(1);
        let (ty, slots) = match val {
            Val::I32(v) => (ValType::I32, [*v as u32 as u64, 0]),
            Val::I64(v) => (ValType::I64, [*v as u64, 0]),
            Val::F32(bits) => (ValType::F32, [u64::from(*bits), 0]),
            Val::F64(bits) => (ValType::F64, [*bits, 0]),
            Val::V128(v) => (ValType::V128, [*v as u64, (v >> 64) as u64]),
            Val::AnyRef(Some(any)) => return self.any(any, depth),
            Val::FuncRef(Some(func)) => {
                let definition = self.module.and_then(|module| module.definition_of(func));
                let name = definition.map(|d| d.display_name());
                return self.text(&name.map_or("funcref".into(), |name| format!("func {name}")));
            }
            Val::ExternRef(Some(_)) => return self.text("externref"),
            Val::ExnRef(Some(exception)) => return self.text(&exception.to_string()),
            null => (null.ty(), [0, 0]),
        };
        value(self.out, ty, &slots, self.json);
    }

    /// Text of ours, with names of the guest's in it.
    fn text(&mut self, text: &str) {
        let quote: &[u8] = if self.json { b"\"" } else { b"" };
        self.out.extend_from_slice(quote);
        let escape = if self.json { escape_json } else { escape_text };
        self.out.extend_from_slice(escaped(text, escape).as_bytes());
        self.out.extend_from_slice(quote);
    }

    fn any(&mut self, any: &AnyRef, depth: usize) {
        if let Some(integer) = any.as_i31() {
            let _ = write!(self.out, "{}", integer.get_i32());
            return;
        }
        match self.module.and_then(|module| module.object(any)) {
            None => self.text("anyref"),
            Some(object) if depth >= DEPTH || self.values == 0 => {
                let kind = if object.is_array() { "array" } else { "struct" };
                self.text(object.type_name().unwrap_or(kind));
            }
            Some(object) if object.is_array() => self.array(&object, depth),
            Some(object) => self.structure(&object, depth),
        }
    }

    fn structure(&mut self, object: &ObjectView<'_>, depth: usize) {
        let name = object.type_name();
        if self.json {
            self.out.push(b'{');
            if let Some(name) = name {
                self.out.extend_from_slice(b"\"$type\":");
                self.text(name);
            }
        } else {
            self.text(name.unwrap_or("struct"));
            self.out.push(b'{');
        }
        let mut used = Vec::new();
        let mut first = !self.json || name.is_none();
        for index in 0..object.len() {
            if !std::mem::take(&mut first) {
                self.out.extend_from_slice(if self.json { b"," } else { b", " });
            }
            if index == WIDTH || self.values == 0 {
                self.out.extend_from_slice(if self.json { "\"…\":\"\"" } else { "…" }.as_bytes());
                break;
            }
            self.field_name(object, index, &mut used);
            self.field(object, index, depth);
        }
        self.out.push(b'}');
    }

    fn field_name(&mut self, object: &ObjectView<'_>, index: usize, used: &mut Vec<String>) {
        let escape = if self.json { escape_json } else { escape_text };
        let name = object.field_name(index).map(|name| escaped(name, escape));
        if !self.json {
            if let Some(name) = name {
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
            }
            return;
        }
        // Keys of an object are to differ; numbers are no names in the text format.
        let fits = |name: &String| {
            !used.contains(name) && name.parse::<u32>().is_err() && !name.starts_with('$')
        };
        let name = name.filter(fits).unwrap_or_else(|| index.to_string());
        let _ = write!(self.out, "\"{name}\":");
        used.push(name);
    }

    fn array(&mut self, object: &ObjectView<'_>, depth: usize) {
        if let Some(text) = self.characters(object) {
            return super::value::Fields::new(self.out, super::value::Style::Text)
                .string(text.as_bytes(), false);
        }
        self.out.push(b'[');
        let separator: &[u8] = if self.json { b"," } else { b", " };
        for index in 0..object.len() {
            if index > 0 {
                self.out.extend_from_slice(separator);
            }
            if index == WIDTH || self.values == 0 {
                let left = object.len() - index;
                self.text(&format!("… {left} more"));
                break;
            }
            self.field(object, index, depth);
        }
        self.out.push(b']');
    }

    fn field(&mut self, object: &ObjectView<'_>, index: usize, depth: usize) {
        let Some(value) = object.get(index) else { return };
        let value = match (object.field_type(index).map(|field| field.storage), value) {
            (Some(StorageType::I8), Val::I32(v)) => Val::I32(i32::from(v as i8)),
            (Some(StorageType::I16), Val::I32(v)) => Val::I32(i32::from(v as i16)),
            (_, value) => value,
        };
        self.value(&value, depth + 1);
    }

    /// The text of an array of bytes or of 16-bit units that are printable characters: how languages hold strings.
    /// For people only: who reads JSON wants numbers everywhere.
    fn characters(&self, object: &ObjectView<'_>) -> Option<String> {
        if self.json || object.is_empty() {
            return None;
        }
        let units = (0..object.len().min(TEXT)).map_while(|index| object.get(index)?.i32());
        let mut text = match object.field_type(0)?.storage {
            StorageType::I8 => {
                let bytes: Vec<u8> = units.map(|unit| unit as u8).collect();
                String::from_utf8(bytes).ok()?
            }
            StorageType::I16 => {
                let units: Vec<u16> = units.map(|unit| unit as u16).collect();
                String::from_utf16(&units).ok()?
            }
            StorageType::Val(_) => return None,
        };
        let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
        if !text.chars().all(is_text) {
            return None;
        }
        if object.len() > TEXT {
            text.push('…');
        }
        Some(text)
    }
}
