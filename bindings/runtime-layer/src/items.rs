//! Functions, globals, memories, tables and values of the embedder.

use crate::store::StoreContextMut;
use crate::{Engine, StoreContext, convert};
use anyhow::{Context, Result, anyhow};
use wasm_runtime_layer::backend::{
    AsContext, AsContextMut, Ref, Val, WasmExternRef, WasmFunc, WasmGlobal, WasmMemory, WasmTable,
};
use wasm_runtime_layer::{FuncType, GlobalType, MemoryType, TableType};

/// A value of the embedder's that guests hold but cannot look into.
#[derive(Clone, Debug)]
pub struct ExternRef(pub(crate) wardian::ExternRef);

impl WasmExternRef<Engine> for ExternRef {
    fn new<T: 'static + Send + Sync>(_: impl AsContextMut<Engine>, object: T) -> Self {
        ExternRef(wardian::ExternRef::new(object))
    }

    fn downcast<'a, 's: 'a, T: 'static, S: 'static>(
        &'a self,
        _: StoreContext<'s, S>,
    ) -> Result<&'a T> {
        let wanted = || anyhow!("the reference is to no {}", std::any::type_name::<T>());
        self.0.data().downcast_ref().ok_or_else(wanted)
    }
}

/// A function of a guest or of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Func(pub(crate) wardian::Func);

impl WasmFunc<Engine> for Func {
    /// # Panics
    ///
    /// As [`wardian::Func::new`].
    fn new<T: 'static>(
        mut ctx: impl AsContextMut<Engine, UserState = T>,
        ty: FuncType,
        func: impl 'static
        + Send
        + Sync
        + Fn(StoreContextMut<'_, T>, &[Val<Engine>], &mut [Val<Engine>]) -> Result<()>,
    ) -> Self {
        let called = move |mut caller: wardian::Caller<'_, T>,
                           params: &[wardian::Val],
                           results: &mut [wardian::Val]| {
            let params = values(params).map_err(wardian::Error::host)?;
            let mut given = values(results).map_err(wardian::Error::host)?;
            let store = StoreContextMut::new(wardian::AsContextMut::as_context_mut(&mut caller));
            func(store, &params, &mut given).map_err(host_error)?;
            for (result, given) in results.iter_mut().zip(&given) {
                *result = convert::value(given);
            }
            Ok(())
        };
        Func(wardian::Func::new(ctx.as_context_mut().inner(), convert::func_type(&ty), called))
    }

    /// # Panics
    ///
    /// The function is of another store, or its type is none that the interface has; functions of such types
    /// are not exported.
    fn ty(&self, ctx: impl AsContext<Engine>) -> FuncType {
        let ty = self.0.ty(ctx.as_context().inner());
        convert::from_func_type(&ty).unwrap_or_else(|| panic!("a function of the type {ty}"))
    }

    fn call<T>(
        &self,
        mut ctx: impl AsContextMut<Engine>,
        args: &[Val<Engine>],
        results: &mut [Val<Engine>],
    ) -> Result<()> {
        let args: Vec<_> = args.iter().map(convert::value).collect();
        let mut given: Vec<_> = results.iter().map(convert::value).collect();
        self.0.call(ctx.as_context_mut().inner(), &args, &mut given)?;
        for (result, given) in results.iter_mut().zip(values(&given)?) {
            *result = given;
        }
        Ok(())
    }
}

/// An error of a host function, so that [`wardian::Error::downcast_ref`] finds the type that it was made of.
fn host_error(error: anyhow::Error) -> wardian::Error {
    match error.downcast::<wardian::Error>() {
        Ok(error) => error,
        Err(error) => {
            wardian::Error::host(error.reallocate_into_boxed_dyn_error_without_backtrace())
        }
    }
}

fn values(values: &[wardian::Val]) -> Result<Vec<Val<Engine>>> {
    let known = |value: &wardian::Val| {
        convert::from_value(value)
            .with_context(|| format!("wasm_runtime_layer has no values of type {}", value.ty()))
    };
    values.iter().map(known).collect()
}

/// A global.
#[derive(Clone, Copy, Debug)]
pub struct Global(pub(crate) wardian::Global);

impl WasmGlobal<Engine> for Global {
    /// # Panics
    ///
    /// The value belongs to another store.
    fn new(mut ctx: impl AsContextMut<Engine>, value: Val<Engine>, mutable: bool) -> Self {
        let content = convert::value_type(value.ty());
        let ty = wardian::GlobalType { content, mutable };
        let global = wardian::Global::new(ctx.as_context_mut().inner(), ty, convert::value(&value));
        Global(global.unwrap_or_else(|error| panic!("{error}")))
    }

