//! Two maps side by side.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter;

/// The keys of two maps in their order, each with what it has in the first and in the second one. The cost grows with the number of
/// keys.
pub fn pairs<'m, K: Ord, V>(
    first: &'m BTreeMap<K, V>,
    second: &'m BTreeMap<K, V>,
) -> impl Iterator<Item = (&'m K, Option<&'m V>, Option<&'m V>)> {
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    iter::from_fn(move || {
        let order = match (first.peek(), second.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let first = if order.is_le() { first.next() } else { None };
        let second = if order.is_ge() { second.next() } else { None };
        let (key, _) = first.or(second)?;
        Some((key, first.map(|(_, value)| value), second.map(|(_, value)| value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_either_comes_once_and_in_order() {
        let first = BTreeMap::from([(1, 'a'), (2, 'b'), (5, 'c')]);
        let second = BTreeMap::from([(2, 'x'), (3, 'y'), (7, 'z'), (8, 'z')]);
        let all: Vec<_> = pairs(&first, &second)
            .map(|(key, a, b)| (*key, a.copied(), b.copied()))
            .collect();
        let expected = [
            (1, Some('a'), None),
            (2, Some('b'), Some('x')),
            (3, None, Some('y')),
            (5, Some('c'), None),
            (7, None, Some('z')),
            (8, None, Some('z')),
        ];
        assert_eq!(all, expected);
        assert_eq!(pairs::<u8, ()>(&BTreeMap::new(), &BTreeMap::new()).count(), 0);
    }
}
