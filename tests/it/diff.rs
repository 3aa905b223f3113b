//! The diff between two states of the policies: revisions, directories and what is published.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::git::Git;
use crate::kit::mesh::published_files;

/// A repository whose directory `policies` holds a mesh, a policy and some dataplanes.
struct Place {
    dir: TempDir,
    git: Git,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let git = Git::init(&dir.path().join("repository"), &[]);
        let place = Self { dir, git };
        place.write("mesh.yaml", &mesh(100));
        place.write("trace.yaml", &trace("all", "'*'"));
        place.write("web.yaml", &dataplane("web", 1));
        place.write("api.yaml", &dataplane("api", 2));
        place.git.commit("first");
        place
    }

    fn policies(&self) -> PathBuf {
        self.git.dir.join("policies")
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.policies()).expect("a directory");
        fs::write(self.policies().join(name), text).expect("a file");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.policies().join(name)).expect("a file");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        let out = self.dir.path().join("envoy");
        command
            .current_dir(&self.git.dir)
            .args(["--policies", "policies", "--out"]);
        command.arg(out).args(arguments);
        command
    }

    /// Publishes the policies as they are.
    fn publish(&self) {
        let published = self.command(&["run", "--once"]).output().expect("the program starts");
        assert!(published.status.success(), "{published:?}");
    }

    /// Exit code, standard output and standard error of a diff, without the ids of commits.
    fn diff(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self
            .command(&[&["diff"], arguments].concat())
            .output()
            .expect("the program starts");
        let said = |bytes: &[u8]| {
            let mut text = String::from_utf8_lossy(bytes).into_owned();
            for (id, name) in [("HEAD~2", "ID2"), ("HEAD~1", "ID1"), ("HEAD", "ID")] {
                if let (true, id) = self.git.try_run(&["rev-parse", "--short=7", "--verify", "--quiet", id]) {
                    text = text.replace(id.trim(), name);
                }
            }
            text
        };
        (output.status.code(), said(&output.stdout), said(&output.stderr))
    }
}

fn mesh(sampling: u32) -> String {
    format!(
        "type: Mesh\nname: default\ntracing:\n  backends:\n  - name: z\n    type: zipkin\n    sampling: {sampling}\n    \
         conf: {{url: 'http://127.0.0.1:9411/api/v2/spans'}}\n"
    )
}

fn trace(name: &str, service: &str) -> String {
    format!(
        "type: TrafficTrace\nmesh: default\nname: {name}\nselectors:\n- match: {{kuma.io/service: {service}}}\nconf: \
         {{backend: z}}\n"
    )
}

fn dataplane(name: &str, host: u8) -> String {
    format!(
        "type: Dataplane\nmesh: default\nname: {name}\nnetworking:\n  address: 192.0.2.{host}\n  inbound:\n  - port: 8080\n    \
         tags: {{kuma.io/service: {name}, kuma.io/protocol: http}}\n"
    )
}

