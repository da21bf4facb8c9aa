//! Text and plain data in memories: integers, floats, structs without padding, and slices of them.
//!
//! WebAssembly's memory is little-endian. Types of several bytes are read as this machine has them, which is the same
//! on all machines that Wardian runs on.

use super::checked;
use crate::error::UsageKind;
use crate::handles::{Memory, SharedMemory};
use crate::{AsContext, AsContextMut, Caller, Error, Result, StoreContext};
use bytemuck::{AnyBitPattern, NoUninit};

/// What a host function does with pointers that a guest passes.
///
/// ```
/// use wardian::{Caller, Engine, Linker, Module, Store};
///
/// #[derive(Clone, Copy, bytemuck::AnyBitPattern, bytemuck::NoUninit)]
/// #[repr(C)]
/// struct Point {
///     x: f32,
///     y: f32,
/// }
///
/// let engine = Engine::default();
/// let mut linker: Linker<Vec<String>> = Linker::new(&engine);
/// linker.func_wrap("host", "label", |mut caller: Caller<'_, Vec<String>>, at: u32, text: u32, len: u32| {
///     let memory = caller.memory()?;
///     let Point { x, y } = memory.read_value(&caller, at as usize)?;
///     let text = memory.read_str(&caller, text as usize, len as usize)?;
///     let line = format!("{text} at {x}, {y}");
///     memory.write_value(&mut caller, at as usize, &Point { x: 0.0, y })?;
///     caller.data_mut().push(line);
///     Ok::<(), wardian::Error>(())
/// })?;
/// let module = Module::new(&engine, r#"(module
///     (import "host" "label" (func $label (param i32 i32 i32)))
///     (memory (export "memory") 1)
///     (data (i32.const 8) "\00\00\80\3f\00\00\00\40home")
///     (func (export "run") (call $label (i32.const 8) (i32.const 16) (i32.const 4))))"#)?;
/// let mut store = Store::new(&engine, Vec::new());
/// let instance = linker.instantiate(&mut store, &module)?;
/// instance.typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
/// assert_eq!(store.data()[0], "home at 1, 2");
/// # Ok::<(), wardian::Error>(())
/// ```
impl Memory {
    /// A value at `offset`, which need not be aligned.
    ///
    /// # Errors
    ///
    /// It is not inside the memory.
    pub fn read_value<V: AnyBitPattern>(&self, store: impl AsContext, offset: usize) -> Result<V> {
        let data = self.data(store.as_context());
        let range = checked(offset, size_of::<V>(), data.len())?;
        Ok(bytemuck::pod_read_unaligned(&data[range]))
    }

    /// Writes a value at `offset`, which need not be aligned.
    ///
    /// # Errors
    ///
    /// It would not be inside the memory; then nothing is written.
    pub fn write_value<V: NoUninit>(
        &self,
        store: impl AsContextMut,
        offset: usize,
        value: &V,
    ) -> Result<()> {
        self.write(store, offset, bytemuck::bytes_of(value))
    }

    /// `count` values that lie one after the other.
    ///
    /// # Errors
    ///
    /// They are not inside the memory.
    pub fn read_values<V: AnyBitPattern + NoUninit>(
        &self,
        store: impl AsContext,
        offset: usize,
        count: usize,
    ) -> Result<Vec<V>> {
        let data = self.data(store.as_context());
        let len = bytes_of::<V>(count)?;
        let range = checked(offset, len, data.len())?;
        let mut values = vec![V::zeroed(); count];
        bytemuck::cast_slice_mut::<V, u8>(&mut values).copy_from_slice(&data[range]);
        Ok(values)
    }

    /// Writes values one after the other.
    ///
    /// # Errors
    ///
    /// They would not be inside the memory; then nothing is written.
    pub fn write_values<V: NoUninit>(
        &self,
        store: impl AsContextMut,
        offset: usize,
        values: &[V],
    ) -> Result<()> {
        self.write(store, offset, bytemuck::cast_slice(values))
    }

    /// `len` bytes of text.
    ///
    /// # Errors
    ///
    /// They are not inside the memory, or not UTF-8.
    pub fn read_str<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
        offset: usize,
        len: usize,
    ) -> Result<&'a str> {
        let data = self.data(store);
        text(&data[checked(offset, len, data.len())?], offset)
    }

    /// The text from `offset` up to the next byte of zero, which ends it as strings of C end.
    ///
    /// # Errors
    ///
    /// There is no zero before the end of the memory, or the text is not UTF-8.
    pub fn read_c_str<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
        offset: usize,
    ) -> Result<&'a str> {
        let data = self.data(store);
        let rest = &data[checked(offset, 0, data.len())?.start..];
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(|| {
            Error::usage(
                UsageKind::OutOfBounds,
                format!("the string at {offset:#x} has no end inside the memory"),
            )
        })?;
        text(&rest[..end], offset)
    }
}

/// The same for shared memories. What other threads write meanwhile may be read in part.
impl SharedMemory {
    /// A value at `offset`, which need not be aligned.
    ///
    /// # Errors
    ///
    /// It is not inside the memory.
    pub fn read_value<V: AnyBitPattern + NoUninit>(&self, offset: usize) -> Result<V> {
        let mut value = V::zeroed();
        self.read(offset, bytemuck::bytes_of_mut(&mut value))?;
        Ok(value)
    }

    /// Writes a value at `offset`, which need not be aligned.
    ///
    /// # Errors
    ///
    /// It would not be inside the memory; then nothing is written.
    pub fn write_value<V: NoUninit>(&self, offset: usize, value: &V) -> Result<()> {
        self.write(offset, bytemuck::bytes_of(value))
    }

    /// `len` bytes of text.
    ///
    /// # Errors
    ///
    /// They are not inside the memory, or not UTF-8.
    pub fn read_string(&self, offset: usize, len: usize) -> Result<String> {
        // Before memory for it is asked for.
        checked(offset, len, self.len())?;
        let mut bytes = vec![0; len];
        self.read(offset, &mut bytes)?;
        Ok(text(&bytes, offset)?.to_owned())
    }
}

impl<T: 'static> Caller<'_, T> {
    /// The memory that the calling instance exports as `memory`, which is where compilers put the data that a guest
    /// passes pointers to.
    ///
    /// # Errors
    ///
    /// The host itself calls, or the instance exports no such memory, or a shared one.
    pub fn memory(&mut self) -> Result<Memory> {
        let found = self.get_export("memory").and_then(crate::Extern::into_memory);
        found.ok_or_else(|| {
            Error::usage(
                UsageKind::NotFound,
                "the caller exports no memory of its own by the name of `memory`",
            )
        })
    }
}

fn bytes_of<V>(count: usize) -> Result<usize> {
    let too_many = || {
        Error::usage(UsageKind::OutOfBounds, format!("{count} values of {} bytes", size_of::<V>()))
    };
    count.checked_mul(size_of::<V>()).ok_or_else(too_many)
}

fn text(bytes: &[u8], offset: usize) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        Error::usage(UsageKind::Type, format!("the text at {offset:#x} is not UTF-8: {error}"))
    })
}
