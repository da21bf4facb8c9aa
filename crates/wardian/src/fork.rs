//! Forks: a second store that continues from the same moment.

use crate::checkpoint::Resumed;
use crate::data::StoreData;
use crate::error::UsageKind;
use crate::handles::{Extern, Func, Global, Instance, Memory, Table, Tag};
use crate::host_def::data_type;
use crate::store::check_store;
use crate::wasm_ty::{WasmParams, WasmResults};
use crate::{
    AsContext, AsContextMut, Caller, Engine, Error, Result, Store, StoreContext, TypedFunc,
};
use std::fmt;
use wardian_runtime::checkpoint::{Kin, Standing};

/// A second store with the state that a store had: see [`Store::fork`].
#[non_exhaustive]
pub struct Fork<T: 'static> {
    /// The child. It belongs to nobody, and can move to another thread.
    pub store: Store<T>,
    /// The guest of the child, if the parent was in a call of a host function: see [`Resumed::run_with`].
    pub resumed: Resumed,
    /// What the child has for what the parent has.
    pub counterparts: Counterparts,
}

impl<T> fmt::Debug for Fork<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fork").field("resumed", &self.resumed).finish_non_exhaustive()
    }
}

impl<T: 'static> Store<T> {
    /// Makes a second store that has the state of this one, in which no guest runs, and data of its own. Both go their
    /// own ways from here: nothing that one of them does is seen by the other.
    ///
    /// The memories of both show the same pages until one of them writes to a page, as after the `fork` of a process.
    /// So do those of further children, and of children's children.
    ///
    /// | | the child has |
    /// |---|---|
    /// | instances, their memories, tables, globals, tags, segments, objects, exceptions | the same, at the same positions; what was closed is closed |
    /// | things of the embedder's that instances import | new ones of the same type and contents, in memories of the engine's own |
    /// | host functions, imported or in tables | the same closures, which get the child's data |
    /// | values of the embedder's ([`ExternRef`](crate::ExternRef)) | the same values |
    /// | fuel, [`Store::enable_snapshots`] | what the parent has |
    /// | limiter, refueling, deadline, cancellation, listeners, close notifiers, import resolvers, images, snapshots | none: see [`Store::fork_with`] |
    /// | guests | that of a [`Caller`], if it was forked by [`Caller::fork`] |
    ///
    /// What no instance has is not in the child.
    ///
    /// ```
    /// use wardian::{Engine, Instance, Module, Store, fork::Fork};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (global $n (mut i32) (i32.const 0))
    ///   (func (export "next") (result i32)
    ///     (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let next = instance.typed_func::<(), i32>(&mut store, "next")?;
    /// assert_eq!(next.call(&mut store, ())?, 1);
    /// let Fork { store: mut child, counterparts, .. } = store.fork(())?;
    /// assert_eq!((next.call(&mut store, ())?, next.call(&mut store, ())?), (2, 3));
    /// let next = counterparts.of(&store, &mut child, next)?;
    /// assert_eq!(next.call(&mut child, ())?, 2);
    /// # Ok::<(), wardian::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// The first fork of a memory of more than 128 KiB copies what was ever written to it, unless
    /// [`Config::forkable_memories`](crate::Config::forkable_memories) is set; later ones copy what was written since.
    /// See `docs/images.md`.
    ///
    /// # Errors
    ///
    /// An instance has a shared memory; the guest holds an object of a type that no module declares, or an object made
    /// of a value of the embedder's; a limit that applies to the child refuses its memories; or the system has no
    /// memory. The store is as before.
    pub fn fork(&mut self, data: T) -> Result<Fork<T>> {
        self.fork_with(data, |_| {})
    }

    /// [`Store::fork`] with a child that is prepared while it is still empty: with a limiter, say, which is asked about
    /// its memories and tables.
    ///
    /// # Errors
    ///
    /// As for [`Store::fork`]; or instances were made in the child.
    pub fn fork_with(&mut self, data: T, prepare: impl FnOnce(&mut Store<T>)) -> Result<Fork<T>> {
        fork(&mut self.0, Standing::Idle, data, prepare)
    }
}

