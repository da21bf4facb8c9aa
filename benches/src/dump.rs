//! Writes the machine code of both compilers, a file for each function, to be disassembled:
//! `objdump -D -b binary -m i386:x86-64 -M intel DIR/wardian/NAME`.

use crate::engines;
use crate::options::Result;
use std::path::Path;
use std::sync::{Arc, Mutex};
use wardian::cache::CompiledCode;
use wardian_vm::compiled::CompiledIndex;

/// A cache that writes down what it is given.
struct Writer {
    directory: std::path::PathBuf,
    names: Vec<String>,
    failure: Mutex<Option<std::io::Error>>,
}

// SAFETY: it gives no code.
unsafe impl wardian::cache::CodeCache for Writer {
    fn get(&self, _: &wardian::cache::CodeKey) -> Option<CompiledCode> {
        None
    }

    fn put(&self, _: &wardian::cache::CodeKey, code: &CompiledCode) {
        for (at, name) in (0..).map(CompiledIndex::from_u32).zip(&self.names) {
            let range = code.function(at);
            let bytes = &code.text()[range.start.index()..range.end.index()];
            if let Err(error) = std::fs::write(self.directory.join(name), bytes) {
                *self.failure.lock().unwrap_or_else(|e| e.into_inner()) = Some(error);
            }
        }
    }
}

/// Dumps the module in `file` to folders of `directory`.
pub(crate) fn run(file: &str, directory: &str) -> Result<()> {
    let wasm = wat::parse_file(file)?;
    let mine = Path::new(directory).join(engines::WARDIAN);
    let peers = Path::new(directory).join(engines::WASMTIME);
    std::fs::create_dir_all(&mine)?;
    std::fs::create_dir_all(&peers)?;

    let engine = engines::wardian()?;
    let named = wardian::Module::new(&engine, &wasm)?;
    let name = |index: u32| {
        let name = named.func_name(index).unwrap_or_default();
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        format!("{index:05}_{}", name.chars().filter(plain).take(60).collect::<String>())
    };
    let module = wasmtime::Module::new(&engines::wasmtime()?, &wasm)?;
    let mut names = Vec::new();
    for function in module.functions() {
        let name = name(function.index.as_u32());
        let bytes = &module.text()[function.offset..function.offset + function.len];
        std::fs::write(peers.join(&name), bytes)?;
        names.push(name);
    }

    let writer = Arc::new(Writer { directory: mine, names, failure: Mutex::new(None) });
    engine.set_cache(Some(writer.clone()));
    wardian::Module::new(&engine, &wasm)?;
    let failure = writer.failure.lock().unwrap_or_else(|e| e.into_inner()).take();
    failure.map_or(Ok(()), |error| Err(error.into()))
}
