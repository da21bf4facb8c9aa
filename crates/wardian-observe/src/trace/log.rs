//! The simplest trace: a line for each beginning and each end.

use super::listener::TraceListener;
use super::options::{TraceFormat, TraceOptions};
use std::io::Write;
use std::sync::Arc;
use wardian::{
    inspect::FunctionDefinition,
    listener::{FunctionListener, FunctionListenerFactory},
};

/// Writes a line for each call, `==> m.square(n=9)`, and one for its end, `<== (81)`, indented by how
/// deep the call is; calls of WASI in words. Each line is written at once. For more see
/// [`TraceListener`].
///
/// ```
/// use wardian::{Engine, Instance, Module, Store};
/// use wardian_observe::{LogListener, TraceBuffer};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module $m
///     (func $square (param $n i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
///     (func (export "run") (result i32) (call $square (i32.const 9))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let text = TraceBuffer::new(1 << 20);
/// instance.attach(&mut store, LogListener::new(text.clone()))?.keep();
/// instance.typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?;
/// let text = String::from_utf8(text.contents()).expect("it is text");
/// assert_eq!(text, "==> m.run()\n\t==> m.square(n=9)\n\t<== (81)\n<== (81)\n");
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LogListener(TraceListener);

impl LogListener {
    /// All calls.
    pub fn new(writer: impl Write + Send + 'static) -> LogListener {
        LogListener::with_options(writer, TraceOptions::new())
    }

    /// The calls that the options choose, whatever format they name.
    pub fn with_options(writer: impl Write + Send + 'static, options: TraceOptions) -> LogListener {
        LogListener(TraceListener::new(writer, options.with_format(TraceFormat::Log).unbuffered()))
    }
}

impl FunctionListenerFactory for LogListener {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        self.0.function_listener(definition)
    }
}
