//! What is told, and kept, of a guest that trapped.

use crate::args::RunArgs;
use crate::report;
use crate::wasi::Host;
use anyhow::Context;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use wardian::{Error, ErrorKind, Instance, Store};
use wardian_observe::{CoreDump, TrapReport};

/// The report of a trap; none of errors of other kinds. Writes the core dump, if one is wanted.
pub(crate) fn of(
    error: &Error,
    store: &Store<Host>,
    instance: Instance,
    args: &RunArgs,
) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::Trap(_)) {
        return None;
    }
    let internal = instance.internal(store);
    let mut text = TrapReport::new(error).with_memory_of(internal).to_string();
    if let Some(path) = &args.coredump {
        match dump(error, store, instance, args, path) {
            Ok(()) => text.push_str(&format!("\nthe core dump is in {}", path.display())),
            // The trap is what counts.
            Err(problem) => report::warning(&format!("{problem:#}")),
        }
    }
    Some(text)
}

fn dump(
    error: &Error,
    store: &Store<Host>,
    instance: Instance,
    args: &RunArgs,
    path: &Path,
) -> anyhow::Result<()> {
    let mut dump = CoreDump::new(args.file().to_string_lossy());
    dump.add_instance(instance.internal(store));
    if let Some(backtrace) = error.backtrace() {
        dump.add_thread("main", backtrace);
    }
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        dump.write(&mut file)?;
        file.flush()
    };
    write().with_context(|| format!("cannot write the core dump to {}", path.display()))
}
