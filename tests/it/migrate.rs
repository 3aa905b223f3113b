//! `migrate`: files as people keep them, in repositories as they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::git::Git;
use crate::kit::mounts::{inside, needs};
use crate::kit::program::{POLICIES, meshtraced, said};

/// A directory with policies by path.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (path, text) in files {
        let path = dir.path().join("policies").join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    dir
}

fn read(dir: &TempDir, path: &str) -> String {
    fs::read_to_string(dir.path().join("policies").join(path)).expect("a text")
}

/// Migrates the files, which must work, and gives the text of the first one.
#[track_caller]
fn written(files: &[(&str, &str)], options: &[&str]) -> (TempDir, String) {
    let dir = tree(files);
    let output = meshtraced(dir.path(), &[&["migrate", "--write"], options].concat());
    assert_eq!(said(&output).0, Some(0), "{}", said(&output).1);
    let text = read(&dir, files[0].0);
    (dir, text)
}

const MESH: &str = "type: Mesh
name: default
tracing:
  backends:
  - {name: z, type: zipkin, sampling: 5, conf: {url: 'http://z:9411/api/v2/spans'}}
";

const SPEC: &str = "spec:
  targetRef:
    kind: MeshService
    name: web
  default:
    backends:
    - type: Zipkin
      zipkin:
        url: http://z:9411/api/v2/spans
    sampling:
      overall: 5
";

/// The text of a policy in universal form, with comments.
const POLICY: &str = "# Of the shop.
type: TrafficTrace # the older one
mesh: default
name: trace-web

# Selects:
selectors:
- match:
    kuma.io/service: web # the shop
conf:
  backend: z
";

#[test]
fn a_policy_becomes_another_where_it_stands() {
    let (dir, text) = written(&[("a.yaml", POLICY), ("mesh.yaml", MESH)], &[]);
    let expected =
        "# Of the shop.\ntype: MeshTrace # the older one\nmesh: default\nname: trace-web\n\n# Selects:\n# the shop\n";
    assert_eq!(text, format!("{expected}{SPEC}"));
    assert_eq!(read(&dir, "mesh.yaml"), "type: Mesh\nname: default\n");
    let again = meshtraced(dir.path(), &["migrate", "--write"]);
    assert!(
        said(&again).1.ends_with("Nothing is to be changed.\n"),
        "{}",
        said(&again).1
    );
}

#[test]
fn what_others_wrote_stays_byte_for_byte() {
    let others = "# Ansible's\n- hosts: all\n  tasks: [ {name:   x} ]\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x,}\nspec:   {replicas: 1} # one\n";
    let text = format!("{others}---\n{POLICY}---\n{others}");
    let (_dir, text) = written(&[("a.yaml", &text), ("mesh.yaml", MESH)], &[]);
    assert!(text.starts_with(others) && text.ends_with(others), "{text}");
    assert!(text.contains(SPEC), "{text}");
}

#[test]
fn lines_end_as_they_did() {
    let old = format!("\u{feff}{POLICY}---\r\n{}", POLICY.replace("trace-web", "zz"))
        .replace("\r\n", "\n")
        .replace('\n', "\r\n");
    let (_dir, text) = written(&[("a.yaml", &old), ("mesh.yaml", MESH)], &[]);
    assert_eq!(text.matches("\r\n").count(), text.matches('\n').count());
    assert!(text.starts_with("\u{feff}# Of the shop.\r\ntype: MeshTrace"), "{text}");
    // The one that never wins is gone, with its marker.
    assert_eq!(
        (text.matches("---").count(), text.matches("MeshTrace\n").count()),
        (0, 0),
        "{text}"
    );
}

