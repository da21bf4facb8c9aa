//! Hooks: functions that are listened to, who listens, and calls of them that are open.

use crate::inspect::FunctionDefinition;
use crate::listener::FunctionListener;
use crate::module::ModuleInner;
use crate::raw::parts::host::HostDef;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wardian_types::{FuncType, ValType};
use wardian_vm::contain::drop_contained;
use wardian_vm::layout::{HostFunc, Listened, StoreCtx};

/// A function that is listened to, or was. It stays as long as its store, for wrappers refer to it.
#[repr(C)]
pub(crate) struct Hook {
    // First, so that a pointer to it is one to this.
    pub(in crate::raw) vm: Listened,
    /// Who listens now: changed by [`Hook::set_listeners`].
    pub(super) listeners: Arc<Listeners>,
    /// The listener, if it is the only one and gets its values as they are.
    pub(super) only: Option<Only>,
    pub(in crate::raw) target: Target,
    pub(super) params: usize,
    pub(super) results: usize,
    /// Whether references to functions are among them, which must be made handles.
    pub(super) has_funcrefs: bool,
}

/// The only one of a hook's listeners: what its calls need, without a walk through the list. It is valid
/// as long as the list is the hook's.
#[derive(Clone, Copy)]
pub(in crate::raw) struct Only {
    pub(super) listener: NonNull<dyn FunctionListener>,
    pub(super) active: NonNull<AtomicBool>,
}

/// What is listened to.
pub(in crate::raw) enum Target {
    Wasm { instance: u32, func: u32, module: Arc<ModuleInner> },
    Host(HostTarget),
}

pub(in crate::raw) struct HostTarget {
    pub(in crate::raw) def: Arc<HostDef>,
    /// The module that imports it, and as what, if it was found through an import.
    pub(in crate::raw) import: Option<(Arc<ModuleInner>, u32)>,
    /// The record by which guests call it, and what stood in it.
    pub(in crate::raw) record: *mut HostFunc,
    pub(in crate::raw) dispatch: usize,
    pub(in crate::raw) data: usize,
}

/// The listeners of one function, in order.
#[derive(Default)]
pub(crate) struct Listeners(pub(in crate::raw) Vec<Entry>);

impl Drop for Listeners {
    fn drop(&mut self) {
        self.0.drain(..).for_each(drop_contained);
    }
}

#[derive(Clone)]
pub(in crate::raw) struct Entry {
    pub(in crate::raw) listener: Arc<dyn FunctionListener>,
    pub(in crate::raw) attachment: Arc<AttachmentState>,
}

/// What an attachment and its listeners share.
#[derive(Debug)]
pub(crate) struct AttachmentState {
    /// Cleared when the attachment ends, maybe before the store gets to take its listeners out.
    pub(crate) active: AtomicBool,
}

impl Entry {
    #[inline]
    pub(in crate::raw) fn is_active(&self) -> bool {
        self.attachment.active.load(Ordering::Relaxed)
    }
}

impl AttachmentState {
    /// The attachment of listeners that a module was compiled with.
    pub(crate) fn lasting() -> Arc<AttachmentState> {
        Arc::new(AttachmentState { active: true.into() })
    }
}

/// A call that has begun.
#[derive(Clone, Copy)]
pub(crate) struct OpenCall {
    pub(super) hook: *const Hook,
    /// The listeners when it began. They stay until no call is open: see [`super::listening::Listening`].
    pub(super) listeners: *const Listeners,
    pub(super) caller: usize,
    pub(super) id: u64,
    /// The frame pointer of the call's frame, or its address if it is interpreted; zero of a host function.
    pub(super) frame: usize,
    /// Which of the listeners have been notified that it began, as far as there are 64.
    pub(super) notified: u64,
}

/// What is known besides of an open call of a host function.
pub(crate) struct OpenHost {
    pub(super) id: u64,
    /// The entry in which it was called.
    pub(super) serial: u64,
    /// Its slots, if it suspended its guest.
    pub(super) waits: *mut u64,
}

impl OpenCall {
    /// The frame of the call; none of a host function.
    pub(in crate::raw) fn frame(&self) -> Option<usize> {
        (self.frame != 0).then_some(self.frame)
    }
}

impl Hook {
    pub(in crate::raw) fn new(store: *mut StoreCtx, target: Target) -> Hook {
        let ty = target.ty();
        let slots = |types: &[ValType]| types.iter().map(|t| t.slots()).sum();
        Hook {
            vm: Listened { store, body: 0 },
            listeners: Arc::default(),
            only: None,
            params: slots(ty.params()),
            results: slots(ty.results()),
            has_funcrefs: ty.params().iter().chain(ty.results()).any(|t| t.is_func_ref()),
            target,
        }
    }

    /// Who listens now.
    pub(in crate::raw) fn listeners(&self) -> &[Entry] {
        &self.listeners.0
    }

    /// Changes who listens; returns the list of before, which open calls may refer to.
    pub(in crate::raw) fn set_listeners(&mut self, entries: Vec<Entry>) -> Arc<Listeners> {
        let listeners = Arc::new(Listeners(entries));
        self.only = match listeners.0.as_slice() {
            [entry] if !self.has_funcrefs => Some(Only {
                listener: NonNull::from(&*entry.listener),
                active: NonNull::from(&entry.attachment.active),
            }),
            _ => None,
        };
        std::mem::replace(&mut self.listeners, listeners)
    }

    pub(in crate::raw) fn definition(&self) -> FunctionDefinition<'_> {
        match &self.target {
            Target::Wasm { module, func, .. } => FunctionDefinition::of_module(module, *func),
            Target::Host(HostTarget { import: Some((module, func)), .. }) => {
                FunctionDefinition::of_module(module, *func)
            }
            Target::Host(host) => FunctionDefinition::of_host(&host.def),
        }
    }
}

impl Target {
    pub(in crate::raw) fn ty(&self) -> &FuncType {
        match self {
            Target::Wasm { module, func, .. } => module.decoded.info().func_type(*func),
            Target::Host(host) => &host.def.ty,
        }
    }
}

/// The top of a stack that a listener walks: function and program counter.
pub(crate) fn top_of(hook: &Hook) -> (FunctionDefinition<'_>, usize) {
    (hook.definition(), if let Target::Wasm { .. } = hook.target { hook.vm.body } else { 0 })
}