#[test]
fn a_revision_is_compared_with_the_work_tree() {
    let place = Place::new();
    assert_eq!(
        place.diff(&["main"]),
        (
            Some(0),
            "main@ID -> work tree: no change, 2 proxies\n".to_owned(),
            String::new()
        )
    );
    place.write("mesh.yaml", &mesh(10));
    let (code, said, _) = place.diff(&["main"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "main@ID -> work tree: 2 proxies change\n\n\
         ~ 2 proxies of default: api, web   new connections only; old ones drain, and are cut after 600 s\n\
         \x20   sampling   100 %  ->  10 %\n\
         \x20   because    its backend changed: Mesh default (mesh.yaml:7)\n\n\
         Run `meshtraced diff main --list` for all names, `--bytes` for the files.\n"
    );
    // Nothing was checked out or written.
    assert_eq!(place.git.run(&["status", "--porcelain"]), "M policies/mesh.yaml");
    assert!(!place.dir.path().join("envoy").exists());
    assert_eq!(place.diff(&["main", "--exit-code=false"]).0, Some(0));
}

#[test]
fn two_revisions_are_compared_as_git_does() {
    let place = Place::new();
    place.git.run(&["checkout", "-q", "-b", "change"]);
    place.write("new.yaml", &dataplane("new", 3));
    place.remove("api.yaml");
    place.git.commit("change");
    place.git.run(&["checkout", "-q", "main"]);
    place.write("mesh.yaml", &mesh(10));
    place.git.commit("meanwhile");
    let heads = |said: String| said.lines().next().unwrap_or_default().to_owned();
    let check = |revisions: &str, expected: &str| {
        let (code, said, errors) = place.diff(&[revisions]);
        let head = heads(said.clone());
        let counts = head.split_once(": ").map(|(_, counts)| counts.to_owned());
        assert_eq!(
            (code, counts.as_deref()),
            (Some(1), Some(expected)),
            "{revisions}: {said}{errors}"
        );
        said
    };
    // What both changed.
    check("main..change", "1 proxy changes, 1 is new, 1 goes");
    // What the branch changed alone.
    let said = check("main...change", "1 proxy is new, 1 goes, 1 stays");
    assert!(
        said.contains("+ 1 proxy of default: new   zipkin z, 100 %, by all (trace.yaml:3)"),
        "{said}"
    );
    assert!(
        said.contains("- 1 proxy of default: api   its Dataplane is gone"),
        "{said}"
    );
    // An empty side is HEAD.
    check("..change", "1 proxy changes, 1 is new, 1 goes");
    check("HEAD~1..", "2 proxies change");
}

#[test]
fn a_diff_between_revisions_is_that_of_publishing_one_and_then_the_other() {
    let place = Place::new();
    place.write("mesh.yaml", &mesh(25));
    place.write("trace.yaml", &trace("some", "web"));
    place.git.commit("second");
    place.git.run(&["checkout", "-q", "HEAD~1"]);
    place.publish();
    place.git.run(&["checkout", "-q", "main"]);
    for detail in [&[][..], &["--bytes"], &["--list"]] {
        let of_disk = place.diff(detail).1;
        let of_revisions = place.diff(&[&["HEAD~1..main"], detail].concat()).1;
        let body = |said: &str| {
            let (_, body) = said.split_once(": ").expect("a head");
            body.replace("diff HEAD~1..main", "diff")
        };
        assert_eq!(body(&of_disk), body(&of_revisions));
        assert!(of_disk.contains("web") && of_disk.contains("api"), "{of_disk}");
    }
}

#[test]
fn directories_are_compared_without_git() {
    let place = Place::new();
    let other = place.dir.path().join("other");
    fs::create_dir(&other).expect("a directory");
    for name in ["mesh.yaml", "trace.yaml", "web.yaml"] {
        fs::copy(place.policies().join(name), other.join(name)).expect("a file");
    }
    let (code, said, _) = place.diff(&["--from", "./policies", "--to", other.to_str().expect("plain")]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with(&format!("./policies -> {}: 1 proxy goes, 1 stays\n", other.display())),
        "{said}"
    );
    let (_, said, _) = place.diff(&["--from", other.to_str().expect("plain")]);
    assert!(said.contains("-> work tree: 1 proxy is new, 1 stays"), "{said}");
}

#[test]
fn policies_that_one_side_does_not_have_are_all_new_or_all_gone() {
    let place = Place::new();
    fs::rename(place.policies(), place.git.dir.join("elsewhere")).expect("renamed");
    place.git.commit("moved");
    let (code, said, errors) = place.diff(&["HEAD~1..HEAD"]);
    assert_eq!((code, errors.as_str()), (Some(1), "note: main@ID has no policies\n"));
    assert!(said.starts_with("HEAD~1@ID1 -> main@ID: 2 proxies go\n"), "{said}");
    fs::rename(place.git.dir.join("elsewhere"), place.policies()).expect("renamed");
    let (_, said, _) = place.diff(&["HEAD"]);
    assert!(said.starts_with("main@ID -> work tree: 2 proxies are new\n"), "{said}");
}

#[test]
fn findings_that_come_or_go_are_told() {
    let place = Place::new();
    place.write("none.yaml", &trace("none", "nobody"));
    let (code, _, errors) = place.diff(&["main"]);
    assert_eq!(code, Some(0));
    assert!(
        errors.contains("selects-nothing") && errors.ends_with("1 warning in 1 file with the change\n"),
        "{errors}"
    );
    place.git.commit("second");
    place.remove("none.yaml");
    assert_eq!(place.diff(&["main"]).2, "1 warning in 1 file without it any more\n");
    // A line above a finding makes no other finding of it.
    place.write("none.yaml", &format!("# a comment\n{}", trace("none", "nobody")));
    assert_eq!(place.diff(&["main"]).2, "");
}

#[test]
fn a_side_with_errors_is_named() {
    let place = Place::new();
    place.write("mesh.yaml", &mesh(250));
    place.git.commit("broken");
    place.write("mesh.yaml", &mesh(25));
    let (code, said, errors) = place.diff(&["main"]);
    assert_eq!((code, said.as_str()), (Some(2), ""));
    assert!(errors.contains("error[sampling-out-of-range]"), "{errors}");
    assert!(
        errors.ends_with("in main@ID: no diff is possible until they are fixed\n"),
        "{errors}"
    );
}

#[test]
fn what_is_no_revision_is_said() {
    let place = Place::new();
    let check = |place: &Place, arguments: &[&str], expected: &str| {
        let (code, said, errors) = place.diff(arguments);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    };
    check(&place, &["nowhere"], "has no commit \"nowhere\"");
    check(&place, &["--nonsense=x"], "unexpected argument");
    // What looks like an option of Git is none.
    check(&place, &["--", "--all"], "has no commit \"--all\"");
    check(&place, &["main..nowhere"], "has no commit \"nowhere\"");
    check(&place, &["policies"], "write `./policies` for the directory");
    check(&place, &["--to", "disk"], "`--from disk`");
    check(&place, &["main", "--to", "main"], "cannot be used with");
    place.git.run(&["checkout", "-q", "--orphan", "other"]);
    place.git.commit("unrelated");
    check(&place, &["main...other"], "main and other have no common ancestor");
    // A clone without the older commits.
    let shallow = place.dir.path().join("shallow");
    let url = format!("file://{}", place.git.dir.display());
    place
        .git
        .run(&["clone", "-q", "--depth", "1", &url, shallow.to_str().expect("plain")]);
    let shallow = Place {
        dir: tempfile::tempdir().expect("a directory"),
        git: Git::at(shallow),
    };
    check(&shallow, &["HEAD~1"], "`git fetch --unshallow`");
    // No repository at all.
    let plain = Place {
        dir: tempfile::tempdir().expect("a directory"),
        git: Git::at(place.dir.path().join("plain")),
    };
    copy(&place.policies(), &plain.policies());
    check(&plain, &["main"], "is in no Git repository");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// The JSON of a diff, which the schema describes.
fn json(place: &Place, arguments: &[&str]) -> Value {
    let said = place.diff(&[arguments, &["-o", "json"]].concat()).1;
    let value: Value = serde_json::from_str(&said).expect("JSON");
    let schema = place
        .command(&["schema", "diff"])
        .output()
        .expect("the program starts")
        .stdout;
    let schema: Value = serde_json::from_slice(&schema).expect("JSON");
    jsonschema::draft7::meta::validate(&schema).expect("a schema");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}: {value:#}");
    value
}

#[test]
fn programs_get_what_people_get() {
    let place = Place::new();
    place.write("mesh.yaml", &mesh(10));
    place.write("new.yaml", &dataplane("new", 3));
    place.write("none.yaml", &trace("none", "nobody"));
    place.remove("api.yaml");
    let found = json(&place, &["main"]);
    assert_eq!(found["version"], 1);
    assert_eq!((&found["from"], &found["to"]), (&"main@ID".into(), &"work tree".into()));
    assert_eq!(
        found["proxies"],
        serde_json::json!({"changed": 1, "added": 1, "removed": 1, "unchanged": 0, "held": 0})
    );
    let changes = found["changes"].as_array().expect("a list");
    let actions: Vec<&Value> = changes.iter().map(|change| &change["action"]).collect();
    assert_eq!(actions, ["change", "add", "remove"]);
    assert_eq!(changes[0]["impact"], "drain");
    assert_eq!(
        changes[0]["differences"][0],
        serde_json::json!({"label": "sampling", "before": "100 %", "after": "10 %", "origin": "Mesh default (mesh.yaml:7)"})
    );
    assert_eq!(
        changes[0]["reasons"],
        serde_json::json!([{"kind": "backend-changed", "text": "its backend changed: Mesh default (mesh.yaml:7)"}])
    );
    assert_eq!(found["findings"]["come"][0]["code"], "selects-nothing");
    // Nothing changes: the same object, with empty lists.
    let nothing = json(&place, &["main..main"]);
    assert_eq!(
        (
            nothing["changes"].as_array().map(Vec::len),
            &nothing["proxies"]["unchanged"]
        ),
        (Some(0), &2.into())
    );
}

#[test]
fn a_comment_has_the_summary_first_and_stays_within_its_limit() {
    let place = Place::new();
    place.write("mesh.yaml", &mesh(10));
    place.write("new.yaml", &dataplane("new", 3));
    place.remove("api.yaml");
    let (code, said, _) = place.diff(&["main", "-o", "markdown"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "### Tracing: 1 proxy changes, 1 is new, 1 goes\n\n\
         From <code>main&#64;ID</code> to <code>work tree</code>.\n\n\
         | | proxies | before | after | because |\n|---|---|---|---|---|\n\
         | ~ | default/web | sampling 100 % | sampling 10 % | its backend changed: Mesh default (mesh.yaml:7) |\n\
         | + | default/new |  | zipkin z, 10 % | by all (trace.yaml:3) |\n\
         | - | default/api | zipkin z, 100 % |  | its Dataplane is gone |\n\n\
         - Effect: new connections only; old ones drain, and are cut after 600 s.\n\n\
         <details><summary>All 3 proxies</summary>\n\n\
         - <code>default/web</code> changes\n- <code>default/new</code> is new\n- <code>default/api</code> goes\n\n</details>\n"
    );
    // A fleet.
    for i in 0..500 {
        place.write(&format!("dp-{i}.yaml"), &dataplane(&format!("dp-{i}"), 1));
    }
    let (_, said, _) = place.diff(&["main", "-o", "markdown", "--max-bytes", "4000"]);
    assert!(said.len() <= 4000, "{}", said.len());
    assert!(
        said.contains("501 of default") && said.contains("proxies more\n"),
        "{said}"
    );
    assert!(said.trim_end().ends_with("</details>"), "{said}");
}

#[test]
fn a_patch_makes_of_the_published_files_what_a_run_makes_of_them() {
    let place = Place::new();
    let out = place.dir.path().join("envoy");
    place.publish();
    place.write("mesh.yaml", &mesh(10));
    place.write("new.yaml", &dataplane("new", 3));
    place.remove("api.yaml");
    let patch = place.dir.path().join("the.patch");
    let output = place
        .command(&["diff", "-o", "patch"])
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    fs::write(&patch, &output.stdout).expect("a file");
    let patched = place.dir.path().join("patched");
    for (file, text) in published_files(&out) {
        let to = patched.join(file);
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        fs::write(to, text).expect("a file");
    }
    Git::at(&patched).run(&["apply", "-p1", patch.to_str().expect("plain")]);
    place.publish();
    assert_eq!(published_files(&patched), published_files(&out));
}

#[test]
fn people_choose_what_fails() {
    let place = Place::new();
    place.write("new.yaml", &dataplane("new", 3));
    let check = |arguments: &[&str], expected: i32| {
        let (code, said, errors) = place.diff(&[&["main"], arguments].concat());
        assert_eq!(code, Some(expected), "{arguments:?}: {said}{errors}");
    };
    check(&[], 1);
    check(&["--fail-on", "removed"], 0);
    // One beside two.
    check(&["--fail-on", "50%"], 0);
    check(&["--fail-on", "49.9%"], 1);
    check(&["--fail-on", "most"], 2);
    place.remove("api.yaml");
    check(&["--fail-on", "removed"], 1);
    check(&["--fail-on", "removed", "--exit-code=false"], 0);
}

#[test]
fn what_is_beyond_the_limit_is_counted() {
    let place = Place::new();
    place.write("new.yaml", &dataplane("new", 3));
    place.remove("api.yaml");
    place.write("mesh.yaml", &mesh(10));
    let (_, said, _) = place.diff(&["main", "--limit", "1"]);
    assert!(
        said.contains("~ 1 proxy of default: web")
            && said.contains("... and 2 more such changes, of 2 proxies; `--limit 0` shows all"),
        "{said}"
    );
    let (_, said, _) = place.diff(&["main", "--bytes", "--limit", "1"]);
    assert!(
        said.contains("+++ /dev/null") && said.contains("... and the files of 2 proxies more; `--limit 0` shows all"),
        "{said}"
    );
    let (_, all, _) = place.diff(&["main", "--bytes", "--limit", "0"]);
    assert!(!all.contains("... and"), "{all}");
}

#[test]
fn changes_that_differ_in_names_alone_are_one_in_a_fleet() {
    let place = Place::new();
    for i in 0..20 {
        let name = format!("s{i}");
        place.write(&format!("{name}.yaml"), &dataplane(&name, 10 + i));
        place.write(&format!("of-{name}.yaml"), &trace(&format!("of-{name}"), &name));
    }
    place.git.commit("many");
    for i in 0..20 {
        place.remove(&format!("of-s{i}.yaml"));
    }
    place.write("mesh.yaml", &mesh(10));
    let (_, said, _) = place.diff(&["main"]);
    assert!(
        said.contains("~ 20 proxies of default: s0, s1, s10, s11 and 16 more")
            && said.contains("of-s0 is gone, and all (trace.yaml:3) selects it (and 19 more)"),
        "{said}"
    );
    // On request, one by one.
    let (_, said, _) = place.diff(&["main", "--list"]);
    assert_eq!(said.matches("is gone, and all").count(), 20, "{said}");
    assert_eq!(json(&place, &["main"])["changes"].as_array().map(Vec::len), Some(21));
}

#[test]
fn errors_of_one_mesh_do_not_hide_the_changes_of_others() {
    let place = Place::new();
    place.publish();
    place.write("other.yaml", &mesh(100).replace("name: default", "name: other"));
    place.write(
        "lone.yaml",
        &dataplane("lone", 9).replace("mesh: default", "mesh: other"),
    );
    place.write("mesh.yaml", &mesh(250));
    let (code, said, errors) = place.diff(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(": 1 proxy is new, 2 are held\n"), "{said}");
    assert!(
        errors.ends_with("1 error in 1 file; nothing would be written for mesh default\n"),
        "{errors}"
    );
}

#[test]
fn a_freeze_is_told() {
    let place = Place::new();
    place.publish();
    let frozen = place.command(&["freeze", "--why", "a holiday"]).status();
    assert!(frozen.expect("starts").success());
    place.write("mesh.yaml", &mesh(10));
    let (code, _, errors) = place.diff(&[]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("warning: publishing is frozen since ") && errors.contains("a holiday"),
        "{errors}"
    );
}

#[test]
fn garbage_in_a_published_file_is_drift() {
    let place = Place::new();
    place.publish();
    let path = place.dir.path().join("envoy/default/web/xds/lds.yaml");
    fs::write(&path, b"\xff\xfe\x00\x1b]0;title\x07").expect("a file");
    let (code, said, errors) = place.diff(&["--bytes"]);
    assert!(matches!(code, Some(0 | 1)), "{said}{errors}");
    assert!(
        errors.contains("default/web: xds/lds.yaml was edited"),
        "{said}{errors}"
    );
    // Text that steers a terminal stays text.
    fs::write(&path, b"a: \x1b[31mred\n").expect("a file");
    place.write("mesh.yaml", &mesh(10));
    let (code, said, _) = place.diff(&["--bytes"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("-a: \\u{1b}[31mred\n"), "{said}");
}

#[test]
fn sources_outside_of_the_repository_are_the_same_on_both_sides() {
    let place = Place::new();
    let own = place.dir.path().join("own.yaml");
    fs::write(&own, dataplane("own", 7)).expect("a file");
    place.write("mesh.yaml", &mesh(10));
    let own = own.to_str().expect("plain");
    let (code, said, errors) = place.diff(&["main", "--policies", "policies", "--policies", own]);
    assert_eq!(code, Some(1), "{said}{errors}");
    assert!(said.contains("~ 3 proxies of default: api, own, web"), "{said}");
    assert!(
        errors.contains("own.yaml is in no Git repository, and is read as it is now\n"),
        "{errors}"
    );
}

#[test]
fn changed_words_are_marked_in_colour() {
    let place = Place::new();
    place.write("mesh.yaml", &mesh(10));
    let (_, said, _) = place.diff(&["main", "--bytes", "--color", "always"]);
    assert!(
        said.contains("\u{1b}[31m-") && said.contains("\u{1b}[7m100\u{1b}[27m"),
        "{said}"
    );
    let (_, plain, _) = place.diff(&["main", "--bytes"]);
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn long_text_goes_to_the_pager_of_a_terminal() {
    let place = Place::new();
    place.write("mesh.yaml", &mesh(10));
    let on_terminal = |pager: &str, more: &str| {
        let program = env!("CARGO_BIN_EXE_meshtraced");
        let shell = format!("{program} --policies policies diff main --color never {more}");
        // `script` makes a terminal.
        let mut script = Command::new("script");
        script.args(["-qec", &shell, "/dev/null"]).env("PAGER", pager);
        let output = script
            .current_dir(&place.git.dir)
            .output()
            .expect("script, of util-linux");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stdout).replace('\r', "")
    };
    let shown = on_terminal("sed 's/^/paged: /'", "");
    assert!(
        shown.contains("paged: main@") && shown.contains("paged: ~ 2 proxies"),
        "{shown}"
    );
    for (pager, more) in [("sed 's/^/paged: /'", "--no-pager"), ("", ""), ("/nowhere/less", "")] {
        let shown = on_terminal(pager, more);
        assert!(
            shown.contains("~ 2 proxies of default") && !shown.contains("paged"),
            "{pager}: {shown}"
        );
    }
}

/// The files below a directory, by their paths.
fn tree(root: &Path) -> Vec<(PathBuf, String)> {
    let files = walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.expect("readable"));
    let files = files.filter(|entry| entry.file_type().is_file());
    let read = |path: &Path| fs::read_to_string(path).expect("text");
    files
        .map(|entry| {
            let path = entry.path().strip_prefix(root).expect("below").to_owned();
            (path, read(entry.path()))
        })
        .collect()
}

#[test]
fn the_files_of_a_revision_are_written_for_a_repository_of_their_own() {
    let place = Place::new();
    place.write("mesh.yaml", &mesh(10));
    place.write("new.yaml", &dataplane("new", 3));
    place.git.commit("second");
    let rendered = place.dir.path().join("rendered");
    let compile = |more: &[&str]| {
        let output = place
            .command(&[&["compile", "--to", rendered.to_str().expect("plain")], more].concat())
            .output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = compile(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(": 3 proxies, 15 files, 15 of them new or changed\n"),
        "{said}"
    );
    let now = tree(&rendered);
    let bootstrap = now
        .iter()
        .find(|(path, _)| path == Path::new("default/new/bootstrap.yaml"));
    let (_, bootstrap) = bootstrap.expect("a bootstrap");
    assert!(
        bootstrap.contains("path: \"./default/new/xds/cds.yaml\""),
        "{bootstrap}"
    );
    let root = place.dir.path().to_str().expect("plain");
    assert!(now.iter().all(|(_, text)| !text.contains(root)), "an absolute path");
    // An earlier revision, beside files of somebody else.
    fs::write(rendered.join("README.md"), "ours").expect("a file");
    fs::write(rendered.join("default/new/notes.txt"), "ours").expect("a file");
    let (_, said) = compile(&["HEAD~1"]);
    assert!(
        said.contains(": 2 proxies, 10 files, ") && said.contains("1 proxy removed"),
        "{said}"
    );
    assert!(rendered.join("README.md").exists() && rendered.join("default/new/notes.txt").exists());
    assert!(!rendered.join("default/new/bootstrap.yaml").exists());
    fs::remove_file(rendered.join("README.md")).expect("removed");
    fs::remove_dir_all(rendered.join("default/new")).expect("removed");
    // The same bytes wherever and however often.
    let before = tree(&rendered);
    assert!(compile(&["main~1"]).1.contains(", 0 of them new or changed\n"));
    assert_eq!(tree(&rendered), before);
    assert!(compile(&["main"]).1.contains("3 proxies"));
    assert_eq!(tree(&rendered), now);
    // What is wrong is not written.
    place.write("mesh.yaml", &mesh(250));
    let (code, said) = compile(&[]);
    assert_eq!((code, tree(&rendered)), (Some(1), now));
    assert!(said.ends_with("1 error in 1 file; nothing was written\n"), "{said}");
    assert_eq!(compile(&["main", "HEAD"]).0, Some(2));
    assert!(
        place
            .command(&["run", "--once", "--out", rendered.to_str().expect("plain")])
            .output()
            .is_ok()
    );
    let (code, said) = compile(&["main"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("is the output directory of `meshtraced run`"), "{said}");
}
