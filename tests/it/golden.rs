//! Golden cases: policies in `in/`, the output for people and the files for Envoy in `out/`.
//!
//! `out/check.txt` is what `meshtraced check` prints, `out/run.txt` what `meshtraced run --once` prints, and
//! `out/envoy/` what it writes. `settings.yaml` beside `in/` is optional, and `commands` has more commands, one a
//! line. With `before/`, those policies are published first, and `out/diff.*` is what `meshtraced diff` says then in each
//! format; the changed files are in it if there is a file `bytes`.
//! `UPDATE_GOLDEN=1 cargo test` rewrites `out/`; the difference is then reviewed like code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Files by their path below `out/`.
type Tree = BTreeMap<String, String>;

#[test]
fn every_case_gives_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(&root)
        .expect("tests/cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 20, "only {} cases in {}", cases.len(), root.display());
    let mut failures = String::new();
    for case in &cases {
        let found = run_case(case);
        let out = case.join("out");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            rewrite(&out, &found);
        }
        let wanted = read_tree(&out);
        for path in found.keys().chain(wanted.keys()) {
            let (found, wanted) = (
                found.get(path).map(String::as_str),
                wanted.get(path).map(String::as_str),
            );
            if found != wanted {
                let diff = similar::TextDiff::from_lines(wanted.unwrap_or(""), found.unwrap_or(""));
                let diff = diff.unified_diff().header("wanted", "found").to_string();
                let _ = writeln!(failures, "{}: {path}\n{diff}", case.display());
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{failures}\nUPDATE_GOLDEN=1 rewrites what is wanted"
    );
}

fn run_case(case: &Path) -> Tree {
    let out = tempfile::tempdir().expect("a temporary directory");
    let envoy = out.path().join("envoy");
    let mut tree = Tree::new();
    let mut keep = |name: &str, arguments: &[&str]| {
        let output = meshtraced(case, "in", &envoy, arguments);
        let command = format!("meshtraced {}", arguments.join(" "));
        tree.insert(name.to_owned(), transcript(&output, &command, &envoy));
    };
    keep("check.txt", &["check"]);
    let commands = fs::read_to_string(case.join("commands")).unwrap_or_default();
    for command in commands.lines() {
        let name = format!("{}.txt", command.replace(['/', ' '], "_"));
        keep(&name, &command.split(' ').collect::<Vec<_>>());
    }
    if case.join("before").exists() {
        let published = meshtraced(case, "before", &envoy, &["run", "--once"]);
        assert!(
            published.status.success(),
            "{}",
            transcript(&published, "before", &envoy)
        );
        keep("diff.txt", &["diff"]);
        keep("diff.json", &["diff", "-o", "json"]);
        keep("diff.md", &["diff", "-o", "markdown"]);
        if case.join("bytes").exists() {
            keep("diff-bytes.txt", &["diff", "--list", "--bytes"]);
            keep("diff.patch", &["diff", "-o", "patch"]);
        }
        keep("dry-run.txt", &["run", "--dry-run"]);
    }
    keep("run.txt", &["run", "--once"]);
    if case.join("before").exists() {
        keep("diff-after.txt", &["diff"]);
        return tree;
    }
    for (path, text) in read_tree(&envoy) {
        if !path.starts_with(".meshtraced/") {
            tree.insert(format!("envoy/{path}"), text.replace(&*envoy.to_string_lossy(), "/OUT"));
        }
    }
    tree
}

fn meshtraced(case: &Path, policies: &str, out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    command.current_dir(case).arg("--out").arg(out);
    let settings = fs::read_to_string(case.join("settings.yaml")).ok();
    if settings.is_some() {
        command.args(["--config", "settings.yaml"]);
    }
    // Settings that say themselves what is read are what the case is about.
    if !settings.is_some_and(|settings| settings.contains("policies:")) {
        command.args(["--policies", policies]);
    }
    command.args(arguments).output().expect("the program starts")
}

/// What a person sees: the command, both outputs and the end, without what differs from run to run.
fn transcript(output: &Output, command: &str, out: &Path) -> String {
    let mut text = format!("$ {command}\n");
    for part in [&output.stdout, &output.stderr] {
        text.push_str(&String::from_utf8_lossy(part));
    }
    let end = output
        .status
        .code()
        .map_or_else(|| output.status.to_string(), |code| code.to_string());
    let _ = writeln!(text, "$ echo $?\n{end}");
    without_durations(&text.replace(&*out.to_string_lossy(), "/OUT"))
}

/// `in 38 ms` becomes `in N ms`.
pub(crate) fn without_durations(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for i in 1..words.len() {
        if words[i].starts_with("ms") && words[i - 1].bytes().all(|b| b.is_ascii_digit()) {
            words[i - 1] = "N";
        }
    }
    words.join(" ")
}

fn read_tree(root: &Path) -> Tree {
    let entries = walkdir::WalkDir::new(root).into_iter().filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| {
            let path = entry
                .path()
                .strip_prefix(root)
                .expect("below the root")
                .to_string_lossy()
                .into_owned();
            (
                path,
                fs::read_to_string(entry.path()).unwrap_or_else(|error| format!("{error}")),
            )
        })
        .collect()
}

fn rewrite(out: &Path, tree: &Tree) {
    let _ = fs::remove_dir_all(out);
    for (path, text) in tree {
        let path = out.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a written file");
    }
}
