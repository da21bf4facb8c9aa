//! What is said over a control socket: lines of JSON, as `docs/control.md` has them.

use crate::args::{EngineArg, TracedCalls};
use crate::live::View;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;
use wardian_observe::TraceEnd;

/// The version of the protocol that is spoken.
pub(crate) const PROTOCOL: u64 = 1;

/// Bytes of the longest line, in both directions.
pub(crate) const MAX_LINE: usize = 64 << 10;

/// What can be asked.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Command {
    /// What is there.
    Status,
    /// Write the guest to a file.
    Checkpoint {
        /// An absolute path.
        file: PathBuf,
        /// Whether the guest ends then.
        #[serde(default)]
        stop: bool,
    },
    /// Look at what the guest does.
    Top {
        /// For how long.
        #[serde(default = "second")]
        for_ms: u64,
    },
    /// Write a profile of the guest to a file.
    Profile {
        /// An absolute path.
        file: PathBuf,
        /// The format's name; by the path's ending unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<String>,
        /// For how long the guest is watched.
        for_ms: u64,
        /// Samples, unless it is another kind.
        #[serde(default)]
        kind: Kind,
    },
    /// Write a trace of the guest to a file.
    Trace {
        /// An absolute path.
        file: PathBuf,
        /// The format's name; text unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<String>,
        /// For how long the guest's calls are seen.
        for_ms: u64,
        /// Which of them.
        #[serde(default)]
        calls: TracedCalls,
        /// Whether the file gets how often each function was called, rather than each call.
        #[serde(default)]
        summary: bool,
    },
}

/// The kind of a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    #[default]
    Sampling,
    Exact,
    Memory,
}

fn second() -> u64 {
    1000
}

/// The names of commands.
const COMMANDS: [&str; 5] = ["status", "checkpoint", "top", "profile", "trace"];

impl Command {
    /// The line that asks for it.
    pub(crate) fn to_line(&self) -> anyhow::Result<Vec<u8>> {
        let mut object = Map::new();
        object.insert("protocol".into(), PROTOCOL.into());
        if let Value::Object(fields) = serde_json::to_value(self)? {
            object.extend(fields);
        }
        let mut line = serde_json::to_vec(&object)?;
        line.push(b'\n');
        Ok(line)
    }

    /// What a line asks for, or the answer to one that cannot be understood.
    #[allow(dead_code, reason = "systems without control sockets only ask")]
    pub(crate) fn from_line(line: &[u8]) -> Result<Command, Answer> {
        let malformed = |error: &dyn std::fmt::Display| {
            Answer::error(Code::Malformed, format!("the request cannot be understood: {error}"))
        };
        let mut object: Map<String, Value> =
            serde_json::from_slice(line).map_err(|error| malformed(&error))?;
        match object.remove("protocol").as_ref().and_then(Value::as_u64) {
            Some(PROTOCOL) => {}
            Some(other) => {
                let message =
                    format!("the request has version {other} of the protocol; this is {PROTOCOL}");
                return Err(Answer::error(Code::Protocol, message));
            }
            None => return Err(malformed(&"it has no `protocol` that is a number")),
        }
        let name = object.get("command").and_then(Value::as_str);
        let name = name.ok_or_else(|| malformed(&"it has no `command`"))?;
        if !COMMANDS.contains(&name) {
            let message = format!("there is no command {name:?}; there are {COMMANDS:?}");
            return Err(Answer::error(Code::UnknownCommand, message));
        }
        serde_json::from_value(Value::Object(object)).map_err(|error| malformed(&error))
    }
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Ok(Box<Fields>),
    Error { code: Code, message: String },
}

/// What was asked for; each answer has the fields of its command.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    wardian: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
    /// Of a checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<bool>,
    /// Of a look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<View>,
    /// Of a profile of samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) samples: Option<u64>,
    /// Of a trace: how many calls there were, and how many of them the file lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped: Option<u64>,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    Malformed,
    Protocol,
    UnknownCommand,
    NotAllowed,
    CannotCapture,
    CannotWrite,
    CannotSample,
    CannotAttach,
    Ended,
    /// One of a newer version.
    #[serde(other)]
    Other,
}

/// A line that answers a request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    protocol: u64,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

impl Answer {
    fn ok(fields: Fields) -> Answer {
        Answer { protocol: PROTOCOL, outcome: Outcome::Ok(Box::new(fields)) }
    }

