//! The command line: what commands print for people and for programs, and how they end.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn meshtraced(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    meshtraced(arguments).output().expect("the program starts")
}

#[track_caller]
fn stdout(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_command_teaches_with_examples() {
    let help = stdout(&["--help"]);
    for word in [
        "meshtraced run --once",
        "envoy -c envoy/default/web-01/bootstrap.yaml",
        "Exit codes",
        "MESHTRACED_",
    ] {
        assert!(help.contains(word), "{word} is not in: {help}");
    }
    for command in ["run", "diff", "check", "compile"] {
        assert!(help.contains(&format!("  {command} ")), "{command} is not in: {help}");
        let help = stdout(&[command, "--help"]);
        assert!(help.contains("Examples:\n  meshtraced "), "{help}");
    }
}

#[test]
fn completions_and_the_manual_page_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&["completions", shell]);
        assert!(
            script.contains("dry-run") && script.contains("compile"),
            "{shell}: {script}"
        );
    }
    let page = stdout(&["man"]);
    assert!(page.starts_with(".ie") || page.starts_with(".TH"), "{page}");
    for word in [".SH SYNOPSIS", "meshtraced\\-diff", "\\-\\-policies"] {
        assert!(page.contains(word), "{word} is not in: {page}");
    }
    let page = stdout(&["man", "diff"]);
    assert!(
        page.contains("meshtraced\\-diff") && page.contains("\\-\\-bytes"),
        "{page}"
    );
}

#[test]
fn findings_are_objects_for_programs() {
    let output = output(&[
        "--policies",
        "tests/cases/mistake-sampling-101/in",
        "check",
        "-o",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = serde_json::json!({"diagnostics": [{
        "severity": "error", "code": "sampling-out-of-range", "document": 0, "line": 8, "column": 15,
        "file": "tests/cases/mistake-sampling-101/in/mesh.yaml", "type": "Mesh", "mesh": "default", "name": "default", "path": "tracing.backends[0].sampling",
        "kind": "out-of-range", "message": "`sampling` is 101; it must be from 0 to 100",
        "help": "sampling is a percentage: 25 traces one request in four",
    }]});
    assert_eq!(found, expected);
    assert!(output.stderr.is_empty());
}

#[test]
fn severity_decides_the_exit_code_of_check() {
    let check = |case: &str, options: &[&str]| {
        let policies = format!("tests/cases/{case}/in");
        let arguments = [&["--policies", &policies, "check"], options].concat();
        output(&arguments).status.code()
    };
    assert_eq!(check("mistake-unknown-field", &[]), Some(0));
    assert_eq!(check("mistake-unknown-field", &["--fail-on", "warning"]), Some(1));
    assert_eq!(check("mistake-unknown-field", &["--strict"]), Some(1));
    assert_eq!(check("zipkin", &["--strict", "--fail-on", "warning"]), Some(0));
}

#[test]
fn one_dataplane_is_compiled_by_its_name() {
    let shown = stdout(&["compile", "default/web-01"]);
    assert!(
        shown.contains("name: web-01\n") && !shown.contains("name: web-02\n"),
        "{shown}"
    );
    let refused = output(&["compile", "default/web-1"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(
        said,
        "error: there is no dataplane default/web-1; did you mean default/web-01?\n"
    );
}

#[test]
fn the_surroundings_change_no_byte() {
    let compile = |locale: &str, zone: &str, dir: &str| {
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut command = meshtraced(&["--out", "/out", "compile", "-o", "json", "--policies"]);
        command
            .arg(policies)
            .current_dir(dir)
            .env("LC_ALL", locale)
            .env("LANG", locale)
            .env("TZ", zone);
        command.output().expect("the program starts").stdout
    };
    let here = compile("C", "UTC", "/");
    assert!(!here.is_empty());
    assert_eq!(here, compile("tr_TR.UTF-8", "Asia/Kathmandu", "/tmp"));
}

#[test]
fn wrong_settings_say_where() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("meshtraced.yaml");
    std::fs::write(&file, "kuma:\n  versoin: \"2.14\"\n").expect("a file");
    let refused = output(&["--config", file.to_str().expect("text"), "check"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("meshtraced.yaml:2:3: kuma.versoin: unknown field `versoin`"),
        "{said}"
    );
    let refused = meshtraced(&["check"])
        .env("MESHTRACED_KUMA_ZOEN", "eu")
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("did you mean MESHTRACED_KUMA_ZONE?"), "{said}");
}

#[test]
fn the_samples_are_free_of_findings() {
    for fidelity in ["documented", "exact"] {
        let output = meshtraced(&["check", "--strict", "--fail-on", "warning"])
            .env("MESHTRACED_KUMA_FIDELITY", fidelity)
            .output();
        let output = output.expect("the program starts");
        assert!(
            output.status.success(),
            "{fidelity}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
