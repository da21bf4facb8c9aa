//! Style as a test: what keeps the source tree easy to work in.
//!
//! Limits are ratchets: places that exceed one stand in a list here, and the list may only shrink.

mod api;
mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines in a source file.
const FILE_LINES: usize = 600;
/// Lines in a function, from its `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Files in which unsafe code may stand.
const UNSAFE_PLACES: [&str; 10] = [
    "crates/wardian-vm/src/",
    "crates/wardian-runtime/src/call/",
    "crates/wardian-runtime/src/checkpoint/",
    "crates/wardian-runtime/src/gc/",
    "crates/wardian-runtime/src/instance/",
    "crates/wardian-runtime/src/listen/",
    "crates/wardian-runtime/src/snapshot/",
    "crates/wardian-runtime/src/stack/",
    "crates/wardian-runtime/src/store/",
    "crates/wardian-interp/src/execute/",
];
/// Single files beside them: those by which stored machine code is read, which nothing can check; the
/// memories that a test supplies as an embedder would, and its forks; and what lets tests of the interpreter do without the
/// runtime.
const UNSAFE_FILES: [&str; 18] = [
    "crates/wardian-vm/tests/",
    "crates/wardian/src/module/making.rs",
    "crates/wardian-runtime/src/code/artifact.rs",
    "crates/wardian-runtime/src/code/cache.rs",
    "crates/wardian/src/cache/",
    "crates/wardian-jit/tests/compile.rs",
    "crates/wardian-jit/tests/inline.rs",
    "crates/wardian-interp/src/lib.rs",
    "crates/wardian-interp/tests/interp/world.rs",
    "crates/wardian-interp/tests/interp/world/places.rs",
    "crates/wardian-interp/tests/interp/main.rs",
    "crates/wardian-cli/src/",
    "tests/behaviour/instances.rs",
    "tests/behaviour/process_forks.rs",
    "tests/behaviour/torture.rs",
    "examples/file_memory.rs",
    "fuzz/src/cache.rs",
    "models/",
];

/// How many files of a crate may import each other in a circle, directly or by way of others. More than this are
/// to be changed together whatever is changed.
const CIRCLE: usize = 8;

/// The crates that embedders use. What they offer stands in `tests/tidy/api`, one file for each.
const PUBLISHED: [&str; 4] = ["wardian", "wardian-types", "wardian-wasi", "wardian-observe"];

/// Functions that are longer, with the reason: matches over all operators of WebAssembly.
const LONG_FUNCTIONS: [(&str, &str); 3] = [
    ("crates/wardian-interp/src/translate/", "one arm for each operator"),
    ("crates/wardian-jit/src/translate/", "one arm for each operator"),
    ("crates/wardian-module/src/decode.rs", "one arm for each section"),
];

/// Words that the project does not use, with those that it does: see `docs/glossary.md`.
const WORDS: [(&str, &str); 12] = [
    ("errand", "deferred work"),
    ("on paper", "double, for tests"),
    ("goes on with", "resumes, continues with"),
    ("go on with", "resume, continue with"),
    ("gone on with", "resumed, continued"),
    ("is told of", "is notified of"),
    ("are told of", "are notified of"),
    ("is told by", "is shown by, is determined by"),
    ("tells listeners", "notifies listeners"),
    ("telling listeners", "notifying listeners"),
    ("stands for itself", "say what it does"),
    ("what they are owed", "say what they get"),
];

