//! Tests of what a reference refers to.
//!
//! ```text
//!   null?  integer?  ──>  kind in the header           any, eq, struct, array
//!                    ──>  number == target             final types
//!                    ──>  row of the number, at the    others: see `wardian_vm::heap::Displays`
//!                         depth of the target == target + 1
//! ```

use super::state::{Fail, Outcome, Region, Translator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, Value, types};
use wardian_module::operators::Cast;
use wardian_types::{DeclaredType, HeapType, LabelIndex, RefType, TrapCode, TypeIndex};
use wardian_vm::heap::{Displays, shape};
use wardian_vm::layout::{Builtin, func, store_ctx};

impl Translator<'_, '_> {
    pub(super) fn cast_operator(&mut self, operator: Cast) -> Outcome {
        use Cast as O;
        match operator {
            O::RefTestNonNull { hty } => self.ref_test(false, hty)?,
            O::RefTestNullable { hty } => self.ref_test(true, hty)?,
            O::RefCastNonNull { hty } => self.ref_cast(false, hty)?,
            O::RefCastNullable { hty } => self.ref_cast(true, hty)?,
            O::BrOnCast { relative_depth, to_ref_type, .. } => {
                let to = self.env.info.ref_type(to_ref_type).map_err(|e| Fail(e.to_string()))?;
                self.br_on_cast(relative_depth, to, true)?;
            }
            O::BrOnCastFail { relative_depth, to_ref_type, .. } => {
                let to = self.env.info.ref_type(to_ref_type).map_err(|e| Fail(e.to_string()))?;
                self.br_on_cast(relative_depth, to, false)?;
            }
        }
        Ok(())
    }

    fn target_type(&self, nullable: bool, heap: wasmparser::HeapType) -> Outcome<RefType> {
        let heap = self.env.info.heap_type(heap).map_err(|e| Fail(e.to_string()))?;
        Ok(RefType { nullable, heap })
    }

