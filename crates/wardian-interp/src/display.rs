//! Code as text.

use crate::execute;
use crate::op;
use crate::translation::Translation;
use std::fmt;

/// The instructions of a function, one a line, each after its position in units.
pub fn disassemble(translation: &Translation) -> String {
    translation.to_string()
}

impl fmt::Display for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, mut at) = (self.code(), 0);
        while at < code.len() {
            write!(f, "{at:5}  ")?;
            at += op::show(execute::opcode(&code[at..]), code, at, f)?;
            writeln!(f)?;
        }
        Ok(())
    }
}
