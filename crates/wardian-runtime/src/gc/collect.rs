//! Collections: what is held, and what becomes of the rest.
//!
//! | who holds | where it is found |
//! |---|---|
//! | guests that wait | their frames: see [`StoreInner::mark_stack`] |
//! | globals, tables and element segments | of all instances, and the host's |
//! | the embedder | its [`crate::gc::roots::Roots`] |
//! | snapshots | their frames; one with state has a heap of its own |
//! | images | a heap of their own |
//! | exceptions | their values: see [`crate::call::exceptions`] |
//! | objects | the heap itself |
//!
//! Exceptions and values of the embedder's ([`crate::store::externrefs`]) are marked in the same pass. They are only
//! freed in passes that look for them, since a handle may be on its way through the runtime when an object is
//! allocated.

use crate::code::registry::Located;
use crate::gc::objects::{Known, Pass};
use crate::store::inner::StoreInner;
use std::time::Instant;
use wardian_types::GlobalIndex;
use wardian_vm::addr::CodeAddr;
use wardian_vm::frames::{Frames, Step};
use wardian_vm::heap::{Heap, Traced};
use wardian_vm::interpreted::FrameSlot;
use wardian_vm::layout::StoreCtx;

impl StoreInner {
    /// Frees the objects that nobody holds, and the embedder's values as well if `values` says so. Returns false if it
    /// was stopped; then nothing was freed.
    #[cold]
    pub fn collect_garbage(&mut self, values: bool) -> bool {
        if !self.gc.begin(if values { Pass::Values } else { Pass::Objects }) {
            return true;
        }
        let (begin, ctx) = (Instant::now(), self.ctx());
        if let Some(heap) = self.gc.heap_mut() {
            // SAFETY: the context lives as long as the store, and no guest runs.
            heap.begin(unsafe { &mut (*ctx).heap });
        }
        self.gc.roots().prune();
        self.mark_roots(values);
        let done = self.trace(values);
        if done {
            if values {
                self.externrefs.sweep();
                self.exceptions.sweep();
            }
            if let Some(heap) = self.gc.heap_mut() {
                heap.finish();
                heap.note_pause(begin.elapsed());
            }
        }
        self.gc.end();
        if done {
            self.notify_collection();
        }
        done
    }

    fn notify_collection(&mut self) {
        let stats = self.heap_stats();
        // The observer is the embedder's, and may panic.
        if self.gc.heap().is_some()
            && let Some(mut observer) = self.gc.set_observer(None)
        {
            let notified = std::panic::AssertUnwindSafe(|| observer(&stats));
            if let Err(panic) = std::panic::catch_unwind(notified) {
                wardian_vm::contain::discard(panic);
            }
            self.gc.set_observer(Some(observer));
        }
    }

    /// Follows what is marked. Returns false if it was stopped.
    fn trace(&mut self, values: bool) -> bool {
        loop {
            if !self.trace_heap(values) {
                return false;
            }
            // What is only held by exceptions. Without a look for those all of them are roots.
            let Some(words) = self.exceptions.next_marked() else { return true };
            words.into_iter().for_each(|word| self.mark_word(word));
        }
    }

    fn trace_heap(&mut self, values: bool) -> bool {
        let Some(mut heap) = self.gc.take_heap() else { return true };
        let ctx = self.ctx();
        // There are few values, so freeing them is not interrupted.
        // SAFETY: the context is valid as long as the store.
        let stop = || !values && unsafe { crate::call::exit::must_end(ctx) };
        let (externrefs, exceptions) = (&mut self.externrefs, &mut self.exceptions);
        let mut handle = |handle| {
            if values {
                externrefs.mark(handle);
                exceptions.mark(handle);
            }
        };
        let traced = heap.trace(&Known(self.gc.types()), &mut handle, &stop);
        self.gc.set_heap(heap);
        traced == Traced::Done
    }

    /// Notes that a word is held, whatever it is.
    #[inline]
    pub(crate) fn mark_word(&mut self, word: u64) {
        if word >> 32 != 0 {
            self.mark_handle(word);
        } else if word != 0
            && let Some(heap) = self.gc.heap_mut()
        {
            heap.root(word);
        }
    }

    /// Notes that a handle is held, of an exception or of a value of the embedder's.
    #[inline]
    pub(crate) fn mark_handle(&mut self, word: u64) {
        if self.gc.looks_for_values() {
            self.externrefs.mark(word);
            self.exceptions.mark(word);
        }
    }

