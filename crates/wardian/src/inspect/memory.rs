//! A memory as listeners and tools see it.

use crate::Result;
use crate::handles::SharedMemory;
use wardian_runtime::store::memory::checked;
use wardian_types::MemoryType;

/// A memory, to be read.
#[derive(Clone, Copy)]
pub struct MemoryView<'a> {
    pub(super) ty: MemoryType,
    pub(super) data: Data<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Data<'a> {
    Own(&'a [u8]),
    Shared(&'a SharedMemory),
}

impl<'a> MemoryView<'a> {
    /// Its type, with the current size as minimum.
    pub fn ty(&self) -> MemoryType {
        self.ty
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        match self.data {
            Data::Own(bytes) => bytes.len(),
            Data::Shared(shared) => shared.len(),
        }
    }

    /// Whether its size is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes; none if it is shared, for then others write it now.
    pub fn data(&self) -> Option<&'a [u8]> {
        match self.data {
            Data::Own(bytes) => Some(bytes),
            Data::Shared(_) => None,
        }
    }

    /// The memory, if it is shared.
    pub fn shared(&self) -> Option<&'a SharedMemory> {
        match self.data {
            Data::Own(_) => None,
            Data::Shared(shared) => Some(shared),
        }
    }

    /// Copies bytes out, shared or not.
    ///
    /// # Errors
    ///
    /// The range is not inside the memory.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        match self.data {
            Data::Own(data) => {
                let range = checked(offset, bytes.len(), data.len())?;
                bytes.copy_from_slice(&data[range]);
                Ok(())
            }
            Data::Shared(shared) => shared.read(offset, bytes),
        }
    }
}

impl std::fmt::Debug for MemoryView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryView({})", self.ty)
    }
}