impl<T: 'static> Caller<'_, T> {
    /// Makes a second store that has the state of this one, with a guest that waits in the call of this host function as
    /// well: see [`Store::fork`] for what it has. [`Resumed::run_with`] lets the function return other results there.
    ///
    /// ```
    /// use wardian::{fork::Fork, Caller, Config, Engine, EngineKind, Linker, Module, Result, Store, Val};
    /// struct Player(Vec<Fork<Player>>);
    /// let engine = Engine::new(Config::new().engine(EngineKind::Interpreted))?;
    /// let mut linker = Linker::<Player>::new(&engine);
    /// // A decision for each of three branches; the run that comes here first decides 0.
    /// linker.func_wrap("game", "decide", |mut caller: Caller<'_, Player>| -> Result<i32> {
    ///     for _ in 0..3 {
    ///         let branch = caller.fork(Player(Vec::new()))?;
    ///         caller.data_mut().0.push(branch);
    ///     }
    ///     Ok(0)
    /// })?;
    /// let module = Module::new(&engine, r#"(module
    ///     (import "game" "decide" (func $decide (result i32)))
    ///     (func (export "play") (param i32) (result i32)
    ///         (i32.add (i32.mul (local.get 0) (i32.const 10)) (call $decide))))"#)?;
    /// let mut store = Store::new(&engine, Player(Vec::new()));
    /// let instance = linker.instantiate(&mut store, &module)?;
    /// let play = instance.typed_func::<i32, i32>(&mut store, "play")?;
    /// assert_eq!(play.call(&mut store, 7)?, 70);
    /// for (decision, branch) in (1..).zip(store.into_data().0) {
    ///     let Fork { mut store, resumed, .. } = branch;
    ///     let score = resumed.run_with(&mut store, &[Val::I32(decision)])?;
    ///     assert_eq!(score, [Val::I32(70 + decision)]);
    /// }
    /// # Ok::<(), wardian::Error>(())
    /// ```
    ///
    /// The frames of the guest go through the same form as those of a [`Checkpoint`](crate::checkpoint::Checkpoint), and are
    /// interpreted frames in the child until its functions are called again.
    ///
    /// # Errors
    ///
    /// As for [`Store::fork`]; or the guest is run by compiled code in an engine without
    /// [`Config::checkpoints`](crate::Config::checkpoints), which the error names; or it was called by a host function
    /// that another guest called.
    pub fn fork(&mut self, data: T) -> Result<Fork<T>> {
        self.fork_with(data, |_| {})
    }

    /// [`Caller::fork`] with a child that is prepared while it is still empty: see [`Store::fork_with`].
    ///
    /// # Errors
    ///
    /// As for [`Caller::fork`]; or instances were made in the child.
    pub fn fork_with(&mut self, data: T, prepare: impl FnOnce(&mut Store<T>)) -> Result<Fork<T>> {
        let call = self.host_call();
        fork(self.as_context_mut().0, Standing::HostCall(call), data, prepare)
    }
}

fn fork<T: 'static>(
    parent: &mut StoreData<T>,
    standing: Standing,
    data: T,
    prepare: impl FnOnce(&mut Store<T>),
) -> Result<Fork<T>> {
    let mut store = Store::new(parent.data.engine(), data);
    prepare(&mut store);
    if !Engine::same(store.engine(), parent.data.engine()) {
        return Err(Error::usage(
            UsageKind::OtherEngine,
            "the child of a fork was replaced by a store of another engine",
        ));
    }
    let (restored, kin) = parent.fork_into(&mut store.0, standing, data_type::<T>())?;
    let counterparts = Counterparts { parent: parent.inner.id(), child: store.0.inner.id(), kin };
    let resumed = Resumed::new(&store, restored);
    Ok(Fork { store, resumed, counterparts })
}

/// What the child of a fork has for what its parent has.
pub struct Counterparts {
    parent: u64,
    child: u64,
    kin: Kin,
}

impl fmt::Debug for Counterparts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counterparts")
            .field("parent", &self.parent)
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}

impl Counterparts {
    /// The child's handle for one of the parent's: an [`Instance`], a [`Func`], a [`TypedFunc`], a [`Memory`], a
    /// [`Table`], a [`Global`], a [`Tag`] or an [`Extern`].
    ///
    /// # Errors
    ///
    /// The stores are not parent and child of the fork, in this order; the handle is of another store; or it names
    /// something that was made after the fork, or that no instance has.
    pub fn of<T: 'static, H: Handle>(
        &self,
        parent: impl AsContext<Data = T>,
        mut child: impl AsContextMut<Data = T>,
        handle: H,
    ) -> Result<H> {
        let parent = parent.as_context();
        let mut child = child.as_context_mut();
        check_store(&parent.0.inner, self.parent)?;
        check_store(&child.0.inner, self.child)?;
        handle.counterpart(Pair { kin: &self.kin, parent, child: child.as_context_mut() })
    }
}

