//! What the thread that has a store does when others have left work for it: see [`super::closing`].

use crate::call::closing::{CloseNotifier, CloseState, Closing, Deferred, Shared};
use crate::ids::InstanceId;
use crate::store::functions::FuncKind;
use crate::store::inner::StoreInner;
use crate::store::instance::ImportedFunc;
use std::cell::LazyCell;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use wardian_types::DefinedFuncIndex;
use wardian_vm::activation;
use wardian_vm::addr::VmCtxPtr;
use wardian_vm::frames::{Frames, Step};
use wardian_vm::interrupt::reason;

impl StoreInner {
    /// What the store shares with other threads, made on first need.
    pub fn shared(&mut self) -> Arc<Shared> {
        if let Some(shared) = self.remote.closing() {
            return shared.clone();
        }
        let shared = Arc::new(Shared::new(self.interrupter().clone()));
        self.remote.share_closing(shared.clone());
        for instance in 0..self.entities.instances().len() as u32 {
            self.link_closing(InstanceId::from_u32(instance));
        }
        shared
    }

    /// Makes a new instance known to those who close instances, if there are any.
    pub(crate) fn link_closing(&mut self, instance: InstanceId) {
        let Some(shared) = self.remote.closing().cloned() else { return };
        let data = &self.entities[instance];
        let mut callees = BTreeSet::new();
        for import in data.imports() {
            if let ImportedFunc::Func(func) = import
                && let FuncKind::Wasm { instance: callee, .. } = *self.entities.funcs().kind(*func)
            {
                callees.insert(callee);
            }
        }
        // Through a table each of those that have it may call what any other put there.
        let earlier = self.entities.instances().enumerated().take(instance.index());
        let tables = data.tables().as_slice();
        let shares =
            earlier.filter(|(_, other)| other.tables().iter().any(|table| tables.contains(table)));
        let shares: Vec<InstanceId> = shares.map(|(other, _)| other).collect();
        callees.extend(&shares);
        let callees: Vec<InstanceId> = callees.into_iter().filter(|c| *c != instance).collect();
        shared.link(data.vm().address(), &callees, shares);
    }

    /// What an instance shares with those who close it, made on first need.
    pub fn close_state(&mut self, instance: InstanceId) -> Arc<CloseState> {
        let shared = self.shared();
        let store = self.id();
        let data = &mut self.entities[instance];
        if let Some(known) = data.close_state() {
            return known.clone();
        }
        let name = data.name().map(str::to_owned);
        let state = CloseState::new(shared, Closing { store, index: instance, name });
        let state = Arc::new(state);
        data.set_close_state(state.clone());
        state
    }

    /// Adds those who want to know when an instance is closed.
    pub fn notify_of_closing(&mut self, instance: InstanceId, who: &[Arc<dyn CloseNotifier>]) {
        if !who.is_empty() {
            self.close_state(instance).add(who);
        }
    }

    /// Closes an instance on the store's own thread.
    pub fn close_instance(&mut self, instance: InstanceId, code: u32) -> bool {
        if !self.close_state(instance).begin(code) {
            return false;
        }
        self.mark_closed(instance, code);
        if self.takes_part(instance) {
            self.interrupter().close(code);
        }
        true
    }

    /// After a call that was ended by closing: the calls around it continue, unless an instance that
    /// was closed takes part in them too.
    pub(crate) fn renew_closing(&mut self) {
        // In this order: another thread that closes an instance meanwhile sets the bit after it has queued
        // the deferred work.
        self.interrupter().acknowledge(reason::CLOSED);
        self.run_deferred();
        let code = |i: InstanceId| self.entities[i].closed().filter(|_| self.takes_part(i));
        if let Some(code) = self.entities.instances().indices().find_map(code) {
            self.interrupter().close(code);
        }
    }

