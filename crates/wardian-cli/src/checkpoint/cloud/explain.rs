//! What goes wrong with stores of objects, in words that say where, and what to do. Credentials are in no message.

use super::Scheme;
use anyhow::anyhow;
use object_store::Error;

/// An error of the store, at a place.
pub(super) fn explain(error: Error, scheme: Scheme, root: &str) -> anyhow::Error {
    let text = without_credentials(&without_markup(&chain(&error)));
    let advice = advice(&error, &text, scheme, root);
    match advice {
        Some(advice) => anyhow!("{text}").context(advice),
        None => anyhow!("{text}"),
    }
}

/// Whether a missing object is missing because its bucket is.
pub(super) fn is_about_the_bucket(text: &str) -> bool {
    ["NoSuchBucket", "bucket does not exist", "ContainerNotFound"].iter().any(|s| text.contains(s))
}

fn advice(error: &Error, text: &str, scheme: Scheme, root: &str) -> Option<String> {
    let variables = variables(scheme);
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if is_about_the_bucket(text) {
        return Some(format!("there is no bucket {root}: it has to be made before"));
    }
    if has(&["169.254.169.254", "metadata.google.internal", "Missing AccessKey"]) {
        return Some(format!("{root} needs credentials: set {variables}"));
    }
    if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"])
        || matches!(error, Error::Unauthenticated { .. })
    {
        return Some(format!("{root} does not accept the credentials: see {variables}"));
    }
    match error {
        Error::PermissionDenied { .. } if scheme == Scheme::Http => {
            Some(format!("{root} does not permit that to everybody"))
        }
        Error::PermissionDenied { .. } => Some(format!(
            "{root} does not permit that to these credentials ({variables}); objects are read, written, listed, \
             copied and removed"
        )),
        Error::NotFound { .. } => Some("there is no such object".to_owned()),
        Error::Precondition { .. } => {
            Some("it was replaced while it was read: try again".to_owned())
        }
        _ if has(&["URL scheme is not allowed"]) => Some(
            "the endpoint has no TLS: set AWS_ALLOW_HTTP=true if that is what you want".to_owned(),
        ),
        _ if has(&[
            "onnection refused",
            "error trying to connect",
            "dns error",
            "client error (Connect)",
        ]) =>
        {
            Some(format!("{root} cannot be reached: see {}", endpoint(scheme)))
        }
        _ if has(&["timed out", "timeout"]) => Some(format!("{root} does not answer in time")),
        _ => None,
    }
}

/// Where credentials are read from.
fn variables(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
        Scheme::Google => "GOOGLE_APPLICATION_CREDENTIALS",
        Scheme::Azure => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        Scheme::Http => "none, by HTTP",
    }
}

fn endpoint(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => "AWS_ENDPOINT_URL and AWS_REGION",
        Scheme::Google => "the network, and GOOGLE_BASE_URL",
        Scheme::Azure => "AZURE_STORAGE_ENDPOINT",
        Scheme::Http => "the address",
    }
}

/// The error with its causes. Those that the outer ones repeat are left out.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

/// Takes out the values of variables that may hold credentials, and the queries of URLs.
fn without_credentials(text: &str) -> String {
    let is_secret = |name: &str| {
        let parts = ["KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL", "SAS"];
        parts.iter().any(|part| name.to_ascii_uppercase().contains(part))
    };
    let mut text = text.to_owned();
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && is_secret(name)
            && value.len() >= 4
        {
            text = text.replace(value, "…");
        }
    }
    let text = without_numbers(&text);
    let mut parts = text.split('?');
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_end = |c: char| c.is_whitespace() || "\"')>".contains(c);
        clean.push('?');
        if part.starts_with(is_end) || part.is_empty() {
            clean.push_str(part);
        } else {
            clean.push('…');
            clean.push_str(part.find(is_end).map_or("", |end| &part[end..]));
        }
    }
    clean
}

/// Of an answer in XML only what it says for people.
fn without_markup(text: &str) -> String {
    let Some((before, answer)) = text.split_once("<?xml") else { return text.to_owned() };
    let element = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
    };
    let said: Vec<&str> = [element("Code"), element("Message")].into_iter().flatten().collect();
    format!("{before}{}", said.join(": "))
}

/// Takes out the numbers of the system's errors, which stand beside words.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::{without_credentials, without_markup};

    #[test]
    fn answers_are_shown_as_words() {
        let answer = "404: <?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>It is not there</Message></Error>";
        assert_eq!(without_markup(answer), "404: NoSuchKey: It is not there");
        assert_eq!(without_markup("404: nothing"), "404: nothing");
    }

    #[test]
    fn queries_are_not_shown() {
        for (text, shown) in [
            ("GET http://h/b?sig=abc&x=1: no", "GET http://h/b?… no"),
            ("what? nothing (http://h/?a)", "what? nothing (http://h/?…)"),
            ("nothing", "nothing"),
            ("refused (os error 111), and more", "refused, and more"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
