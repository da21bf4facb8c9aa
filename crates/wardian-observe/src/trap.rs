//! How a guest came to trap, for people.

mod hexdump;
mod script;
mod short;

use crate::printable::{printable, shorten};
use crate::script::GuestFrames;
use crate::values;
use script::{Calls, Item, ScriptCall};
use std::fmt;
use wardian::{Error, Frame, Val, inspect::InternalModule};

/// Calls that are shown: more nobody reads.
const SHOWN: usize = 64;
/// Columns of a name.
const COLUMNS: usize = 300;
/// Arguments of a call that are shown.
const ARGUMENTS: usize = 16;

/// An error with the access to memory that failed, if one did, the calls that led to it, the values of their
/// arguments as far as they can be known, and the memory around that access and where the innermost arguments
/// point to.
///
/// Of deep stacks the innermost calls are shown. Values are those of
/// [`wardian::Config::backtrace_locals`]: what the parameters hold at the time, which the function may
/// have changed. Of compiled code they are `<optimised out>`. Names come from the guest; what could move
/// the cursor of a terminal is replaced.
///
/// ```
/// use wardian::{Config, Engine, EngineKind, Instance, Module, Store};
/// use wardian_observe::TrapReport;
///
/// let mut config = Config::new();
/// config.engine(EngineKind::Interpreted).backtrace_locals(true);
/// let engine = Engine::new(&config)?;
/// let module = Module::new(&engine, r#"(module (memory 1)
///   (func $load (export "load") (param $at i32) (result i32) (i32.load (local.get $at))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let load = instance.typed_func::<i32, i32>(&mut store, "load")?;
/// let error = load.call(&mut store, 65_534).unwrap_err();
///
/// let report = TrapReport::new(&error).with_memory_of(instance.internal(&store)).to_string();
/// assert!(report.contains("load(at: i32 = 65534)"), "{report}");
/// assert!(report.contains("address 0xfffe, 4 bytes, memory 0 has 0x10000 bytes"), "{report}");
/// assert!(report.contains("2 bytes before the end of memory 0"), "{report}");
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Debug)]
pub struct TrapReport<'a> {
    error: &'a Error,
    instance: Option<InternalModule<'a>>,
    /// How calls of a program that an interpreter runs are shown.
    guest_frames: GuestFrames,
    /// None for the full form.
    short: Option<&'a str>,
    /// In the place of the error's own.
    message: Option<&'a str>,
}

impl<'a> TrapReport<'a> {
    /// A report of an error; of one without a backtrace it is the error's message.
    pub fn new(error: &'a Error) -> TrapReport<'a> {
        let guest_frames = GuestFrames::default();
        TrapReport { error, instance: None, guest_frames, short: None, message: None }
    }

    /// The short form: where in the guest's own code it happened, with the text of the line if the source is
    /// there, and the eight innermost calls, of which those of the language's own library are one line. There are
    /// neither values nor memory. The hint, which may be empty, says how to see more.
    pub fn short(mut self, hint: &'a str) -> Self {
        self.short = Some(hint);
        self
    }

    /// Says this in the place of the error's own message.
    pub fn with_message(mut self, message: &'a str) -> Self {
        self.message = Some(message);
        self
    }

    /// How calls of a program that an interpreter in the guest runs are shown, CPython 3.11 to 3.14, PHP 8.2 or
    /// CRuby 3.2 to 3.4, and calls of goroutines of Go that are on their own stacks only: they are read from the memory of
    /// [`TrapReport::with_memory_of`]. Default: [`GuestFrames::Mixed`].
    pub fn with_guest_frames(mut self, frames: GuestFrames) -> Self {
        self.guest_frames = frames;
        self
    }

    /// Shows memory of this instance too, where the access was and where arguments point to; nothing if
    /// the innermost call is one of another module.
    pub fn with_memory_of(mut self, instance: InternalModule<'a>) -> Self {
        self.instance = Some(instance);
        self
    }
}

impl fmt::Display for TrapReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message {
            Some(message) => f.write_str(message)?,
            None => write!(f, "{}", self.error)?,
        }
        let access = self.error.memory_access();
        if let Some(access) = &access {
            write!(f, ": {access}")?;
        }
        let Some(backtrace) = self.error.backtrace() else { return Ok(()) };
        let (instance, is_whole) = (self.instance.as_ref(), backtrace.omitted() == 0);
        let calls = Calls::new(backtrace.frames(), is_whole, instance, self.guest_frames);
        if let Some(hint) = self.short {
            let hint = Some(hint).filter(|hint| !hint.is_empty());
            return short::write(f, backtrace, &calls, hint);
        }
        f.write_str("\nguest backtrace, innermost call first:")?;
        let frames = backtrace.frames();
        for (i, item) in calls.items.iter().enumerate().take(SHOWN) {
            write!(f, "\n  {i:>3}: ")?;
            match *item {
                Item::Frame(at) => write_frame(f, &calls.frames[at])?,
                Item::Script(at) => write_script(f, &calls.script[at])?,
            }
        }
        let more = calls.items.len().saturating_sub(SHOWN) + backtrace.omitted();
        if more > 0 {
            write!(f, "\n  ... and {more} more")?;
        }
        if let Some(why) = backtrace.unknown_lines() {
            write!(f, "\n  {why}")?;
        }
        if let (Some(instance), Some(frame)) = (self.instance, frames.first())
            && is_of(&instance, frame)
        {
            if let Some(access) = &access {
                hexdump::write_access(f, &instance, access)?;
            }
            let mut pointers = pointers(frame);
            // It has been shown.
            pointers.retain(|(_, at)| Some(*at) != access.map(|a| a.address()));
            hexdump::write_near(f, &instance, &pointers)?;
        }
        Ok(())
    }
}

