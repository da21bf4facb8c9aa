//! Frames in terms of WebAssembly: where the values of locals and operands are.
//!
//! ```text
//!   WebAssembly                        an interpreted frame
//!   locals      0 1 2                  slots, by FrameLayout
//!   operands    a b c        <──>      a slot each; or a local that has the same value; or a constant
//!   point       operator, side         position in the code
//! ```
//!
//! A frame can be written down, and made again by another translation of the function, at *points*: before calls
//! and loops, behind calls and atomic waits, and where the body begins.

use crate::translation::CodeUnit;
use wardian_types::CodeOffset;
use wardian_vm::interpreted::FrameSlot;

/// A point in a function, as WebAssembly has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// An operator.
    pub offset: CodeOffset,
    /// Whether the operator has been executed, rather than being the next one.
    pub after: bool,
}

/// Where a frame at a point has its operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameMap {
    /// The point.
    pub point: Point,
    /// Its position in the function's code.
    pub unit: CodeUnit,
    /// From the bottom.
    pub operands: Vec<Operand>,
    /// The exceptions that the open `catch` blocks have caught, the outermost first. They are no operands, but
    /// `rethrow` needs them.
    pub caught: Vec<Operand>,
    /// The first slot behind the operands, whether they take room or not.
    pub height: FrameSlot,
}

/// An operand of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Where its value is.
    pub place: Place,
    /// Whether it is a vector.
    pub wide: bool,
}

/// Where an operand's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this slot and, if it is a vector, the next.
    Slot(FrameSlot),
    /// Nowhere: these are its bits.
    Const(u64),
}

/// The frames of a function that somebody asks for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Those at these positions, in ascending order. There may be two points at one position.
    Units(&'a [CodeUnit]),
    /// Those at these points, in ascending order.
    Points(&'a [Point]),
}

impl Wanted<'_> {
    fn includes(&self, unit: CodeUnit, point: Point) -> bool {
        match self {
            Wanted::Units(units) => units.binary_search(&unit).is_ok(),
            Wanted::Points(points) => points.binary_search(&point).is_ok(),
        }
    }
}

/// What a translation collects for the question.
#[derive(Debug)]
pub(crate) struct FrameMaps<'a> {
    wanted: Wanted<'a>,
    pub(crate) found: Vec<FrameMap>,
}

impl<'a> FrameMaps<'a> {
    pub(crate) fn new(wanted: Wanted<'a>) -> FrameMaps<'a> {
        FrameMaps { wanted, found: Vec::new() }
    }

    pub(crate) fn note(
        &mut self,
        unit: CodeUnit,
        point: Point,
        height: FrameSlot,
        stack: impl Iterator<Item = (Operand, bool)>,
    ) {
        if self.wanted.includes(unit, point) {
            let (mut operands, mut caught) = (Vec::new(), Vec::new());
            for (operand, is_caught) in stack {
                if is_caught { caught.push(operand) } else { operands.push(operand) }
            }
            self.found.push(FrameMap { point, unit, operands, caught, height });
        }
    }
}