#[test]
fn lists_flow_style_and_anchors() {
    let list = "items:
# first
- type: TrafficTrace
  mesh: default
  name: one
  selectors: &web
  - match: {kuma.io/service: web}
  conf: {backend: z}
# second
- {type: TrafficTrace, mesh: default, name: two, selectors: [{match: {kuma.io/service: api}}], conf: {backend: missing}}
- type: TrafficTrace
  mesh: other
  name: three
  selectors: *web
  conf: {backend: z}
total: 3
";
    let other = MESH.replace("name: default", "name: other");
    let (_dir, text) = written(&[("a.yaml", list), ("mesh.yaml", MESH), ("other.yaml", &other)], &[]);
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let spec = indented(SPEC);
    let expected = format!(
        "items:\n# first\n- type: MeshTrace\n  mesh: default\n  name: one\n{spec}- type: MeshTrace\n  mesh: other\n  name: three\n{spec}total: 3\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn json_stays_json() {
    let json = r#"{"type": "TrafficTrace", "mesh": "default", "name": "t", "selectors": [
  {"match": {"kuma.io/service": "web"}}, {"match": {"kuma.io/service": "api"}}], "conf": {"backend": "z"}}
"#;
    let mesh = r#"{"type": "Mesh", "name": "default", "tracing": {"backends": [{"name": "z", "type": "zipkin", "conf": {"url": "http://z:9411/a"}}]}}"#;
    let other = "type: Dataplane\nmesh: default\nname: other\nnetworking:\n  address: 10.0.0.1\n  inbound:\n  - {port: 80, tags: {kuma.io/service: other}}\n";
    let (dir, text) = written(&[("a/t.json", json), ("mesh.json", mesh), ("dp.yaml", other)], &[]);
    let first: Value = serde_json::from_str(&text).expect("JSON");
    let second: Value = serde_json::from_str(&read(&dir, "a/t-2.json")).expect("JSON");
    let target = |value: &Value| value["spec"]["targetRef"]["name"].as_str().map(str::to_owned);
    assert_eq!(
        [target(&first), target(&second)].map(Option::unwrap_or_default),
        ["web", "api"]
    );
    assert_eq!(read(&dir, "mesh.json"), r#"{"type": "Mesh", "name": "default"}"#);
}

#[test]
fn json_has_its_new_policies_in_files_beside_it() {
    let json = r#"{"type": "TrafficTrace", "mesh": "default", "name": "t", "selectors": [{"match": {"kuma.io/service": "web"}}], "conf": {"backend": "z"}}"#;
    let (dir, text) = written(&[("a/one.json", json), ("mesh.yaml", MESH)], &["--keep"]);
    assert_eq!(text, json);
    let new: Value = serde_json::from_str(&read(&dir, "a/t.json")).expect("JSON");
    let label = &new["labels"]["kuma.io/effect"];
    assert_eq!(
        (&new["type"], label),
        (&Value::from("MeshTrace"), &Value::from("shadow"))
    );
}

#[test]
fn kubernetes_resources_stay_such() {
    let policy = "apiVersion: kuma.io/v1alpha1
kind: TrafficTrace
mesh: default
metadata:
  name: trace-web
  annotations: {kuma.io/display-name: x}
spec:
  selectors:
  - match: {kuma.io/service: web}
  conf: {backend: z}
";
    let (_dir, text) = written(&[("a.yaml", policy), ("mesh.yaml", MESH)], &[]);
    let expected = "apiVersion: kuma.io/v1alpha1\nkind: MeshTrace\nmetadata:\n  labels:\n    kuma.io/mesh: default\n  namespace: kuma-system\n  name: trace-web\n";
    let head: String = text
        .lines()
        .take_while(|line| *line != "spec:")
        .map(|line| format!("{line}\n"))
        .collect();
    let mut lines: Vec<&str> = head.lines().collect();
    let mut wanted: Vec<&str> = expected.lines().collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    assert!(text.ends_with(SPEC), "{text}");
}

