//! Text for people: plurals, chains of causes, escaped names and the closest known name.

use std::error::Error;
use std::fmt;

/// A count with its noun: `1 file`, `2 files`, `3,000 proxies`.
#[must_use]
pub fn plural(n: usize, word: &str) -> String {
    match (n, word.strip_suffix('y')) {
        (1, _) => format!("1 {word}"),
        (_, Some(stem)) => format!("{} {stem}ies", counted(n)),
        _ if word.ends_with("sh") => format!("{} {word}es", counted(n)),
        _ => format!("{} {word}s", counted(n)),
    }
}

/// A count for people: `20,000`.
#[must_use]
pub fn counted(n: usize) -> String {
    match n {
        0..1000 => n.to_string(),
        _ => format!("{},{:03}", counted(n / 1000), n % 1000),
    }
}

/// The first few of several names, with the number of the others: `a, b, c, d and 3 more`.
#[must_use]
pub fn few<T: AsRef<str>>(names: &[T]) -> String {
    first_of(names.iter().map(AsRef::as_ref), names.len())
}

/// The first few of `total` names, of which no more are made than are shown.
pub fn first_of<T: fmt::Display>(names: impl Iterator<Item = T>, total: usize) -> String {
    // One more than few are all.
    let shown = if total <= FEW + 1 { total } else { FEW };
    let shown: Vec<String> = names.take(shown).map(|name| name.to_string()).collect();
    let mut text = shown.join(", ");
    if shown.len() < total {
        text.push_str(&format!(" and {} more", counted(total - shown.len())));
    }
    text
}

/// The number of names that a message shows of many.
pub const FEW: usize = 4;

/// An error and its causes on one line, separated by colons.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

/// The text with control characters and marks of text direction escaped, so that no name in a file can control a
/// terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The candidate closest to `word`; `None` if every candidate differs in more than a few letters.
///
/// The cost of one call is limited: words that nobody mistypes, and candidates beyond the first thousand, do not count.
#[must_use]
pub fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const CANDIDATES: usize = 1000;
    const BYTES: usize = 256;
    let folded = word.to_lowercase();
    let near = |candidate: &&'c str| strsim::damerau_levenshtein(&folded, &candidate.to_lowercase());
    let candidates = candidates.into_iter().take(CANDIDATES);
    let short = candidates.filter(|candidate| word.len() <= BYTES && candidate.len() <= BYTES);
    let best = short.min_by_key(near)?;
    (near(&best) <= 1 + word.chars().count() / 4).then_some(best)
}

/// The path of a file below a root, which is put before every path but an absolute one: such a file is in no root.
#[must_use]
pub fn below(root: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{root}{path}"),
    }
}

/// Whether a text matches a pattern, or there is none.
#[must_use]
pub fn fits_if_any(pattern: Option<&str>, text: &str) -> bool {
    pattern.is_none_or(|pattern| fits(pattern, text))
}

/// Whether a text matches a pattern, in which `*` stands for any characters.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(i) => rest = &rest[i + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
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

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}"), "a\\u{1b}[31mb\\u{202e}");
    }

    #[test]
    fn many_names_are_cut() {
        let all: Vec<String> = (1..8).map(|i| format!("web-0{i}")).collect();
        assert_eq!(few(&all), "web-01, web-02, web-03, web-04 and 3 more");
        assert_eq!(few(&all[..5]), "web-01, web-02, web-03, web-04, web-05");
    }

    #[test]
    fn words_are_counted_in_english() {
        assert_eq!(plural(1, "proxy"), "1 proxy");
        assert_eq!(plural(2, "proxy"), "2 proxies");
        assert_eq!(plural(0, "file"), "0 files");
        assert_eq!(plural(999, "file"), "999 files");
        assert_eq!(plural(1_234_007, "proxy"), "1,234,007 proxies");
    }

    #[test]
    fn patterns_have_stars() {
        for (pattern, text, expected) in [
            ("web-*", "web-01", true),
            ("*", "", true),
            ("a*b*c", "a-b-c", true),
            ("a*b", "ab", true),
            ("a*a", "a", false),
            ("web", "web-01", false),
            ("*-eu", "web-eu-1", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
