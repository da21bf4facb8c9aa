//! The functions as host functions of Wardian.

use crate::abi::{GuestMemory, Interrupt, Stop};
use crate::ctx::WasiCtx;
use crate::errno::Errno;
use crate::function::{Call, Function};
use crate::host::{self, Wake};
use std::sync::OnceLock;
use wardian::{Caller, Error, Extern, FuncType, Linker, Result, SharedMemory, ValType};
use wardian_types::wasi::Slot;

/// Defines `wasi_snapshot_preview1` and `wasi_unstable` in a linker. `get` finds the state of the
/// program in the store's data.
///
/// The functions work on the memory that the calling instance exports as `memory`; without one, every pointer
/// is out of bounds. They end early when the store's deadline passes or it is cancelled, or the instance is
/// closed. `proc_exit` closes the instance that calls it with the exit code, and ends the guest with an error
/// that has the code, see [`wardian::Error::exit_code`].
///
/// ```
/// use wardian::{Engine, Linker, Module, Store};
/// use wardian_wasi::{MemoryOutput, WasiCtx};
///
/// let engine = Engine::default();
/// let mut linker: Linker<WasiCtx> = Linker::new(&engine);
/// wardian_wasi::add_to_linker(&mut linker, |wasi| wasi)?;
///
/// let module = Module::new(&engine, r#"(module
///     (import "wasi_snapshot_preview1" "fd_write"
///         (func $write (param i32 i32 i32 i32) (result i32)))
///     (memory (export "memory") 1)
///     (data (i32.const 0) "\08\00\00\00\03\00\00\00hi\n")
///     (func (export "_start")
///         (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))"#)?;
/// let output = MemoryOutput::new(1024);
/// let wasi = WasiCtx::builder().stdout_memory(output.clone()).build();
/// let mut store = Store::new(&engine, wasi);
/// let instance = linker.instantiate(&mut store, &module)?;
/// instance.typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())?;
/// assert_eq!(output.contents(), b"hi\n");
/// # Ok::<(), wardian::Error>(())
/// ```
///
/// # Errors
///
/// One of the names is defined already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &WasiCtx + Copy + Send + Sync + 'static,
) -> Result<()> {
    let modules =
        [("wasi_snapshot_preview1", crate::preview1()), ("wasi_unstable", crate::unstable())];
    for (module, functions) in modules {
        for function in functions {
            let ty = FuncType::new(types(function.params), types(function.results));
            linker.func_raw(module, function.name, ty, move |caller, slots| {
                call(function, caller, slots, get)
            })?;
        }
    }
    Ok(())
}

fn types(slots: &[Slot]) -> impl Iterator<Item = ValType> {
    slots.iter().map(|slot| match slot {
        Slot::I32 => ValType::I32,
        Slot::I64 => ValType::I64,
    })
}

fn call<T: 'static>(
    function: &Function,
    mut caller: Caller<'_, T>,
    slots: &mut [u64],
    get: impl Fn(&mut T) -> &WasiCtx,
) -> Result<()> {
    let ctx = get(caller.data_mut()).clone();
    crate::threads::current::calls(&ctx);
    let args = slots[..function.params.len()].to_vec();
    let mut answer = once(function, &mut caller, &ctx, &args);
    // It was interrupted for a checkpoint: it waits again, for the rest of its time.
    while matches!(answer, Err(Stop::Interrupted)) && caller.take_requested_checkpoints()? {
        ctx.repeat_interrupted();
        answer = once(function, &mut caller, &ctx, &args);
    }
    match answer {
        Ok(errno) => {
            if let Some(slot) = slots.first_mut().filter(|_| !function.results.is_empty()) {
                *slot = errno as u64;
            }
            Ok(())
        }
        Err(Stop::Exit(code)) => {
            if let Some(instance) = caller.instance() {
                instance.close_with_exit_code(&mut caller, code);
            }
            Err(Error::exit(code))
        }
        Err(stop) => Err(Error::host(stop)),
    }
}

/// Calls it, until it is done or is to stop.
fn once<T: 'static>(
    function: &Function,
    caller: &mut Caller<'_, T>,
    ctx: &WasiCtx,
    args: &[u64],
) -> Result<Errno, Stop> {
    let interrupt = Interruption { inner: caller.repeatable_interrupt(), fd: OnceLock::new() };
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => {
            let mut memory = Owned(memory.data_mut(&mut *caller));
            run(function, ctx, &mut memory, &interrupt, args)
        }
        Some(Extern::SharedMemory(memory)) => {
            run(function, ctx, &mut Shared(memory), &interrupt, args)
        }
        _ => run(function, ctx, &mut Owned(&mut []), &interrupt, args),
    }
}

fn run(
    function: &Function,
    ctx: &WasiCtx,
    memory: &mut dyn GuestMemory,
    interrupt: &dyn Interrupt,
    args: &[u64],
) -> Result<Errno, Stop> {
    (function.call)(&mut Call { ctx, memory, interrupt }, args)
}

/// The runtime's wish to stop. Most calls never wait, so the descriptor is made when it is asked
/// for.
struct Interruption<'a> {
    inner: wardian::cancel::RepeatableInterrupt<'a>,
    fd: OnceLock<Option<wardian::cancel::WakeFd>>,
}

impl Interrupt for Interruption<'_> {
    fn is_set(&self) -> bool {
        self.inner.is_set()
    }

    fn wake_fd(&self) -> Option<Wake<'_>> {
        self.fd.get_or_init(|| self.inner.wake_fd()).as_ref().map(host::wake)
    }
}

/// A memory that only this guest uses.
struct Owned<'a>(&'a mut [u8]);

impl Owned<'_> {
    fn range(&self, addr: u64, len: u64) -> Result<std::ops::Range<usize>, Errno> {
        let end = addr.checked_add(len).filter(|end| *end <= self.0.len() as u64);
        Ok(addr as usize..end.ok_or(Errno::Fault)? as usize)
    }
}

impl GuestMemory for Owned<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Errno> {
        buf.copy_from_slice(&self.0[self.range(addr, buf.len() as u64)?]);
        Ok(())
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Errno> {
        let range = self.range(addr, data.len() as u64)?;
        self.0[range].copy_from_slice(data);
        Ok(())
    }

    fn slice(&self, addr: u64, len: u64) -> Result<Option<&[u8]>, Errno> {
        Ok(Some(&self.0[self.range(addr, len)?]))
    }

    fn slice_mut(&mut self, addr: u64, len: u64) -> Result<Option<&mut [u8]>, Errno> {
        let range = self.range(addr, len)?;
        Ok(Some(&mut self.0[range]))
    }
}

/// A memory that other threads may be using.
struct Shared(SharedMemory);

impl Shared {
    fn check(&self, addr: u64, len: u64) -> Result<usize, Errno> {
        let end = addr.checked_add(len).filter(|end| *end <= self.0.len() as u64);
        end.map(|_| addr as usize).ok_or(Errno::Fault)
    }
}

impl GuestMemory for Shared {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Errno> {
        let at = self.check(addr, buf.len() as u64)?;
        self.0.read(at, buf).map_err(|_| Errno::Fault)
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), Errno> {
        let at = self.check(addr, data.len() as u64)?;
        self.0.write(at, data).map_err(|_| Errno::Fault)
    }

    fn slice(&self, addr: u64, len: u64) -> Result<Option<&[u8]>, Errno> {
        self.check(addr, len).map(|_| None)
    }

    fn slice_mut(&mut self, addr: u64, len: u64) -> Result<Option<&mut [u8]>, Errno> {
        self.check(addr, len).map(|_| None)
    }
}
