//! What profilers and traces cost.

use crate::engines::WARDIAN;
use crate::hooks::{Guest, WITHOUT};
use crate::measure::{Row, difference, measure};
use crate::options::{Options, Result};
use std::fs::File;
use std::io::{self, Seek, Write};
use wardian::{
    CompileOptions,
    listener::{FunctionFilter, FunctionListener},
    stack::StackIterator,
};
use wardian_observe::{
    BackgroundWriter, Profiler, ProfilerOptions, TraceFormat, TraceListener, TraceOptions,
};

struct Empty;

impl FunctionListener for Empty {
    fn before(&self, _: &wardian::listener::Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {}
}

/// How often samples are taken.
const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);

/// A call in an exact profile, beyond the plain call and beyond one with an empty listener; and calls
/// while samples are taken.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for name in ["guest", "tail", "host"] {
        for (what, listened) in [("exact", false), ("exact over empty listener", true)] {
            let title = format!("{what}: {name}");
            if !options.wants(&title) {
                continue;
            }
            let profiler = Profiler::new(ProfilerOptions::exact());
            let profiled = CompileOptions::new()
                .with_function_listener_factory(chosen(name).apply(profiler.listener_factory()));
            let mut with = Guest::new(&profiled)?;
            let mut plain = CompileOptions::new();
            if listened {
                plain = plain.with_function_listener_factory(chosen(name).listen(Empty));
            }
            let mut without = Guest::new(&plain)?;
            let contenders =
                vec![with.contender(WARDIAN, name)?, without.contender(WITHOUT, name)?];
            rows.push(difference(measure(options, &title, contenders)?, WITHOUT));
        }
    }
    if options.wants("sampled") {
        let profiler = Profiler::new(ProfilerOptions::sampling().with_interval(MILLISECOND));
        let mut with = Guest::new(&CompileOptions::new())?;
        profiler.watch_store(with.store())?;
        let mut without = Guest::new(&CompileOptions::new())?;
        let contenders =
            vec![with.contender(WARDIAN, "guest")?, without.contender(WITHOUT, "guest")?];
        rows.push(measure(options, "sampled", contenders)?);
    }
    for format in [TraceFormat::Text, TraceFormat::Json, TraceFormat::Chrome] {
        let title = format!("traced: {format:?}").to_lowercase();
        if options.wants(&title) {
            rows.push(traced(options, &title, format)?);
        }
    }
    Ok(rows)
}

/// A call that is traced to a file, beyond the plain call.
fn traced(options: &Options, title: &str, format: TraceFormat) -> Result<Row> {
    let writer = BackgroundWriter::new(Again { file: tempfile()?, written: 0 })?;
    let trace = TraceListener::new(writer, TraceOptions::new().with_format(format));
    let listened =
        CompileOptions::new().with_function_listener_factory(chosen("guest").apply(trace));
    let mut with = Guest::new(&listened)?;
    let mut without = Guest::new(&CompileOptions::new())?;
    let contenders = vec![with.contender(WARDIAN, "guest")?, without.contender(WITHOUT, "guest")?];
    Ok(difference(measure(options, title, contenders)?, WITHOUT))
}

/// A file without a name.
fn tempfile() -> Result<File> {
    let path = std::env::temp_dir().join(format!("wardian-benches-{}", std::process::id()));
    let file = File::create(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// A file that is written again and again, for calls are so many that no disk has room for them.
struct Again {
    file: File,
    written: u64,
}

impl Write for Again {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written > 256 << 20 {
            self.written = 0;
            self.file.rewind()?;
        }
        self.written += bytes.len() as u64;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The function that is called in the loop of this name.
fn chosen(name: &str) -> FunctionFilter {
    FunctionFilter::name(name).and(FunctionFilter::new(|d| {
        // The loops are exported by the names of what they call.
        d.import().is_some() || d.export_names().next().is_none()
    }))
}
