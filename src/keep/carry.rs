//! The values that are known for the items of a list, for those of the next.

use std::cmp::Ordering;
use std::ops::Range;

/// The known values, by what became of their items.
#[derive(Debug)]
pub struct Carried<K> {
    /// The value of each of the next items; `None` for those that are new.
    pub known: Vec<Option<K>>,
    /// The values of items that are gone.
    pub gone: Vec<K>,
}

/// The parts in which two lists differ, as ranges of the known and of the next items: what comes before them and what comes after
/// them is the same in both.
///
/// With pointers that are compared, a change of one item among many is found without a look at the others themselves.
pub fn window<K, N>(known: &[K], next: &[N], is_same: impl Fn(&K, &N) -> bool) -> (Range<usize>, Range<usize>) {
    let before = known.iter().zip(next).take_while(|(known, next)| is_same(known, next));
    let start = before.count();
    let after = known[start..].iter().rev().zip(next[start..].iter().rev());
    let after = after.take_while(|(known, next)| is_same(known, next)).count();
    (start..known.len() - after, start..next.len() - after)
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

/// A value for each item: the known one, or one of those that `make` makes for all items without, in their order.
pub fn complete<K, N: Copy>(known: Vec<Option<K>>, items: &[N], make: impl FnOnce(&[N]) -> Vec<K>) -> Vec<K> {
    let missing = items.iter().zip(&known).filter(|(_, known)| known.is_none());
    let missing: Vec<N> = missing.map(|(item, _)| *item).collect();
    let mut made = make(&missing).into_iter();
    let all = known.into_iter().filter_map(|known| known.or_else(|| made.next()));
    all.collect()
}

/// The change of a list of values.
#[derive(Debug, PartialEq, Eq)]
pub struct Updated<K> {
    /// The indices of the values that were made.
    pub made: Vec<usize>,
    /// The values that were there in their places; `None` if the items are not the same ones as before.
    pub replaced: Option<Vec<K>>,
    /// The values of items that are gone.
    pub gone: Vec<K>,
}

/// Brings the values of some items up to date with the `next` items: `make` makes those that are missing or not current, in the
/// order of their items. Both lists are sorted by `order`.
///
/// Values that are current stay where they are, before and after the window in which others differ.
pub fn update<K, N: Copy>(
    values: &mut Vec<K>,
    next: &[N],
    order: impl Fn(&K, &N) -> Ordering,
    is_current: impl Fn(&K, &N) -> bool,
    make: impl FnOnce(&[N]) -> Vec<K>,
) -> Updated<K> {
    let (old, new) = window(values, next, &is_current);
    let (start, items) = (new.start, &next[new.clone()]);
    let mut pairs = values[old.clone()].iter().zip(items);
    if old.len() == new.len() && pairs.all(|(value, item)| order(value, item).is_eq()) {
        let stale: Vec<usize> = new.filter(|i| !is_current(&values[*i], &next[*i])).collect();
        let items: Vec<N> = stale.iter().map(|i| next[*i]).collect();
        let made = stale.iter().zip(make(&items));
        let replaced = made.map(|(i, value)| std::mem::replace(&mut values[*i], value));
        return Updated {
            replaced: Some(replaced.collect()),
            made: stale,
            gone: Vec::new(),
        };
    }
    let carried = over(values.drain(old).collect(), items, order);
    let current = carried.known.into_iter().zip(items);
    let current = current.map(|(value, item)| value.filter(|value| is_current(value, item)));
    let current: Vec<Option<K>> = current.collect();
    let made = (0..items.len()).filter(|i| current[*i].is_none());
    let made = made.map(|i| start + i).collect();
    values.splice(start..start, complete(current, items, make));
    Updated {
        made,
        replaced: None,
        gone: carried.gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_makes_what_is_missing_or_old() {
        let next = |items: &[(i32, char)]| items.to_vec();
        let mut values = next(&[(1, 'a'), (2, 'b'), (4, 'd')]);
        let mut update = |items: &[(i32, char)]| {
            let mut asked = Vec::new();
            let updated = super::update(
                &mut values,
                items,
                |value, item| value.0.cmp(&item.0),
                |value, item| value == item,
                |missing| {
                    asked = missing.to_vec();
                    missing.to_vec()
                },
            );
            assert_eq!(
                (values.as_slice(), asked),
                (items, updated.made.iter().map(|i| items[*i]).collect())
            );
            (updated.made, updated.replaced, updated.gone)
        };
        assert_eq!(update(&[(1, 'a'), (2, 'b'), (4, 'd')]), (vec![], Some(vec![]), vec![]));
        assert_eq!(
            update(&[(1, 'a'), (2, 'x'), (4, 'd')]),
            (vec![1], Some(vec![(2, 'b')]), vec![])
        );
        assert_eq!(
            update(&[(1, 'a'), (3, 'c'), (4, 'y')]),
            (vec![1, 2], None, vec![(2, 'x')])
        );
        assert_eq!(update(&[(3, 'c')]), (vec![], None, vec![(1, 'a'), (4, 'y')]));
        assert_eq!(update(&[(3, 'c'), (5, 'e')]), (vec![1], None, vec![]));
    }

    #[test]
    fn a_window_has_all_that_differs() {
        let window = |known: &str, next: &str| {
            let (known, next) = (known.as_bytes(), next.as_bytes());
            super::window(known, next, |known, next| known == next)
        };
        for (known, next, expected) in [
            ("", "", (0..0, 0..0)),
            ("abc", "abc", (3..3, 3..3)),
            ("abc", "axc", (1..2, 1..2)),
            ("abc", "ac", (1..2, 1..1)),
            ("ac", "abc", (1..1, 1..2)),
            ("aab", "ab", (1..2, 1..1)),
            ("abcd", "xbcy", (0..4, 0..4)),
            ("", "ab", (0..0, 0..2)),
            ("ab", "", (0..2, 0..0)),
        ] {
            assert_eq!(window(known, next), expected, "{known} {next}");
        }
    }

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
        let make = |missing: &[i32]| {
            assert_eq!(missing, [2, 4]);
            missing.iter().map(|item| item * 10).collect()
        };
        assert_eq!(
            complete(vec![Some(1), None, Some(3), None], &[1, 2, 3, 4], make),
            [1, 20, 3, 40]
        );
    }
}
