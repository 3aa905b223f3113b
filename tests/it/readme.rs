//! The transcripts of the README equal the output of the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::golden::without_durations;

/// The transcripts of `meshtraced`, each with its command.
fn transcripts() -> Vec<(String, String)> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    let blocks = readme.split("```").skip(1).step_by(2);
    let transcript = |block: &str| {
        let (command, said) = block.strip_prefix("text\n$ ")?.split_once('\n')?;
        command
            .starts_with("meshtraced ")
            .then(|| (command.to_owned(), said.to_owned()))
    };
    blocks.filter_map(transcript).collect()
}

#[test]
fn the_transcripts_are_true() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(samples)
        .arg(dir.path())
        .status()
        .expect("cp");
    assert!(copied.success());
    let policy = dir.path().join("policies/default/tracing/trace-all.yaml");
    let text = fs::read_to_string(&policy).expect("the sample");
    // What happens before each of them.
    let edits = [
        ("meshtraced run --once", "zipkin"),
        ("meshtraced diff", "zipkin-eu"),
        ("meshtraced check", "zipkni"),
        ("meshtraced explain payments/checkout-02", "zipkin"),
        ("meshtraced migrate --write", "zipkin"),
    ];
    let transcripts = transcripts();
    let commands: Vec<&str> = transcripts.iter().map(|(command, _)| command.as_str()).collect();
    assert_eq!(commands, edits.map(|(command, _)| command));
    for ((command, wanted), (_, backend)) in transcripts.iter().zip(edits) {
        // The comment behind the name stays where it is.
        fs::write(&policy, text.replace("backend: zipkin", &format!("backend: {backend}"))).expect("a file");
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_meshtraced"))
            .current_dir(dir.path())
            .args(arguments)
            .output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(without_durations(&said), without_durations(wanted), "{command}");
    }
}
