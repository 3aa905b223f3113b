//! Reloads: their causes, their commands and signals, and their failures.

mod commands;
mod signals;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::mesh::{Backend, Mesh};
use crate::kit::process::Process;
use crate::kit::wait;

/// A mesh with reloads.
struct Reloading {
    mesh: Mesh,
}

impl Reloading {
    /// With that list in YAML, in which `DIR` stands for the directory of the mesh; published once.
    fn new(reload: &str) -> Self {
        let reloading = Self { mesh: Mesh::start() };
        reloading.set(reload);
        reloading.script("record", "echo \"$@\" >> \"$(dirname \"$0\")/calls\"");
        assert_eq!(reloading.run_once(), (Some(0), String::new()));
        reloading
    }

    fn set(&self, reload: &str) {
        let reload = reload.replace("DIR", &self.path("").to_string_lossy());
        let reload = reload.replace("//", "/");
        fs::write(self.path("settings.yaml"), format!("reload: {reload}\n")).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mesh.dir().join(name)
    }

    /// A program of the shell with that text.
    fn script(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, format!("#!/bin/sh\n{text}\n")).expect("a file");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("ours");
        fs::rename(&new, self.path(name)).expect("a file with its name");
    }

    /// Lets all proxies send their spans to 127.0.0.`host`.
    fn change(&self, host: u8) {
        self.mesh.send_to(&[Backend::nowhere(host)]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.mesh.meshtraced(arguments);
        command.args(["--config", "settings.yaml"]);
        command
    }

    /// Publishes once: the exit code, and what was said on standard error.
    #[track_caller]
    fn run_once(&self) -> (Option<i32>, String) {
        let output = self.command(&["run", "--once"]).output().expect("the program starts");
        let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code(), said)
    }

    fn daemon(&self) -> Process {
        let log = self.path("daemon.log");
        let process = Process::spawn(self.command(&["run", "-v"]), log);
        self.until("its first turn", "nothing to change", &process);
        process
    }

    /// Waits for that text in the log.
    #[track_caller]
    fn until(&self, what: &str, text: &str, daemon: &Process) {
        wait::until(what, || {
            let log = daemon.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        });
    }

    /// The lines of a file that scripts write, sorted; none when there is no file.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Waits until a file has so many lines.
    #[track_caller]
    fn until_lines(&self, name: &str, count: usize) -> Vec<String> {
        wait::until(&format!("{count} lines in {name}"), || {
            let lines = self.lines(name);
            if lines.len() >= count {
                Ok(lines)
            } else {
                Err(format!("{lines:?}"))
            }
        })
    }

    /// Waits until the clusters of `web` name the collector at 127.0.0.`host`.
    #[track_caller]
    fn until_published(&self, host: u8) {
        wait::until("it is published", || {
            let text = fs::read_to_string(self.mesh.published("web-01").join("xds/cds.yaml"));
            let text = text.map_err(|error| error.to_string())?;
            if text.contains(&format!("127.0.0.{host}")) {
                Ok(())
            } else {
                Err(text)
            }
        });
    }
}

/// Ends the daemon as a service manager does.
#[track_caller]
fn end(mut daemon: Process) {
    let pid = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), Signal::TERM).expect("our own child");
    wait::until("its end", || daemon.exited().ok_or_else(|| daemon.log()));
}

const RECORD: &str = "[{exec: {argv: [DIR/record, '{mesh}', '{dataplane}', '{path}']}}]";

#[test]
fn a_change_is_one_reload_of_every_proxy_that_it_concerns() {
    let reloading = Reloading::new(RECORD);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert!(reloading.lines("calls").is_empty());
    reloading.change(2);
    let output = reloading
        .command(&["run", "--once"])
        .output()
        .expect("the program starts");
    assert!(
        String::from_utf8_lossy(&output.stdout).ends_with("\nreloaded 2 proxies\n"),
        "{output:?}"
    );
    let calls = ["backend-01", "web-01"].map(|name| {
        let path = reloading.mesh.published(name);
        format!("default {name} {}", path.display())
    });
    assert_eq!(reloading.lines("calls"), calls);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("calls"), calls);
}

