//! What is written of a function again and again, made once.

use super::options::{TraceFormat, TraceOptions};
use super::value::{escape_json, escape_text};
use super::wasi::{self, System};
use wardian::{ValType, inspect::FunctionDefinition};

/// Bytes of a name that are shown.
const NAME: usize = 256;

/// A function as a trace shows it.
pub(super) struct Function {
    /// Its number among those of the trace.
    pub(super) number: u32,
    /// Its index, unless it is the host's: functions of a module may have the same name.
    pub(super) index: Option<u32>,
    /// Its name, without anything that a terminal could take for more.
    pub(super) name: String,
    /// What stands before its arguments, and what names it at its end.
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    pub(super) params: Box<[Param]>,
    pub(super) results: Box<[ValType]>,
    /// Whether it is the host's.
    pub(super) host: bool,
    /// What is known of it if it is a function of WASI.
    pub(super) system: Option<System>,
}

/// A parameter.
pub(super) struct Param {
    pub(super) ty: ValType,
    /// What stands before its value.
    pub(super) head: Box<[u8]>,
}

impl Function {
    pub(super) fn new(definition: &FunctionDefinition<'_>, options: &TraceOptions) -> Function {
        let import = definition.import();
        let system = import.and_then(|(module, name)| wasi::find(module, name, definition.ty()));
        let raw = match (import, options.format) {
            (None, TraceFormat::Log) => definition.debug_name(),
            (Some((_, name)), format) if system.is_some() && format != TraceFormat::Log => {
                name.to_owned()
            }
            (Some((module, name)), _) => format!("{module}.{name}"),
            (None, _) => definition.display_name(),
        };
        let mut function = Function {
            number: 0,
            index: definition.index().filter(|_| import.is_none()),
            name: escaped(&raw, escape_text),
            head: Vec::new(),
            tail: Vec::new(),
            params: params(definition, options.format),
            results: definition.result_types().into(),
            host: import.is_some(),
            system,
        };
        function.write_heads(&raw, import, options);
        function
    }

    fn write_heads(&mut self, raw: &str, import: Option<(&str, &str)>, options: &TraceOptions) {
        let name = escaped(raw, escape_json);
        let kind = if self.host { "host" } else { "wasm" };
        let (head, tail) = match options.format {
            TraceFormat::Text => {
                let (on, off) = match (options.color, self.host) {
                    (false, _) => ("", ""),
                    (true, true) => ("\x1b[36m", "\x1b[0m"),
                    (true, false) => ("\x1b[1m", "\x1b[0m"),
                };
                let name = &self.name;
                (format!("{on}{name}{off}("), format!(" {on}{name}{off}"))
            }
            TraceFormat::Log => (format!("==> {}(", self.name), String::new()),
            TraceFormat::Json => {
                let module = import.map(|(module, _)| escaped(module, escape_json));
                let module = module.map(|m| format!(",\"module\":\"{m}\"")).unwrap_or_default();
                (format!(",\"name\":\"{name}\"{module},\"args\":{{"), String::new())
            }
            TraceFormat::Chrome => {
                let head =
                    format!(",\"name\":\"{name}\",\"cat\":\"{kind}\",\"args\":{{\"args\":{{");
                (head, String::new())
            }
        };
        (self.head, self.tail) = (head.into_bytes(), tail.into_bytes());
    }
}

/// A name with its unusual characters escaped, cut if it is long.
pub(super) fn escaped(text: &str, escape: fn(&mut Vec<u8>, &[u8], bool)) -> String {
    let mut out = Vec::new();
    let cut = text.len() > NAME;
    escape(&mut out, &text.as_bytes()[..text.len().min(NAME)], cut);
    if cut {
        out.extend_from_slice("…".as_bytes());
    }
    String::from_utf8(out).unwrap_or_default()
}

fn params(definition: &FunctionDefinition<'_>, format: TraceFormat) -> Box<[Param]> {
    let json = matches!(format, TraceFormat::Json | TraceFormat::Chrome);
    let mut used: Vec<String> = Vec::new();
    let mut param = |(i, (ty, name)): (usize, (&ValType, Option<&str>))| {
        let head = if json {
            // Keys of an object are to differ; numbers are no names of locals in the text format.
            let name = name.map(|name| escaped(name, escape_json));
            let fits = |name: &String| !used.contains(name) && name.parse::<u32>().is_err();
            let name = name.filter(fits).unwrap_or_else(|| i.to_string());
            let head = format!("{}\"{name}\":", if i > 0 { "," } else { "" });
            used.push(name);
            head
        } else {
            let name = name.map(|name| escaped(name, escape_text) + "=").unwrap_or_default();
            format!("{}{name}", if i > 0 { ", " } else { "" })
        };
        Param { ty: *ty, head: head.into_bytes().into() }
    };
    let named = definition.param_types().iter().zip(definition.param_names());
    named.enumerate().map(&mut param).collect()
}
