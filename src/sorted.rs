//! Lists that are sorted by a key.

/// The runs of items with the same key in a list that is sorted by it, each found without a look at all of its items.
pub fn runs<T, K: Ord + ?Sized>(list: &[T], key: impl Fn(&T) -> &K) -> impl Iterator<Item = &[T]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let first = key(rest.first()?);
        let length = rest.partition_point(|item| key(item) <= first);
        let (run, after) = rest.split_at(length);
        rest = after;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_run_has_all_items_of_its_key() {
        for (list, expected) in [
            ("", &[] as &[&str]),
            ("a", &["a"]),
            ("aab", &["aa", "b"]),
            ("abbbcc", &["a", "bbb", "cc"]),
        ] {
            let runs = super::runs(list.as_bytes(), |byte| byte);
            assert_eq!(
                runs.collect::<Vec<_>>(),
                expected.iter().map(|run| run.as_bytes()).collect::<Vec<_>>()
            );
        }
    }
}