#[test]
fn files_that_envoy_watches_need_none_unless_it_is_said() {
    let reloading = Reloading::new("[{exec: {argv: [DIR/record, '{dataplane}']}, files: [bootstrap.yaml]}]");
    reloading.change(2);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert!(reloading.lines("calls").is_empty());
    // What counts from now on was not known before.
    reloading.set("[{exec: {argv: [DIR/record, '{dataplane}']}, files: [xds/cds.yaml]}]");
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert!(reloading.lines("calls").is_empty());
    reloading.change(3);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("calls"), ["backend-01", "web-01"]);
}

#[test]
fn the_first_entry_that_fits_decides_and_the_same_call_is_made_once() {
    let reloading = Reloading::new(
        "[{select: {tags: {kuma.io/service: web}}, exec: {argv: [DIR/record, web]}}, \
          {select: {name: 'w*'}, exec: {argv: [DIR/record, never]}}]",
    );
    reloading.change(2);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("calls"), ["web"]);
    reloading.set("[{exec: {argv: [DIR/record, all]}}]");
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    reloading.change(3);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("calls"), ["all", "web"]);
}

#[test]
fn the_first_change_after_reloads_are_wanted_is_one_too() {
    let reloading = Reloading::new("[]");
    reloading.set(RECORD);
    reloading.change(2);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("calls").len(), 2);
}

#[test]
fn nobody_is_made_to_read_what_somebody_else_wrote() {
    let reloading = Reloading::new(RECORD);
    let fragment = reloading.mesh.published("web-01").join("fragment.yaml");
    fs::write(&fragment, "mine").expect("a file");
    assert_eq!(reloading.run_once().0, Some(0));
    let output = reloading.command(&["heal"]).output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read_to_string(&fragment).expect("a file") != "mine");
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert!(reloading.lines("calls").is_empty());
}

#[test]
fn what_brings_back_a_generation_reloads_too() {
    let reloading = Reloading::new(RECORD);
    reloading.change(2);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    let output = reloading.command(&["rollback"]).output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(reloading.lines("calls").len(), 4);
    reloading.script("record", "exit 3");
    let output = reloading.command(&["thaw"]).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("2 proxies could not be reloaded"), "{said}");
}

#[test]
fn a_daemon_reloads_after_changes_and_not_when_it_starts() {
    let reloading = Reloading::new(RECORD);
    let daemon = reloading.daemon();
    reloading.change(2);
    reloading.until_lines("calls", 2);
    reloading.until("both are told", "reloaded default/web-01: ", &daemon);
    reloading.until("both are told", "reloaded default/backend-01: ", &daemon);
    end(daemon);
    let daemon = reloading.daemon();
    reloading.change(3);
    reloading.until_lines("calls", 4);
    end(daemon);
    assert_eq!(reloading.lines("calls").len(), 4);
}

/// Says that it begins, and stays as long as there is a file `hold`.
const HOLD: &str =
    "cd \"$(dirname \"$0\")\"; echo begun >> begun; while [ -e hold ]; do sleep 0.02; done; echo ended >> ended";

#[test]
fn a_burst_of_edits_is_one_more_reload_and_publishing_goes_on() {
    let reloading = Reloading::new("[{exec: {argv: [DIR/slow]}}]");
    reloading.script("slow", HOLD);
    fs::write(reloading.path("hold"), "").expect("a file");
    let daemon = reloading.daemon();
    reloading.change(2);
    reloading.until_lines("begun", 1);
    for host in 3..7 {
        reloading.change(host);
        reloading.until_published(host);
    }
    assert_eq!(reloading.lines("begun").len(), 1);
    fs::remove_file(reloading.path("hold")).expect("ours");
    reloading.until_lines("ended", 2);
    // Whatever else waited would come before this one.
    reloading.change(8);
    reloading.until_lines("ended", 3);
    end(daemon);
    assert_eq!(reloading.lines("begun").len(), 3);
}

