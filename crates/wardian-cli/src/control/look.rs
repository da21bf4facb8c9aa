//! Looks at a guest for which others have asked: what it does, a profile, a trace.

use super::protocol::{Answer, Code, Command, Kind};
use crate::args::TracedCalls;
use crate::live::Live;
use crate::outfile::{FileWriter, OutFile};
use crate::report;
use crate::trace::FILE_LIMIT;
use anyhow::Context;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wardian_observe::{
    BackgroundWriter, Format, Profile, ProfilerOptions, TraceEnd, TraceFormat, TraceListener,
};

/// The longest look.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What is answered if it cannot be done.
type Refusal = (Code, String);

/// Looks, and answers. It ends early if the guest ends, or nobody wants the answer.
pub(super) fn answer(
    live: &Live,
    command: Command,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Answer, Refusal> {
    let time = |milliseconds| Duration::from_millis(milliseconds).min(LONGEST);
    match command {
        Command::Top { for_ms } => {
            let view = live.view(time(for_ms), is_wanted);
            view.map(Answer::view).map_err(|why| (Code::CannotSample, why))
        }
        Command::Profile { file, format, for_ms, kind } => {
            let look = |live: &Live| profiled(live, kind, time(for_ms), is_wanted);
            profile(live, &file, format.as_deref(), look).map(Answer::profiled)
        }
        Command::Trace { file, format, for_ms, calls, summary } => {
            let tracing = Tracing { calls, format, summary, time: time(for_ms) };
            tracing.trace(live, &file, is_wanted).map(Answer::traced)
        }
        _ => Err((Code::Malformed, "it is no look".into())),
    }
}

fn malformed(why: impl ToString) -> Refusal {
    (Code::Malformed, why.to_string())
}

fn cannot_write(error: anyhow::Error) -> Refusal {
    (Code::CannotWrite, report::in_line(&error))
}

fn absolute(file: &Path) -> Result<(), Refusal> {
    match file.is_absolute() {
        true => Ok(()),
        false => Err(malformed(format!("{} is not an absolute path", file.display()))),
    }
}

/// Writes the profile of a look; returns how many samples it has.
fn profile(
    live: &Live,
    file: &Path,
    format: Option<&str>,
    look: impl FnOnce(&Live) -> Result<Profile, Refusal>,
) -> Result<u64, Refusal> {
    absolute(file)?;
    let format = match format {
        Some(name) => name.parse::<Format>(),
        None => Format::of_path(file),
    };
    let format = format.map_err(malformed)?;
    // Found out before, for what is seen would be lost.
    let file = OutFile::open(file.to_owned()).map_err(cannot_write)?;
    match look(live) {
        Ok(profile) => {
            let written = file.replace("profile", |writer| profile.write(format, writer));
            written.map(|()| profile.meta().samples).map_err(cannot_write)
        }
        Err(refusal) => {
            file.discard();
            Err(refusal)
        }
    }
}

fn profiled(
    live: &Live,
    kind: Kind,
    time: Duration,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Profile, Refusal> {
    let profiler = match kind {
        Kind::Sampling => {
            return live.look(time, is_wanted).map_err(|why| (Code::CannotSample, why));
        }
        Kind::Exact => live.profiler(ProfilerOptions::exact()),
        Kind::Memory => live.profiler(ProfilerOptions::memory()),
    };
    let seen = live.listen(profiler.listener_factory(), time, is_wanted);
    seen.map(|()| profiler.finish()).map_err(|why| (Code::CannotAttach, why))
}

/// A trace that is asked for.
struct Tracing {
    calls: TracedCalls,
    format: Option<String>,
    summary: bool,
    time: Duration,
}

impl Tracing {
    fn trace(
        self,
        live: &Live,
        path: &Path,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<TraceEnd, Refusal> {
        absolute(path)?;
        let format = match &self.format {
            Some(name) => name.parse::<TraceFormat>().map_err(malformed)?,
            None => TraceFormat::Text,
        };
        if path.exists() && !path.is_file() {
            // The guest would wait for whoever reads it.
            let why = format!("a trace is written to a file, and {} is none", path.display());
            return Err((Code::CannotWrite, why));
        }
        let file = Arc::new(OutFile::open(path.to_owned()).map_err(cannot_write)?);
        let limit = self.calls.limit.map_or(FILE_LIMIT, |bytes| bytes as u64);
        let options = self.calls.options().with_format(format).with_limit(limit);
        let options = options.with_events(!self.summary).with_summary(self.summary);
        let options = options.with_prompt_output(true).with_earlier_calls(true);
        let writer = BackgroundWriter::new(FileWriter(file.clone()));
        let writer = writer.context("cannot write the trace").map_err(cannot_write)?;
        let trace = TraceListener::new(writer, options);
        if let Err(why) = live.listen(trace.clone(), self.time, is_wanted) {
            file.discard();
            return Err((Code::CannotAttach, why));
        }
        let written = trace.finish().map_err(anyhow::Error::new).and_then(|end| {
            match self.summary {
                true => {
                    let summary = trace.summary().to_string();
                    file.replace("summary", |writer| writer.write_all(summary.as_bytes()))?;
                }
                false => file.truncate()?,
            }
            Ok(end)
        });
        written.with_context(|| format!("cannot write {}", path.display())).map_err(cannot_write)
    }
}
