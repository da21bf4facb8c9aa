//! Hooks: functions that are listened to, who listens, and calls of them that are open.

use super::listener::Listener;
use crate::ids::InstanceId;
use crate::module::ModuleInner;
use crate::store::host::HostDef;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wardian_types::{CodeOffset, FuncIndex, FuncType, ValType};
use wardian_vm::addr::{CodeAddr, OwnerPtr, StackAddr, VmCtxPtr};
use wardian_vm::contain::drop_contained;
use wardian_vm::layout::{HostFunc, Listened, StoreCtx};

/// A function, as it is described to those who want to know.
#[derive(Clone, Copy)]
pub enum Described<'a> {
    /// One of a module, by its index there, imports included.
    Module(&'a Arc<ModuleInner>, FuncIndex),
    /// One of the host.
    Host(&'a HostDef),
}

impl Described<'_> {
    /// The offset of its body in the code section.
    pub fn body_offset(&self) -> Option<CodeOffset> {
        let Described::Module(module, func) = self else { return None };
        let info = module.decoded.info();
        Some(info.body_offsets(info.defined_function(*func)?)?.start)
    }
}

/// A function that is listened to, or was. It stays as long as its store, for wrappers refer to it.
#[repr(C)]
pub struct Hook {
    // First, so that a pointer to it is one to this.
    pub(crate) vm: Listened,
    /// Who listens now: changed by [`Hook::set_listeners`].
    pub(super) listeners: Arc<Listeners>,
    /// The listener, if it is the only one and gets its values as they are.
    pub(super) only: Option<Only>,
    pub(crate) target: Target,
    pub(super) params: usize,
    pub(super) results: usize,
    /// Whether references to functions are among them, which must be made handles.
    pub(super) has_funcrefs: bool,
}

/// The only one of a hook's listeners: what its calls need, without a walk through the list. It is valid
/// as long as the list is the hook's.
#[derive(Clone, Copy)]
pub(crate) struct Only {
    pub(super) listener: NonNull<dyn Listener>,
    pub(super) active: NonNull<AtomicBool>,
}

/// What is listened to.
pub(crate) enum Target {
    Wasm { instance: InstanceId, func: FuncIndex, module: Arc<ModuleInner> },
    Host(HostTarget),
}

pub(crate) struct HostTarget {
    pub(crate) def: Arc<HostDef>,
    /// The module that imports it, and as what, if it was found through an import.
    pub(crate) import: Option<(Arc<ModuleInner>, FuncIndex)>,
    /// The record by which guests call it, and what stood in it.
    pub(crate) record: *mut HostFunc,
    pub(crate) dispatch: CodeAddr,
    pub(crate) data: OwnerPtr,
}

/// The listeners of one function, in order.
#[derive(Default)]
pub struct Listeners(pub(crate) Vec<Entry>);

impl Drop for Listeners {
    fn drop(&mut self) {
        self.0.drain(..).for_each(drop_contained);
    }
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) attachment: Arc<AttachmentState>,
}

/// What an attachment and its listeners share.
#[derive(Debug)]
pub struct AttachmentState {
    /// Cleared when the attachment ends, maybe before the store gets to take its listeners out.
    pub active: AtomicBool,
}

impl Entry {
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.attachment.active.load(Ordering::Relaxed)
    }
}

impl AttachmentState {
    /// The attachment of listeners that a module was compiled with.
    pub fn lasting() -> Arc<AttachmentState> {
        Arc::new(AttachmentState { active: true.into() })
    }
}

/// A call that has begun.
#[derive(Clone, Copy)]
pub struct OpenCall {
    pub(super) hook: *const Hook,
    /// The listeners when it began. They stay until no call is open: see [`super::listening::Listening`].
    pub(super) listeners: *const Listeners,
    pub(super) caller: VmCtxPtr,
    pub(super) id: u64,
    /// The frame pointer of the call's frame, or its address if it is interpreted; null of a host function.
    pub(super) frame: StackAddr,
    /// Which of the listeners have been notified that it began, as far as there are 64.
    pub(super) notified: u64,
}

/// What is known besides of an open call of a host function.
pub struct OpenHost {
    pub(super) id: u64,
    /// The entry in which it was called.
    pub(super) serial: u64,
    /// Its slots, if it suspended its guest.
    pub(super) waits: *mut u64,
}

impl OpenCall {
    /// The frame of the call; none of a host function.
    pub(crate) fn frame(&self) -> Option<StackAddr> {
        (!self.frame.is_null()).then_some(self.frame)
    }
}

impl Hook {
    pub(crate) fn new(store: *mut StoreCtx, target: Target) -> Hook {
        let ty = target.ty();
        let slots = |types: &[ValType]| types.iter().map(|t| t.slots()).sum();
        Hook {
            vm: Listened { store, body: CodeAddr::NULL },
            listeners: Arc::default(),
            only: None,
            params: slots(ty.params()),
            results: slots(ty.results()),
            has_funcrefs: ty.params().iter().chain(ty.results()).any(|t| t.is_func_ref()),
            target,
        }
    }

    /// Who listens now.
    pub(crate) fn listeners(&self) -> &[Entry] {
        &self.listeners.0
    }

    /// Changes who listens; returns the list of before, which open calls may refer to.
    pub(crate) fn set_listeners(&mut self, entries: Vec<Entry>) -> Arc<Listeners> {
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

    pub(crate) fn definition(&self) -> Described<'_> {
        match &self.target {
            Target::Wasm { module, func, .. } => Described::Module(module, *func),
            Target::Host(HostTarget { import: Some((module, func)), .. }) => {
                Described::Module(module, *func)
            }
            Target::Host(host) => Described::Host(&host.def),
        }
    }
}

impl Target {
    pub(crate) fn ty(&self) -> &FuncType {
        match self {
            Target::Wasm { module, func, .. } => module.decoded.info().func_type(*func),
            Target::Host(host) => &host.def.ty,
        }
    }
}

/// The top of a stack that a listener walks: function and program counter.
pub(crate) fn top_of(hook: &Hook) -> (Described<'_>, CodeAddr) {
    (
        hook.definition(),
        if let Target::Wasm { .. } = hook.target { hook.vm.body } else { CodeAddr::NULL },
    )
}
