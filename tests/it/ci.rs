//! `examples/ci`, `action.yml` and `.pre-commit-hooks.yaml`, as far as they run without a code host.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::forge::Forge;
use crate::kit::git::Git;
use crate::kit::tools;

/// The directory of this package.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const MESH: &str = "type: Mesh\nname: default\ntracing:\n  defaultBackend: z\n  backends:\n  - name: z\n    type: zipkin\n    \
                    sampling: 100\n    conf: {url: 'http://127.0.0.1:9411/api/v2/spans'}\n";
const TRACE: &str = "type: TrafficTrace\nmesh: default\nname: all\nselectors:\n- match: {kuma.io/service: '*'}\n";

fn dataplane(name: &str, host: u8) -> String {
    format!(
        "type: Dataplane\nmesh: default\nname: {name}\nnetworking:\n  address: 192.0.2.{host}\n  inbound:\n  - port: 8080\n    \
         tags: {{kuma.io/service: {name}, kuma.io/protocol: http}}\n"
    )
}

/// A clone with policies, and the bare repository on a server that it is pushed to.
struct Place {
    dir: TempDir,
    server: Git,
    clone: Git,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Git::init(&dir.path().join("server.git"), &["--bare"]);
        let clone = Git::init(&dir.path().join("clone"), &[]);
        clone.run(&["remote", "add", "origin", server.dir.to_str().expect("plain")]);
        let place = Self { dir, server, clone };
        place.write("mesh.yaml", MESH);
        place.write("trace.yaml", TRACE);
        place.write("web.yaml", &dataplane("web", 1));
        place.clone.commit("first");
        place
    }

    fn write(&self, name: &str, text: &str) {
        let policies = self.clone.dir.join("policies");
        fs::create_dir_all(&policies).expect("a directory");
        fs::write(policies.join(name), text).expect("a file");
    }

    /// Whether a push of HEAD to a branch is accepted, and what Git says.
    fn push(&self, branch: &str) -> (bool, String) {
        self.push_to(&format!("HEAD:refs/heads/{branch}"))
    }

    fn push_to(&self, to: &str) -> (bool, String) {
        let mut push = self.clone.command(&["push", "--force", "origin", to]);
        let output = push.env("PATH", path()).output().expect("git starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// A run of `examples/ci/review` in the clone.
    fn review(&self, from: &str, to: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut review = Command::new(Path::new(ROOT).join("examples/ci/review"));
        review.current_dir(&self.clone.dir).env("PATH", path()).args([from, to]);
        for name in ["GITHUB_TOKEN", "GITLAB_TOKEN", "CI_API_V4_URL"] {
            review.env_remove(name);
        }
        said(&review.envs(variables.iter().copied()).output().expect("sh starts"))
    }

    fn comment(&self) -> String {
        fs::read_to_string(self.clone.dir.join("comment.md")).expect("a comment")
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// `PATH` with the built program first.
fn path() -> std::ffi::OsString {
    let program = Path::new(env!("CARGO_BIN_EXE_meshtraced"));
    let own = program.parent().expect("a directory").to_owned();
    let others = env::var_os("PATH").unwrap_or_default();
    env::join_paths([own].into_iter().chain(env::split_paths(&others))).expect("paths without colons")
}

fn install_hook(place: &Place) {
    let hook = place.server.dir.join("hooks/pre-receive");
    fs::create_dir_all(place.server.dir.join("hooks")).expect("a directory");
    fs::copy(Path::new(ROOT).join("examples/ci/pre-receive"), hook).expect("the hook");
}

#[test]
fn a_server_refuses_invalid_policies() {
    let place = Place::new();
    install_hook(&place);
    let (accepted, said) = place.push("main");
    assert!(accepted, "{said}");
    let good = place.clone.head();

    // An error is shown to whoever pushes, and nothing changes.
    place.write("mesh.yaml", &MESH.replace("sampling: 100", "sampling: 1000"));
    place.clone.commit("broken");
    let (accepted, said) = place.push("main");
    assert!(!accepted, "{said}");
    for expected in [
        "remote: error[sampling-out-of-range]: `sampling` is 1000",
        "policies/mesh.yaml:8:15",
        "main is not changed: fix what is said above, and push again",
        "pre-receive hook declined",
    ] {
        assert!(said.contains(expected), "{expected} is not in: {said}");
    }
    assert_eq!(place.server.run(&["rev-parse", "main"]), good);
    assert!(
        !said.contains(place.dir.path().to_str().expect("plain")) || said.contains("To "),
        "{said}"
    );
    // The refused objects are gone with the quarantine.
    assert!(!place.server.try_run(&["cat-file", "-e", &place.clone.head()]).0);

    // Other branches are free, and can be removed.
    assert!(place.push("wip").0);
    assert!(place.push_to(":refs/heads/wip").0);
    // Unless they are guarded.
    place.server.run(&["config", "--add", "meshtraced.branch", "main"]);
    place.server.run(&["config", "--add", "meshtraced.branch", "wip"]);
    assert!(!place.push("wip").0);

    // A mended commit on top of the broken one is fine: what counts is what would be read.
    place.write("mesh.yaml", MESH);
    place.clone.commit("mended");
    let (accepted, said) = place.push("main");
    assert!(accepted, "{said}");
    assert_eq!(place.server.run(&["rev-parse", "main"]), place.clone.head());
}

#[test]
fn a_server_can_be_stricter() {
    let place = Place::new();
    install_hook(&place);
    assert!(place.push("main").0);
    place.write(
        "none.yaml",
        &TRACE.replace("name: all", "name: none").replace("'*'", "nobody"),
    );
    place.clone.commit("a policy that selects nothing");
    place.server.run(&["config", "meshtraced.failOn", "warning"]);
    let (accepted, said) = place.push("main");
    assert!(!accepted && said.contains("selects-nothing"), "{said}");
    place.server.run(&["config", "meshtraced.failOn", "error"]);
    assert!(place.push("main").0);
    // Settings that cannot be read refuse as well, and say so.
    place
        .server
        .run(&["config", "meshtraced.settings", "/nowhere/meshtraced.yaml"]);
    place.write("web.yaml", &dataplane("web", 2));
    place.clone.commit("next");
    let (accepted, said) = place.push("main");
    assert!(
        !accepted && said.contains("its policies could not be checked"),
        "{said}"
    );
}

#[test]
fn a_review_annotates_and_compares() {
    let place = Place::new();
    place.clone.run(&["checkout", "-q", "-b", "change"]);
    place.write("mesh.yaml", &MESH.replace("100", "10"));
    place.write("api.yaml", &dataplane("api", 2));
    place.clone.commit("change");
    place.clone.run(&["checkout", "-q", "main"]);
    place.write("other.yaml", &dataplane("other", 3));
    place.clone.commit("meanwhile");

    let (code, said) = place.review("main", "change", &[]);
    assert_eq!(code, Some(0), "{said}");
    // What the change does, and not what came meanwhile.
    assert!(
        place.comment().starts_with("### Tracing: 1 proxy changes, 1 is new\n"),
        "{said}"
    );
    assert!(said.contains(&place.comment()), "{said}");
    assert_eq!(place.review("main", "change", &[("FAIL_ON", "removed")]).0, Some(0));
    assert_eq!(place.review("main", "change", &[("FAIL_ON", "changed")]).0, Some(1));
    let (code, said) = place.review("main", "nowhere", &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("has no commit \"nowhere\""), "{said}");

    place.clone.run(&["checkout", "-q", "change"]);
    place.write("mesh.yaml", &MESH.replace("100", "1000"));
    place.clone.commit("broken");
    let (code, said) = place.review("main", "change", &[("FORMAT", "github")]);
    assert_eq!(code, Some(1));
    assert!(said.contains("::error file=policies/mesh.yaml,line=8,"), "{said}");
    assert!(place.comment().contains("The policies have errors"), "{said}");
}

#[test]
fn a_review_comments_once_and_edits_its_comment() {
    let github = |url: &str, token: &str| {
        let known = [
            ("GITHUB_API_URL", url),
            ("GITHUB_REPOSITORY", "shop/mesh"),
            ("PULL_REQUEST", "7"),
        ];
        let all = known.into_iter().chain([("GITHUB_TOKEN", token)]);
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    let gitlab = |url: &str, token: &str| {
        let known = [
            ("CI_API_V4_URL", url),
            ("CI_PROJECT_ID", "42"),
            ("CI_MERGE_REQUEST_IID", "7"),
        ];
        let all = known.into_iter().chain([("GITLAB_TOKEN", token)]);
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    type Variables<'a> = &'a dyn Fn(&str, &str) -> Vec<(String, String)>;
    let forges: [(Forge, Variables, [&str; 2]); 2] = [
        (
            Forge::start("authorization", "Bearer secret"),
            &github,
            [
                "POST /repos/shop/mesh/issues/7/comments",
                "PATCH /repos/shop/mesh/issues/comments/4",
            ],
        ),
        (
            Forge::start("private-token", "secret"),
            &gitlab,
            [
                "POST /projects/42/merge_requests/7/notes",
                "PUT /projects/42/merge_requests/7/notes/4",
            ],
        ),
    ];
    for (forge, variables, [first, second]) in forges {
        let place = Place::new();
        let review = |token: &str| {
            let variables = variables(&forge.url(), token);
            let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
            place.review("main", "change", &variables)
        };
        place.clone.run(&["checkout", "-q", "-b", "change"]);
        place.write("mesh.yaml", &MESH.replace("100", "10"));
        place.clone.commit("change");
        let (code, said) = review("secret");
        assert_eq!((code, forge.changes()), (Some(0), vec![first.to_owned()]), "{said}");
        place.write("mesh.yaml", &MESH.replace("100", "1"));
        place.clone.commit("again");
        let (code, said) = review("secret");
        assert_eq!((code, forge.changes()), (Some(0), vec![second.to_owned()]), "{said}");
        let comments = forge.ours();
        assert_eq!(comments.len(), 1, "{comments:?}");
        assert!(
            comments[0].contains("sampling 1 %") && !comments[0].contains("sampling 10 %"),
            "{comments:?}"
        );
        // A token of a fork may not write; the change is not to blame.
        let (code, said) = review("of a fork");
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("answers 403") && said.contains("the diff is above only"),
            "{said}"
        );
        assert_eq!(forge.ours(), comments);
    }
}

/// The manifest, read by the real pre-commit, and its hook, run by it in a repository with policies.
#[test]
fn pre_commit_runs_the_hook() {
    let manifest = Path::new(ROOT).join(".pre-commit-hooks.yaml");
    let place = Place::new();
    let pre_commit = |arguments: &[&str]| {
        let mut command = Command::new(tools::pre_commit_python());
        command.args(["-m", "pre_commit"]).args(arguments);
        command.current_dir(&place.clone.dir).env("PATH", path());
        command.env("PRE_COMMIT_HOME", place.dir.path().join("pre-commit"));
        said(&command.output().expect("pre-commit starts"))
    };
    let (code, said) = pre_commit(&["validate-manifest", manifest.to_str().expect("plain")]);
    assert_eq!(code, Some(0), "{said}");

    // The same hook, without the release build of `language: rust`.
    let hook = fs::read_to_string(&manifest).expect("the manifest");
    assert!(hook.contains("language: rust"));
    let hook = hook
        .replace("language: rust", "language: system")
        .replace('\n', "\n    ");
    let config = format!("repos:\n- repo: local\n  hooks:\n    {hook}");
    fs::write(place.clone.dir.join(".pre-commit-config.yaml"), config.trim_end()).expect("a file");
    place.clone.commit("hooks");
    let (code, said) = pre_commit(&["run", "--all-files"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("check tracing policies") && said.contains("Passed"),
        "{said}"
    );
    place.write("mesh.yaml", &MESH.replace("100", "1000"));
    place.clone.run(&["add", "-A"]);
    let (code, said) = pre_commit(&["run"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("sampling-out-of-range") && said.contains("policies/mesh.yaml:8:15"),
        "{said}"
    );
}

/// A file of this package as YAML.
fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(Path::new(ROOT).join(path)).expect("a file");
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn what_the_jobs_name_is_there() {
    let action = yaml("action.yml");
    let steps = action["runs"]["steps"].as_array().expect("steps");
    let scripts: String = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    let gitlab = yaml("examples/ci/gitlab.yml");
    let lines = |key: &str| gitlab["tracing"][key].as_array().cloned().expect("lines");
    let script: Vec<Value> = lines("before_script").into_iter().chain(lines("script")).collect();
    let script: String = script.iter().filter_map(Value::as_str).collect();
    for (file, jobs) in [("install", [&scripts, &script]), ("review", [&scripts, &script])] {
        let path: PathBuf = Path::new(ROOT).join("examples/ci").join(file);
        assert!(path.exists(), "{file}");
        assert!(jobs.iter().all(|job| job.contains(file)), "{file}");
    }
    // Each input is used, and each one that is used exists.
    let text = fs::read_to_string(Path::new(ROOT).join("action.yml")).expect("a file");
    let inputs = action["inputs"].as_object().expect("inputs");
    for input in inputs.keys() {
        assert!(text.contains(&format!("inputs.{input} ")), "{input}");
    }
    assert_eq!(text.matches("${{ inputs.").count(), inputs.len());
    // What people copy names the release that it belongs to.
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(action["inputs"]["version"]["default"], version);
    assert_eq!(gitlab["tracing"]["variables"]["MESHTRACED_VERSION"], version);
    let uses = format!("meshtraced/meshtraced@v{version}");
    let github = yaml("examples/ci/github.yml");
    assert_eq!(github["jobs"]["diff"]["steps"][1]["uses"], uses.as_str());
    let include = format!("/v{version}/examples/ci/gitlab.yml");
    for page in ["examples/ci/gitlab.yml", "docs/ci.md"] {
        let text = fs::read_to_string(Path::new(ROOT).join(page)).expect("a file");
        assert!(text.contains(&include), "{page}");
    }
}
