//! A host of plugins: strings and structs pass between host and guest, each plugin has limits, and the failure of one
//! is an error that the others do not notice. Explained in `docs/plugins.md`.

use std::time::Duration;
use wardian::limits::StoreLimits;
use wardian::{Caller, Engine, Error, Instance, Linker, Memory, Module, Result, Store, TypedFunc};

/// Two plugins with the same functions, compiled from `guests/plugin.rs` and `guests/plugin.c`.
const PLUGINS: [(&str, &[u8]); 2] = [
    ("rust", include_bytes!("guests/plugin-rust.wasm")),
    ("c", include_bytes!("guests/plugin-c.wasm")),
];

/// A point as guests have it: two floats, one after the other.
type Point = [f32; 2];

/// What the host keeps for each plugin.
struct State {
    limits: StoreLimits,
    log: Vec<String>,
}

/// A plugin that is ready to be called.
struct Plugin {
    store: Store<State>,
    memory: Memory,
    reserve: TypedFunc<u32, u32>,
    release: TypedFunc<(u32, u32), ()>,
    greet: TypedFunc<(u32, u32), u64>,
    nearest: TypedFunc<(u32, u32, f32, f32), i32>,
}

/// What plugins may import. It is checked once, when a plugin is loaded.
fn imports(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "log", |mut caller: Caller<'_, State>, at: u32, len: u32| {
        let memory = caller.memory()?;
        // That the text is inside the memory, and UTF-8, is checked.
        let text = memory.read_str(&caller, at as usize, len as usize)?.to_owned();
        caller.data_mut().log.push(text);
        Ok::<(), Error>(())
    })?;
    Ok(linker)
}

impl Plugin {
    fn load(engine: &Engine, linker: &Linker<State>, module: &[u8]) -> Result<Plugin> {
        let module = Module::new(engine, module)?;
        let limits = StoreLimits { memory_bytes: 16 << 20, ..StoreLimits::default() };
        let mut store = Store::new(engine, State { limits, log: Vec::new() });
        store.limiter(|state| &mut state.limits);
        let instance: Instance = linker.instantiate(&mut store, &module)?;
        let memory = instance.get_memory(&mut store, "memory");
        Ok(Plugin {
            memory: memory.ok_or_else(|| Error::host("the plugin exports no memory"))?,
            reserve: instance.typed_func(&mut store, "reserve")?,
            release: instance.typed_func(&mut store, "release")?,
            greet: instance.typed_func(&mut store, "greet")?,
            nearest: instance.typed_func(&mut store, "nearest")?,
            store,
        })
    }

    /// Passes text, and gets text back.
    fn greet(&mut self, name: &str) -> Result<String> {
        self.store.set_timeout(Duration::from_secs(1));
        let at = self.place(name.as_bytes())?;
        let packed = self.greet.call(&mut self.store, (at, name.len() as u32))?;
        let (answer, len) = ((packed >> 32) as u32, packed as u32);
        let greeting = self.memory.read_str(&self.store, answer as usize, len as usize)?.to_owned();
        self.release.call(&mut self.store, (answer, len))?;
        self.release.call(&mut self.store, (at, name.len() as u32))?;
        Ok(greeting)
    }

    /// Passes structs.
    fn nearest(&mut self, points: &[Point], to: Point) -> Result<Option<usize>> {
        self.store.set_timeout(Duration::from_secs(1));
        let len = size_of_val(points) as u32;
        let at = self.reserve(size_of_val(points))?;
        self.memory.write_values(&mut self.store, at as usize, points)?;
        let args = (at, points.len() as u32, to[0], to[1]);
        let found = self.nearest.call(&mut self.store, args)?;
        self.release.call(&mut self.store, (at, len))?;
        Ok(usize::try_from(found).ok())
    }

    /// Puts bytes into memory of the guest's.
    fn place(&mut self, bytes: &[u8]) -> Result<u32> {
        let at = self.reserve(bytes.len())?;
        self.memory.write(&mut self.store, at as usize, bytes)?;
        Ok(at)
    }

    /// Memory of the guest's. A plugin that has none left answers with a null pointer.
    fn reserve(&mut self, len: usize) -> Result<u32> {
        let len = u32::try_from(len)?;
        match self.reserve.call(&mut self.store, len)? {
            0 => Err(Error::host(format!("the plugin has no memory for {len} bytes"))),
            at => Ok(at),
        }
    }
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let linker = imports(&engine)?;
    for (name, module) in PLUGINS {
        let mut plugin = Plugin::load(&engine, &linker, module)?;
        let greeting = plugin.greet("Ada")?;
        let points = [[5.0, 5.0], [1.0, 2.0], [-3.0, 0.5]];
        let found = plugin.nearest(&points, [0.0, 2.0])?;
        println!("{name}: {greeting}; nearest: {found:?}");
        assert!(greeting.starts_with("Hello, Ada! (from "));
        assert_eq!(plugin.store.data().log, [greeting]);
        assert_eq!(found, Some(1));
        assert_eq!(plugin.nearest(&[], [0.0, 0.0])?, None);

        // More than the plugin may have: it gets none, says so by a null pointer or a trap, and works afterwards.
        let much = "x".repeat(20 << 20);
        let refused = plugin.greet(&much).expect_err("a plugin has 16 MiB");
        println!("{name}: {refused}");
        assert_eq!(plugin.greet("Bo")?.split(' ').nth(1), Some("Bo!"));
    }
    Ok(())
}
