//! Runs a test script.

use crate::{skip, values};
use std::collections::HashMap;
use wardian::{
    Engine, Error, ErrorKind, Global, GlobalType, Instance, Linker, Memory, MemoryType, Module,
    RefType, SharedMemory, Store, Table, TableType, Val, ValType,
};
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, Wat};

type Outcome<T = ()> = Result<T, String>;

/// The state of a script.
pub(crate) struct Runner<'a> {
    id: &'a str,
    store: Store<()>,
    linker: Linker<()>,
    modules: HashMap<String, Module>,
    instances: HashMap<String, Instance>,
    latest: Option<Instance>,
    latest_module: Option<Module>,
    objects: Option<values::Objects>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(engine: &Engine, id: &'a str) -> Runner<'a> {
        let mut store = Store::new(engine, ());
        let mut linker = Linker::new(engine);
        linker.allow_shadowing(true);
        spectest(&mut store, &mut linker).expect("the module `spectest` can be defined");
        let objects = values::Objects::new(&mut store);
        Runner {
            id,
            store,
            linker,
            modules: HashMap::new(),
            instances: HashMap::new(),
            latest: None,
            latest_module: None,
            objects,
        }
    }

    pub(crate) fn run(mut self, text: &str) -> Outcome {
        let mut lexer = Lexer::new(text);
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer).map_err(|e| e.to_string())?;
        let script = parser::parse::<Wast<'_>>(&buffer).map_err(|e| e.to_string())?;
        let mut failures = Vec::new();
        for directive in script.directives {
            let line = directive.span().linecol_in(text).0 + 1;
            if skip::directive(self.id, line).is_some() {
                continue;
            }
            if let Err(message) = self.directive(directive) {
                failures.push(format!("line {line}: {message}"));
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    }

    fn directive(&mut self, directive: WastDirective<'_>) -> Outcome {
        match directive {
            WastDirective::Module(module) => self.module(module),
            WastDirective::ModuleDefinition(mut module) => {
                let name = module.name().map(|n| n.name().to_owned());
                let module = self.compile(&mut module)?.map_err(|e| e.to_string())?;
                if let Some(name) = name {
                    self.modules.insert(name, module.clone());
                }
                self.latest_module = Some(module);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let module = match module {
                    Some(name) => self.modules.get(name.name()).cloned(),
                    None => self.latest_module.clone(),
                };
                let module = module.ok_or("no such module")?;
                self.instantiate(&module, instance.map(|i| i.name().to_owned()))
            }
            WastDirective::AssertMalformed { mut module, message, .. }
            | WastDirective::AssertInvalid { mut module, message, .. } => {
                match self.compile(&mut module) {
                    Ok(Ok(_)) => Err(format!("the module was accepted; expected: {message}")),
                    _ => Ok(()),
                }
            }
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(module.as_ref().map(|m| m.name()))?;
                let done = self.linker.instance(&mut self.store, name, instance);
                done.map(|_| ()).map_err(|e| e.to_string())
            }
            WastDirective::Invoke(invoke) => {
                self.invoke(&invoke)?.map(|_| ()).map_err(|e| format!("{e:#}"))
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                let found = self.execute(exec)?.map_err(|e| format!("{e:#}"))?;
                let (store, objects) = (&mut self.store, self.objects);
                let equal = found.len() == results.len()
                    && results
                        .iter()
                        .zip(&found)
                        .all(|(e, f)| values::matches(store, objects, e, f));
                if equal { Ok(()) } else { Err(format!("expected {results:?}, found {found:x?}")) }
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                expect_trap(self.execute(exec)?, message)
            }
            WastDirective::AssertException { exec, .. } => match self.execute(exec)? {
                Err(error) if error.exception().is_some() => Ok(()),
                other => Err(format!("expected an exception, found {other:?}")),
            },
            WastDirective::AssertExhaustion { call, message, .. } => {
                expect_trap(self.invoke(&call)?, message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                self.unlinkable(module, message)
            }
            // Wardian does not read custom sections, so a malformed one is no error.
            WastDirective::AssertInvalidCustom { .. }
            | WastDirective::AssertMalformedCustom { .. } => Ok(()),
            other => Err(format!("directive not supported: {other:?}")),
        }
    }

    /// The outer error is the text format's.
    fn compile(&self, module: &mut QuoteWat<'_>) -> Outcome<Result<Module, Error>> {
        let bytes = module.encode().map_err(|e| e.to_string())?;
        Ok(Module::new(self.store.engine(), &bytes))
    }

    fn module(&mut self, mut module: QuoteWat<'_>) -> Outcome {
        let name = module.name().map(|n| n.name().to_owned());
        let module = self.compile(&mut module)?.map_err(|e| e.to_string())?;
        self.latest_module = Some(module.clone());
        self.instantiate(&module, name)
    }

    fn instantiate(&mut self, module: &Module, name: Option<String>) -> Outcome {
        let instance = self.linker.instantiate(&mut self.store, module);
        let instance = instance.map_err(|e| e.to_string())?;
        if let Some(name) = name {
            self.instances.insert(name, instance);
        }
        self.latest = Some(instance);
        Ok(())
    }

    fn instance(&self, name: Option<&str>) -> Outcome<Instance> {
        match name {
            Some(name) => self.instances.get(name).copied(),
            None => self.latest,
        }
        .ok_or_else(|| format!("no instance {name:?}"))
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Outcome<Result<Vec<Val>, Error>> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(mut module) => {
                let bytes = module.encode().map_err(|e| e.to_string())?;
                let module = Module::new(self.store.engine(), &bytes).map_err(|e| e.to_string())?;
                let instance = self.linker.instantiate(&mut self.store, &module);
                Ok(instance.map(|_| Vec::new()))
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module.as_ref().map(|m| m.name()))?;
                let global =
                    instance.get_global(&mut self.store, global).ok_or("no such global")?;
                Ok(Ok(vec![global.get(&self.store)]))
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Outcome<Result<Vec<Val>, Error>> {
        let instance = self.instance(invoke.module.as_ref().map(|m| m.name()))?;
        let func = instance.get_func(&mut self.store, invoke.name).ok_or("no such function")?;
        let (store, objects) = (&mut self.store, self.objects);
        let arguments = invoke.args.iter().map(|arg| values::argument(store, objects, arg));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        let done = func.call(&mut self.store, &arguments, &mut results);
        Ok(done.map(|()| results))
    }

    fn unlinkable(&mut self, mut module: Wat<'_>, message: &str) -> Outcome {
        let bytes = module.encode().map_err(|e| e.to_string())?;
        let module = Module::new(self.store.engine(), &bytes).map_err(|e| e.to_string())?;
        match self.linker.instantiate(&mut self.store, &module) {
            Ok(_) => Err(format!("it was linked; expected: {message}")),
            Err(error) if matches!(error.kind(), ErrorKind::Link(_)) => Ok(()),
            Err(error) => Err(format!("expected a link error ({message}), found: {error}")),
        }
    }
}

fn expect_trap(found: Result<Vec<Val>, Error>, expected: &str) -> Outcome {
    let error = match found {
        Ok(values) => return Err(format!("expected a trap ({expected}), found {values:?}")),
        Err(error) => error,
    };
    let Some(trap) = error.trap() else {
        return Err(format!("expected a trap ({expected}), found {error:#}"));
    };
    // Messages of the scripts are prefixes of ours or the other way round: `uninitialized element`
    // also appears as `uninitialized element 2`.
    let ours = trap.message();
    if expected.starts_with(ours) || ours.starts_with(expected) {
        Ok(())
    } else {
        Err(format!("expected trap `{expected}`, found `{ours}`"))
    }
}

/// The module that scripts import from.
fn spectest(store: &mut Store<()>, linker: &mut Linker<()>) -> Result<(), Error> {
    linker.func_wrap("spectest", "print", || {})?;
    linker.func_wrap("spectest", "print_i32", |_: i32| {})?;
    linker.func_wrap("spectest", "print_i64", |_: i64| {})?;
    linker.func_wrap("spectest", "print_f32", |_: f32| {})?;
    linker.func_wrap("spectest", "print_f64", |_: f64| {})?;
    linker.func_wrap("spectest", "print_i32_f32", |_: i32, _: f32| {})?;
    linker.func_wrap("spectest", "print_f64_f64", |_: f64, _: f64| {})?;
    let globals = [
        ("global_i32", Val::I32(666)),
        ("global_i64", Val::I64(666)),
        ("global_f32", Val::from(666.6f32)),
        ("global_f64", Val::from(666.6f64)),
    ];
    for (name, value) in globals {
        let ty = GlobalType { content: value.ty(), mutable: false };
        linker.define("spectest", name, Global::new(&mut *store, ty, value)?)?;
    }
    let table = TableType { element: RefType::FUNC, min: 10, max: Some(20), table64: false };
    let null = Val::zero(ValType::FUNCREF);
    linker.define("spectest", "table", Table::new(&mut *store, table, null.clone())?)?;
    let table64 = TableType { table64: true, ..table };
    linker.define("spectest", "table64", Table::new(&mut *store, table64, null)?)?;
    let memory = MemoryType::new(1, Some(2));
    linker.define("spectest", "memory", Memory::new(&mut *store, memory)?)?;
    let shared = SharedMemory::new(store.engine(), MemoryType { shared: true, ..memory })?;
    linker.define("spectest", "shared_memory", shared)?;
    Ok(())
}