/// The crates, each with those of the project that it may depend on.
const LAYERS: [(&str, &[&str]); 10] = [
    ("wardian-types", &[]),
    ("wardian-module", &["wardian-types"]),
    ("wardian-vm", &["wardian-types"]),
    ("wardian-interp", &["wardian-types", "wardian-module", "wardian-vm"]),
    ("wardian-jit", &["wardian-types", "wardian-module", "wardian-vm"]),
    (
        "wardian-runtime",
        &["wardian-types", "wardian-module", "wardian-vm", "wardian-jit", "wardian-interp"],
    ),
    ("wardian", &["wardian-types", "wardian-module", "wardian-vm", "wardian-runtime"]),
    ("wardian-wasi", &["wardian", "wardian-types"]),
    ("wardian-observe", &["wardian", "wardian-types"]),
    (
        "wardian-cli",
        &["wardian", "wardian-wasi", "wardian-observe", "wardian-module", "wardian-types"],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the project").to_owned()
}

/// All files below a folder with this ending, as paths from the root.
fn files(folder: &str, ending: &str) -> Vec<String> {
    fn walk(at: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(at) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let skip = name == "target" || name.to_string_lossy().starts_with('.');
            if path.is_dir() && !skip {
                walk(&path, ending, found);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), ending, &mut found);
    let relative = |path: PathBuf| {
        let path = path.strip_prefix(root()).expect("below the root").to_owned();
        path.to_string_lossy().into_owned()
    };
    let mut found: Vec<_> = found.into_iter().map(relative).collect();
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    let folders = ["crates", "tests", "examples", "benches", "fuzz", "models"];
    let all = folders.iter().flat_map(|f| files(f, ".rs"));
    all.map(|path| {
        let text = fs::read_to_string(root().join(&path)).expect("a source file can be read");
        (path, text)
    })
    .collect()
}

fn report(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn few_files_import_each_other_in_circles() {
    let mut problems = Vec::new();
    for (name, _) in LAYERS {
        let circle = imports::largest_circle(&files_of_crate(name));
        if circle.len() > CIRCLE {
            problems.push(format!(
                "{name}: {} files import each other in a circle: {}",
                circle.len(),
                circle.join(", ")
            ));
        }
    }
    report(problems);
}

/// The source files of a crate by their paths below `src`, with their text.
fn files_of_crate(name: &str) -> BTreeMap<String, String> {
    let folder = format!("crates/{name}/src");
    let read = |path: String| {
        let text = fs::read_to_string(root().join(&path)).expect("a source file can be read");
        (path[folder.len() + 1..].to_owned(), text)
    };
    files(&folder, ".rs").into_iter().map(read).collect()
}

#[test]
fn the_api_changes_on_purpose() {
    let update = std::env::var_os("WARDIAN_UPDATE_API").is_some();
    let mut problems = Vec::new();
    let below = files_of_crate("wardian-runtime");
    for name in PUBLISHED {
        let path = root().join("tests/tidy/api").join(format!("{name}.txt"));
        let now = api::public_items(name, &files_of_crate(name), &below);
        if update {
            fs::write(&path, now.join("\n") + "\n").expect("the list can be written");
            continue;
        }
        let listed = fs::read_to_string(&path).expect("the list is there");
        let listed: BTreeSet<&str> = listed.lines().collect();
        let now: BTreeSet<&str> = now.iter().map(String::as_str).collect();
        problems.extend(now.difference(&listed).map(|item| format!("{name}: new: {item}")));
        problems.extend(listed.difference(&now).map(|item| format!("{name}: gone: {item}")));
    }
    if !problems.is_empty() {
        problems.push(
            "if that is meant: WARDIAN_UPDATE_API=1 cargo test -p wardian-tests --test tidy"
                .to_owned(),
        );
    }
    report(problems);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            problems.push(format!("{path}: {lines} lines; split it by subject"));
        }
        if !text.starts_with("//!") && !text.starts_with("#![doc") {
            problems.push(format!("{path}: begins without saying what it is (`//! …`)"));
        }
    }
    report(problems);
}

#[test]
fn functions_are_short() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        if LONG_FUNCTIONS.iter().any(|(place, _)| path.starts_with(place)) {
            continue;
        }
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let is_fn = code.contains("fn ") && code.contains('(') && !code.starts_with("//");
            if open.is_none() && is_fn && !code.ends_with(';') && !code.contains('}') {
                open = Some((number, indent, code.to_owned()));
            } else if let Some((start, depth, head)) = &open
                && indent == *depth
                && code.starts_with('}')
            {
                let lines = number - start + 1;
                if lines > FUNCTION_LINES {
                    problems.push(format!("{path}:{}: {lines} lines: {head}", start + 1));
                }
                open = None;
            }
        }
    }
    report(problems);
}

