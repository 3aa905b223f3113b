//! The values that are known for the items of a list, for those of the next.

use std::cmp::Ordering;

/// The known values, by what became of their items.
#[derive(Debug)]
pub struct Carried<K> {
    /// The value of each of the next items; `None` for those that are new.
    pub known: Vec<Option<K>>,
    /// The values of items that are gone.
    pub gone: Vec<K>,
}

/// Finds the known value of each of the `next` items. Both lists are sorted by `order`.
pub fn over<K, N>(known: Vec<K>, next: &[N], order: impl Fn(&K, &N) -> Ordering) -> Carried<K> {
    let mut known = known.into_iter().peekable();
    let mut gone = Vec::new();
    let carried = next.iter().map(|item| {
        while let Some(value) = known.next_if(|known| order(known, item) == Ordering::Less) {
            gone.push(value);
        }
        known.next_if(|known| order(known, item) == Ordering::Equal)
    });
    let carried = carried.collect();
    gone.extend(known);
    Carried { known: carried, gone }
}

/// A value for each item: the known one, or one of those that `make` makes for all items without, in their order. And
/// the number of the latter.
pub fn complete<K, N: Copy>(known: Vec<Option<K>>, items: &[N], make: impl FnOnce(&[N]) -> Vec<K>) -> (Vec<K>, usize) {
    let missing = items.iter().zip(&known).filter(|(_, known)| known.is_none());
    let missing: Vec<N> = missing.map(|(item, _)| *item).collect();
    let mut made = make(&missing).into_iter();
    let all = known.into_iter().filter_map(|known| known.or_else(|| made.next()));
    (all.collect(), missing.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_with_their_items() {
        let known = vec![(1, "a"), (2, "b"), (4, "d"), (6, "f"), (7, "g")];
        let carried = over(known, &[0, 1, 3, 4, 6], |(number, _), item| number.cmp(item));
        assert_eq!(
            carried.known,
            [None, Some((1, "a")), None, Some((4, "d")), Some((6, "f"))]
        );
        assert_eq!(carried.gone, [(2, "b"), (7, "g")]);
    }

    #[test]
    fn only_what_is_missing_is_made() {
        let make = |missing: &[i32]| missing.iter().map(|item| item * 10).collect();
        assert_eq!(
            complete(vec![Some(1), None, Some(3), None], &[1, 2, 3, 4], make),
            (vec![1, 20, 3, 40], 2)
        );
    }
}
