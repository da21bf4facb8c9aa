//! Fuel: stopping guests after an amount of work, rather than of time.

use crate::error::UsageKind;
use crate::{Caller, Error, Result, Store, StoreContext, StoreContextMut};
use wardian_runtime::store::inner::StoreInner;

impl<T: 'static> Store<T> {
    /// Sets the fuel that is left, whatever was left before; at most [`i64::MAX`]. A store begins with
    /// none. After a guest ended for lack of it, this lets the store be used again.
    ///
    /// With [`Config::fuel`](crate::Config::fuel) guests burn fuel as they run: an operator burns one, those that
    /// only give structure none; host functions burn what they take by [`Caller::set_fuel`]. It is
    /// looked at when a function begins and whenever a loop's body begins, so a guest may overdraw by
    /// the operators up to there. If there is less than none, the hook of [`Store::refuel_with`] is
    /// asked, and without an answer the guest ends with [`StopReason::Fuel`](crate::StopReason::Fuel): the
    /// outer guests too, unless a host function in between gives fuel.
    ///
    /// Fuel is not part of a snapshot: no guest gets back what it has burnt.
    ///
    /// ```
    /// use wardian::{Config, Engine, Instance, Module, StopReason, Store};
    /// let engine = Engine::new(Config::new().fuel(true))?;
    /// let module = Module::new(&engine, r#"(module
    ///     (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    ///     (func (export "spin") (loop $l (br $l))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_fuel(1000)?;
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// instance.typed_func::<(i32, i32), i32>(&mut store, "add")?.call(&mut store, (1, 2))?;
    /// assert_eq!(store.fuel()?, 997);
    /// let spin = instance.typed_func::<(), ()>(&mut store, "spin")?;
    /// assert_eq!(spin.call(&mut store, ()).unwrap_err().stop_reason(), Some(StopReason::Fuel));
    /// assert_eq!(store.fuel()?, 0);
    /// # Ok::<(), wardian::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The engine does not count fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        set(&mut self.0.inner, fuel)
    }

    /// The fuel that is left; zero if a guest has overdrawn.
    ///
    /// # Errors
    ///
    /// The engine does not count fuel.
    #[doc(alias = "get_fuel")]
    pub fn fuel(&self) -> Result<u64> {
        StoreContext::from(self).fuel()
    }

    /// Calls `hook` when fuel runs out, with the embedder's data, on the thread that has the store, while the
    /// guest waits. `Some` adds fuel, and the guest is resumed; if it had overdrawn by more, the hook is
    /// called again. `None`, or no more than zero, ends the guest.
    ///
    /// # Errors
    ///
    /// The engine does not count fuel.
    #[doc(alias = "fuel_async_yield_interval")]
    pub fn refuel_with(
        &mut self,
        hook: impl (FnMut(&mut T) -> Option<u64>) + Send + Sync + 'static,
    ) -> Result<()> {
        let store = &mut *self.0;
        counts(&store.inner)?;
        store.data.refuel = Some(Box::new(hook));
        Ok(())
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::set_fuel`].
    ///
    /// # Errors
    ///
    /// The engine does not count fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        set(&mut self.0.inner, fuel)
    }

    /// As [`Store::fuel`].
    ///
    /// # Errors
    ///
    /// The engine does not count fuel.
    pub fn fuel(&self) -> Result<u64> {
        get(&self.0.inner)
    }
}

impl<T: 'static> StoreContext<'_, T> {
    /// As [`Store::fuel`].
    ///
    /// # Errors
    ///
    /// The engine does not count fuel.
    pub fn fuel(&self) -> Result<u64> {
        get(&self.0.inner)
    }
}

impl<T: 'static> Caller<'_, T> {
    /// As [`Store::set_fuel`]: for host functions that burn fuel, or give some. The guest that calls has
    /// burnt the fuel of all its operators up to the call.
    ///
    /// # Errors
    ///
    /// The engine does not count fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        set(self.inner_mut(), fuel)
    }

    /// As [`Store::fuel`].
    ///
    /// # Errors
    ///
    /// The engine does not count fuel.
    pub fn fuel(&self) -> Result<u64> {
        get(self.inner())
    }
}

fn set(store: &mut StoreInner, fuel: u64) -> Result<()> {
    counts(store)?;
    store.set_fuel(fuel);
    Ok(())
}

fn get(store: &StoreInner) -> Result<u64> {
    counts(store)?;
    Ok(store.fuel())
}

fn counts(store: &StoreInner) -> Result<()> {
    if store.engine().settings().fuel {
        return Ok(());
    }
    Err(Error::usage(UsageKind::Disabled, "the engine does not count fuel: see `Config::fuel`"))
}
