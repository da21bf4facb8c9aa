//! Types and tags of an instance, by index and name.

use super::{InternalModule, Source};
use crate::handles::Tag;
use wardian_module::ItemIndex;
use wardian_types::{SubType, TagIndex, TagType, TypeIndex};

impl<'a> InternalModule<'a> {
    /// How many types the module declares.
    pub fn num_types(&self) -> usize {
        self.info().map_or(0, |info| info.types.len())
    }

    /// A type that the module declares, by its index. Types that it names are those of the module.
    pub fn type_at(&self, index: u32) -> Option<&'a SubType> {
        self.info()?.types.get(TypeIndex::from_u32(index))
    }

    /// Index of a type by its name in the name section.
    pub fn type_index(&self, name: &str) -> Option<u32> {
        let Source::Live { store, instance } = self.0 else { return None };
        let names = &store.instance(instance).module().decoded.names().types;
        names.iter().filter(|(_, n)| *n == name).map(|(index, _)| index.as_u32()).min()
    }

    /// How many tags it has, imported ones included.
    pub fn num_tags(&self) -> usize {
        match self.0 {
            Source::Live { store, instance } => store.instance(instance).tags().len(),
            Source::Double(_) => 0,
        }
    }

    /// A tag by its index.
    pub fn tag(&self, index: u32) -> Option<Tag> {
        let Source::Live { store, instance } = self.0 else { return None };
        let tag = *store.instance(instance).tags().get(TagIndex::from_u32(index))?;
        Some(Tag { store: store.id(), index: tag })
    }

    /// The type of a tag by its index: what its exceptions carry.
    pub fn tag_type(&self, index: u32) -> Option<TagType> {
        let Source::Live { store, .. } = self.0 else { return None };
        Some(TagType { ty: store.tag_type(self.tag(index)?.index).clone() })
    }

    /// Index of a tag by the name that it is exported by, or has in the name section.
    pub fn tag_index(&self, name: &str) -> Option<u32> {
        self.index_of(name, |item| match item {
            ItemIndex::Tag(index) => Some(index.as_u32()),
            _ => None,
        })
    }

    fn info(&self) -> Option<&'a wardian_module::ModuleInfo> {
        let Source::Live { store, instance } = self.0 else { return None };
        Some(store.instance(instance).module().decoded.info())
    }
}
