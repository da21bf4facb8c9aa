//! Sequences of WASI calls. Half of the inputs are compared with a model of the file system, and carried to
//! another state now and then; the others are calls with any arguments, half of them of programs whose saved
//! states were changed, of which only is asked that they answer, and change nothing outside.

mod forged;
mod guest;
mod model;
mod wild;

use crate::input::Input;
use guest::Guest;
use std::fs;
use std::path::Path;
use wardian_wasi::{DirPerms, MemoryInput, MemoryOutput, WasiCtx, WasiCtxBuilder};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let folder = tempfile::TempDir::new().expect("a folder of its own");
    prepare(folder.path());
    let before = [snapshot(&folder.path().join("outside")), snapshot(&folder.path().join("fixed"))];
    let mut guest = Guest::new(builder(folder.path()).build());
    match input.below(4) {
        0 => wild::run(&mut guest, &mut input, &folder.path().join("outside")),
        1 => forged::run(&mut guest, &mut input, folder.path()),
        _ => {
            let model = model::run(&mut guest, &mut input, folder.path());
            model.compare(&folder.path().join("root"));
        }
    }
    drop(guest);
    let after = [snapshot(&folder.path().join("outside")), snapshot(&folder.path().join("fixed"))];
    assert_eq!(
        before, after,
        "something outside the guest's directory, or in one that is read-only, changed"
    );
    let mut names: Vec<_> = fs::read_dir(folder.path()).expect("ours").flatten().collect();
    names.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> =
        names.iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["fixed", "outside", "root"], "beside the guest's directory");
}

/// The guest's directory, one that it may only read, and one that it does not have.
fn prepare(folder: &Path) {
    for name in ["root", "fixed", "outside", "fixed/d", "outside/d"] {
        fs::create_dir(folder.join(name)).expect("the folder is ours");
    }
    for name in ["fixed/a", "fixed/d/b", "outside/canary", "outside/d/b"] {
        fs::write(folder.join(name), format!("the contents of {name}"))
            .expect("the folder is ours");
    }
}

fn builder(folder: &Path) -> WasiCtxBuilder {
    WasiCtx::builder()
        .stdin_memory(MemoryInput::new("some input"))
        .stdout_memory(MemoryOutput::new(1 << 16))
        .stderr_memory(MemoryOutput::new(1 << 16))
        .max_descriptors(40)
        .preopen_dir(folder.join("root"), "/", DirPerms::ReadWrite)
        .and_then(|b| b.preopen_dir(folder.join("fixed"), "/fixed", DirPerms::ReadOnly))
        .expect("both are there")
}

/// Everything below a folder: names, kinds, contents, times of change.
fn snapshot(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).expect("it was listed");
        let modified = meta.modified().expect("Linux knows it");
        let contents =
            if meta.is_file() { fs::read(&path).expect("it is ours") } else { Vec::new() };
        found.push(format!("{path:?} {:?} {modified:?} {contents:?}", meta.permissions()));
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).expect("it is ours").flatten().map(|e| e.path()));
        }
    }
    found.sort();
    found
}
