//! Profile-guided compilation: what `run --profile-generate` writes, who uses it, and what `inspect --profile-data` shows.

use super::harness::{Ended, Place};
use serde_json::Value;

/// Calls $double through a table, as often as the text says, and $square once; then ends as the number of arguments says.
fn program(rounds: u32) -> String {
    // So that there is more code where it is inlined, and not only more of a line.
    let more = "(i32.store (local.get 0) (i32.const 9))".repeat(8);
    format!(
        r#"(module $prog
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (table funcref (elem $double $square)) (type $t (func (param i32) (result i32)))
  (func $double (type $t) {more} (i32.add (local.get 0) (local.get 0)))
  (func $square (type $t) (i32.mul (local.get 0) (local.get 0)))
  (func $apply (param i32 i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 1)))
  (func $work (local i32)
    (loop $again
      (drop (call $apply (local.get 0) (i32.eqz (local.get 0))))
      (br_if $again (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {rounds})))))
  (func (export "answer") (result i32) (call $work) (call $apply (i32.const 21) (i32.const 0)))
  (func (export "spin") (loop (call $work) (br 0)))
  (func $main (export "_start")
    (call $work)
    (drop (call $args (i32.const 32) (i32.const 36)))
    (if (i32.eq (i32.load (i32.const 32)) (i32.const 2)) (then (call $exit (i32.const 7))))
    (if (i32.eq (i32.load (i32.const 32)) (i32.const 3)) (then unreachable))))"#
    )
}

/// Few enough that nothing is hot.
const COLD: u32 = 1000;

fn cold() -> Place {
    Place::with(&[("prog.wat", &program(COLD))])
}

