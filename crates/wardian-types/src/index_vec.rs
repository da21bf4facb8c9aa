//! Vectors that are indexed by one type of index.

use crate::Index;
use std::marker::PhantomData;
use std::ops;

/// A vector whose elements have indices of type `I`.
///
/// ```
/// use wardian_types::{FuncIndex, IndexVec};
///
/// let mut names = IndexVec::new();
/// let index: FuncIndex = names.push("main");
/// assert_eq!(names[index], "main");
/// ```
#[derive(PartialEq, Eq, Hash)]
pub struct IndexVec<I, T> {
    elements: Vec<T>,
    index: PhantomData<fn(I) -> I>,
}

impl<I: Index, T> IndexVec<I, T> {
    /// An empty vector.
    pub const fn new() -> IndexVec<I, T> {
        IndexVec { elements: Vec::new(), index: PhantomData }
    }

    /// An empty vector with room for `capacity` elements.
    pub fn with_capacity(capacity: usize) -> IndexVec<I, T> {
        IndexVec::from(Vec::with_capacity(capacity))
    }

    /// Adds an element at the end, and returns its index.
    pub fn push(&mut self, element: T) -> I {
        let index = self.next_index();
        self.elements.push(element);
        index
    }

    /// Removes the last element.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.elements.pop()
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.elements.clear();
    }

    /// Takes out the elements from an index on, if there are any.
    pub fn truncate(&mut self, from: I) -> std::vec::Drain<'_, T> {
        self.elements.drain(from.index().min(self.elements.len())..)
    }

    /// Makes room for so many further elements, and no more.
    pub fn reserve(&mut self, further: usize) {
        self.elements.reserve_exact(further);
    }

    /// The index that the next element gets.
    #[inline]
    pub fn next_index(&self) -> I {
        I::from_usize(self.elements.len())
    }

    /// The element with an index.
    #[inline]
    pub fn get(&self, index: I) -> Option<&T> {
        self.elements.get(index.index())
    }

    /// The element with an index.
    #[inline]
    pub fn get_mut(&mut self, index: I) -> Option<&mut T> {
        self.elements.get_mut(index.index())
    }

    /// How many elements there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The last element.
    pub fn last(&self) -> Option<&T> {
        self.elements.last()
    }

    /// The last element.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.elements.last_mut()
    }

    /// The elements in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.elements.iter()
    }

    /// The elements in order.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.elements.iter_mut()
    }

    /// The indices in order.
    pub fn indices(
        &self,
    ) -> impl DoubleEndedIterator<Item = I> + ExactSizeIterator + Clone + use<I, T> {
        (0..self.elements.len()).map(I::from_usize)
    }

    /// The elements in order, each with its index.
    pub fn enumerated(&self) -> impl DoubleEndedIterator<Item = (I, &T)> + ExactSizeIterator {
        self.elements.iter().enumerate().map(|(index, element)| (I::from_usize(index), element))
    }

    /// The elements in order, without their indices.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        &self.elements
    }
}

impl<I: Index, T> Default for IndexVec<I, T> {
    fn default() -> IndexVec<I, T> {
        IndexVec::new()
    }
}

impl<I, T: Clone> Clone for IndexVec<I, T> {
    fn clone(&self) -> IndexVec<I, T> {
        IndexVec { elements: self.elements.clone(), index: PhantomData }
    }
}

impl<I, T: std::fmt::Debug> std::fmt::Debug for IndexVec<I, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.elements.fmt(f)
    }
}

impl<I, T> From<Vec<T>> for IndexVec<I, T> {
    fn from(elements: Vec<T>) -> IndexVec<I, T> {
        IndexVec { elements, index: PhantomData }
    }
}

impl<I, T> FromIterator<T> for IndexVec<I, T> {
    fn from_iter<E: IntoIterator<Item = T>>(elements: E) -> IndexVec<I, T> {
        IndexVec::from(Vec::from_iter(elements))
    }
}

impl<I, T> Extend<T> for IndexVec<I, T> {
    fn extend<E: IntoIterator<Item = T>>(&mut self, elements: E) {
        self.elements.extend(elements);
    }
}

impl<I: Index, T> ops::Index<I> for IndexVec<I, T> {
    type Output = T;

    #[inline]
    fn index(&self, index: I) -> &T {
        &self.elements[index.index()]
    }
}

impl<I: Index, T> ops::IndexMut<I> for IndexVec<I, T> {
    #[inline]
    fn index_mut(&mut self, index: I) -> &mut T {
        &mut self.elements[index.index()]
    }
}

impl<I: Index, T> ops::Index<ops::Range<I>> for IndexVec<I, T> {
    type Output = [T];

    fn index(&self, range: ops::Range<I>) -> &[T] {
        &self.elements[range.start.index()..range.end.index()]
    }
}

impl<I: Index, T> ops::Index<ops::RangeFrom<I>> for IndexVec<I, T> {
    type Output = [T];

    fn index(&self, range: ops::RangeFrom<I>) -> &[T] {
        &self.elements[range.start.index()..]
    }
}

impl<I: Index, T> ops::IndexMut<ops::Range<I>> for IndexVec<I, T> {
    fn index_mut(&mut self, range: ops::Range<I>) -> &mut [T] {
        &mut self.elements[range.start.index()..range.end.index()]
    }
}

impl<'a, I, T> IntoIterator for &'a IndexVec<I, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.iter()
    }
}

impl<'a, I, T> IntoIterator for &'a mut IndexVec<I, T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.iter_mut()
    }
}

impl<I, T> IntoIterator for IndexVec<I, T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::IndexVec;
    use crate::FuncIndex;

    #[test]
    fn an_index_leads_to_the_element_that_it_was_given_for() {
        let mut vec: IndexVec<FuncIndex, char> = IndexVec::new();
        let indices = ['a', 'b', 'c'].map(|element| vec.push(element));
        assert_eq!(indices.map(|index| vec[index]), ['a', 'b', 'c']);
        assert_eq!(vec.get(vec.next_index()), None);
        assert_eq!(&vec[indices[1]..vec.next_index()], ['b', 'c']);
        assert_eq!(&vec[indices[1]..], ['b', 'c']);
        let listed: Vec<_> =
            vec.enumerated().map(|(index, element)| (index.index(), *element)).collect();
        assert_eq!(listed, [(0, 'a'), (1, 'b'), (2, 'c')]);
    }

    #[test]
    fn an_index_is_a_number_of_32_bits_and_no_more() {
        assert_eq!(size_of::<FuncIndex>(), 4);
        #[cfg(target_pointer_width = "64")]
        assert!(std::panic::catch_unwind(|| FuncIndex::from_usize(1 << 32)).is_err());
    }
}
