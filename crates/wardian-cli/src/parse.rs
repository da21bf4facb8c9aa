//! Values of options.

use crate::host;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use wardian::CoreFeatures;
use wardian_observe::GuestFrames;

/// A directory for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) read_only: bool,
}

/// How calls of an interpreted program are shown; shells complete what is listed.
pub(crate) fn guest_frames() -> impl TypedValueParser<Value = GuestFrames> {
    let names = PossibleValuesParser::new(GuestFrames::ALL.map(GuestFrames::name));
    names.try_map(|name| name.parse::<GuestFrames>())
}

/// `HOST[:GUEST][:ro]` or `HOST::GUEST[:ro]`.
///
/// HOST may be any bytes, as names of files may; GUEST is Unicode, as WASI requires.
pub(crate) fn directory(text: OsString) -> Result<Directory, String> {
    let text = host::bytes_of(&text);
    let (paths, read_only) = if let Some(rest) = text.strip_suffix(b":ro") {
        (rest, true)
    } else {
        (text.strip_suffix(b":rw").unwrap_or(text), false)
    };
    // The double colon goes first, so that HOST may then contain single ones.
    let (path, guest) =
        split_once(paths, b"::").or_else(|| split_once(paths, b":")).unwrap_or((paths, paths));
    if path.is_empty() || guest.is_empty() {
        return Err("it should be HOST, HOST:GUEST or HOST::GUEST, and may end with :ro".into());
    }
    let Ok(guest) = str::from_utf8(guest) else {
        return Err(
            "the name that the guest knows it by is not Unicode, as WASI requires; another \
                    one can be given with HOST::GUEST"
                .into(),
        );
    };
    Ok(Directory { host: host::from_bytes(path).into(), guest: guest.into(), read_only })
}

fn split_once<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let disk = host::disk(bytes);
    let found = disk + bytes[disk..].windows(at.len()).position(|window| window == at)?;
    Some((&bytes[..found], &bytes[found + at.len()..]))
}

/// `NAME=VALUE`, or the name of a variable of this process.
pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        None if !text.is_empty() => match std::env::var(text) {
            Ok(value) => Ok((text.into(), value)),
            Err(std::env::VarError::NotPresent) => {
                Err(format!("there is no such variable here; {text}=VALUE gives the guest one"))
            }
            Err(_) => Err("its value here is not Unicode, as WASI requires".into()),
        },
        _ => Err("it should be NAME=VALUE, or NAME for the value that it has here".into()),
    }
}

/// A span of time; a number without a unit is one of seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    if let Some(seconds) = text.parse().ok().filter(|_| is_number)
        && let Ok(time) = Duration::try_from_secs_f64(seconds)
    {
        return Ok(time);
    }
    time_with_unit(text)
}

/// A span of time with its unit.
fn time_with_unit(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "it should be a number and a unit, such as 500ms, 5s, 2m or 1m30s".into())
}

/// A number of times a second, as the time from one to the next.
pub(crate) fn frequency(text: &str) -> Result<Duration, String> {
    let hz: Option<f64> = text.parse().ok().filter(|hz| (0.001..=20_000.0).contains(hz));
    let hz = hz.ok_or("it should be a number of times a second, from 0.001 to 20000")?;
    Ok(Duration::from_secs_f64(1.0 / hz))
}

/// A number of bytes, with or without a unit.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let size: Result<bytesize::ByteSize, _> = text.parse();
    let size = size.ok().and_then(|s| usize::try_from(s.as_u64()).ok());
    size.ok_or_else(|| "it should be a number and a unit, such as 64KiB, 512MiB or 2GiB".into())
}

/// The size of a stack.
pub(crate) fn stack_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        0..0x1_0000 => Err("it should be at least 64KiB".into()),
        size => Ok(size),
    }
}

/// The time from one sample to the next.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = time_with_unit(text)?;
    match (Duration::from_micros(50)..=Duration::from_secs(3600)).contains(&interval) {
        true => Ok(interval),
        false => Err("it should be from 50us to 1h".into()),
    }
}

/// A feature, or one of the names for many.
pub(crate) fn features(text: &str) -> Result<CoreFeatures, String> {
    match text {
        "all" => return Ok(CoreFeatures::all()),
        "v1" => return Ok(CoreFeatures::V1),
        "v2" => return Ok(CoreFeatures::V2),
        "v3" => return Ok(CoreFeatures::V3),
        _ => {}
    }
    let one = CoreFeatures::all().iter().find(|one| one.names().any(|name| name == text));
    one.ok_or_else(|| format!("the features are all, v1, v2, v3, {}", CoreFeatures::all()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories() {
        for (text, host, guest, read_only) in [
            ("a", "a", "a", false),
            (".", ".", ".", false),
            ("a:ro", "a", "a", true),
            ("a:rw", "a", "a", false),
            ("a:/b", "a", "/b", false),
            ("a:/b:ro", "a", "/b", true),
            ("a::/b", "a", "/b", false),
            ("a::/b:ro", "a", "/b", true),
            ("a:b::/c", "a:b", "/c", false),
            ("/x y:/b c:rw", "/x y", "/b c", false),
        ] {
            let expected = Directory { host: host.into(), guest: guest.into(), read_only };
            assert_eq!(directory(text.into()), Ok(expected), "{text}");
        }
        for text in ["", ":", ":/b", "a:", "a::", "::b", ":ro"] {
            assert!(directory(text.into()).is_err(), "{text}");
        }
        let bytes = host::from_bytes;
        let strange = directory(bytes(b"a\xff::/b:ro")).unwrap();
        assert_eq!(host::bytes_of(strange.host.as_os_str()), b"a\xff");
        assert!(directory(bytes(b"a\xff")).unwrap_err().contains("HOST::GUEST"));
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("65536"), Ok(65536));
        assert!(size("much").is_err() && size("").is_err() && size("-1").is_err());
        assert_eq!(time("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(time("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(frequency("1000"), Ok(Duration::from_millis(1)));
        assert!(frequency("0").is_err() && frequency("nan").is_err() && frequency("1kHz").is_err());
        assert_eq!(time("5"), Ok(Duration::from_secs(5)));
        assert_eq!(time("0.5"), Ok(Duration::from_millis(500)));
        assert!(time("-1s").is_err() && time("-1").is_err() && time("inf").is_err());
        assert!(time("1e300").is_err() && interval("1").is_err());
        assert_eq!((stack_size("64KiB"), stack_size("8MiB")), (Ok(64 << 10), Ok(8 << 20)));
        assert!(stack_size("1KiB").is_err() && stack_size("65535").is_err());
        assert_eq!(interval("50us"), Ok(Duration::from_micros(50)));
        assert!(interval("0ms").is_err() && interval("49us").is_err() && interval("2h").is_err());
    }

    #[test]
    fn feature_names() {
        assert_eq!(features("tail-call"), Ok(CoreFeatures::TAIL_CALL));
        assert_eq!(features("v1"), Ok(CoreFeatures::V1));
        assert!(features("TAIL_CALL").is_err());
    }
}
