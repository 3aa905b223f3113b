//! Comments name only what is there.

use std::collections::BTreeSet;
use std::path::Path;

use super::none;

/// The endings of files that a comment may name by a path of ours.
const ENDINGS: [&str; 4] = [".rs", ".md", ".py", ".svg"];

#[test]
fn a_file_that_a_comment_names_is_there() {
    let files = files();
    let is_there = |name: &str| {
        let is_it = |file: &String| {
            file.strip_suffix(name)
                .is_some_and(|before| before.is_empty() || before.ends_with('/'))
        };
        files.iter().any(is_it)
    };
    none_in_comments(|comment| {
        let gone = named_files(comment).filter(|name| !is_there(name));
        gone.map(|name| format!("there is no `{name}`")).collect()
    });
}

/// The pages that tell people where things are.
const PAGES: [&str; 5] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/release.md",
    "tests/README.md",
];

#[test]
fn a_file_or_test_that_a_page_names_is_there() {
    let files = files();
    let is_file = |name: &str| {
        let name = name.trim_end_matches('/');
        files.iter().any(|file| {
            let (below, above) = (format!("/{name}"), format!("{name}/"));
            file == name || file.ends_with(&below) || file.starts_with(&above) || file.contains(&format!("{below}/"))
        })
    };
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = std::fs::read_to_string(root().join(page)).expect("the page");
        for (i, line) in text.lines().enumerate() {
            for name in line.split('`').skip(1).step_by(2) {
                let is_path = ENDINGS.iter().any(|ending| name.ends_with(ending)) || name.ends_with('/');
                let is_plain = name.chars().all(|c| c.is_alphanumeric() || "._-/".contains(c));
                if is_path && is_plain && !is_file(name) {
                    wrong.push(format!("{page}:{}: there is no `{name}`", i + 1));
                }
                if name.contains("::") && page != "ARCHITECTURE.md" && !is_test(name) {
                    wrong.push(format!("{page}:{}: there is no test `{name}`", i + 1));
                }
            }
        }
    }
    none(&wrong);
}

/// Whether a name, such as `source::git_race` or `publish::readers_see_whole_files`, is that of an integration test
/// or of a module of them. An ellipsis stands for the rest of a long name.
fn is_test(name: &str) -> bool {
    let (path, last) = name.rsplit_once("::").unwrap_or(("", name));
    let module = root().join("tests/it").join(path.replace("::", "/"));
    let is_module = |name: &str| module.join(format!("{name}.rs")).exists() || module.join(name).is_dir();
    if is_module(last) {
        return true;
    }
    let code = [module.with_extension("rs"), module.join("mod.rs")];
    let code: String = code
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect();
    match last.strip_suffix('…') {
        Some(start) => code.contains(&format!("fn {start}")),
        None => code.contains(&format!("fn {last}()")),
    }
}

#[test]
fn a_section_that_a_comment_names_is_there() {
    none_in_comments(|comment| {
        let named = comment
            .split_once("section \"")
            .and_then(|(_, named)| named.split_once('"'));
        let Some((section, rest)) = named else {
            return Vec::new();
        };
        let page = named_files(rest).next();
        let is_there = page.is_some_and(|page| {
            let page = std::fs::read_to_string(root().join(page)).unwrap_or_default();
            page.lines()
                .any(|line| line.starts_with('#') && line.trim_start_matches('#').trim() == section)
        });
        let breach = || format!("there is no section \"{section}\" of {}", page.unwrap_or("a page"));
        (!is_there).then(breach).into_iter().collect()
    });
}

#[test]
fn a_section_has_a_title_and_a_page() {
    none_in_comments(|comment| {
        let is_numbered = comment
            .match_indices("ection ")
            .any(|(at, word)| comment[at + word.len()..].starts_with(|c: char| c.is_ascii_digit()));
        let breach = || "a section by number; write section \"Title\" of `page.md`".to_owned();
        is_numbered.then(breach).into_iter().collect()
    });
}

/// Fails with the breaches that `breaches_of` finds in the comments of all Rust files.
fn none_in_comments(breaches_of: impl Fn(&str) -> Vec<String>) {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| file.ends_with(".rs")) {
        let text = std::fs::read_to_string(root().join(file)).expect("a readable file");
        for (i, line) in text.lines().enumerate() {
            if let Some(comment) = line.trim_start().strip_prefix("//") {
                let found = breaches_of(comment).into_iter();
                wrong.extend(found.map(|breach| format!("{file}:{}: {breach}", i + 1)));
            }
        }
    }
    none(&wrong);
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