    /// # Panics
    ///
    /// As [`Func::ty`].
    fn ty(&self, _: impl AsContext<Engine>) -> GlobalType {
        let ty = self.0.ty();
        convert::from_global_type(ty).unwrap_or_else(|| panic!("a global of the type {ty}"))
    }

    fn set(&self, mut ctx: impl AsContextMut<Engine>, value: Val<Engine>) -> Result<()> {
        Ok(self.0.set(ctx.as_context_mut().inner(), convert::value(&value))?)
    }

    /// # Panics
    ///
    /// As [`Func::ty`].
    fn get(&self, mut ctx: impl AsContextMut<Engine>) -> Val<Engine> {
        let value = self.0.get(ctx.as_context_mut().inner());
        convert::from_value(&value).unwrap_or_else(|| panic!("a value of type {}", value.ty()))
    }
}

/// A linear memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory(pub(crate) wardian::Memory);

impl WasmMemory<Engine> for Memory {
    fn new(mut ctx: impl AsContextMut<Engine>, ty: MemoryType) -> Result<Self> {
        let ty = convert::memory_type(ty);
        Ok(Memory(wardian::Memory::new(ctx.as_context_mut().inner(), ty)?))
    }

    /// The size in it is that of now.
    fn ty(&self, ctx: impl AsContext<Engine>) -> MemoryType {
        let ty = self.0.ty(ctx.as_context().inner());
        let max = ty.max.and_then(|max| u32::try_from(max).ok());
        MemoryType::new(pages(ty.min), max)
    }

    fn grow(&self, mut ctx: impl AsContextMut<Engine>, additional: u32) -> Result<u32> {
        let before = self.0.grow(ctx.as_context_mut().inner(), additional.into())?;
        Ok(pages(before))
    }

    fn current_pages(&self, ctx: impl AsContext<Engine>) -> u32 {
        pages(self.0.size(ctx.as_context().inner()))
    }

    fn read(&self, ctx: impl AsContext<Engine>, offset: usize, buffer: &mut [u8]) -> Result<()> {
        Ok(self.0.read(ctx.as_context().inner(), offset, buffer)?)
    }

    fn write(
        &self,
        mut ctx: impl AsContextMut<Engine>,
        offset: usize,
        buffer: &[u8],
    ) -> Result<()> {
        Ok(self.0.write(ctx.as_context_mut().inner(), offset, buffer)?)
    }
}

/// A size as the interface has it; what is larger is its largest.
fn pages(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table(pub(crate) wardian::Table);

impl WasmTable<Engine> for Table {
    fn new(mut ctx: impl AsContextMut<Engine>, ty: TableType, init: Ref<Engine>) -> Result<Self> {
        let (ty, init) = (convert::table_type(ty), convert::reference(&init));
        Ok(Table(wardian::Table::new(ctx.as_context_mut().inner(), ty, init)?))
    }

    /// # Panics
    ///
    /// As [`Func::ty`].
    fn ty(&self, ctx: impl AsContext<Engine>) -> TableType {
        let ty = self.0.ty(ctx.as_context().inner());
        convert::from_table_type(ty).unwrap_or_else(|| panic!("a table of the type {ty}"))
    }

    fn size(&self, ctx: impl AsContext<Engine>) -> u32 {
        pages(self.0.size(ctx.as_context().inner()))
    }

    fn grow(
        &self,
        mut ctx: impl AsContextMut<Engine>,
        delta: u32,
        init: Ref<Engine>,
    ) -> Result<u32> {
        let init = convert::reference(&init);
        let before = self.0.grow(ctx.as_context_mut().inner(), delta.into(), init)?;
        Ok(pages(before))
    }

    fn get(&self, mut ctx: impl AsContextMut<Engine>, index: u32) -> Option<Ref<Engine>> {
        let value = self.0.get(ctx.as_context_mut().inner(), index.into())?;
        convert::from_reference(&value)
    }

    fn set(&self, mut ctx: impl AsContextMut<Engine>, index: u32, elem: Ref<Engine>) -> Result<()> {
        let value = convert::reference(&elem);
        Ok(self.0.set(ctx.as_context_mut().inner(), index.into(), value)?)
    }
}
