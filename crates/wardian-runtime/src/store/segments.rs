//! The segments of an instance: which of them were dropped, and elements that are objects.

use std::sync::Arc;
use wardian_types::{DataIndex, ElemIndex, Index, IndexVec};

/// The segments of an instance. There are as many as its module has.
pub(crate) struct Segments {
    dropped: Dropped,
    /// The elements of segments whose expressions make objects. The others are evaluated when they are used.
    objects: IndexVec<ElemIndex, Option<Arc<[u64]>>>,
}

/// Whether each segment of an instance has been dropped.
#[derive(Clone)]
pub(crate) struct Dropped {
    elements: IndexVec<ElemIndex, bool>,
    data: IndexVec<DataIndex, bool>,
}

impl Segments {
    /// The segments of an instance that is made.
    pub(crate) fn new(elements: usize, data: usize) -> Segments {
        let dropped =
            Dropped { elements: vec![false; elements].into(), data: vec![false; data].into() };
        Segments { dropped, objects: vec![None; elements].into() }
    }

    /// Whether an element segment has been dropped.
    pub(crate) fn has_dropped_elements(&self, segment: ElemIndex) -> bool {
        self.dropped.elements[segment]
    }

    /// Whether a data segment has been dropped.
    pub(crate) fn has_dropped_data(&self, segment: DataIndex) -> bool {
        self.dropped.data[segment]
    }

    /// Drops an element segment.
    pub(crate) fn drop_elements(&mut self, segment: ElemIndex) {
        self.dropped.elements[segment] = true;
    }

    /// Drops a data segment.
    pub(crate) fn drop_data(&mut self, segment: DataIndex) {
        self.dropped.data[segment] = true;
    }

    /// Which are dropped.
    pub(crate) fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// Makes those the dropped ones that were at another moment of the same instance.
    pub(crate) fn set_dropped(&mut self, then: &Dropped) {
        self.dropped.elements.clone_from(&then.elements);
        self.dropped.data.clone_from(&then.data);
    }

    /// Makes these the dropped ones.
    ///
    /// # Errors
    ///
    /// There is no segment with this number.
    pub(crate) fn restore_dropped(
        &mut self,
        elements: &[ElemIndex],
        data: &[DataIndex],
    ) -> Result<(), String> {
        set(&mut self.dropped.elements, elements)?;
        set(&mut self.dropped.data, data)
    }

    /// The elements of a segment, if they are objects.
    pub(crate) fn objects(&self, segment: ElemIndex) -> Option<&[u64]> {
        self.objects.get(segment)?.as_deref()
    }

    /// All elements that are objects, by segment.
    pub(crate) fn all_objects(&self) -> impl Iterator<Item = (ElemIndex, &[u64])> {
        let all = self.objects.enumerated();
        all.filter_map(|(segment, objects)| Some((segment, objects.as_deref()?)))
    }

    /// Keeps the elements of a segment, which are objects.
    pub(crate) fn set_objects(&mut self, segment: ElemIndex, objects: Arc<[u64]>) {
        self.objects[segment] = Some(objects);
    }
}

impl Dropped {
    /// The element segments.
    pub(crate) fn elements(&self) -> Vec<ElemIndex> {
        positions(&self.elements)
    }

    /// The data segments.
    pub(crate) fn data(&self) -> Vec<DataIndex> {
        positions(&self.data)
    }
}

fn positions<I: Index>(flags: &IndexVec<I, bool>) -> Vec<I> {
    flags.enumerated().filter(|(_, set)| **set).map(|(position, _)| position).collect()
}

fn set<I: Index>(flags: &mut IndexVec<I, bool>, positions: &[I]) -> Result<(), String> {
    flags.iter_mut().for_each(|flag| *flag = false);
    for at in positions {
        *flags.get_mut(*at).ok_or_else(|| format!("there is no segment {at}"))? = true;
    }
    Ok(())
}
