//! Comments name only what is there.

use std::collections::BTreeSet;
use std::path::Path;

use super::none;

/// The endings of files that a comment may name by a path of ours.
const ENDINGS: [&str; 4] = [".rs", ".md", ".py", ".svg"];

/// Files of a user or of another project that comments speak of.
const OF_OTHERS: [&str; 0] = [];

#[test]
fn a_file_that_a_comment_names_is_there() {
    let files = files();
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let text = std::fs::read_to_string(root().join(file)).expect("a readable file");
        for (number, comment) in comments(&text) {
            for name in named_files(comment).filter(|name| !OF_OTHERS.contains(name)) {
                let is_there = files
                    .iter()
                    .any(|file| file == name || file.strip_suffix(name).is_some_and(|before| before.ends_with('/')));
                if !is_there {
                    wrong.push(format!("{file}:{number}: there is no `{name}`"));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn a_section_that_a_comment_names_is_there() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| file.ends_with(".rs")) {
        let text = std::fs::read_to_string(root().join(file)).expect("a readable file");
        for (number, comment) in comments(&text) {
            let Some((_, named)) = comment.split_once("section \"") else {
                continue;
            };
            let Some((section, rest)) = named.split_once('"') else {
                continue;
            };
            let page = named_files(rest).next();
            let is_there = page.is_some_and(|page| {
                let page = std::fs::read_to_string(root().join(page)).unwrap_or_default();
                page.lines()
                    .any(|line| line.starts_with('#') && line.trim_start_matches('#').trim() == section)
            });
            if !is_there {
                wrong.push(format!(
                    "{file}:{number}: there is no section \"{section}\" of {}",
                    page.unwrap_or("a page")
                ));
            }
        }
    }
    none(&wrong);
}

#[test]
fn a_section_has_a_title_and_a_page() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| file.starts_with("src/")) {
        let text = std::fs::read_to_string(root().join(file)).expect("a readable file");
        for (number, comment) in comments(&text) {
            let numbered = comment
                .match_indices("ection ")
                .any(|(at, word)| comment[at + word.len()..].starts_with(|c: char| c.is_ascii_digit()));
            if numbered {
                wrong.push(format!(
                    "{file}:{number}: a section by number; write section \"Title\" of `page.md`"
                ));
            }
        }
    }
    none(&wrong);
}

/// The comments of a text, each with the number of its line.
fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines.filter_map(|(i, line)| Some((i + 1, line.trim_start().strip_prefix("//")?)))
}

/// What looks like the path of a file of ours.
fn named_files(comment: &str) -> impl Iterator<Item = &str> {
    let words = comment.split(|c: char| !(c.is_alphanumeric() || "._-/".contains(c)));
    words
        .map(|word| word.trim_end_matches('.').trim_start_matches("./"))
        .filter(|word| {
            ENDINGS
                .iter()
                .any(|ending| word.len() > ending.len() && word.ends_with(ending))
        })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of the project, as paths below its root with `/` between their parts.
fn files() -> BTreeSet<String> {
    let is_ours = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        !(entry.depth() == 1 && (name == "target" || name == ".git" || name == "envoy")) && name != "target"
    };
    let entries = walkdir::WalkDir::new(root()).into_iter().filter_entry(is_ours);
    entries
        .map(|entry| entry.expect("a readable tree"))
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            entry
                .path()
                .strip_prefix(root())
                .expect("below")
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}
