//! What a person may have meant.

/// The word of `candidates` that a person may have meant by `word`.
#[must_use]
pub fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let folded = word.to_lowercase();
    let near = |candidate: &&'c str| strsim::damerau_levenshtein(&folded, &candidate.to_lowercase());
    let best = candidates.into_iter().min_by_key(near)?;
    (near(&best) <= 1 + word.chars().count() / 4).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["defaultBackend", "backends"];
        assert_eq!(closest("defaultBackends", known), Some("defaultBackend"));
        assert_eq!(closest("Backends", known), Some("backends"));
        assert_eq!(closest("sampling", known), None);
    }
}