#[test]
fn not_more_than_eight_are_made_at_a_time() {
    let reloading = Reloading::new("[{exec: {argv: [DIR/slow, '{dataplane}']}}]");
    let count = "cd \"$(dirname \"$0\")\"; mkdir \"run.$1\"; ls -d run.* | wc -l >> counts; rmdir \"run.$1\"";
    reloading.script("slow", &count.replace("; rmdir", &format!("; {HOLD}; rmdir")));
    let backend = reloading.mesh.read("backend.yaml");
    for i in 0..18 {
        let more = backend.replace("name: backend-01", &format!("name: backend-more-{i}"));
        reloading.mesh.write(&format!("more-{i}.yaml"), &more);
    }
    assert_eq!(reloading.run_once().0, Some(0));
    fs::write(reloading.path("hold"), "").expect("a file");
    let daemon = reloading.daemon();
    reloading.change(2);
    reloading.until_lines("begun", 8);
    fs::remove_file(reloading.path("hold")).expect("ours");
    reloading.until_lines("ended", 20);
    end(daemon);
    let counts = reloading.lines("counts");
    let counts: Vec<u32> = counts
        .iter()
        .map(|count| count.trim().parse().expect("a number"))
        .collect();
    assert_eq!((counts.len(), counts.iter().max()), (20, Some(&8)), "{counts:?}");
}

#[test]
fn a_daemon_that_is_killed_in_the_middle_reloads_at_its_next_start() {
    let reloading = Reloading::new("[{exec: {argv: [DIR/slow]}}]");
    reloading.script("slow", HOLD);
    fs::write(reloading.path("hold"), "").expect("a file");
    let daemon = reloading.daemon();
    reloading.change(2);
    reloading.until_lines("begun", 1);
    drop(daemon);
    // Even if everything is as it was before: nobody knows what Envoy has read.
    reloading.change(1);
    fs::remove_file(reloading.path("hold")).expect("ours");
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("begun").len(), 2);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("begun").len(), 2);
}

#[test]
fn one_that_never_began_is_made_at_the_next_start() {
    let reloading = Reloading::new(RECORD);
    let record = reloading.path("envoy/.meshtraced/reloads.json");
    let before = fs::read_to_string(&record).expect("what was reloaded");
    reloading.change(2);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    // As a crash right after publishing leaves it.
    fs::write(&record, before).expect("ours");
    let daemon = reloading.daemon();
    reloading.until_lines("calls", 4);
    end(daemon);
    assert_eq!(reloading.lines("calls").len(), 4);
}

#[test]
fn a_record_that_cannot_be_read_is_told_and_made_anew() {
    let reloading = Reloading::new(RECORD);
    let record = reloading.path("envoy/.meshtraced/reloads.json");
    for text in ["", "{", "{\"format\": 2}"] {
        fs::write(&record, text).expect("ours");
        let (code, said) = reloading.run_once();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("what was reloaded last cannot be read"), "{said}");
        assert_eq!(reloading.run_once(), (Some(0), String::new()));
    }
    assert!(reloading.lines("calls").is_empty());
    reloading.change(2);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("calls").len(), 2);
}

#[test]
fn one_that_fails_is_shown_and_tried_until_it_goes_well() {
    let reloading = Reloading::new("[{select: {name: web-01}, exec: {argv: [DIR/picky]}}]");
    reloading.script("picky", "echo no luck; [ -e \"$(dirname \"$0\")/good\" ]");
    let daemon = reloading.daemon();
    reloading.change(2);
    reloading.until("the failure", "cannot reload default/web-01: ", &daemon);
    wait::until("another attempt", || {
        let output = reloading.command(&["status"]).output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_shown = text.contains("it ended with exit code 1; it said: no luck (") && text.contains(" attempts)");
        if is_shown && output.status.code() == Some(1) {
            Ok(())
        } else {
            Err(text)
        }
    });
    assert_eq!(
        daemon.log().matches("ERROR cannot reload").count(),
        1,
        "{}",
        daemon.log()
    );
    fs::write(reloading.path("good"), "").expect("a file");
    reloading.until("it goes well", "reloaded default/web-01: ", &daemon);
    wait::until("nothing fails", || {
        let output = reloading.command(&["status"]).output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("no luck") { Err(text) } else { Ok(()) }
    });
}

#[test]
fn other_settings_hold_from_the_next_turn_on() {
    let reloading = Reloading::new("[{exec: {argv: [DIR/missing]}}]");
    let daemon = reloading.daemon();
    reloading.change(2);
    reloading.until("the failure", "cannot reload 2 proxies: ", &daemon);
    reloading.set("[{exec: {argv: [DIR/record, '{dataplane}']}}]");
    let pid = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), Signal::HUP).expect("our own child");
    assert_eq!(reloading.until_lines("calls", 2), ["backend-01", "web-01"]);
}
