//! Doc comments begin with a noun, and say more than the name below them.

use super::none;
use super::source::Sources;

/// Words that stand for something else, which a reader who comes from a search has not seen.
const PRONOUNS: [&str; 8] = ["It", "Its", "What", "Who", "Whose", "That", "They", "Those"];

#[test]
fn a_doc_comment_begins_with_a_noun() {
    let mut wrong = Vec::new();
    for (at, doc, _) in docs() {
        let first = doc.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        if PRONOUNS.contains(&first) {
            wrong.push(format!("{at}: \"{doc}\": name what it is about"));
        }
    }
    none(&wrong);
}

#[test]
fn a_doc_comment_says_more_than_the_name() {
    let mut wrong = Vec::new();
    for (at, doc, name) in docs() {
        let plain: String = doc
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || *c == ' ')
            .collect();
        let said: Vec<&str> = (plain.split(' '))
            .filter(|word| !["the", "a", "an", "its"].contains(word))
            .collect();
        if said.concat() == name.to_lowercase().replace('_', "") {
            wrong.push(format!("{at}: \"{doc}\" repeats `{name}`"));
        }
    }
    none(&wrong);
}

/// The first line of every doc comment in the code, with its place and the name it documents.
fn docs() -> Vec<(String, String, String)> {
    let sources = Sources::read();
    let mut all = Vec::new();
    for module in sources.iter() {
        for definition in module.definitions() {
            if let Some((line, doc)) = definition.doc {
                all.push((format!("src/{}:{line}", module.file.display()), doc, definition.name));
            }
        }
    }
    assert!(all.len() > 1000, "doc comments were not found");
    all
}