#[test]
fn unsafe_code_stays_in_its_places() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        let allowed = UNSAFE_PLACES.iter().chain(&UNSAFE_FILES).any(|p| path.starts_with(p));
        // Guests are not part of the runtime.
        if allowed || path.starts_with("tests/tidy/") || path.contains("/guests/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("unsafe {") || code.contains("allow(unsafe_code") {
                problems.push(format!("{path}:{}: unsafe code", number + 1));
            }
        }
    }
    report(problems);
}

#[test]
fn words_are_those_of_the_field() {
    let mut problems = Vec::new();
    let documents = files("", "md").into_iter().map(|path| {
        let text = fs::read_to_string(root().join(&path)).expect("a document is text");
        (path, text)
    });
    for (path, text) in sources().into_iter().chain(documents) {
        if path == "tests/tidy/main.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            for (word, instead) in WORDS.iter().filter(|(word, _)| line.contains(word)) {
                problems.push(format!("{path}:{}: {word}: {instead}", number + 1));
            }
        }
    }
    report(problems);
}

#[test]
fn nothing_is_left_to_do_without_a_reason() {
    // Written so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimpl", "emented!("),
    ];
    let mut problems = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for mark in marks.iter().filter(|m| line.contains(**m)) {
                problems.push(format!("{path}:{}: {mark}", number + 1));
            }
        }
    }
    report(problems);
}

#[test]
fn dependencies_point_upward_only() {
    let mut problems = Vec::new();
    for (name, allowed) in LAYERS {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let text = fs::read_to_string(manifest).expect("every crate has a manifest");
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines() {
            let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if key.starts_with("wardian") && !allowed.contains(&key) {
                problems.push(format!("{name} must not depend on {key}"));
            }
        }
    }
    for crate_ in fs::read_dir(root().join("crates")).expect("the crates").flatten() {
        let name = crate_.file_name().to_string_lossy().into_owned();
        if !LAYERS.iter().any(|(known, _)| *known == name) {
            problems.push(format!("{name} has no place in the layers of {}", file!()));
        }
    }
    report(problems);
}

#[test]
fn paths_named_in_documents_exist() {
    let mut problems = Vec::new();
    let mut documents = files("docs", ".md");
    documents.push("fuzz/README.md".to_owned());
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        documents.push(name.to_owned());
    }
    for document in documents {
        let Ok(text) = fs::read_to_string(root().join(&document)) else {
            problems.push(format!("{document} is missing"));
            continue;
        };
        let quoted = text.split('`').skip(1).step_by(2);
        let links = text.split("](").skip(1).filter_map(|t| t.split(')').next());
        for word in quoted.chain(links) {
            let first = word.split('/').next().unwrap_or_default();
            let is_path =
                ["crates", "tests", "examples", "benches", "fuzz", "models", "docs", ".ci"]
                    .contains(&first)
                    && word.contains('/')
                    && !word.contains(['*', ' ', '…', '<']);
            let word = word.split(['#', ':']).next().unwrap_or_default();
            if is_path && !root().join(word).exists() {
                problems.push(format!("{document}: `{word}` does not exist"));
            }
        }
        // Links are relative to the document; those of the book lead to pages.
        let folder = root().join(Path::new(&document).parent().expect("a file has a folder"));
        for link in text.split("](").skip(1).filter_map(|t| t.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let is_path = file.contains(['.', '/']);
            if is_path && !link.contains("://") && !file.is_empty() && !folder.join(file).exists() {
                problems.push(format!("{document}: the link `{link}` leads to nothing"));
            }
        }
    }
    report(problems);
}

#[test]
fn every_page_is_in_the_book() {
    let contents = fs::read_to_string(root().join("docs/SUMMARY.md")).expect("the contents");
    let pages = files("docs", ".md").into_iter().map(|path| path["docs/".len()..].to_owned());
    let missing =
        pages.filter(|page| page != "SUMMARY.md" && !contents.contains(&format!("({page})")));
    report(missing.map(|page| format!("docs/{page} is not in docs/SUMMARY.md")).collect());
}

#[test]
fn the_readme_names_the_test_command() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    let ci = fs::read_to_string(root().join(".ci/run")).expect("the script of the checks");
    let command = "cargo test --workspace --no-fail-fast";
    assert!(readme.contains(command) && ci.contains(command));
}
