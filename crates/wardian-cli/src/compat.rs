//! Command lines of other runtimes: a file that is run without `run`, and their options.

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Options of other commands (wasmtime, wasmer, wasmedge), and what does the same here.
const FOREIGN_OPTIONS: &[(&str, &str)] = &[
    ("--mapdir", "--dir HOST:GUEST gives the guest a directory (the host's name comes first)"),
    ("--volume", "--dir HOST:GUEST gives the guest a directory"),
    ("--tcplisten", "--listen ADDRESS:PORT gives the guest a socket that listens"),
    (
        "--net",
        "--listen ADDRESS:PORT gives the guest a socket that listens; there is no other network",
    ),
    (
        "--preload",
        "a program is one module here; --stub-imports runs it although imports are missing",
    ),
    ("--wasm-timeout", "--timeout 5s stops the guest"),
    ("--time-limit", "--timeout 5s stops the guest"),
    ("--max-wasm-stack", "--stack-size 8MiB is the size of the guest's stack"),
    ("--memory-page-limit", "--max-memory 512MiB limits the guest's memory"),
    ("--gas-limit", "--fuel NUMBER limits the guest's work"),
    ("--wasm-features", "--features LIST and --disable-features LIST say what modules may use"),
    ("--enable-all", "all features are on unless --features LIST says otherwise"),
    ("--cranelift", "--engine tiered, jit or interp says how code is run"),
    ("--singlepass", "--engine tiered, jit or interp says how code is run"),
    ("--llvm", "--engine tiered, jit or interp says how code is run"),
    ("--disable-cache", "--no-cache runs without the cache"),
    ("--cache", "the cache is on unless --no-cache is given"),
    ("--forward-host-env", "--env-inherit gives the guest all environment variables"),
    ("--inherit-env", "--env-inherit gives the guest all environment variables"),
    ("--entrypoint", "--invoke NAME calls an exported function"),
    ("--reactor", "--invoke NAME calls an exported function"),
    (
        "--debug-info",
        "lines are shown wherever the module has them; --symbols FILE names a file that has",
    ),
    ("--config", "all settings are options: see wardian help run"),
    ("--argv0", "the guest's first argument is the file's name"),
    (
        "-W",
        "limits are --timeout, --fuel, --max-memory and --stack-size; features are --features LIST",
    ),
    (
        "--wasm",
        "limits are --timeout, --fuel, --max-memory and --stack-size; features are --features LIST",
    ),
    ("-S", "WASI preview 1 is always there: see --dir, --env, --env-inherit and --listen"),
    ("--wasi", "WASI preview 1 is always there: see --dir, --env, --env-inherit and --listen"),
    ("-O", "--engine tiered, jit or interp says how code is run"),
    ("--optimize", "--engine tiered, jit or interp says how code is run"),
    (
        "-C",
        "--engine tiered, jit or interp says how code is run; --no-cache runs without the cache",
    ),
    ("--codegen", "--engine tiered, jit or interp says how code is run"),
    ("-D", "--coredump FILE keeps what a guest that trapped had in memory"),
    ("--debug", "--coredump FILE keeps what a guest that trapped had in memory"),
    ("--profile", "`wardian profile FILE` shows where a program spends its time"),
];

/// The command line with `run` in it if it begins with a file, or with an option of `run`.
pub(crate) fn with_run(mut args: Vec<OsString>) -> Vec<OsString> {
    let is_global = |arg: &OsStr| {
        let known = ["-v", "--verbose", "-h", "--help", "-V", "--version"];
        known.iter().any(|known| arg == *known)
    };
    let Some(at) = args.iter().skip(1).position(|arg| !is_global(arg)) else { return args };
    let (at, first) = (at + 1, &args[at + 1]);
    let is_command =
        crate::args::Cli::command().find_subcommand(first).is_some() || first == "help";
    // A file named as a command is run by `wardian run FILE`, or by a path that says that it is one.
    let is_option = first.as_encoded_bytes().starts_with(b"-");
    if !is_command && (is_option || Path::new(first).is_file()) {
        args.insert(at, "run".into());
    }
    args
}

/// What does the same as an option that is not known, if it is one of another runtime.
pub(crate) fn replacement(error: &clap::Error) -> Option<&'static str> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let option = option.split('=').next().unwrap_or_default();
    FOREIGN_OPTIONS.iter().find(|(foreign, _)| *foreign == option).map(|(_, own)| *own)
}

/// An argument of the guest's that is an option of this command, as it would be before the file.
pub(crate) fn misplaced(args: &[OsString]) -> Option<&str> {
    let command = crate::args::Cli::command();
    let run = command.find_subcommand("run")?;
    let is_ours = |arg: &&str| {
        let name = arg.strip_prefix("--").and_then(|arg| arg.split('=').next());
        // Those that every program has say nothing.
        name.is_some_and(|name| {
            !matches!(name, "help" | "version" | "verbose" | "")
                && run.get_arguments().any(|known| known.get_long() == Some(name))
        })
    };
    let before = args.iter().take_while(|arg| *arg != "--");
    before.filter_map(|arg| arg.to_str()).find(is_ours)
}

#[cfg(test)]
mod tests {
    use super::{misplaced, with_run};
    use std::ffi::OsString;

    fn args(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_file_is_run() {
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/src/main.rs");
        for (line, expected) in [
            (format!("wardian {this} x"), format!("wardian run {this} x")),
            (format!("wardian -v {this}"), format!("wardian -v run {this}")),
            ("wardian --dir . x.wasm".into(), "wardian run --dir . x.wasm".into()),
            ("wardian inspect x".into(), "wardian inspect x".into()),
            ("wardian help run".into(), "wardian help run".into()),
            ("wardian --version".into(), "wardian --version".into()),
            ("wardian no-such-file".into(), "wardian no-such-file".into()),
            ("wardian".into(), "wardian".into()),
        ] {
            assert_eq!(with_run(args(&line)), args(&expected), "{line}");
        }
    }

    #[test]
    fn options_behind_the_file_are_the_guests() {
        assert_eq!(misplaced(&args("x --timeout=5s")), Some("--timeout=5s"));
        assert_eq!(misplaced(&args("x --help -v --verbose y")), None);
        assert_eq!(misplaced(&args("x -- --timeout 5s")), None);
    }
}
