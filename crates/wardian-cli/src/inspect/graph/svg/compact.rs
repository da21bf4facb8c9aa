//! Bringing what lies far apart closer together.

use std::collections::BTreeMap;

/// Something in a column of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Item {
    /// Which column.
    pub(super) column: i64,
    /// Its middle.
    pub(super) y: f64,
    /// Its height, with the space around it.
    pub(super) room: f64,
}

/// Moves things up or down, so that the picture is no higher than its fullest column. Their order stays, and
/// they stay about where they were as far as there is room. Returns the height.
pub(super) fn compact(items: &mut [Item]) -> f64 {
    let mut columns: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|a, b| items[*a].y.total_cmp(&items[*b].y));
    order.iter().for_each(|i| columns.entry(items[*i].column).or_default().push(*i));
    let full = |column: &Vec<usize>| column.iter().map(|i| items[*i].room).sum::<f64>();
    let height = columns.values().map(full).fold(0., f64::max);
    let (Some(first), Some(last)) = (order.first(), order.last()) else { return 0. };
    let (top, all) = (items[*first].y, items[*last].y - items[*first].y);
    let scale = if all > height { height / all } else { 1. };
    for column in columns.values() {
        let mut end = 0.;
        for i in column {
            let item = &mut items[*i];
            item.y = ((item.y - top) * scale).max(end + item.room / 2.);
            end = item.y + item.room / 2.;
        }
        let mut end = height;
        for i in column.iter().rev() {
            let item = &mut items[*i];
            item.y = item.y.min(end - item.room / 2.);
            end = item.y - item.room / 2.;
        }
    }
    height
}

#[cfg(test)]
mod tests {
    use super::{Item, compact};

    #[test]
    fn columns_keep_their_order_and_fit() {
        let item = |column, y| Item { column, y, room: 10. };
        let mut items = [item(0, 900.), item(0, 0.), item(0, 100.), item(1, 890.), item(1, 895.)];
        assert_eq!(compact(&mut items), 30.);
        let places = items.map(|item| item.y);
        assert_eq!(places, [25., 5., 15., 15., 25.]);
        assert_eq!(compact(&mut []), 0.);
        let mut one = [item(3, -7.)];
        assert_eq!((compact(&mut one), one[0].y), (10., 5.));
    }
}
