//! What of the official tests is left out, and why.

const LEB: &str = "memory limits are read as 64-bit numbers since memory64 became part of the \
    specification, so these encodings are no longer too long";
const GC_TEXT: &str = "the file is of a later stage, with types of garbage collection";
const OLD_SEGMENTS: &str = "before bulk memory a segment that does not fit was a link error that \
    left everything untouched; now it traps, after the segments before it";
const TABLES: &str = "several tables are allowed since reference types became part of 2.0";
const LATER: &str = "the proposal's draft; WebAssembly 2.0 says that this is valid";

/// Files, as `suite/name`, that are not run at all.
const FILES: &[(&str, &str)] = &[("bulk-memory/table-sub.wast", GC_TEXT)];

/// Single directives, as (file, line), that are not run.
const DIRECTIVES: &[(&str, usize, &str)] = &[
    ("1.0/binary-leb128.wast", 216, LEB),
    ("1.0/binary-leb128.wast", 224, LEB),
    ("2.0/binary-leb128.wast", 217, LEB),
    ("2.0/binary-leb128.wast", 225, LEB),
    ("reference-types/binary-leb128.wast", 217, LEB),
    ("reference-types/binary-leb128.wast", 225, LEB),
    ("reference-types/binary.wast", 157, LEB),
    ("reference-types/binary.wast", 354, LEB),
    ("reference-types/binary.wast", 362, LEB),
    ("reference-types/unreached-invalid.wast", 539, LATER),
    ("bulk-memory/table_init.wast", 2272, GC_TEXT),
    ("bulk-memory/table_init.wast", 2286, GC_TEXT),
    ("mutable-global/linking.wast", 206, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 227, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 236, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 238, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 248, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 298, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 334, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 342, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 344, OLD_SEGMENTS),
    ("mutable-global/linking.wast", 354, OLD_SEGMENTS),
    ("threads/imports.wast", 309, TABLES),
    ("threads/imports.wast", 313, TABLES),
    ("threads/imports.wast", 317, TABLES),
];

/// The reason for which a file is left out.
pub(crate) fn file(id: &str) -> Option<&'static str> {
    FILES.iter().find(|(file, _)| *file == id).map(|(_, reason)| *reason)
}

/// The reason for which a directive is left out; lines count from 1.
pub(crate) fn directive(id: &str, line: usize) -> Option<&'static str> {
    DIRECTIVES.iter().find(|(f, l, _)| *f == id && *l == line).map(|(_, _, reason)| *reason)
}