/// Whether a call is of the module that an instance was made from.
fn is_of(instance: &InternalModule<'_>, frame: &Frame) -> bool {
    instance.module().is_none_or(|m| m.bytes().as_ptr() == frame.module().bytes().as_ptr())
}

/// The function with its arguments, and where in it.
fn write_frame(f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
    let definition = frame.definition();
    f.write_str(&shown(&definition.display_name()))?;
    write_arguments(f, frame)?;
    if let Some(offset) = frame.file_offset() {
        write!(f, " (offset {offset:#x})")?;
    }
    for place in frame.source_locations() {
        write!(f, "\n        at {}", shown(&place.file))?;
        if let Some(line) = place.line {
            write!(f, ":{line}")?;
        }
        if place.approximate {
            f.write_str(" (approximate)")?;
        }
        if let Some(function) = place.function {
            write!(f, " in {}", shown(&function))?;
        }
    }
    Ok(())
}

/// A call of a program that an interpreter runs, and where in it.
fn write_script(f: &mut fmt::Formatter<'_>, call: &ScriptCall) -> fmt::Result {
    f.write_str(&shown(&call.function.name))?;
    write!(f, "\n        at {}", shown(&call.function.file))?;
    call.line.map_or(Ok(()), |line| write!(f, ":{line}"))
}

/// A name, which may do anything but fill screens.
fn shown(name: &str) -> String {
    shorten(&printable(name), COLUMNS)
}

/// The arguments in parentheses; nothing for a function without parameters.
fn write_arguments(f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
    let (definition, locals) = (frame.definition(), values::locals(frame));
    let named = definition.param_names().zip(definition.param_types()).enumerate();
    for (i, (name, ty)) in named.take(ARGUMENTS) {
        let before = if i == 0 { "(" } else { ", " };
        let name = name.map_or_else(|| format!("${i}"), shown);
        write!(f, "{before}{name}: {ty} = ")?;
        match locals.get(i).and_then(Option::as_ref) {
            Some(value) => write_value(f, value)?,
            None => f.write_str("<optimised out>")?,
        }
    }
    match definition.param_types().len() {
        0 => Ok(()),
        1..=ARGUMENTS => f.write_str(")"),
        _ => f.write_str(", …)"),
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &Val) -> fmt::Result {
    match value {
        Val::I32(value) => write!(f, "{value}"),
        Val::I64(value) => write!(f, "{value}"),
        Val::F32(bits) => write!(f, "{:?}", f32::from_bits(*bits)),
        Val::F64(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
        Val::V128(value) => write!(f, "{value:#034x}"),
        other => write!(f, "{other:?}"),
    }
}

/// Arguments of a call that may be addresses, with their names.
fn pointers(frame: &Frame) -> Vec<(String, u64)> {
    let definition = frame.definition();
    let named = definition.param_names().zip(values::locals(frame)).enumerate();
    named
        .take(ARGUMENTS)
        .filter_map(|(i, (name, value))| {
            let address = match value? {
                Val::I32(value) => u64::from(value.cast_unsigned()),
                Val::I64(value) => value.cast_unsigned(),
                _ => return None,
            };
            Some((name.map_or_else(|| format!("${i}"), shown), address))
        })
        .collect()
}
