//! A guest whose memory is a file: what it counts goes on where the last run ended.
#![allow(unsafe_code, reason = "a file that is mapped must be left alone by everybody else")]

use std::path::Path;
use wardian::{
    Engine, Linker, Memory, MemoryType, Module, Store,
    allocator::{FileMemory, MemoryAllocatorFunc},
};

/// One run: a new store, as if the process had been started again.
fn run(engine: &Engine, module: &Module, path: &Path) -> wardian::Result<u32> {
    // The memory is the host's, so no data segment of the module is written over it.
    let length = std::fs::metadata(path).map_or(0, |m| m.len());
    let ty = MemoryType::new(length.div_ceil(65536).max(1), Some(16));
    let path = path.to_owned();
    let in_file = MemoryAllocatorFunc::new(move |request| {
        // SAFETY: the folder is this program's own, and nothing else in it uses the file.
        Ok(unsafe { FileMemory::open(&path, request.minimum, request.maximum)? })
    });
    let mut store = Store::new(engine, ());
    let memory = Memory::new_with_allocator(&mut store, ty, &in_file)?;
    let mut linker = Linker::new(engine);
    linker.define("host", "memory", memory)?;
    let instance = linker.instantiate(&mut store, module)?;
    instance.typed_func::<(), u32>(&mut store, "visit")?.call(&mut store, ())
}

/// Runs the example.
pub(crate) fn main() -> wardian::Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module
          (import "host" "memory" (memory 1 16))
          (func (export "visit") (result i32)
            ;; A page more for each visit: the file grows with the memory.
            (drop (memory.grow (i32.const 1)))
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
            (i32.load (i32.const 0))))"#,
    )?;
    let path = std::env::temp_dir().join(format!("wardian-file-memory-{}", std::process::id()));
    for visit in 1..=3 {
        assert_eq!(run(&engine, &module, &path)?, visit);
        let length = std::fs::metadata(&path)?.len();
        println!("visit {visit}: the file has {} pages", length / 65536);
    }
    let bytes = std::fs::read(&path)?;
    std::fs::remove_file(&path)?;
    assert_eq!((bytes[0], bytes.len()), (3, 4 * 65536));
    Ok(())
}