/// What `inspect` says of a profile.
fn shown(place: &Place) -> Value {
    let ended = place.run(&["inspect", "--json", "--profile-data", "p.prof", "prog.wat"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

fn function<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let functions = shown["functions"].as_array().unwrap();
    functions.iter().find(|function| function["name"] == name).expect("it was called")
}

fn generate(place: &Place, options: &[&str], args: &[&str]) -> Ended {
    let begin = ["run", "--profile-generate", "p.prof"];
    place.run(&[&begin[..], options, &["prog.wat"], args].concat())
}

#[test]
fn a_profile_is_written_however_the_program_ends_and_grows() {
    let place = cold();
    for (run, (args, code)) in (1..).zip([(&[][..], 0), (&["x"], 7), (&["x", "y"], 134)]) {
        let ended = generate(&place, &[], args);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let shown = shown(&place);
        let count = |name| function(&shown, name)["count"].as_u64().unwrap();
        let rounds = u64::from(COLD);
        assert_eq!(
            [count("apply"), count("double"), count("square")].map(|n| n / run),
            [rounds, rounds - 1, 1]
        );
        assert_eq!([count("main"), count("work")].map(|n| n / run), [1, rounds + 1]);
        let calls = function(&shown, "apply")["calls"].as_array().unwrap();
        let [call] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!(call["count"], run * rounds);
        let target = |at: usize| {
            let target = &call["targets"][at];
            assert_eq!(target["at_least"], target["at_most"]);
            (target["name"].as_str().unwrap(), target["at_least"].as_u64().unwrap())
        };
        assert_eq!([target(0), target(1)], [("double", run * (rounds - 1)), ("square", run)]);
    }
    // A function that is called, rather than the program.
    let ended = generate(&place, &["--invoke", "answer"], &[]);
    assert_eq!((ended.code, &*ended.out), (Some(0), "42\n"), "{ended:?}");
    assert_eq!(function(&shown(&place), "answer")["count"], 1);
}

#[test]
fn a_program_that_is_stopped_has_a_profile() {
    let place = cold();
    let ended = generate(&place, &["--timeout", "700ms", "--invoke", "spin"], &[]);
    assert_eq!(ended.code, Some(124), "{ended:?}");
    let shown = shown(&place);
    let apply = function(&shown, "apply");
    assert!(apply["hot"] == true && apply["count"].as_u64().unwrap() > 2500, "{shown}");
    let ended = place.run(&["inspect", "--profile-data", "p.prof", "prog.wat"]);
    let line = |part: &str| ended.out.lines().find(|line| line.contains(part)).unwrap_or_default();
    assert!(line("functions were interpreted").starts_with("5 of 7 "), "{}", ended.out);
    let words: Vec<_> = line(" apply").split_whitespace().collect();
    assert_eq!(words[1..], ["yes", "apply"], "{}", ended.out);
    assert!(line("in apply").contains(" at 0x"), "{}", ended.out);
    assert!(line("double").contains(|c: char| c.is_ascii_digit()), "{}", ended.out);
}

/// Bytes of machine code that `compile` says.
fn code(ended: &Ended) -> String {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let code = ended.out.split(", ").find(|part| part.contains("of machine code"));
    code.unwrap_or_else(|| panic!("{ended:?}")).split(';').next().unwrap().to_owned()
}

#[test]
fn a_profile_is_used() {
    let place = cold();
    assert_eq!(generate(&place, &[], &[]).code, Some(0));
    let plain = place.run(&["compile", "-o", "plain.cwasm", "prog.wat"]);
    let compile = ["compile", "--profile-use", "p.prof", "prog.wat"];
    let guided = place.run(&[&compile[..], &["-o", "guided.cwasm"]].concat());
    assert_ne!(code(&plain), code(&guided));
    // In the cache it is for those who have the same profile.
    assert_eq!(code(&place.run(&compile)), code(&guided));
    assert_eq!(code(&place.run(&["compile", "prog.wat"])), code(&plain));
    assert_eq!(place.run(&["cache", "size"]).code, Some(0));
    let entries = std::fs::read_dir(place.cache()).unwrap().count();
    let answer = ["--invoke", "answer", "prog.wat"];
    for engine in ["tiered", "jit", "interp"] {
        let options = ["run", "--engine", engine, "--profile-use", "p.prof"];
        let ended = place.run(&[&options[..], &answer].concat());
        assert_eq!((ended.code, &*ended.out), (Some(0), "42\n"), "{ended:?}");
    }
    assert_eq!(std::fs::read_dir(place.cache()).unwrap().count(), entries, "they were compiled");
    let ended = place.run(&["run", "--allow-precompiled", "--invoke", "answer", "guided.cwasm"]);
    assert_eq!((ended.code, &*ended.out), (Some(0), "42\n"), "{ended:?}");
    // Names are no part of what a profile is of.
    place.write("prog.wat", program(COLD).replace("$double", "$twice"));
    let ended = place.run(&[&["run", "--profile-use", "p.prof"][..], &answer].concat());
    assert_eq!((ended.code, &*ended.out), (Some(0), "42\n"), "{ended:?}");
    assert_eq!(function(&shown(&place), "twice")["count"], COLD - 1);
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let place = cold();
    place.write("other.wat", program(7));
    place.write("text.prof", "profile");
    place.write("lacks.wat", r#"(module (import "no" "thing" (func)) (func (export "_start")))"#);
    assert_eq!(generate(&place, &[], &[]).code, Some(0));
    assert_eq!(place.run(&["compile", "-o", "prog.cwasm", "prog.wat"]).code, Some(0));
    let before = std::fs::read(place.path("p.prof")).unwrap();
    let other = "the profile in p.prof is of another module than other.wat";
    let none = "not a profile of a module";
    let used = ["run", "--profile-use", "p.prof"];
    place.check(&[
        (&["run", "--profile-use", "p.prof", "other.wat"], 1, &[], &[other]),
        (&["compile", "--profile-use", "p.prof", "other.wat"], 1, &[], &[other]),
        (&["inspect", "--profile-data", "p.prof", "other.wat"], 1, &[], &[other]),
        (
            &["run", "--profile-generate", "p.prof", "other.wat"],
            1,
            &[],
            &["the profile in p.prof is of another module than the one that is to run"],
        ),
        (
            &["run", "--profile-use", "text.prof", "prog.wat"],
            1,
            &[],
            &["text.prof cannot be", none],
        ),
        (&["run", "--profile-generate", "text.prof", "prog.wat"], 1, &[], &[none]),
        (&["compile", "--profile-use", "no.prof", "prog.wat"], 1, &[], &["cannot read no.prof"]),
        (&["run", "--profile-generate", "no/p.prof", "prog.wat"], 1, &[], &["cannot write"]),
        (
            &["run", "--engine", "jit", "--profile-generate", "p.prof", "prog.wat"],
            2,
            &[],
            &["needs the tiered engine"],
        ),
        (
            &[&used[..], &["--profile-generate", "q.prof", "prog.wat"]].concat(),
            2,
            &[],
            &["cannot be used with"],
        ),
        (
            &[&used[..], &["--allow-precompiled", "prog.cwasm"]].concat(),
            1,
            &[],
            &["--profile-use does not change"],
        ),
        (&["run", "--profile-generate", "new.prof", "lacks.wat"], 1, &[], &["`no` `thing`"]),
    ]);
    assert_eq!(std::fs::read(place.path("p.prof")).unwrap(), before);
    assert!(!place.path("new.prof").exists() && !place.path("q.prof").exists());
    // A file that is empty is one that nobody has written to.
    place.write("p.prof", "");
    assert_eq!(generate(&place, &[], &[]).code, Some(0));
    assert_eq!(std::fs::read(place.path("p.prof")).unwrap(), before);
}
