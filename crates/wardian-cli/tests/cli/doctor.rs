//! `wardian doctor`, and that programs run where the system gives less than usual.
//!
//! A system that lacks something is made by a filter of system calls, which the command inherits from the thread that
//! starts it, by limits, and by the environment.

use super::harness::{self, Ended, Place, WARDIAN};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::process::Command;

/// Stores, grows, has data, and traps for addresses that are outside.
const GUEST: &str = r#"(module (memory 1 100) (data (i32.const 16) "\2a")
    (func (export "run") (param i32) (result i32)
      (drop (memory.grow (i32.const 2)))
      (i32.store (i32.const 0x2fffc) (i32.load8_u (i32.const 16)))
      (i32.load (local.get 0))))"#;

/// A system call that is refused, with an error, if an argument has these bits set, or always.
type Refused = (i64, u32, Option<(u8, u64)>);

const NO_SYSTEM_CALL: u32 = libc::ENOSYS as u32;
const FORBIDDEN: u32 = libc::EACCES as u32;

/// The system that lacks something: the name of the row in which the command says so, and what is refused.
const SYSTEMS: [(&str, Refused); 4] = [
    ("memory files", (libc::SYS_memfd_create, NO_SYSTEM_CALL, None)),
    ("executable memory", (libc::SYS_mprotect, FORBIDDEN, Some((2, 4)))),
    ("barriers", (libc::SYS_membarrier, NO_SYSTEM_CALL, None)),
    // The number of PAGEMAP_SCAN.
    ("written pages", (libc::SYS_ioctl, NO_SYSTEM_CALL, Some((1, 0xc060_6610)))),
];

/// Runs a command for which system calls are refused.
fn run_without((call, error, argument): Refused, mut command: Command) -> Ended {
    let rules = match argument {
        None => vec![],
        Some((index, bits)) => {
            let has = SeccompCmpOp::MaskedEq(bits);
            let condition =
                SeccompCondition::new(index, SeccompCmpArgLen::Dword, has, bits).unwrap();
            vec![SeccompRule::new(vec![condition]).unwrap()]
        }
    };
    let filter = SeccompFilter::new(
        [(call, rules)].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(error),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
    // The filter is the thread's, and ends with it.
    std::thread::spawn(move || {
        seccompiler::apply_filter(&program).unwrap();
        harness::run(&mut command, b"")
    })
    .join()
    .unwrap()
}

fn engines() -> &'static [&'static str] {
    if cfg!(feature = "jit") { &["tiered", "jit", "interp"] } else { &["interp"] }
}

/// The rows that say that something is missing.
fn missing(ended: &Ended) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(value["failure"], serde_json::Value::Null, "{ended:?}");
    let rows = value["abilities"].as_array().unwrap();
    let missing: Vec<_> = rows.iter().filter(|row| row["there"] == false).collect();
    assert_eq!(ended.code, Some(if missing.is_empty() { 0 } else { 3 }), "{ended:?}");
    assert!(rows.iter().all(|row| row["instead"].as_str().is_some_and(|text| !text.is_empty())));
    missing.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

fn check_run(ended: &Ended, context: &str) {
    assert_eq!((ended.code, ended.out.trim()), (Some(0), "42"), "{context}: {ended:?}");
}

fn check_trap(ended: &Ended, context: &str) {
    assert_eq!(ended.code, Some(134), "{context}: {ended:?}");
    assert!(ended.err.contains("out of bounds memory access"), "{context}: {ended:?}");
}

#[test]
fn the_text_has_what_json_has() {
    let place = Place::new();
    let (text, json) = (place.run(&["doctor"]), place.run(&["doctor", "--json"]));
    assert_eq!(text.code, json.code, "{text:?} {json:?}");
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    for row in value["abilities"].as_array().unwrap() {
        let sign = if row["there"] == true { "yes" } else { "NO " };
        let begins = format!("{sign}  {}", row["name"].as_str().unwrap());
        assert!(text.out.lines().any(|line| line.starts_with(&begins)), "{begins}: {text:?}");
    }
    assert!(text.out.contains("Programs run, by the"), "{text:?}");
    let engine = if cfg!(feature = "jit") { "tiered" } else { "interp" };
    assert_eq!(value["engine"], engine);
}

