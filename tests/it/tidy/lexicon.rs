//! The names of types, functions, fields and modules are words of `docs/lexicon.md`.

use std::collections::BTreeMap;
use std::path::Path;

use super::definitions::Definition;
use super::none;
use super::source::Sources;

#[test]
fn names_are_words_of_the_lexicon() {
    let avoided = avoided();
    assert!(
        avoided.len() > 10,
        "the table of docs/lexicon.md was not found: {avoided:?}"
    );
    let mut wrong = Vec::new();
    for module in Sources::read().iter() {
        for Definition { name, line, .. } in module.definitions() {
            for (word, say) in words_in(&name).filter_map(|word| avoided.get_key_value(&word)) {
                wrong.push(format!(
                    "src/{}:{line}: `{name}` says \"{word}\"; the word is {say}",
                    module.file.display()
                ));
            }
        }
    }
    none(&wrong);
}

/// The words that are not said, and what is said for each.
fn avoided() -> BTreeMap<String, String> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lexicon.md")).expect("the lexicon");
    let mut avoided = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [say, _, instead] = cells.as_slice() else {
            panic!("a row of three cells: {line}")
        };
        // Between backticks stand the words that are looked for.
        for word in instead.split('`').skip(1).step_by(2) {
            let parts: Vec<String> = words_in(word).collect();
            avoided.insert(parts.concat(), format!("\"{say}\""));
        }
    }
    avoided
}

/// The words of a name in either spelling, in lower case; a plural counts as its singular.
fn words_in(name: &str) -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_lower = false;
    for c in name.chars() {
        if c == '_' {
            was_lower = false;
            words.push(String::new());
            continue;
        }
        if words.is_empty() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = !c.is_uppercase();
        words.last_mut().expect("a word").extend(c.to_lowercase());
    }
    words.into_iter().filter(|word| !word.is_empty()).map(singular)
}

fn singular(word: String) -> String {
    if let Some(stem) = word.strip_suffix("ies") {
        return format!("{stem}y");
    }
    if let Some(stem) = word
        .strip_suffix("es")
        .filter(|stem| stem.ends_with("sh") || stem.ends_with("ch"))
    {
        return stem.to_owned();
    }
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u']) => stem.to_owned(),
        _ => word,
    }
}

#[test]
fn names_are_taken_apart_in_both_spellings() {
    let words = |name: &str| words_in(name).collect::<Vec<_>>();
    assert_eq!(words("ProxyVerdicts"), ["proxy", "verdict"]);
    assert_eq!(words("MAX_QUIET"), ["max", "quiet"]);
    assert_eq!(words("forget_refusals"), ["forget", "refusal"]);
    assert_eq!(words("status_of_wishes"), ["status", "of", "wish"]);
    assert_eq!(words("Entries"), ["entry"]);
}
