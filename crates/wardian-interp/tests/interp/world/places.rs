//! Where frames stand.

use super::World;
use wardian_interp::{CodeUnit, Translator};
use wardian_vm::addr::VmCtxPtr;
use wardian_vm::interpreted::{Function, header};

impl World {
    /// The offset in the code section of the operator at which the innermost frame stands.
    pub fn location(&self) -> u32 {
        self.location_before(0)
    }

    /// The same for a frame that waits for the runtime: then its ip is behind the instruction.
    pub fn waits_at(&self) -> u32 {
        self.location_before(1)
    }

    fn location_before(&self, units: u32) -> u32 {
        let vmctx = VmCtxPtr::from_usize(self.frame_word(header::VMCTX) as usize);
        let function = self.frame_word(header::FUNCTION) as *const Function;
        let ip = self.frame_word(header::IP);
        let instance = self.instances.iter().find(|i| i.vmctx() == vmctx).expect("its instance");
        // SAFETY: the function of the frame.
        let (entry, defined) = unsafe { ((*function).entry as u64, (*function).defined) };
        let unit = CodeUnit::from_u32(((ip - entry) / 2) as u32 - units);
        let locations = Translator::new().locations(&instance.env(), defined).unwrap();
        let found = match locations.binary_search_by_key(&unit, |l| l.0) {
            Ok(found) => found,
            Err(next) if units > 0 => next - 1,
            Err(_) => panic!("no instruction begins at unit {unit}"),
        };
        locations[found].1.as_u32()
    }
}