/// A handle of a store that has a counterpart in its forks.
pub trait Handle: sealed::Handle {}
impl<H: sealed::Handle> Handle for H {}

use sealed::Pair;

mod sealed {
    use super::{Kin, StoreContext};
    use crate::{Result, StoreContextMut};

    /// Parent and child of a fork.
    pub struct Pair<'a, T: 'static> {
        pub(super) kin: &'a Kin,
        pub(super) parent: StoreContext<'a, T>,
        pub(super) child: StoreContextMut<'a, T>,
    }

    pub trait Handle: Sized {
        fn counterpart<T: 'static>(self, pair: Pair<'_, T>) -> Result<Self>;
    }
}

impl sealed::Handle for Instance {
    fn counterpart<T: 'static>(self, pair: Pair<'_, T>) -> Result<Instance> {
        check_store(&pair.parent.0.inner, self.store)?;
        let inner = &pair.child.0.inner;
        if self.index.index() >= pair.kin.instances() {
            return Err(Kin::newer("instance").into());
        }
        Ok(Instance { store: inner.id(), index: self.index })
    }
}

impl sealed::Handle for Func {
    fn counterpart<T: 'static>(self, pair: Pair<'_, T>) -> Result<Func> {
        check_store(&pair.parent.0.inner, self.store)?;
        let child = &mut pair.child.0.inner;
        let index = pair.kin.func(&pair.parent.0.inner, child, self.index)?;
        Ok(Func { store: child.id(), index })
    }
}

impl<P: WasmParams, R: WasmResults> sealed::Handle for TypedFunc<P, R> {
    fn counterpart<T: 'static>(self, mut pair: Pair<'_, T>) -> Result<TypedFunc<P, R>> {
        let func = self.func().counterpart(Pair {
            kin: pair.kin,
            parent: pair.parent,
            child: pair.child.as_context_mut(),
        })?;
        func.typed(pair.child)
    }
}

impl sealed::Handle for Memory {
    fn counterpart<T: 'static>(self, pair: Pair<'_, T>) -> Result<Memory> {
        check_store(&pair.parent.0.inner, self.store)?;
        let child = &pair.child.0.inner;
        Ok(Memory { store: child.id(), index: pair.kin.memory(child, self.index)? })
    }
}

impl sealed::Handle for Table {
    fn counterpart<T: 'static>(self, pair: Pair<'_, T>) -> Result<Table> {
        check_store(&pair.parent.0.inner, self.store)?;
        let child = &pair.child.0.inner;
        Ok(Table { store: child.id(), index: pair.kin.table(child, self.index)? })
    }
}

impl sealed::Handle for Tag {
    fn counterpart<T: 'static>(self, pair: Pair<'_, T>) -> Result<Tag> {
        check_store(&pair.parent.0.inner, self.store)?;
        let child = &pair.child.0.inner;
        Ok(Tag { store: child.id(), index: pair.kin.tag(child, self.index)? })
    }
}

impl sealed::Handle for Global {
    fn counterpart<T: 'static>(self, pair: Pair<'_, T>) -> Result<Global> {
        check_store(&pair.parent.0.inner, self.0.store())?;
        Ok(Global(pair.kin.global(&pair.child.0.inner, &self.0)?))
    }
}

impl sealed::Handle for Extern {
    fn counterpart<T: 'static>(self, pair: Pair<'_, T>) -> Result<Extern> {
        Ok(match self {
            Extern::Func(func) => Extern::Func(func.counterpart(pair)?),
            Extern::Table(table) => Extern::Table(table.counterpart(pair)?),
            Extern::Memory(memory) => Extern::Memory(memory.counterpart(pair)?),
            Extern::Global(global) => Extern::Global(global.counterpart(pair)?),
            Extern::Tag(tag) => Extern::Tag(tag.counterpart(pair)?),
            Extern::SharedMemory(_) => return Err(Kin::newer("shared memory").into()),
        })
    }
}
