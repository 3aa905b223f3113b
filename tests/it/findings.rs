//! `docs/findings.md` has every code, and its examples and outputs are true.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it findings` rewrites what is said of the examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshtraced::compile::{Options, compile};
use meshtraced::diag::render::text;
use meshtraced::diag::{Code, Diagnostic};
use meshtraced::kuma::{Kuma, Version};
use meshtraced::source::{Snapshot, SourceFile};

/// Codes that no text of a policy can produce, each with its test.
const WITHOUT_EXAMPLE: [(&str, &str); 12] = [
    ("unreadable-file", "tests/cases/mistake-not-utf-8"),
    ("no-resources", "tests/cases/mistake-no-resources"),
    ("collector-not-allowed", "tests/it/collectors.rs"),
    ("unused-collector-entry", "tests/it/collectors.rs"),
    ("dangling-reference", "src/envoy/layout.rs"),
    ("admin-path-too-long", "tests/it/findings.rs"),
    ("unusable-base", "tests/it/own_envoys.rs"),
    ("missing-secret", "tests/it/collectors.rs"),
    ("unusable-place", "tests/it/places.rs"),
    ("not-in-base", "tests/it/own_envoys.rs"),
    ("unclaimed-listener", "tests/it/own_envoys.rs"),
    ("tracing-in-base", "tests/it/own_envoys.rs"),
];

/// Codes that are about the text; all others are about a field, and have its path.
const OF_TEXT: [&str; 6] = [
    "syntax-error",
    "unrendered-template",
    "missing-variable",
    "limit-exceeded",
    "duplicate-key",
    "encrypted-document",
];

/// A section of the page.
struct Section<'a> {
    code: &'a str,
    text: &'a str,
}

/// A block of code on the page: what stands behind the fence, and the text.
struct Block<'a> {
    info: &'a str,
    text: &'a str,
}

#[test]
fn every_code_has_its_section() {
    let page = fs::read_to_string(path()).expect("the page");
    let sections: Vec<&str> = sections(&page).iter().map(|section| section.code).collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(sections, codes);
    for (code, test) in WITHOUT_EXAMPLE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(test);
        let out = if path.is_dir() {
            path.join("out/check.txt")
        } else {
            path
        };
        let shown = fs::read_to_string(&out).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
        assert!(shown.contains(code), "{test} does not show {code}");
    }
}

#[test]
fn examples_show_what_the_page_says_and_mends_mend_it() {
    let page = fs::read_to_string(path()).expect("the page");
    let exempt: BTreeSet<&str> = WITHOUT_EXAMPLE.iter().map(|(code, _)| *code).collect();
    let mut rewritten = page.clone();
    for section in sections(&page).iter().filter(|section| !exempt.contains(section.code)) {
        let blocks = blocks(section.text);
        let [bad, said, fixed] = blocks.as_slice() else {
            panic!("{}: {} blocks", section.code, blocks.len());
        };
        let is_it = |finding: &Arc<Diagnostic>| finding.code.as_str() == section.code;
        let found = check(bad);
        assert!(found.iter().any(is_it), "{}: {found:#?}", section.code);
        let still = check(fixed);
        assert!(!still.iter().any(is_it), "{} is not fixed: {still:#?}", section.code);
        let first = found.iter().find(|finding| is_it(finding)).expect("asserted above");
        let is_of_text = OF_TEXT.contains(&section.code);
        assert_eq!(first.path.is_empty(), is_of_text, "{}: `{}`", section.code, first.path);
        let shown: Vec<Arc<Diagnostic>> = found.into_iter().filter(is_it).take(1).collect();
        let shown = text::render(&shown, "", 1, false);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let old = section.text;
            let (wrong, right) = (format!("```text\n{}```", said.text), format!("```text\n{shown}```"));
            rewritten = rewritten.replace(old, &old.replacen(&wrong, &right, 1));
        } else {
            assert_eq!(said.text, shown, "{}", section.code);
        }
    }
    if rewritten != page {
        fs::write(path(), rewritten).expect("the page can be written");
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.md")
}

fn sections(page: &str) -> Vec<Section<'_>> {
    let parts = page.split("\n## ").skip(1);
    parts
        .map(|part| {
            let (code, text) = part.split_once('\n').expect("a heading and a text");
            Section { code, text }
        })
        .collect()
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut parts = text.split("```").skip(1);
    let mut blocks = Vec::new();
    while let Some(block) = parts.next() {
        let (info, text) = block.split_once('\n').expect("a fence ends its line");
        blocks.push(Block { info, text });
        parts.next();
    }
    blocks
}

/// What is found in an example. Behind `yaml` stands the version of Kuma, or that there are variables.
fn check(block: &Block) -> Vec<Arc<Diagnostic>> {
    let mut words = block.info.split(' ');
    assert_eq!(words.next(), Some("yaml"));
    let (mut kuma, mut vars) = (Kuma::default(), None);
    for word in words {
        match word {
            "vars" => vars = Some([("name".to_owned(), "web-01".to_owned())].into()),
            "2.13" => kuma.version = Version::V2_13,
            "3.0" => kuma.version = Version::V3_0,
            other => panic!("`{other}` behind a fence"),
        }
    }
    let snapshot = Snapshot {
        files: [SourceFile::with_vars("example.yaml", block.text, vars)]
            .into_iter()
            .collect(),
        ..Snapshot::default()
    };
    compile_at("/out", &snapshot, kuma)
}

#[test]
fn an_output_directory_can_be_too_deep_for_a_socket() {
    let page = fs::read_to_string(path()).expect("the page");
    let all = sections(&page);
    let section = all
        .iter()
        .find(|section| section.code == "forwards-to-itself")
        .expect("it has a dataplane");
    let text = blocks(section.text)[2].text;
    let snapshot = Snapshot::from_texts([("example.yaml", text)]);
    let codes = |out: &str| -> Vec<Code> {
        let found = compile_at(out, &snapshot, Kuma::default());
        found.iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes(&format!("/{}", "o".repeat(100))), [Code::AdminPathTooLong]);
    assert_eq!(codes("/out"), []);
}

/// What is found when the files of the proxies go to `out`.
fn compile_at(out: &str, snapshot: &Snapshot, kuma: Kuma) -> Vec<Arc<Diagnostic>> {
    let options = Options {
        kuma,
        ..Options::for_out(out)
    };
    let compiled = compile(snapshot, &options);
    compiled.diagnostics.into_iter().chain(compiled.unpublishable).collect()
}