#[test]
fn programs_run_where_system_calls_are_refused() {
    let place = Place::with(&[("guest.wat", GUEST)]);
    for (name, refused) in SYSTEMS {
        let found = run_without(refused, place.command(&["doctor", "--json"]));
        assert!(missing(&found).iter().any(|row| row == name), "{name}: {found:?}");
        for engine in engines() {
            if (name, *engine) == ("executable memory", "jit") {
                continue;
            }
            let run = |at: &str| {
                let args =
                    ["run", "--engine", engine, "--no-cache", "--invoke", "run", "guest.wat", at];
                run_without(refused, place.command(&args))
            };
            check_run(&run("0x2fffc"), &format!("{name}, {engine}"));
            check_trap(&run("0x2fffd"), &format!("{name}, {engine}"));
        }
    }
}

#[cfg(feature = "jit")]
#[test]
fn without_executable_memory_the_reason_is_said() {
    let place = Place::with(&[("guest.wat", GUEST)]);
    let (_, refused) = SYSTEMS[1];
    let run = |args: &[&str]| {
        let args = [args, &["--no-cache", "--invoke", "run", "guest.wat", "16"]].concat();
        run_without(refused, place.command(&args))
    };
    let quiet = run(&["run"]);
    assert_eq!((quiet.code, &*quiet.err), (Some(0), ""), "{quiet:?}");
    let verbose = run(&["-v", "run"]);
    check_run(&verbose, "-v");
    assert!(verbose.err.contains("everything is interpreted"), "{verbose:?}");
    assert!(verbose.err.contains("Permission denied"), "{verbose:?}");
    let refused = run(&["run", "--engine", "jit"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("no executable memory for compiled code"), "{refused:?}");
    assert!(refused.err.contains("an interpreted or a tiered engine"), "{refused:?}");
}

/// Runs the command by a shell that changes something before.
fn by_shell(place: &Place, before: &str, args: &[&str]) -> Ended {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), WARDIAN]).args(args);
    shell.current_dir(place.path("")).env("WARDIAN_CACHE_DIR", place.cache());
    harness::run(&mut shell, b"")
}

#[test]
fn limits_and_signals_of_the_process() {
    let place = Place::with(&[("guest.wat", GUEST)]);
    let cases: [(&str, &[&str]); 2] = [
        ("ulimit -v 2000000", &["guard pages", "object heap", "address space"]),
        ("trap '' SEGV", &["signals of traps"]),
    ];
    for (before, names) in cases {
        let rows = missing(&by_shell(&place, before, &["doctor", "--json"]));
        // Where addresses have 32 bits, some are always missing.
        assert!(names.iter().all(|name| rows.iter().any(|row| row == name)), "{before}: {rows:?}");
        for engine in engines() {
            let run = |at: &str| {
                let args =
                    ["run", "--engine", engine, "--no-cache", "--invoke", "run", "guest.wat", at];
                by_shell(&place, before, &args)
            };
            check_run(&run("0x2fffc"), &format!("{before}, {engine}"));
            check_trap(&run("-4"), &format!("{before}, {engine}"));
        }
    }
}

/// Nobody can make a folder there, whoever runs the tests.
#[test]
fn a_home_that_is_read_only() {
    let place = Place::with(&[("guest.wat", GUEST)]);
    let in_home = |args: &[&str]| {
        let mut command = place.command(args);
        command.env_remove("WARDIAN_CACHE_DIR").env("HOME", "/proc").env("XDG_CACHE_HOME", "/proc");
        harness::run(&mut command, b"")
    };
    let rows = missing(&in_home(&["doctor", "--json"]));
    assert!(rows.iter().any(|row| row == "cache folder"), "{rows:?}");
    let run = ["run", "--invoke", "run", "guest.wat", "16"];
    let quiet = in_home(&run);
    check_run(&quiet, "quiet");
    assert_eq!(quiet.err, "");
    let verbose = in_home(&[&["-v"], &run[..]].concat());
    check_run(&verbose, "verbose");
    assert!(verbose.err.contains("warning: "), "{verbose:?}");
}
