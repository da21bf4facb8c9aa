//! Vectors: loads and stores.

use super::memory::Place;
use super::state::{Outcome, Translator};
use cranelift_codegen::ir::{InstBuilder, Type, types};
use types::{F32, F64, I8X16, I16X8, I32X4, I64X2};
use wardian_module::operators::VectorMemory;
use wasmparser::MemArg;

impl Translator<'_, '_> {
    pub(super) fn vector_memory_operator(&mut self, operator: VectorMemory) -> Outcome {
        use VectorMemory as O;
        match &operator {
            O::V128Load { memarg } => {
                let p = self.place(memarg, 16)?;
                let value = self.b.ins().load(I8X16, p.flags, p.address, p.offset);
                self.push(value);
            }
            O::V128Store { memarg } => {
                let value = self.pop()?;
                let p = self.place_to_store(memarg, 16)?;
                self.b.ins().store(p.flags, value, p.address, p.offset);
                self.stores += 1;
            }
            O::V128Load8x8S { memarg } => self.load_widened(memarg, I16X8, true)?,
            O::V128Load8x8U { memarg } => self.load_widened(memarg, I16X8, false)?,
            O::V128Load16x4S { memarg } => self.load_widened(memarg, I32X4, true)?,
            O::V128Load16x4U { memarg } => self.load_widened(memarg, I32X4, false)?,
            O::V128Load32x2S { memarg } => self.load_widened(memarg, I64X2, true)?,
            O::V128Load32x2U { memarg } => self.load_widened(memarg, I64X2, false)?,
            O::V128Load8Splat { memarg } => self.load_splat(memarg, I8X16)?,
            O::V128Load16Splat { memarg } => self.load_splat(memarg, I16X8)?,
            O::V128Load32Splat { memarg } => self.load_splat(memarg, I32X4)?,
            O::V128Load64Splat { memarg } => self.load_splat(memarg, I64X2)?,
            O::V128Load32Zero { memarg } => self.load_zero(memarg, F32)?,
            O::V128Load64Zero { memarg } => self.load_zero(memarg, F64)?,
            O::V128Load8Lane { memarg, lane } => self.load_lane(memarg, I8X16, *lane)?,
            O::V128Load16Lane { memarg, lane } => self.load_lane(memarg, I16X8, *lane)?,
            O::V128Load32Lane { memarg, lane } => self.load_lane(memarg, I32X4, *lane)?,
            O::V128Load64Lane { memarg, lane } => self.load_lane(memarg, I64X2, *lane)?,
            O::V128Store8Lane { memarg, lane } => self.store_lane(memarg, I8X16, *lane)?,
            O::V128Store16Lane { memarg, lane } => self.store_lane(memarg, I16X8, *lane)?,
            O::V128Store32Lane { memarg, lane } => self.store_lane(memarg, I32X4, *lane)?,
            O::V128Store64Lane { memarg, lane } => self.store_lane(memarg, I64X2, *lane)?,
        }
        Ok(())
    }

    /// Loads half a vector and widens its lanes to `ty`.
    fn load_widened(&mut self, memarg: &MemArg, ty: Type, signed: bool) -> Outcome {
        let Place { address, offset, flags, .. } = self.place(memarg, 8)?;
        let i = self.b.ins();
        let value = match (ty, signed) {
            (I16X8, true) => i.sload8x8(flags, address, offset),
            (I16X8, false) => i.uload8x8(flags, address, offset),
            (I32X4, true) => i.sload16x4(flags, address, offset),
            (I32X4, false) => i.uload16x4(flags, address, offset),
            (_, true) => i.sload32x2(flags, address, offset),
            (_, false) => i.uload32x2(flags, address, offset),
        };
        self.push_vector(value);
        Ok(())
    }

    fn load_splat(&mut self, memarg: &MemArg, ty: Type) -> Outcome {
        let lane = ty.lane_type();
        let p = self.place(memarg, lane.bytes())?;
        let value = self.b.ins().load(lane, p.flags, p.address, p.offset);
        let value = self.b.ins().splat(ty, value);
        self.push_vector(value);
        Ok(())
    }

    /// Loads the lowest lane; the others are zero.
    fn load_zero(&mut self, memarg: &MemArg, lane: Type) -> Outcome {
        let p = self.place(memarg, lane.bytes())?;
        let value = self.b.ins().load(lane, p.flags, p.address, p.offset);
        let ty = if lane == F32 { types::F32X4 } else { types::F64X2 };
        let value = self.b.ins().scalar_to_vector(ty, value);
        self.push_vector(value);
        Ok(())
    }

    fn load_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) -> Outcome {
        let lane = Self::lane(ty, lane)?;
        let vector = self.pop_vector(ty)?;
        let p = self.place(memarg, ty.lane_type().bytes())?;
        let value = self.b.ins().load(ty.lane_type(), p.flags, p.address, p.offset);
        let value = self.b.ins().insertlane(vector, value, lane);
        self.push_vector(value);
        Ok(())
    }

    fn store_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) -> Outcome {
        let lane = Self::lane(ty, lane)?;
        let vector = self.pop_vector(ty)?;
        let p = self.place_to_store(memarg, ty.lane_type().bytes())?;
        let value = self.b.ins().extractlane(vector, lane);
        self.b.ins().store(p.flags, value, p.address, p.offset);
        self.stores += 1;
        Ok(())
    }
}
