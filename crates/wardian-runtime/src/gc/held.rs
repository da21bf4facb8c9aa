//! Objects that the calls of a backtrace hold.
//!
//! They are looked for before anything else runs in the store, so that what frames refer to is still there. Words
//! of frames are not trusted: a frame may not have begun, and then its locals hold anything.

use crate::gc::objects::Referent;
use crate::stack::backtrace::Frame;
use crate::store::inner::StoreInner;
use crate::value::AnyRef;
use wardian_types::{LocalIndex, ValType};
use wardian_vm::addr::CodeAddr;
use wardian_vm::frames::Frames;
use wardian_vm::heap::HeapRef;
use wardian_vm::interpreted::FrameLayout;

impl StoreInner {
    /// The objects that the frame given last refers to, with the local that does if that is known; `pc` is inside of
    /// the instruction where the frame is.
    pub(crate) fn objects_of_frame(
        &self,
        frame: &Frame,
        layout: &FrameLayout,
        types: &[ValType],
        frames: &Frames<'_>,
        pc: CodeAddr,
    ) -> Vec<(Option<LocalIndex>, AnyRef)> {
        if self.heap().is_none() {
            return Vec::new();
        }
        let Some(fp) = frames.frame_pointer() else {
            let locals = layout.locals.enumerated().zip(types);
            let references = locals.filter(|(_, ty)| ty.is_ref() && !ty.is_func_ref());
            let found = references.filter_map(|((local, slot), _)| {
                let word = frames.slot(*slot).and_then(HeapRef::from_word)?;
                Some((Some(local), self.object_of_word(word)?))
            });
            return found.collect();
        };
        let Some(code) = self.engine().code().locate(pc) else { return Vec::new() };
        debug_assert!(std::ptr::eq(&*code.module, &*frame.module), "another module's code");
        // A frame that waits in a call has its references where the compiler noted them.
        let Some((size, slots)) = code.code.references_at(pc.after()) else { return Vec::new() };
        let sp = fp.below(size as usize);
        let words = slots.iter().filter_map(|slot| frames.reference_at(sp.above(slot.index())));
        let mut words: Vec<HeapRef> = words.collect();
        words.sort_unstable();
        words.dedup();
        words.into_iter().filter_map(|word| Some((None, self.object_of_word(word)?))).collect()
    }

    /// The struct or the array that a word refers to, if it does.
    fn object_of_word(&self, word: HeapRef) -> Option<AnyRef> {
        let object = !word.is_null()
            && matches!(
                self.referent_of(word),
                Ok(Referent::Struct { .. } | Referent::Array { .. })
            );
        if object { self.hold(word.as_word()) } else { None }
    }
}
