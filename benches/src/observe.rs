//! What profilers cost.

use crate::engines::WARDIAN;
use crate::hooks::{Guest, WITHOUT};
use crate::measure::{Row, difference, measure};
use crate::options::{Options, Result};
use wardian::{CompileOptions, FunctionFilter, FunctionListener, StackIterator};
use wardian_observe::{Profiler, ProfilerOptions};

struct Empty;

impl FunctionListener for Empty {
    fn before(&self, _: &wardian::Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {}
}

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
        let profiler = Profiler::new(ProfilerOptions::sampling());
        let mut with = Guest::new(&CompileOptions::new())?;
        profiler.watch_store(with.store())?;
        let mut without = Guest::new(&CompileOptions::new())?;
        let contenders =
            vec![with.contender(WARDIAN, "guest")?, without.contender(WITHOUT, "guest")?];
        rows.push(measure(options, "sampled", contenders)?);
    }
    Ok(rows)
}

/// The function that is called in the loop of this name.
fn chosen(name: &str) -> FunctionFilter {
    FunctionFilter::name(name).and(FunctionFilter::new(|d| {
        // The loops are exported by the names of what they call.
        d.import().is_some() || d.export_names().next().is_none()
    }))
}
