//! Values of options.

use std::time::Duration;
use wardian::CoreFeatures;

/// A directory for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) host: String,
    pub(crate) guest: String,
    pub(crate) read_only: bool,
}

/// `HOST[:GUEST][:ro]` or `HOST::GUEST[:ro]`.
pub(crate) fn directory(text: &str) -> Result<Directory, String> {
    let (paths, read_only) = if let Some(rest) = text.strip_suffix(":ro") {
        (rest, true)
    } else {
        (text.strip_suffix(":rw").unwrap_or(text), false)
    };
    // The double colon goes first, so that HOST may then contain single ones.
    let (host, guest) =
        paths.split_once("::").or_else(|| paths.split_once(':')).unwrap_or((paths, paths));
    if host.is_empty() || guest.is_empty() {
        return Err("it should be HOST, HOST:GUEST or HOST::GUEST, and may end with :ro".into());
    }
    Ok(Directory { host: host.into(), guest: guest.into(), read_only })
}

/// `NAME=VALUE`.
pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("it should be NAME=VALUE".into()),
    }
}

/// A span of time with its unit.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
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

/// A feature, or one of the names for many.
pub(crate) fn features(text: &str) -> Result<CoreFeatures, String> {
    match text {
        "all" => return Ok(CoreFeatures::all()),
        "v1" => return Ok(CoreFeatures::V1),
        "v2" => return Ok(CoreFeatures::V2),
        _ => {}
    }
    let one = CoreFeatures::all().iter().find(|one| one.names().any(|name| name == text));
    one.ok_or_else(|| format!("the features are all, v1, v2, {}", CoreFeatures::all()))
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
            assert_eq!(directory(text), Ok(expected), "{text}");
        }
        for text in ["", ":", ":/b", "a:", "a::", "::b", ":ro"] {
            assert!(directory(text).is_err(), "{text}");
        }
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
        assert!(time("5").is_err() && time("-1s").is_err());
    }

    #[test]
    fn feature_names() {
        assert_eq!(features("tail-call"), Ok(CoreFeatures::TAIL_CALL));
        assert_eq!(features("v1"), Ok(CoreFeatures::V1));
        assert!(features("TAIL_CALL").is_err());
    }
}