    /// Whether an instance takes part in a call that is running now: it was entered, or there are
    /// frames of its module that can be its own.
    fn takes_part(&self, instance: InstanceId) -> bool {
        // SAFETY: the context is valid; activations on the list are alive.
        let entered = unsafe { activation::contexts((*self.ctx()).activation) };
        let Some(mut at) = entered.clone().next() else { return false };
        let data = &self.entities[instance];
        if entered.clone().any(|context| context == data.vm().address()) {
            return true;
        }
        // Frames of the module, in a call that entered another instance, belong to this instance if the entered
        // one can reach it through imports. Otherwise they belong to an instance of the module that it can
        // reach. If it can reach none, a reference led there, perhaps to this instance.
        let reaching =
            |of: InstanceId| self.remote.closing().map(|s| s.reaching(of)).unwrap_or_default();
        let reaching_this = reaching(instance);
        let kin = self.entities.instances().enumerated();
        let kin =
            kin.filter(|(i, other)| *i != instance && Arc::ptr_eq(other.module(), data.module()));
        // Only needed if there are frames of the module, and long to find if it has many instances.
        let reaching_kin =
            LazyCell::new(|| kin.flat_map(|(i, _)| reaching(i)).collect::<HashSet<_>>());
        let can_be_here = |context: VmCtxPtr| {
            reaching_this.contains(&context) || !reaching_kin.contains(&context)
        };
        let mut outer = entered.skip(1);
        // SAFETY: a host function runs, so its guest waits; nothing runs on its stack meanwhile.
        let mut frames = unsafe { Frames::at_host_call(&*self.ctx()) };
        frames.any(|step| match step {
            Step::Frame(pc) => {
                let found = self.engine().code().locate(pc);
                found.is_some_and(|l| Arc::ptr_eq(&l.module, data.module())) && can_be_here(at)
            }
            Step::Host => {
                at = outer.next().unwrap_or(at);
                false
            }
        })
    }

    /// Makes calls of a closed instance's functions lead to an error.
    fn mark_closed(&mut self, instance: InstanceId, code: u32) {
        let data = &self.entities[instance];
        if data.closed().is_some() {
            return;
        }
        self.entities.set_closed(instance, Some(code));
        let data = &self.entities[instance];
        for defined in 0..data.module().decoded.info().bodies.len() as u32 {
            // What nobody has called yet finds out when somebody does.
            if self.entities[instance].is_linked(DefinedFuncIndex::from_u32(defined)) {
                self.relink(instance, DefinedFuncIndex::from_u32(defined));
            }
        }
        self.relink_importers(instance);
    }

    /// Makes calls of an instance's functions, which was closed, possible again.
    pub(crate) fn mark_open(&mut self, instance: InstanceId) {
        if self.entities.set_closed(instance, None).is_none() {
            return;
        }
        let data = &self.entities[instance];
        for defined in 0..data.module().decoded.info().bodies.len() as u32 {
            if self.entities[instance].is_linked(DefinedFuncIndex::from_u32(defined)) {
                self.relink(instance, DefinedFuncIndex::from_u32(defined));
            }
        }
        self.relink_importers(instance);
    }

    /// Does what others have left to do.
    pub fn run_deferred(&mut self) {
        if self.word() & (reason::DEFERRED | reason::CLOSED) == 0 {
            return;
        }
        let Some(shared) = self.remote.closing().cloned() else {
            // Checkpoints are taken where the guest is resumed.
            self.interrupter().acknowledge(reason::DEFERRED);
            return;
        };
        let mut sweep = false;
        for work in shared.take() {
            match work {
                // Else it was brought back, open, by an image since.
                Deferred::Close { instance, code } => {
                    if self.entities[instance].exit_code().is_some() {
                        self.mark_closed(instance, code);
                    }
                }
                Deferred::Sweep => sweep = true,
            }
        }
        if sweep {
            self.sweep_attachments();
        }
    }
}

impl StoreInner {
    /// Closes the instances that are still open.
    pub fn close_all(&mut self, code: u32) {
        for instance in 0..self.entities.instances().len() as u32 {
            self.close_instance(InstanceId::from_u32(instance), code);
        }
    }

    /// Notifies those that asked to know when the store is dropped, and with it its instances.
    pub(crate) fn notify_of_going(&self) {
        for state in self.entities.instances().iter().filter_map(|i| i.close_state()) {
            state.begin(0);
        }
    }
}
