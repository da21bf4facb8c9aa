//! What a module can do to the world, from what it imports.

use wardian_module::{Import, ModuleInfo};

const OTHER: &str = "other";

/// Functions of WASI preview 1 by what they are good for. A descriptor can be of a file, a stream or a
/// socket, so each function stands where it is most at home.
const ABILITIES: [(&str, &[&str]); 10] = [
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
        OTHER,
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
            "sched_yield",
        ],
    ),
];

/// An ability with the imports that give it.
pub(super) struct Ability<'a> {
    pub(super) name: &'static str,
    pub(super) imports: Vec<&'a Import>,
}

/// The abilities that a module has, in the order of the table. What is no function of WASI is among the
/// others.
pub(super) fn of(info: &ModuleInfo) -> Vec<Ability<'_>> {
    let of = |name: &'static str| {
        let imports = info.imports.iter().filter(|import| ability(import) == name).collect();
        Ability { name, imports }
    };
    let all = ABILITIES.iter().map(|(name, _)| of(name));
    all.filter(|ability| !ability.imports.is_empty()).collect()
}

fn ability(import: &Import) -> &'static str {
    let known = match import.module.as_str() {
        "wasi_snapshot_preview1" | "wasi_unstable" => import.name != "thread-spawn",
        "wasi" => import.name == "thread-spawn",
        _ => false,
    };
    let found = ABILITIES.iter().find(|(_, names)| names.contains(&import.name.as_str()));
    found.filter(|_| known).map_or(OTHER, |found| found.0)
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
