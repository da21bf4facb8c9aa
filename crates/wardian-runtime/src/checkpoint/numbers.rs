//! What a checkpoint names by position, and how indices are written: each as a number of 32 bits.

use serde::{Deserialize, Deserializer, Serializer};
use wardian_types::{GuestAddr, Index};

wardian_types::index_types! {
    /// A module of a checkpoint, by its position.
    pub struct ModuleNumber;

    /// A memory of a checkpoint, by its position.
    pub struct MemoryNumber;

    /// An object of a checkpoint, by its position.
    pub struct ObjectNumber;

    /// An exception of a checkpoint, by its position.
    pub struct ExceptionNumber;

    /// Something that a fork shares with its parent, by its position.
    pub struct SharedNumber;
}

/// An index.
pub(super) mod index {
    use super::{Deserialize, Deserializer, Index, Serializer};

    pub(in crate::checkpoint) fn serialize<I: Index, S: Serializer>(
        index: &I,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(index.index() as u32)
    }

    pub(in crate::checkpoint) fn deserialize<'de, I: Index, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<I, D::Error> {
        Ok(I::from_usize(u32::deserialize(deserializer)? as usize))
    }
}

/// An address in a memory, as a number of 64 bits.
pub(super) mod address {
    use super::{Deserialize, Deserializer, GuestAddr, Serializer};

    pub(in crate::checkpoint) fn serialize<S: Serializer>(
        address: &GuestAddr,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(address.as_u64())
    }

    pub(in crate::checkpoint) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<GuestAddr, D::Error> {
        Ok(GuestAddr::from_u64(u64::deserialize(deserializer)?))
    }
}

/// A list of indices.
pub(super) mod indices {
    use super::{Deserialize, Deserializer, Index, Serializer};

    pub(in crate::checkpoint) fn serialize<I: Index, S: Serializer>(
        indices: &[I],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(indices.iter().map(|index| index.index() as u32))
    }

    pub(in crate::checkpoint) fn deserialize<'de, I: Index, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<I>, D::Error> {
        let numbers = Vec::<u32>::deserialize(deserializer)?;
        Ok(numbers.into_iter().map(|number| I::from_usize(number as usize)).collect())
    }
}
