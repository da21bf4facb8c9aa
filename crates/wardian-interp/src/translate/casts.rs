//! Tests of references: casts, and branches that depend on them.

use super::emit::Chain;
use super::stack::Value;
use super::{Body, Outcome};
use crate::operand::{Branch, D, Far, S, U16, U32, W};
use crate::translation::{FrameIndex, TranslateError};
use crate::{cast, op};
use wardian_types::{DeclaredType, HeapType, LabelIndex, RefType};
use wardian_vm::heap::Displays;
use wardian_vm::interpreted::FrameSlot;

/// How a reference is compared with a type.
#[derive(Clone, Copy)]
struct Test {
    ty: U32,
    depth: U16,
    /// What of [`cast`].
    what: U16,
    form: Form,
}

/// Which instructions do it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Kind,
    Final,
    Open,
    Asking,
}

impl Body<'_> {
    fn test(&self, ty: RefType) -> Outcome<Test> {
        let index = match ty.heap.named() {
            None => {
                let what = U16(cast::what(ty, false));
                return Ok(Test { ty: U32(0), depth: U16(0), what, form: Form::Kind });
            }
            Some(DeclaredType::Module(index)) => index,
            Some(_) => return Err(TranslateError::new("a type has no index in the module")),
        };
        let info = self.env.info;
        let known = info.types.get(index).zip(info.type_depth(index));
        let (known, depth) = known.ok_or_else(|| TranslateError::new("there is no such type"))?;
        let what = cast::what(ty, known.is_final);
        let form = match what >> 1 {
            cast::FINAL => Form::Final,
            cast::OPEN if (depth as usize) < Displays::DEPTH => Form::Open,
            _ => Form::Asking,
        };
        let depth = U16(u16::try_from(depth).unwrap_or(u16::MAX));
        Ok(Test { ty: U32(index.as_u32()), depth, what: U16(what), form })
    }

    fn heap_type(&self, ty: wasmparser::HeapType) -> Outcome<HeapType> {
        self.env.info.heap_type(ty).map_err(|e| TranslateError::new(e.to_string()))
    }

    pub(super) fn ref_test(&mut self, ty: wasmparser::HeapType, nullable: bool) -> Outcome {
        let heap = self.heap_type(ty)?;
        let test = self.test(RefType { nullable, heap })?;
        let a = self.pop_far()?;
        let d = self.push_temp();
        self.emit_test(test, a, d);
        Ok(())
    }

    fn emit_test(&mut self, test: Test, a: Far, to: FrameSlot) {
        let Test { ty, depth, what, form } = test;
        let (d, s) = (D(to), S(a.0));
        match form {
            Form::Kind => self.emit(op::ref_test_kind { d, a: s, what }),
            Form::Final => self.emit(op::ref_test_final { d, a: s, ty, depth, what }),
            Form::Open => self.emit(op::ref_test_open { d, a: s, ty, depth, what }),
            Form::Asking => {
                let top = self.free();
                self.append(op::ref_test_asking { top, d: Far(to), a, ty, what });
            }
        }
    }

    /// The reference stays where it is.
    pub(super) fn ref_cast(&mut self, ty: wasmparser::HeapType, nullable: bool) -> Outcome {
        let heap = self.heap_type(ty)?;
        let Test { ty, depth, what, form } = self.test(RefType { nullable, heap })?;
        let slot = self.top_slot()?;
        let a = S(slot);
        match form {
            Form::Kind => self.emit(op::ref_cast_kind { a, what }),
            Form::Final => self.emit(op::ref_cast_final { a, ty, depth, what }),
            Form::Open => self.emit(op::ref_cast_open { a, ty, depth, what }),
            Form::Asking => {
                let top = self.free();
                self.append(op::ref_cast_asking { top, a: Far(slot), ty, what });
            }
        }
        Ok(())
    }

    /// The branch takes the reference, which also stays on the operand stack without the branch.
    pub(super) fn br_on_cast(
        &mut self,
        depth: LabelIndex,
        to: wasmparser::RefType,
        negate: bool,
    ) -> Outcome {
        let frame = self.frame(depth)?;
        let to = self.env.info.ref_type(to).map_err(|e| TranslateError::new(e.to_string()))?;
        let test = self.test(to)?;
        if !matches!(test.form, Form::Final | Form::Open) || self.is_far() {
            let a = Far(self.reference()?);
            let d = self.free().0;
            self.reserve(2);
            self.emit_test(test, a, d);
            return self.branch_if(frame, d, negate);
        }
        let a = S(self.top_slot()?);
        if self.in_place(frame)? {
            self.append_branch(test, a, negate);
            self.link_frame(frame);
        } else if let Some(d) = self.place_of_top(frame)? {
            self.append_moving_branch(test, W(d), a, negate);
            self.link_frame(frame);
            let traced = self.pop()?.traced;
            self.push_temp();
            if traced {
                self.mark_reference();
            }
        } else {
            let mut skip = Chain::default();
            self.append_branch(test, a, !negate);
            self.link(&mut skip);
            self.branch(frame)?;
            self.bind(skip);
        }
        Ok(())
    }

    /// The slot to which a local that is the topmost operand has to be copied for a branch; nothing if that is not
    /// all that the branch needs.
    fn place_of_top(&mut self, frame: FrameIndex) -> Outcome<Option<FrameSlot>> {
        let Some(top) = self.b.stack.indices().next_back() else { return Ok(None) };
        let entry = self.b.stack[top];
        if !matches!(entry.value, Value::Local(..)) {
            return Ok(None);
        }
        self.b.stack[top].value = Value::Temp;
        let in_place = self.in_place(frame);
        self.b.stack[top].value = entry.value;
        Ok(in_place?.then_some(entry.slot))
    }

    /// Appends a branch that is taken if a reference is of a type; or if it is not.
    fn append_branch(&mut self, test: Test, a: S, negate: bool) {
        let Test { ty, depth, what, form } = test;
        let target = Branch(0);
        match (form == Form::Final, negate) {
            (true, false) => self.append(op::br_if_final { a, ty, depth, what, target }),
            (true, true) => self.append(op::br_unless_final { a, ty, depth, what, target }),
            (false, false) => self.append(op::br_if_open { a, ty, depth, what, target }),
            (false, true) => self.append(op::br_unless_open { a, ty, depth, what, target }),
        }
    }

    /// The same, with a copy of the reference whether or not it is taken.
    fn append_moving_branch(&mut self, test: Test, d: W, a: S, negate: bool) {
        let Test { ty, depth, what, form } = test;
        let target = Branch(0);
        match (form == Form::Final, negate) {
            (true, false) => self.append(op::br_on_final { d, a, ty, depth, what, target }),
            (true, true) => self.append(op::br_on_not_final { d, a, ty, depth, what, target }),
            (false, false) => self.append(op::br_on_open { d, a, ty, depth, what, target }),
            (false, true) => self.append(op::br_on_not_open { d, a, ty, depth, what, target }),
        }
    }
}
