//! What a container says about how its guest is run: variables of its environment, which the guest does not get.
//!
//! They are variables since `containerd-shim-wasm` shows a sandbox nothing else of the container's specification.
//! Kubernetes makes variables of annotations, by its downward API.

use anyhow::{Context, anyhow};
use bytesize::ByteSize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use wardian::EngineKind;

const MAX_MEMORY: &str = "WARDIAN_MAX_MEMORY";
const GRACE_PERIOD: &str = "WARDIAN_GRACE_PERIOD";
const CHECKPOINT: &str = "WARDIAN_CHECKPOINT";
const TIMEOUT: &str = "WARDIAN_TIMEOUT";
const FUEL: &str = "WARDIAN_FUEL";
const ENGINE: &str = "WARDIAN_ENGINE";
const MAX_THREADS: &str = "WARDIAN_MAX_THREADS";

/// How long a checkpoint may take, unless set otherwise: less than the 30 seconds that Kubernetes waits.
const TIME_FOR_CHECKPOINT: Duration = Duration::from_secs(25);

/// How a guest is run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    /// Bytes of the guest's memories; without it the container's own limit decides.
    pub(crate) max_memory: Option<u64>,
    /// How long the guest continues after the signal that asks it to end.
    pub(crate) grace_period: Duration,
    /// Where the guest is written to when it is asked to end, and resumed from.
    pub(crate) checkpoint: Option<PathBuf>,
    /// How long the guest may run.
    pub(crate) timeout: Option<Duration>,
    /// How much fuel it has; without it none is counted.
    pub(crate) fuel: Option<u64>,
    pub(crate) engine: Option<EngineKind>,
    /// How many threads a program for threads may have at once, beside its main thread.
    pub(crate) max_threads: Option<usize>,
}

/// Takes the settings out of the environment, and gives the rest.
///
/// # Errors
///
/// A setting has no value that it can have. Other variables are the guest's, whatever their names: Kubernetes gives every
/// pod some that are named after services, and one may be called `wardian`.
pub(crate) fn split(environment: &[String]) -> anyhow::Result<(Settings, Vec<(&str, &str)>)> {
    let mut settings = Settings::default();
    let mut grace_period = None;
    let mut rest = Vec::new();
    for variable in environment {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        match name {
            // As with Kubernetes' own fields, nothing is the same as none: an annotation may be missing.
            MAX_MEMORY | GRACE_PERIOD | CHECKPOINT | TIMEOUT | FUEL | ENGINE | MAX_THREADS
                if value.is_empty() => {}
            MAX_MEMORY => settings.max_memory = Some(size(value)?),
            GRACE_PERIOD => grace_period = Some(duration(name, value)?),
            CHECKPOINT => settings.checkpoint = Some(path(value)?),
            TIMEOUT => settings.timeout = Some(duration(name, value)?),
            FUEL => settings.fuel = Some(number(name, value)?),
            ENGINE => settings.engine = Some(engine(value)?),
            MAX_THREADS => settings.max_threads = Some(number(name, value)?),
            _ => rest.push((name, value)),
        }
    }
    let default = if settings.checkpoint.is_some() { TIME_FOR_CHECKPOINT } else { Duration::ZERO };
    settings.grace_period = grace_period.unwrap_or(default);
    Ok((settings, rest))
}

fn size(value: &str) -> anyhow::Result<u64> {
    let size: Result<ByteSize, String> = value.parse();
    size.map(|size| size.as_u64()).map_err(|error| {
        anyhow!("{MAX_MEMORY} is {value:?}, not a size as 512MiB or 512Mi: {error}")
    })
}

fn duration(name: &str, value: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(value)
        .with_context(|| format!("{name} is {value:?}, not a duration as 10s"))
}

fn number<N: FromStr>(name: &str, value: &str) -> anyhow::Result<N>
where
    N::Err: std::error::Error + Send + Sync + 'static,
{
    value.parse().with_context(|| format!("{name} is {value:?}, not a number"))
}

fn engine(value: &str) -> anyhow::Result<EngineKind> {
    match value {
        "tiered" => Ok(EngineKind::Tiered),
        "compiled" => Ok(EngineKind::Compiled),
        "interpreted" => Ok(EngineKind::Interpreted),
        _ => Err(anyhow!("{ENGINE} is {value:?}, not tiered, compiled or interpreted")),
    }
}

