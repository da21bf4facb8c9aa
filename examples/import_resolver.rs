//! Plug-ins that are found when they are needed: a resolver instantiates what a module imports, and
//! gives each importer its own view of the host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use wardian::{
    AsContextMut, Engine, Func, Instance, InstantiateOptions, Linker, Module, Result, Store,
    StoreContextMut,
    resolver::{ImportRequest, ImportResolver, RecordingResolver, Resolution, TrapStubs},
};

/// The modules that can be asked for, by name; in earnest they would come from a folder.
const SHELF: [(&str, &str); 2] = [
    (
        "garden",
        r#"(module (import "seeds" "next" (func $next (result i32)))
          (import "host" "who" (func $who (result i32)))
          (func (export "plant") (result i32)
            (i32.add (i32.mul (call $who) (i32.const 100)) (call $next))))"#,
    ),
    (
        "seeds",
        r#"(module (global $n (mut i32) (i32.const 0)) (func (export "next") (result i32)
          (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#,
    ),
];

/// What the program imports: a module of the shelf, and a function that does not exist.
const PROGRAM: &str = r#"(module $program
  (import "garden" "plant" (func $plant (result i32)))
  (import "host" "who" (func $who (result i32)))
  (import "host" "water" (func $water))
  (func (export "run") (result i32)
    (drop (call $plant)) (i32.add (i32.mul (call $who) (i32.const 1000)) (call $plant))))"#;

/// Instantiates modules of the shelf, each once.
#[derive(Clone, Default)]
struct Shelf {
    instances: Arc<Mutex<HashMap<String, Instance>>>,
}

impl ImportResolver<()> for Shelf {
    fn resolve(
        &self,
        mut store: StoreContextMut<'_, ()>,
        request: &ImportRequest<'_>,
    ) -> Result<Resolution> {
        let wanted = request.module();
        if let Some(instance) = self.instances.lock().unwrap().get(wanted) {
            return Ok((*instance).into());
        }
        let Some((_, text)) = SHELF.iter().find(|(name, _)| *name == wanted) else {
            return Ok(Resolution::Unresolved);
        };
        let engine = store.engine().clone();
        let module = Module::new(&engine, text)?;
        // Its imports are found in the same way.
        let options = InstantiateOptions::new()
            .with_name(wanted)
            .with_import_resolver(self.clone().or(who_asks));
        let linker = Linker::new(&engine);
        let instance = linker.instantiate_with(store.as_context_mut(), &module, &options)?;
        self.instances.lock().unwrap().insert(wanted.to_owned(), instance);
        Ok(instance.into())
    }
}

/// A function made for the one who imports it.
fn who_asks(store: StoreContextMut<'_, ()>, request: &ImportRequest<'_>) -> Result<Resolution> {
    let number = if request.importer_name() == Some("program") { 1 } else { 2 };
    let asked = (request.module(), request.name()) == ("host", "who");
    Ok(asked.then(|| Func::wrap(store, move || number)).into())
}

/// Runs the example.
pub(crate) fn main() -> wardian::Result<()> {
    let engine = Engine::default();
    let program = Module::new(&engine, PROGRAM)?;
    // What nobody knows becomes a function that fails when it is called.
    let chain = Shelf::default().or(who_asks).or(TrapStubs::new());
    let recorder = RecordingResolver::wrapping(chain);
    let log = recorder.log();
    let options = InstantiateOptions::new().with_import_resolver(recorder);

    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate_with(&mut store, &program, &options)?;
    for import in log.imports() {
        println!("`{}` `{}`, a {}: {:?}", import.module, import.name, import.ty, import.answer);
    }
    assert_eq!(log.imports().len(), 3);
    let found = instance.typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ())?;
    println!("program and garden are distinguished: {found}");
    assert_eq!(found, 1202);
    Ok(())
}
