//! Commands and units of reloads, and all failures of a command.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::Reloading;
use crate::kit::wait;

/// Publishes a change whose reload is that script, with settings beside it: what is said of `web`.
#[track_caller]
fn check(script: &str, more: &str, expected: Option<&str>) -> Reloading {
    let reloading = Reloading::new(&format!(
        "[{{select: {{name: web-01}}, exec: {{argv: [DIR/script]{more}}}}}]"
    ));
    reloading.script("script", script);
    reloading.change(2);
    let (code, said) = reloading.run_once();
    match expected {
        None => assert_eq!((code, said.as_str()), (Some(0), "")),
        Some(expected) => {
            let program = reloading.path("script").display().to_string();
            let line = format!("error: cannot reload default/web-01: {program}: {expected}\n");
            assert_eq!(
                (code, said.replace(&format!("start {program}"), "start it")),
                (Some(2), line)
            );
        }
    }
    reloading
}

#[test]
fn how_a_command_ends_is_told_with_its_last_words() {
    check("echo fine", "", None);
    check("exit 3", "", Some("it ended with exit code 3"));
    let failing = "for i in 1 2 3 4 5 6 7; do echo line $i; done; echo; echo bad >&2; exit 1";
    let last = "it ended with exit code 1; it said: line 4 | line 5 | line 6 | line 7 | bad";
    check(failing, "", Some(last));
    check("kill -9 $$", "", Some("it was killed by signal 9"));
}

#[test]
fn what_failed_is_made_by_the_next_run() {
    let reloading = check("exit 3", "", Some("it ended with exit code 3"));
    reloading.script("script", "echo done > \"$(dirname \"$0\")/done\"");
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("done"), ["done"]);
}

#[test]
fn a_flood_of_words_is_cut() {
    let flood = "yes 'a long line that nobody wants to read' | head -c 30000000; echo; echo last; exit 4";
    let reloading = Reloading::new("[{select: {name: web-01}, exec: {argv: [DIR/script]}}]");
    reloading.script("script", flood);
    reloading.change(2);
    let (code, said) = reloading.run_once();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("exit code 4; it said: a long line") && said.ends_with("| last\n"),
        "{said}"
    );
    assert!(said.len() < 1000, "{}", said.len());
}

/// The process whose id a script wrote.
fn process(reloading: &Reloading, name: &str) -> Pid {
    let pid = reloading.until_lines(name, 1)[0].parse().expect("a process id");
    Pid::from_raw(pid).expect("a process id")
}

#[test]
fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let hang = "sleep 1000 & echo $! > \"$(dirname \"$0\")/child\"; trap '' TERM; echo waiting; wait";
    let expected = "it took longer than 1s, and was killed; it said: waiting";
    let reloading = check(hang, ", timeout: 1s", Some(expected));
    let child = process(&reloading, "child");
    wait::until("its child is gone", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
        match stat {
            // It may wait for the parent of all to take notice.
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        }
    });
}

#[test]
fn what_a_command_leaves_behind_holds_up_nobody() {
    // It keeps the output open for longer than the command may take.
    let fork = "sleep 1000 & echo $! > \"$(dirname \"$0\")/child\"";
    let reloading = check(fork, "", None);
    let child = process(&reloading, "child");
    kill_process(child, Signal::KILL).expect("it still runs");
}

#[test]
fn a_program_that_is_missing_is_named() {
    let reloading = Reloading::new("[{select: {name: web-01}, exec: {argv: [/nowhere/reload, x]}}]");
    reloading.change(2);
    let missing = "error: cannot reload default/web-01: /nowhere/reload x: cannot start /nowhere/reload: No such file or \
                   directory (os error 2)\n";
    assert_eq!(reloading.run_once(), (Some(2), missing.to_owned()));
    let reloading = Reloading::new("[{select: {name: web-01}, exec: {argv: [DIR/script]}}]");
    reloading.script("script", "");
    fs::write(reloading.path("script"), "#!/nowhere/sh\n").expect("ours");
    reloading.change(2);
    let (_, said) = reloading.run_once();
    assert!(
        said.contains("the interpreter that its first line names is missing"),
        "{said}"
    );
    fs::set_permissions(
        reloading.path("script"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .expect("ours");
    let (_, said) = reloading.run_once();
    assert!(said.contains("Permission denied"), "{said}");
}

#[test]
fn a_daemon_that_is_told_to_end_does_not_wait_for_a_command_that_hangs() {
    let reloading = Reloading::new("[{select: {name: web-01}, exec: {argv: [DIR/script], timeout: 1h}}]");
    reloading.script("script", "echo $$ > \"$(dirname \"$0\")/self\"; sleep 1000");
    let daemon = reloading.daemon();
    reloading.change(2);
    let script = process(&reloading, "self");
    super::end(daemon);
    assert!(!Path::new(&format!("/proc/{}", script.as_raw_nonzero())).exists());
    reloading.script("script", "echo again >> \"$(dirname \"$0\")/again\"");
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("again"), ["again"]);
}

#[test]
fn units_are_named_as_systemd_escapes_them() {
    let reloading = Reloading::new(
        "[{select: {name: web-01}, systemd: {unit: 'meshtraced-envoy@{mesh}-{dataplane}.service', action: restart}}, \
          {systemd: {unit: 'envoy@{path}.service'}}]",
    );
    reloading.script("systemctl", "echo \"$@\" >> \"$(dirname \"$0\")/calls\"; exit $FAIL");
    reloading.change(2);
    let run = |fail: &str| {
        let mut command = reloading.command(&["run", "--once"]);
        let path = format!(
            "{}:{}",
            reloading.path("").display(),
            std::env::var("PATH").expect("a path")
        );
        let output = command.env("PATH", path).env("FAIL", fail).output();
        let output = output.expect("the program starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(run("0"), (Some(0), String::new()));
    let path = reloading.mesh.published("backend-01");
    let path = path
        .to_str()
        .expect("text")
        .trim_matches('/')
        .replace('-', r"\x2d")
        .replace('/', "-");
    let calls = [
        format!("--no-ask-password reload -- envoy@{path}.service"),
        r"--no-ask-password restart -- meshtraced-envoy@default-web\x2d01.service".to_owned(),
    ];
    assert_eq!(reloading.lines("calls"), calls);
    reloading.change(3);
    let (code, said) = run("5");
    assert_eq!(code, Some(2), "{said}");
    let expected = r"systemctl restart meshtraced-envoy@default-web\x2d01.service: it ended with exit code 5";
    assert!(said.contains(expected), "{said}");
}