    pub(crate) fn status(engine: EngineArg) -> Answer {
        Answer::ok(Fields {
            wardian: Some(env!("CARGO_PKG_VERSION").into()),
            pid: Some(std::process::id()),
            engine: Some(engine.name().into()),
            commands: COMMANDS.map(String::from).to_vec(),
            ..Fields::default()
        })
    }

    pub(crate) fn written(bytes: u64, stopped: bool) -> Answer {
        Answer::ok(Fields { bytes: Some(bytes), stopped: Some(stopped), ..Fields::default() })
    }

    pub(crate) fn view(view: View) -> Answer {
        Answer::ok(Fields { view: Some(view), ..Fields::default() })
    }

    pub(crate) fn profiled(samples: u64) -> Answer {
        Answer::ok(Fields { samples: Some(samples), ..Fields::default() })
    }

    pub(crate) fn traced(end: TraceEnd) -> Answer {
        let (calls, dropped) = (Some(end.calls), Some(end.dropped));
        Answer::ok(Fields { calls, dropped, ..Fields::default() })
    }

    pub(crate) fn error(code: Code, message: impl std::fmt::Display) -> Answer {
        /// Messages quote what was asked, which may be long.
        const LONGEST: usize = 4096;
        let mut message = message.to_string();
        message.truncate(message.floor_char_boundary(LONGEST));
        Answer { protocol: PROTOCOL, outcome: Outcome::Error { code, message } }
    }

    #[allow(dead_code, reason = "systems without control sockets only ask")]
    pub(crate) fn to_line(&self) -> Vec<u8> {
        // Strings and numbers can always be written.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Code, Command, Kind, Outcome};
    use crate::args::TracedCalls;
    use std::path::PathBuf;

    #[test]
    fn requests_are_read_as_they_were_written() {
        let file = PathBuf::from("/tmp/a b\"\n.chk");
        for command in [
            Command::Status,
            Command::Checkpoint { file: file.clone(), stop: true },
            Command::Top { for_ms: 3 },
            Command::Profile { file: file.clone(), format: None, for_ms: 5, kind: Kind::Exact },
            Command::Profile {
                file: file.clone(),
                format: Some("svg".into()),
                for_ms: 5,
                kind: Kind::default(),
            },
            Command::Trace {
                file,
                format: None,
                for_ms: 5,
                calls: TracedCalls { only: vec!["a*".into()], ..TracedCalls::default() },
                summary: true,
            },
        ] {
            let line = command.to_line().unwrap();
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(Command::from_line(&line).unwrap(), command);
        }
    }

    #[test]
    fn other_lines_are_answered_with_what_is_wrong() {
        let deep = "[".repeat(100_000);
        for (line, expected) in [
            ("", Code::Malformed),
            ("\u{0}", Code::Malformed),
            ("[]", Code::Malformed),
            (&*deep, Code::Malformed),
            ("{}", Code::Malformed),
            (r#"{"protocol":1}"#, Code::Malformed),
            (r#"{"protocol":"1","command":"status"}"#, Code::Malformed),
            (r#"{"protocol":-1,"command":"status"}"#, Code::Malformed),
            (r#"{"protocol":2,"command":"status"}"#, Code::Protocol),
            (r#"{"protocol":1,"command":"fly"}"#, Code::UnknownCommand),
            (r#"{"protocol":1,"command":"checkpoint"}"#, Code::Malformed),
            (r#"{"protocol":1,"command":"checkpoint","file":7}"#, Code::Malformed),
            (r#"{"protocol":1,"command":"top","for_ms":-1}"#, Code::Malformed),
            (r#"{"protocol":1,"command":"profile","file":"/a"}"#, Code::Malformed),
            (
                r#"{"protocol":1,"command":"profile","file":"/a","for_ms":1,"kind":"x"}"#,
                Code::Malformed,
            ),
            (
                r#"{"protocol":1,"command":"trace","file":"/a","for_ms":1,"calls":{"x":1}}"#,
                Code::Malformed,
            ),
            (r#"{"protocol":1,"command":"checkpoint","file":"/a","more":1}"#, Code::Malformed),
        ] {
            let answer = Command::from_line(line.as_bytes()).unwrap_err();
            let Outcome::Error { code, message } = &answer.outcome else { panic!("{answer:?}") };
            assert_eq!(*code, expected, "{line}: {message}");
            assert!(serde_json::from_slice::<Answer>(&answer.to_line()).is_ok());
        }
    }
}
