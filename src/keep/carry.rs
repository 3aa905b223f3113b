//! The values that are known for the items of a list, for those of the next.

use std::cmp::Ordering;

/// The known value of each of the `next` items; `None` for those that have none. Both lists are sorted by `order`.
///
/// The cost is that of `is_of` for each item, and of `order` for those that came, went or changed.
pub fn over<K, N>(
    known: Vec<K>,
    next: &[N],
    order: impl Fn(&K, &N) -> Ordering,
    is_of: impl Fn(&K, &N) -> bool,
) -> Vec<Option<K>> {
    let mut known = known.into_iter().peekable();
    let carried = next.iter().map(|item| {
        while known
            .next_if(|known| !is_of(known, item) && order(known, item) == Ordering::Less)
            .is_some()
        {}
        known.next_if(|known| is_of(known, item))
    });
    carried.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_with_their_items() {
        let known = vec![(1, "a"), (2, "b"), (4, "d"), (5, "old"), (6, "f")];
        let next = [(0, "new"), (1, "a"), (3, "new"), (4, "d"), (5, "changed"), (6, "f")];
        let carried = over(known, &next, |a, b| a.0.cmp(&b.0), |a, b| a == b);
        assert_eq!(
            carried,
            [None, Some((1, "a")), None, Some((4, "d")), None, Some((6, "f"))]
        );
    }
}