    /// Notes that a word of a guest's frame is held: compiled frames have references in half words.
    pub(crate) fn mark_held(&mut self, word: u64) {
        self.mark_word(word);
        if word >> 32 != 0 {
            self.mark_word(word >> 32);
            self.mark_word(word & u64::from(u32::MAX));
        }
    }

    fn mark_roots(&mut self, values: bool) {
        let entities = std::mem::take(&mut self.entities);
        for table in entities.tables().iter().filter(|table| !table.ty().element.is_func()) {
            table.elements().iter().for_each(|element| self.mark_word(*element));
        }
        for instance in entities.instances() {
            let count = instance.module().decoded.info().globals.len() as u32;
            for (at, ty) in (0..count).map(|i| instance.global(GlobalIndex::from_u32(i))) {
                if ty.content.is_ref() && !ty.content.is_func_ref() {
                    // SAFETY: globals live as long as the store.
                    self.mark_word(unsafe { at.read() });
                }
            }
            let elements = instance.segments().all_objects().flat_map(|(_, all)| all);
            elements.for_each(|word| self.mark_word(*word));
        }
        entities.globals().references().for_each(|word| self.mark_word(word));
        self.entities = entities;
        let operands = std::mem::take(self.gc.operands());
        operands.all().iter().for_each(|[word, _]| self.mark_word(*word));
        *self.gc.operands() = operands;
        let restored = self.gc.take_restored();
        restored.iter().for_each(|word| self.mark_word(*word));
        self.gc.keep_restored(restored);
        self.gc.mark_roots();
        if !values && let Some(heap) = self.gc.heap_mut() {
            self.exceptions.each_word(|word| heap.root(word));
        }
        self.mark_word(self.thrown());
        self.mark_snapshots();
        self.mark_images();
        self.mark_stack(values);
    }

    /// Marks what guests hold that wait in calls into the host.
    fn mark_stack(&mut self, values: bool) {
        if values {
            self.mark_values_on_stack();
        }
        let Some(mut heap) = self.gc.take_heap() else { return };
        // SAFETY: a call into the host waits for this, if any guest does; nothing runs on its stack.
        let ctx = unsafe { &*self.ctx() };
        if !ctx.activation.is_null() {
            self.mark_frames(&mut heap, ctx);
        }
        self.gc.set_heap(heap);
    }

    /// Marks the references in frames. They are exactly those that stack maps name: what is between these
    /// frames, as trampolines of host functions, holds nothing that is read after a collection.
    fn mark_frames(&self, heap: &mut Heap, ctx: &StoreCtx) {
        // SAFETY: as in `mark_stack`.
        let mut frames = unsafe { Frames::at_host_call(ctx) };
        let mut code: Option<Located> = None;
        while let Some(step) = frames.next() {
            let Step::Frame(pc) = step else { continue };
            if !code.as_ref().is_some_and(|code| code.contains(pc)) {
                code = self.engine().code().locate(pc);
            }
            let Some(fp) = frames.frame_pointer() else {
                mark_interpreted(heap, &frames, code.as_ref(), pc);
                continue;
            };
            // The program counter is inside of the call.
            let Some((frame, slots)) = code.as_ref().and_then(|c| c.code.references_at(pc.after()))
            else {
                continue;
            };
            let sp = fp.below(frame as usize);
            for slot in slots {
                if let Some(object) = frames.reference_at(sp.above(slot.index())) {
                    heap.mark(object);
                }
            }
        }
    }

    /// Marks the embedder's values that guests hold.
    fn mark_values_on_stack(&mut self) {
        // SAFETY: the words between the guest's stack pointer and the end of its interpreted frames are its
        // frames; at a call into the host everything that the guest holds is there.
        unsafe {
            let ctx = &*self.ctx();
            let mut at = ctx.wasm_sp.sp();
            while !at.is_null() && at < ctx.interp_sp {
                self.mark_handle(*at.as_ptr());
                at = at.above(8);
            }
        }
    }
}

/// Marks the references in an interpreted frame: those that the translator knows. Where it knows nothing, all slots,
/// of which those of other types only look like references.
fn mark_interpreted(heap: &mut Heap, frames: &Frames<'_>, code: Option<&Located>, pc: CodeAddr) {
    // The program counter is inside of the call, or where the frame begins.
    match code.and_then(|code| code.code.references_in_slots(&code.module, pc.after())) {
        Some(slots) => slots.into_iter().filter_map(|slot| frames.slot(slot)).for_each(|word| {
            heap.root(word);
        }),
        None => {
            FrameSlot::range(frames.slots()).filter_map(|slot| frames.slot(slot)).for_each(|word| {
                heap.root(word);
            })
        }
    }
}