#[test]
fn older_policies_can_stay_beside_the_new_ones() {
    let (dir, text) = written(&[("a.yaml", POLICY), ("mesh.yaml", MESH)], &["--keep"]);
    let shadow = "---\ntype: MeshTrace\nmesh: default\nname: trace-web\nlabels:\n  kuma.io/effect: shadow\n";
    assert_eq!(text, format!("{POLICY}{shadow}{SPEC}"));
    assert_eq!(read(&dir, "mesh.yaml"), MESH);
    // Once more, nothing is to be added; and the end is the same as without the drafts.
    let (exit, report) = said(&meshtraced(dir.path(), &["migrate", "--keep", "--write"]));
    assert!(exit == Some(0) && report.contains("no file changes"), "{report}");
    let (exit, report) = said(&meshtraced(dir.path(), &["migrate", "--write"]));
    assert_eq!(exit, Some(0), "{report}");
    assert_eq!(
        read(&dir, "a.yaml"),
        written(&[("a.yaml", POLICY), ("mesh.yaml", MESH)], &[]).1
    );
}

#[test]
fn a_policy_without_effect_that_is_no_draft_stays() {
    let shadow = "type: MeshTrace\nmesh: default\nname: trace-web\nlabels: {kuma.io/effect: shadow}\n";
    let shadow = format!("{shadow}{}", SPEC.replace("overall: 5", "overall: 50"));
    let (dir, text) = written(&[("a.yaml", POLICY), ("b.yaml", &shadow), ("mesh.yaml", MESH)], &[]);
    assert!(text.contains("\nname: trace-web-2\n"), "{text}");
    assert_eq!(read(&dir, "b.yaml"), shadow);
}

#[test]
fn an_existing_name_is_not_taken_twice() {
    let existing = format!(
        "type: MeshTrace\nmesh: default\nname: trace-web\n{}",
        SPEC.replace("web", "api")
    );
    let (_dir, text) = written(&[("a.yaml", POLICY), ("b.yaml", &existing), ("mesh.yaml", MESH)], &[]);
    assert!(text.contains("\nname: trace-web-2\n"), "{text}");
}

