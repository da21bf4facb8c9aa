//! What a module can do to the world, from what it imports.

use std::collections::HashMap;
use wardian_module::{Import, ModuleInfo};

/// Of imports that are no functions of WASI.
const OTHER: &str = "whatever the embedder lets it do";

/// Functions of WASI preview 1 by what they are good for. A descriptor can be of a file, a stream or a
/// socket, so each function stands where it is most at home.
const ABILITIES: [(&str, &[&str]); 11] = [
    ("reads files", &["fd_read", "fd_pread", "fd_filestat_get", "path_filestat_get", "path_open"]),
    (
        "writes files",
        &[
            "fd_write",
            "fd_pwrite",
            "fd_allocate",
            "fd_datasync",
            "fd_sync",
            "fd_filestat_set_size",
            "fd_filestat_set_times",
            "path_filestat_set_times",
        ],
    ),
    (
        "lists and changes folders",
        &[
            "fd_readdir",
            "path_create_directory",
            "path_link",
            "path_readlink",
            "path_remove_directory",
            "path_rename",
            "path_symlink",
            "path_unlink_file",
        ],
    ),
    ("network", &["sock_accept", "sock_recv", "sock_send", "sock_shutdown"]),
    ("uses the clock", &["clock_res_get", "clock_time_get", "poll_oneoff"]),
    ("random numbers", &["random_get"]),
    (
        "arguments and environment",
        &["args_get", "args_sizes_get", "environ_get", "environ_sizes_get"],
    ),
    ("ends the process", &["proc_exit", "proc_raise"]),
    ("makes threads", &["thread-spawn"]),
    (
        "looks after descriptors",
        &[
            "fd_advise",
            "fd_close",
            "fd_fdstat_get",
            "fd_fdstat_set_flags",
            "fd_fdstat_set_rights",
            "fd_prestat_dir_name",
            "fd_prestat_get",
            "fd_renumber",
            "fd_seek",
            "fd_tell",
        ],
    ),
    ("lets others run", &["sched_yield"]),
];

/// An ability with the imports that give it.
pub(super) struct Ability<'a> {
    pub(super) name: &'static str,
    /// The module that all imports are from, if nothing is known of it.
    pub(super) module: Option<&'a str>,
    pub(super) imports: Vec<&'a Import>,
}

/// The abilities that a module has, in the order of the table, and after them what is imported beside WASI,
/// module by module.
pub(super) fn of(info: &ModuleInfo) -> Vec<Ability<'_>> {
    let of = |name: &'static str| {
        let imports = info.imports.iter().filter(|import| ability(import) == Some(name)).collect();
        Ability { name, module: None, imports }
    };
    let mut all: Vec<Ability<'_>> = ABILITIES.iter().map(|(name, _)| of(name)).collect();
    all.retain(|ability| !ability.imports.is_empty());
    let mut unknown: Vec<Ability<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for import in info.imports.iter().filter(|import| ability(import).is_none()) {
        let module = import.module.as_str();
        let place = *places.entry(module).or_insert(unknown.len());
        if place == unknown.len() {
            unknown.push(Ability { name: OTHER, module: Some(module), imports: Vec::new() });
        }
        unknown[place].imports.push(import);
    }
    all.extend(unknown);
    all
}

/// What an import is good for, if it is a function of WASI.
fn ability(import: &Import) -> Option<&'static str> {
    let known = match import.module.as_str() {
        "wasi_snapshot_preview1" | "wasi_unstable" => import.name != "thread-spawn",
        "wasi" => import.name == "thread-spawn",
        _ => false,
    };
    let found = ABILITIES.iter().find(|(_, names)| names.contains(&import.name.as_str()));
    found.filter(|_| known).map(|found| found.0)
}

#[cfg(test)]
mod tests {
    use super::ABILITIES;

    #[test]
    fn each_function_has_one_place() {
        let mut names: Vec<&str> = ABILITIES.iter().flat_map(|a| a.1.iter().copied()).collect();
        names.retain(|name| *name != "thread-spawn");
        names.sort_unstable();
        let mut all: Vec<&str> = wardian_wasi::preview1().iter().map(|f| f.name).collect();
        all.sort_unstable();
        assert_eq!(names, all);
    }
}