fn path(value: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(value);
    match path.is_absolute() && path.file_name().is_some() {
        true => Ok(path),
        false => Err(anyhow!("{CHECKPOINT} is {value:?}, not the absolute path of a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, split};
    use std::time::Duration;
    use wardian::EngineKind;

    fn environment(variables: &[&str]) -> Vec<String> {
        variables.iter().map(|v| v.to_string()).collect()
    }

    #[test]
    fn settings_are_taken_out_of_the_environment() {
        let seconds = Duration::from_secs;
        let with = |max_memory, grace_period, checkpoint: Option<&str>| Settings {
            max_memory,
            grace_period,
            checkpoint: checkpoint.map(Into::into),
            ..Settings::default()
        };
        for (variables, expected) in [
            (&[][..], with(None, seconds(0), None)),
            (&["WARDIAN_MAX_MEMORY=1048576"], with(Some(1 << 20), seconds(0), None)),
            (&["WARDIAN_MAX_MEMORY=64Mi"], with(Some(64 << 20), seconds(0), None)),
            (&["WARDIAN_MAX_MEMORY=64MiB"], with(Some(64 << 20), seconds(0), None)),
            (&["WARDIAN_MAX_MEMORY=1G"], with(Some(1_000_000_000), seconds(0), None)),
            (&["WARDIAN_GRACE_PERIOD=1m 5s"], with(None, seconds(65), None)),
            (&["WARDIAN_CHECKPOINT=/state/a.chk"], with(None, seconds(25), Some("/state/a.chk"))),
            (
                &["WARDIAN_CHECKPOINT=/state/a.chk", "WARDIAN_GRACE_PERIOD=3s"],
                with(None, seconds(3), Some("/state/a.chk")),
            ),
            (
                &["WARDIAN_CHECKPOINT=", "WARDIAN_GRACE_PERIOD=", "WARDIAN_MAX_MEMORY="],
                with(None, seconds(0), None),
            ),
        ] {
            let mut given = environment(variables);
            given.extend(environment(&["WARDIAN_SERVICE_HOST=10.0.0.1", "A=b=c", "EMPTY"]));
            let (settings, rest) = split(&given).unwrap();
            assert_eq!(settings, expected, "{variables:?}");
            let others = [("WARDIAN_SERVICE_HOST", "10.0.0.1"), ("A", "b=c"), ("EMPTY", "")];
            assert_eq!(rest, others, "{variables:?}");
        }
    }

    #[test]
    fn settings_of_the_engine() {
        let given = environment(&[
            "WARDIAN_TIMEOUT=90s",
            "WARDIAN_FUEL=1000000",
            "WARDIAN_ENGINE=interpreted",
            "WARDIAN_MAX_THREADS=8",
        ]);
        let (settings, rest) = split(&given).unwrap();
        let expected = Settings {
            timeout: Some(Duration::from_secs(90)),
            fuel: Some(1_000_000),
            engine: Some(EngineKind::Interpreted),
            max_threads: Some(8),
            ..Settings::default()
        };
        assert_eq!(settings, expected);
        assert!(rest.is_empty());
    }

    #[test]
    fn values_that_make_no_sense_are_refused_with_their_names() {
        for (variable, expected) in [
            ("WARDIAN_MAX_MEMORY=much", "WARDIAN_MAX_MEMORY is \"much\", not a size"),
            ("WARDIAN_GRACE_PERIOD=10", "WARDIAN_GRACE_PERIOD is \"10\", not a duration"),
            ("WARDIAN_CHECKPOINT=a.chk", "WARDIAN_CHECKPOINT is \"a.chk\", not the absolute path"),
            ("WARDIAN_CHECKPOINT=/", "WARDIAN_CHECKPOINT is \"/\", not the absolute path"),
            ("WARDIAN_TIMEOUT=soon", "WARDIAN_TIMEOUT is \"soon\", not a duration"),
            ("WARDIAN_FUEL=-1", "WARDIAN_FUEL is \"-1\", not a number"),
            ("WARDIAN_ENGINE=fast", "WARDIAN_ENGINE is \"fast\", not tiered, compiled or"),
            ("WARDIAN_MAX_THREADS=1.5", "WARDIAN_MAX_THREADS is \"1.5\", not a number"),
        ] {
            let error = split(&environment(&[variable])).unwrap_err().to_string();
            assert!(error.contains(expected), "{variable}: {error}");
        }
    }
}
