//! Which functions are a language's own: its standard library, its runtime, and what it does to report an error.

use wardian::{
    Module,
    inspect::{DebugInfo, SourceLocation},
};

/// The beginnings of names, demangled.
const NAMES: &[&str] = &[
    // Rust
    "core::",
    "std::",
    "alloc::",
    "<core::",
    "<std::",
    "<alloc::",
    "__rust",
    "rust_begin_unwind",
    "rust_panic",
    "rust_eh_personality",
    "panic_unwind::",
    "panic_abort::",
    "dlmalloc::",
    // C and C++
    "__wasi",
    "__cxa_",
    "__cxxabiv1",
    "__assert",
    "__main_",
    "__wasm_call_ctors",
    "_start",
    "_start.",
    "_exit",
    "_Exit",
    "abort",
    "exit",
    "raise",
    "operator new",
    "operator delete",
    "dlmalloc",
    "malloc",
    "free",
    "calloc",
    "realloc",
    "memcpy",
    "memmove",
    "memset",
    "strlen",
    "printf_core",
    "vfprintf",
    "qsort",
    // AssemblyScript
    "~lib/",
    "~start",
];

/// Those among them that are whole names.
const WHOLE: &[&str] =
    &["abort", "exit", "raise", "malloc", "free", "calloc", "realloc", "qsort", "_start"];

/// Parts of the paths of files.
const FILES: &[&str] = &[
    "/rustc/",
    "/library/std/src/",
    "/library/core/src/",
    "/library/alloc/src/",
    "~lib/",
    "libc-top-half/",
    "libc-bottom-half/",
    "wasi-libc/",
    "/libcxx/",
    "/libcxxabi/",
    "/c++/v1/",
];

/// Those of packages that others wrote.
const PACKAGES: &[&str] =
    &["/.cargo/registry/", "/.cargo/git/", "/node_modules/", "wasisdk://", "/emsdk/"];

/// The standard library of Go, by the first parts of its packages' paths.
const GO: &[&str] = &[
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
];

/// Whether a function is a language's own, by its name and the place of its code.
pub(crate) fn is_library(module: &Module, name: &str, place: Option<&SourceLocation>) -> bool {
    if module.debug_info() == DebugInfo::AtCalls {
        return is_of_go(name);
    }
    let begins = |start: &&&str| {
        if WHOLE.contains(start) { name == **start } else { name.starts_with(**start) }
    };
    NAMES.iter().any(|start| begins(&start))
        || place.is_some_and(|place| FILES.iter().any(|part| place.file.contains(part)))
}

/// Whether a source file is a language's own, a toolchain's, or one of a package that was downloaded.
pub(crate) fn is_library_file(path: &str) -> bool {
    FILES.iter().chain(PACKAGES).any(|part| path.contains(part))
}

fn is_of_go(name: &str) -> bool {
    let first = name.split(['/', '.']).next().unwrap_or_default();
    // The runtime's functions in assembly have no package.
    GO.contains(&first) || !name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::{is_library, is_of_go};
    use wardian::{Engine, Module};

    #[test]
    fn languages_know_their_own() {
        let module = Module::new(&Engine::default(), "(module)").expect("it is valid");
        for (name, expected) in [
            ("core::panicking::panic_fmt", true),
            ("<core::option::Option<T> as core::fmt::Debug>::fmt", true),
            ("app::core::run", false),
            ("std::terminate()", true),
            ("exit_room", false),
            ("exit", true),
            ("main", false),
            ("~lib/rt/itcms/__new", true),
        ] {
            assert_eq!(is_library(&module, name, None), expected, "{name}");
        }
        for (name, expected) in [
            ("runtime.gopanic", true),
            ("internal/runtime/maps.(*Iter).Next", true),
            ("wasm_pc_f_loop", true),
            ("main.main", false),
            ("example.com/p.F", false),
        ] {
            assert_eq!(is_of_go(name), expected, "{name}");
        }
    }
}