    fn ref_test(&mut self, nullable: bool, heap: wasmparser::HeapType) -> Outcome {
        let ty = self.target_type(nullable, heap)?;
        let reference = self.pop()?;
        let (yes, no, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(done, types::I32);
        self.test(reference, ty, yes, no)?;
        for (block, answer) in [(yes, 1), (no, 0)] {
            self.enter(block);
            let answer = self.iconst(types::I32, answer);
            self.b.ins().jump(done, &[answer.into()]);
        }
        self.enter(done);
        self.push(result);
        Ok(())
    }

    fn ref_cast(&mut self, nullable: bool, heap: wasmparser::HeapType) -> Outcome {
        let ty = self.target_type(nullable, heap)?;
        let reference = self.pop()?;
        let (yes, no) = (self.b.create_block(), self.cold_block());
        self.test(reference, ty, yes, no)?;
        self.enter(no);
        self.trap(TrapCode::CastFailure);
        self.enter(yes);
        self.push(reference);
        Ok(())
    }

    /// A branch if the cast succeeds, or if it fails; either way the reference stays.
    fn br_on_cast(&mut self, depth: LabelIndex, ty: RefType, on_success: bool) -> Outcome {
        let reference = *self.stack.last().ok_or_else(|| Fail("too few operands".into()))?;
        let (block, count) = self.target(depth)?;
        let args = self.branch_args(count)?;
        let (leave, next) = (self.b.create_block(), self.b.create_block());
        let (yes, no) = if on_success { (leave, next) } else { (next, leave) };
        self.test(reference, ty, yes, no)?;
        self.enter(leave);
        self.b.ins().jump(block, &args);
        self.enter(next);
        Ok(())
    }

    /// Ends the block with a branch to `yes` if the reference is of the type, else to `no`.
    fn test(&mut self, reference: Value, ty: RefType, yes: Block, no: Block) -> Outcome {
        let some = self.b.create_block();
        let null = if ty.nullable { yes } else { no };
        self.b.ins().brif(reference, some, &[], null, &[]);
        self.enter(some);
        match ty.heap {
            HeapType::Func | HeapType::Extern | HeapType::Exn | HeapType::Any => {
                self.b.ins().jump(yes, &[])
            }
            HeapType::NoFunc | HeapType::NoExtern | HeapType::NoExn | HeapType::None => {
                self.b.ins().jump(no, &[])
            }
            HeapType::I31 => {
                let odd = self.b.ins().band_imm_u(reference, 1);
                self.b.ins().brif(odd, yes, &[], no, &[])
            }
            HeapType::Eq => {
                let kind = self.kind_unless_integer(reference, yes);
                let of_host = self.iconst(types::I32, i64::from(shape::EXTERN_BOX));
                let of_host = self.b.ins().icmp(IntCC::Equal, kind, of_host);
                self.b.ins().brif(of_host, no, &[], yes, &[])
            }
            HeapType::Struct => {
                let kind = self.kind_unless_integer(reference, no);
                let wanted = self.iconst(types::I32, i64::from(shape::STRUCT));
                let is_struct = self.b.ins().icmp(IntCC::Equal, kind, wanted);
                self.b.ins().brif(is_struct, yes, &[], no, &[])
            }
            HeapType::Array => {
                let kind = self.kind_unless_integer(reference, no);
                let first = self.iconst(types::I32, i64::from(shape::FIRST_KIND));
                let is_array = self.b.ins().icmp(IntCC::UnsignedLessThan, kind, first);
                self.b.ins().brif(is_array, yes, &[], no, &[])
            }
            HeapType::Concrete(DeclaredType::Module(of)) => {
                return self.test_func(reference, of, yes, no);
            }
            HeapType::ConcreteStruct(DeclaredType::Module(of))
            | HeapType::ConcreteArray(DeclaredType::Module(of)) => {
                return self.test_object(reference, of, yes, no);
            }
            other => return Err(Fail(format!("a cast to {other:?} is not supported"))),
        };
        Ok(())
    }

    /// Leaves to `integer` if the reference is an integer of 31 bits; else continues with the second word of the
    /// object's header.
    fn kind_unless_integer(&mut self, reference: Value, integer: Block) -> Value {
        self.leave_integers(reference, integer);
        let address = self.object(reference);
        let flags = self.heap_flags(Region::Headers);
        self.b.ins().load(types::I32, flags, address, shape::LENGTH as i32)
    }

    fn leave_integers(&mut self, reference: Value, integer: Block) {
        let odd = self.b.ins().band_imm_u(reference, 1);
        let object = self.b.create_block();
        self.b.ins().brif(odd, integer, &[], object, &[]);
        self.enter(object);
    }

    fn is_final(&self, ty: TypeIndex) -> Outcome<bool> {
        let ty = self.env.info.types.get(ty);
        ty.map(|ty| ty.is_final).ok_or_else(|| Fail("there is no such type".into()))
    }

    fn test_object(&mut self, reference: Value, of: TypeIndex, yes: Block, no: Block) -> Outcome {
        let depth = usize::from(self.env.info.depths.get(of).copied().unwrap_or_default());
        let is_final = self.is_final(of)?;
        let target = self.type_number(of)?;
        self.leave_integers(reference, no);
        let address = self.object(reference);
        let flags = self.heap_flags(Region::Headers);
        let number = self.b.ins().load(types::I32, flags, address, shape::TYPE as i32);
        let equal = self.b.ins().icmp(IntCC::Equal, number, target);
        if is_final {
            self.b.ins().brif(equal, yes, &[], no, &[]);
            return Ok(());
        }
        let other = self.b.create_block();
        self.b.ins().brif(equal, yes, &[], other, &[]);
        self.enter(other);
        if depth >= Displays::DEPTH {
            let word = self.extend(reference);
            return self.ask(word, of, yes, no);
        }
        let store = self.store_ctx();
        let rows = self.load_fixed(types::I64, store, store_ctx::DISPLAYS);
        let number = self.b.ins().uextend(types::I64, number);
        let row = self.b.ins().ishl_imm_u(number, i64::from(Displays::ROW_LOG2));
        let row = self.b.ins().iadd(rows, row);
        let found = self.load_fixed(types::I32, row, 4 * depth as i32);
        let wanted = self.b.ins().iadd_imm_s(target, 1);
        let equal = self.b.ins().icmp(IntCC::Equal, found, wanted);
        self.b.ins().brif(equal, yes, &[], no, &[]);
        Ok(())
    }

    fn test_func(&mut self, reference: Value, of: TypeIndex, yes: Block, no: Block) -> Outcome {
        let target = self.type_number(of)?;
        let number = self.load_trusted(types::I32, Region::Code, reference, func::SIG);
        let equal = self.b.ins().icmp(IntCC::Equal, number, target);
        if self.is_final(of)? {
            self.b.ins().brif(equal, yes, &[], no, &[]);
            return Ok(());
        }
        let other = self.b.create_block();
        self.b.ins().brif(equal, yes, &[], other, &[]);
        self.enter(other);
        self.ask(reference, of, yes, no)
    }

    /// Leaves a test to the runtime.
    fn ask(&mut self, reference: Value, of: TypeIndex, yes: Block, no: Block) -> Outcome {
        let of = self.index(of);
        let answer = self.builtin(Builtin::RefTest, &[reference, of]);
        self.b.ins().brif(answer, yes, &[], no, &[]);
        Ok(())
    }

    /// Traps unless a function is of a type, whose number it does not have. A type with subtypes allows theirs.
    pub(super) fn check_signature(
        &mut self,
        reference: Value,
        of: TypeIndex,
        differs: Value,
    ) -> Outcome {
        if self.is_final(of)? {
            self.trap_if(differs, TrapCode::BadSignature);
            return Ok(());
        }
        let (other, go_on) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(differs, other, &[], go_on, &[]);
        self.enter(other);
        let bad = self.cold_block();
        self.ask(reference, of, go_on, bad)?;
        self.enter(bad);
        self.trap(TrapCode::BadSignature);
        self.enter(go_on);
        Ok(())
    }
}