#[test]
fn forms_of_before_0_7_become_those_of_today() {
    let old = "type: Mesh
name: default
tracing:
  defaultBackend: z
  backends:
  - name: z
    # the one
    zipkin: {url: \"http://z:9411/api/v2/spans\"}
---
type: Dataplane
mesh: default
name: web-01
networking:
  inbound:
  - interface: 192.168.0.1:80:8080 # the shop
    tags: {service: web, protocol: http}
  outbound:
  - interface: :10001
    service: backend
---
type: TrafficTrace
mesh: default
name: web
selectors:
- match: {service: web}
";
    let (_dir, text) = written(&[("a.yaml", old)], &[]);
    let expected = "type: Mesh
name: default
---
type: Dataplane
mesh: default
name: web-01
networking:
  inbound:
  - # the shop
    port: 80
    servicePort: 8080
    tags: {kuma.io/service: web, kuma.io/protocol: http}
  address: \"192.168.0.1\"
  outbound:
  - port: 10001
    tags:
      kuma.io/service: backend
---
type: MeshTrace
mesh: default
name: web
";
    // The backend has no sampling.
    let spec = SPEC.replace("    sampling:\n      overall: 5\n", "");
    assert_eq!(text, format!("{expected}{spec}"));
}

#[test]
fn kuma_3_0_gets_labels_protocols_and_references() {
    let dataplanes = "type: Dataplane
mesh: default
name: web-01
networking:
  address: 10.0.0.1
  inbound:
  - port: 8080
    tags: {kuma.io/service: web, kuma.io/protocol: http, version: v1}
  outbound:
  # to the other
  - {port: 9000, tags: {kuma.io/service: api}}
---
type: Dataplane
mesh: default
name: api-01
labels: {kuma.io/workload: api}
networking:
  address: 10.0.0.2
  inbound:
  - {port: 80, tags: {kuma.io/service: api, kuma.io/protocol: tcp}}
";
    let otel = "type: MeshTrace
mesh: default
name: otel
spec:
  targetRef: {kind: MeshSubset, tags: {version: v1}}
  default:
    backends:
    - type: OpenTelemetry
      openTelemetry:
        endpoint: otel-collector.obs:4317 # the collector
";
    let route = "type: TrafficRoute\nmesh: default\nname: all\nsources:\n- match: {kuma.io/service: '*'}\ndestinations:\n- match: {kuma.io/service: '*'}\nconf:\n  destination: {kuma.io/service: '*'}\n";
    let files = [
        ("dp.yaml", dataplanes),
        ("otel.yaml", otel),
        ("mesh.yaml", MESH),
        ("a.yaml", POLICY),
        ("route.yaml", route),
    ];
    let (dir, text) = written(&files, &["--to", "3.0"]);
    let expected = "type: Dataplane
mesh: default
name: web-01
labels:
  kuma.io/workload: web
  version: v1
networking:
  address: 10.0.0.1
  inbound:
  - port: 8080
    protocol: http
    tags: {kuma.io/service: web, kuma.io/protocol: http, version: v1}
  outbound:
  # to the other
  - {port: 9000, backendRef: {kind: MeshService, name: api, port: 80}}
---
type: Dataplane
mesh: default
name: api-01
labels: {kuma.io/workload: api}
networking:
  address: 10.0.0.2
  inbound:
  - {port: 80, protocol: tcp, tags: {kuma.io/service: api, kuma.io/protocol: tcp}}
";
    assert_eq!(text, expected);
    let expected = "type: MeshTrace
mesh: default
name: otel
spec:
  targetRef:
    kind: Dataplane
    labels:
      version: v1
  default:
    backends:
    - type: OpenTelemetry
      openTelemetry:
        # the collector
        backendRef:
          kind: MeshOpenTelemetryBackend
          labels:
            kuma.io/display-name: otel-collector-obs
---
type: MeshOpenTelemetryBackend
mesh: default
name: otel-collector-obs
labels:
  kuma.io/display-name: otel-collector-obs
spec:
  endpoint:
    address: otel-collector.obs
    port: 4317
  protocol: grpc
";
    assert_eq!(read(&dir, "otel.yaml"), expected);
    assert!(!dir.path().join("policies/route.yaml").exists());
    // The same tree again, and as 3.0 sees it.
    let settings = "policies: policies\nkuma: {version: '3.0', fidelity: exact}\n";
    fs::write(dir.path().join("settings.yaml"), settings).expect("a file");
    let (exit, report) = said(&meshtraced(dir.path(), &["-c", "settings.yaml", "check", "--strict"]));
    assert_eq!(exit, Some(0), "{report}");
    let (_, report) = said(&meshtraced(dir.path(), &["migrate", "--to", "3.0", "--write"]));
    assert!(report.contains("no file changes"), "{report}");
    let (exit, report) = said(&meshtraced(dir.path(), &["migrate", "--to", "3.0", "--keep"]));
    assert!(exit == Some(2) && report.contains("--to 2.14 --keep"), "{report}");
}

#[test]
fn policies_with_errors_are_refused_with_their_findings() {
    let dir = tree(&[
        ("a.yaml", &POLICY.replace("kuma.io/service: web", "kuma.io/service: 1")),
        ("mesh.yaml", MESH),
    ]);
    let (exit, text) = said(&meshtraced(dir.path(), &["migrate", "--write"]));
    assert_eq!(exit, Some(2), "{text}");
    assert!(
        text.contains("policies/a.yaml:9:22") && text.contains("nothing can be proven"),
        "{text}"
    );
    assert_eq!(read(&dir, "mesh.yaml"), MESH);
}

/// A tree in which a proxy cannot keep its tracing: an outbound without a route.
fn without_route() -> String {
    let outbound = "  outbound:\n  - {port: 9000, tags: {kuma.io/service: web}}\n";
    format!("{POLICIES}{outbound}")
}

#[test]
fn a_proxy_that_cannot_keep_its_tracing_keeps_the_files_as_they_are() {
    let text = without_route();
    let dir = tree(&[("all.yaml", &text)]);
    let (exit, report) = said(&meshtraced(dir.path(), &["migrate", "--write"]));
    assert_eq!(exit, Some(1), "{report}");
    let reason = "default/web-01 outbound:127.0.0.1:9000: tracing not traced -> traced (no TrafficRoute in this mesh";
    assert!(report.contains(reason), "{report}");
    assert_eq!(read(&dir, "all.yaml"), text);
    let (exit, report) = said(&meshtraced(dir.path(), &["migrate", "--write", "--allow-changes"]));
    assert_eq!(exit, Some(1), "{report}");
    assert!(read(&dir, "all.yaml").contains("type: MeshTrace\n"));
}

#[test]
fn a_patch_does_what_writing_does() {
    let files = [
        ("a.yaml", POLICY),
        ("mesh.yaml", MESH),
        ("gone/b.yaml", &POLICY.replace("trace-web", "z")),
    ];
    let (dir, _) = written(&files, &[]);
    let other = tree(&files);
    let git = Git::init(other.path(), &[]);
    let output = meshtraced(other.path(), &["migrate"]);
    assert_eq!(said(&output).0, Some(0));
    let patch = other.path().join("change.patch");
    fs::write(&patch, &output.stdout).expect("a file");
    git.run(&["apply", "change.patch"]);
    for path in ["a.yaml", "mesh.yaml"] {
        assert_eq!(read(&other, path), read(&dir, path));
    }
    for dir in [&dir, &other] {
        assert!(!dir.path().join("policies/gone/b.yaml").exists());
    }
}

#[test]
fn files_with_changes_of_ones_own_are_left_alone() {
    let dir = tree(&[("a.yaml", POLICY), ("mesh.yaml", MESH)]);
    let git = Git::init(dir.path(), &[]);
    let migrate = |options: &[&str]| said(&meshtraced(dir.path(), &[&["migrate", "--write"], options].concat()));
    let (exit, text) = migrate(&[]);
    assert_eq!(exit, Some(2), "{text}");
    assert!(
        text.contains("2 files would be edited that have changes without a commit"),
        "{text}"
    );
    assert_eq!(read(&dir, "a.yaml"), POLICY);
    git.run(&["add", "."]);
    git.run(&["commit", "-qm", "all"]);
    fs::write(dir.path().join("policies/a.yaml"), format!("{POLICY}# mine\n")).expect("a file");
    let (exit, text) = migrate(&[]);
    assert!(exit == Some(2) && text.contains("policies/a.yaml; commit"), "{text}");
    let (exit, text) = migrate(&["--force"]);
    assert_eq!(exit, Some(0), "{text}");
    assert!(read(&dir, "a.yaml").contains("# mine\n"));
    // `diff` proves it again.
    let (exit, text) = said(&meshtraced(dir.path(), &["diff", "HEAD"]));
    assert_eq!(exit, Some(0), "{text}");
}

#[test]
fn a_file_behind_a_link_is_edited_where_it_is() {
    let dir = tree(&[("real/a.txt", POLICY), ("mesh.yaml", MESH)]);
    let link = dir.path().join("policies/a.yaml");
    std::os::unix::fs::symlink(Path::new("real/a.txt"), &link).expect("a link");
    let (exit, text) = said(&meshtraced(dir.path(), &["migrate", "--write"]));
    assert_eq!(exit, Some(0), "{text}");
    assert!(link.is_symlink());
    assert!(read(&dir, "real/a.txt").ends_with(SPEC));
}

#[test]
fn a_template_is_named_and_stays() {
    let dir = tree(&[("mesh.yaml", MESH)]);
    let template = POLICY.replace("backend: z", "backend: \"{{ backend }}\"");
    fs::create_dir(dir.path().join("templates")).expect("a directory");
    fs::write(dir.path().join("templates/a.yaml"), &template).expect("a file");
    let settings = "policies: [policies, {path: templates, vars: {backend: z}}]\n";
    fs::write(dir.path().join("settings.yaml"), settings).expect("a file");
    let (exit, text) = said(&meshtraced(dir.path(), &["-c", "settings.yaml", "migrate"]));
    assert!(text.contains("unmigrated: file `templates/a.yaml`"), "{exit:?} {text}");
}

#[test]
fn reports_for_machines_and_for_pull_requests() {
    let text = without_route();
    let dir = tree(&[("all.yaml", &text)]);
    let output = meshtraced(dir.path(), &["migrate", "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let schema = meshtraced(dir.path(), &["schema", "migrate"]);
    let schema: Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let wrong: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(
        report["proxies"],
        serde_json::json!({"identical": 0, "equivalent": 0, "different": 1})
    );
    assert_eq!(
        report["written"],
        serde_json::json!([{"file": "policies/all.yaml", "action": "edit"}])
    );
    let different = report["differences"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["class"] == "different");
    let different = different.expect("a difference");
    assert_eq!(different["listener"], "outbound:127.0.0.1:9000");
    assert_eq!(
        (&different["before"], &different["after"]),
        (&Value::from("not traced"), &Value::from("traced"))
    );
    let output = meshtraced(dir.path(), &["migrate", "-o", "markdown"]);
    let comment = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        comment.starts_with("### Tracing: 1 TrafficTrace of 1 mesh -&gt; 1 MeshTrace"),
        "{comment}"
    );
    assert!(comment.contains("| 1 | different |"), "{comment}");
}

/// `docs/migrate.md` shows what the program says about the estate in `examples/migrate`.
#[test]
fn the_page_shows_what_the_program_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/migrate.md")).expect("the page");
    let dir = root.join("examples/migrate");
    let diff = meshtraced(&dir, &["diff", "--from", "./policies", "--to", "./by-kuma-migrator"]);
    assert_eq!(said(&diff).0, Some(1));
    let migrated = meshtraced(&dir, &["migrate"]);
    let (exit, report) = said(&migrated);
    assert_eq!(exit, Some(0), "{report}");
    for text in [String::from_utf8(diff.stdout).expect("UTF-8"), report] {
        assert!(page.contains(&text), "the page does not show:\n{text}");
    }
    let (exit, report) = said(&meshtraced(&dir, &["migrate", "--to", "3.0"]));
    assert_eq!(exit, Some(0), "{report}");
}

#[test]
fn a_source_that_cannot_be_written_keeps_all_files_as_they_are() {
    let dir = tree(&[("mesh.yaml", MESH)]);
    let other = dir.path().join("elsewhere");
    fs::create_dir(&other).expect("a directory");
    fs::write(other.join("a.yaml"), POLICY).expect("a file");
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    command.current_dir(dir.path());
    command.args([
        "--policies",
        "policies",
        "--policies",
        "elsewhere",
        "migrate",
        "--write",
    ]);
    let output = inside(script, &[other.as_os_str()], &command).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", needs("unshare")));
    let (exit, text) = said(&output);
    assert!(!text.contains("mount: "), "{}", needs(&text));
    assert!(
        exit == Some(2) && text.contains("cannot edit elsewhere/a.yaml: Read-only file system"),
        "{text}"
    );
    assert_eq!(read(&dir, "mesh.yaml"), MESH);
    // Where it can be, files of all sources are edited.
    let output = command.output().expect("the program starts");
    assert_eq!(said(&output).0, Some(0), "{}", said(&output).1);
    assert!(
        fs::read_to_string(other.join("a.yaml"))
            .expect("a text")
            .ends_with(SPEC)
    );
}
