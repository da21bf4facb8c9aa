//! Programs in C that use the library, as an embedder would: linked with the shared and with the static library, and in
//! valgrind where there is one. The headers compile as C99 and C++17.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The last one is slow in valgrind.
const PROGRAMS: [&str; 7] =
    ["calls", "items", "hooks", "instances", "errors", "threads", "control"];
/// So many of them run in valgrind.
const IN_VALGRIND: usize = PROGRAMS.len() - 1;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The folder in which cargo has put the libraries that the test was built with.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    test.parent().expect("cargo's folder").to_owned()
}

fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        eprintln!("there is no {tool}: not tested with it");
    }
    found
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}:\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A compiler with the folders of the headers.
fn compiler(name: &str) -> Command {
    let mut compiler = Command::new(name);
    compiler.args(["-Wall", "-Wextra", "-Wno-unused-function", "-g"]);
    compiler.arg("-I").arg(here("include")).arg("-I").arg(here("third_party"));
    compiler
}

/// Compiles a program, and checks what it says.
fn program(name: &str, library: &[&str], valgrind: bool) {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join(name);
    let mut cc = compiler("cc");
    cc.arg(here(&format!("tests/programs/{name}.c"))).arg("-o").arg(&path);
    cc.arg("-L").arg(libraries()).args(library).args(["-lpthread", "-ldl", "-lm"]);
    run(&mut cc);
    let mut command = match valgrind {
        true => {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
            valgrind.args(["--errors-for-leak-kinds=definite"]).arg(&path).env("IN_VALGRIND", "1");
            valgrind
        }
        false => Command::new(&path),
    };
    command.env("LD_LIBRARY_PATH", libraries()).arg(folder.path());
    let said = run(&mut command);
    assert!(said.ends_with(&format!("{name}: ok\n")), "{said}");
}

#[test]
fn programs_run_with_the_shared_library() {
    if has("cc") {
        PROGRAMS.iter().for_each(|name| program(name, &["-lwardian_c"], false));
    }
}

#[test]
fn programs_run_with_the_static_library() {
    if has("cc") {
        PROGRAMS.iter().for_each(|name| program(name, &["-l:libwardian_c.a"], false));
    }
}

/// Of tiered engines, which valgrind is slow with, only the calls.
#[test]
fn nothing_is_leaked_in_valgrind() {
    if has("cc") && has("valgrind") {
        PROGRAMS[..IN_VALGRIND].iter().for_each(|name| program(name, &["-lwardian_c"], true));
    }
}

#[test]
fn headers_are_c99_and_cpp17() {
    let folder = tempfile::tempdir().expect("there is room");
    for (tool, standard, file) in [("cc", "-std=c99", "h.c"), ("c++", "-std=c++17", "h.cc")] {
        if !has(tool) {
            continue;
        }
        let path = folder.path().join(file);
        std::fs::write(&path, "#include <wardian.h>\n").expect("there is room");
        // wasm.h itself uses static_assert, which C has from C11 on by its header.
        let mut compiler = compiler(tool);
        compiler.args([standard, "-Dstatic_assert(a,b)=", "-fsyntax-only"]).arg(&path);
        run(&mut compiler);
    }
}

/// Each function that the headers declare is in the library.
#[test]
fn every_function_of_the_headers_is_there() {
    if !has("cc") {
        return;
    }
    let folder = tempfile::tempdir().expect("there is room");
    let source = folder.path().join("h.c");
    std::fs::write(&source, "#include <wardian.h>\n").expect("there is room");
    let text = run(compiler("cc").arg("-E").arg("-P").arg(&source));
    let symbols = run(Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(libraries().join("libwardian_c.so")));
    let defined: Vec<&str> = symbols.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let mut declared = 0;
    for statement in text.split(';').filter(|s| !s.contains("typedef") && !s.contains("static")) {
        let Some((before, _)) = statement.split_once('(') else { continue };
        let name = before.split([' ', '*', '\n']).next_back().unwrap_or_default();
        if name.starts_with("wasm_") || name.starts_with("wardian_") {
            assert!(defined.contains(&name), "{name} is declared, and not there");
            declared += 1;
        }
    }
    assert!(declared > 250, "{declared} functions");
}

/// Installs the library in a folder, as the script does.
fn installed(prefix: &Path) {
    run(Command::new("bash").arg(here("install")).arg(prefix).arg(libraries()));
}

#[test]
fn programs_find_it_by_pkg_config() {
    if !has("cc") || !has("pkg-config") {
        return;
    }
    let prefix = tempfile::tempdir().expect("there is room");
    installed(prefix.path());
    let path = prefix.path().join("items");
    for options in [&["--libs"][..], &["--static", "--libs"]] {
        let mut find = Command::new("pkg-config");
        find.args(["--cflags"]).args(options).arg("wardian");
        find.env("PKG_CONFIG_PATH", prefix.path().join("lib/pkgconfig"));
        let flags = run(&mut find);
        assert_eq!(flags.contains("-ldl"), options.contains(&"--static"), "{flags}");
        let mut cc = Command::new("cc");
        cc.arg(here("tests/programs/items.c")).arg("-o").arg(&path);
        run(cc.args(flags.split_whitespace()));
        run(Command::new(&path).env("LD_LIBRARY_PATH", prefix.path().join("lib")));
    }
}

#[test]
fn programs_find_it_by_cmake() {
    if !has("cc") || !has("cmake") {
        return;
    }
    let folder = tempfile::tempdir().expect("there is room");
    let (prefix, source) = (folder.path().join("prefix"), folder.path().join("source"));
    installed(&prefix);
    std::fs::create_dir(&source).expect("there is room");
    let program = here("tests/programs/items.c");
    let project = |version: &str| {
        format!(
            "cmake_minimum_required(VERSION 3.13)\nproject(items C)\nfind_package(Wardian {version} REQUIRED)\n\
             add_executable(shared {0})\ntarget_link_libraries(shared Wardian::wardian)\n\
             add_executable(static {0})\ntarget_link_libraries(static Wardian::static)\n",
            program.display()
        )
    };
    let configure = |version: &str| {
        std::fs::write(source.join("CMakeLists.txt"), project(version)).expect("there is room");
        let mut cmake = Command::new("cmake");
        cmake.arg("-S").arg(&source).arg("-B").arg(folder.path().join("build"));
        cmake.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
        cmake
    };
    assert!(!configure("0.9").output().expect("cmake is there").status.success());
    run(&mut configure(env!("CARGO_PKG_VERSION")));
    run(Command::new("cmake").arg("--build").arg(folder.path().join("build")));
    for name in ["shared", "static"] {
        run(Command::new(folder.path().join("build").join(name))
            .env("LD_LIBRARY_PATH", prefix.join("lib")));
    }
}
