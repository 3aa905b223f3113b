//! Signals: to the process in the file, and to no other.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::Reloading;
use crate::kit::unprivileged;

const SIGNAL: &str = "[{select: {name: web-01}, signal: {pidfile: 'DIR/{dataplane}.pid'}}]";

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn start(reloading: &Reloading, program: &str) -> Self {
        let child = Command::new(reloading.path(program)).spawn();
        Self(child.expect("the program starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error only says that it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes the process ids that it is asked about, and a line for every signal.
const WRAPPER: &str = "cd \"$(dirname \"$0\")\"
trap 'echo hup >> signals' HUP
trap 'echo usr1 >> signals' USR1
echo $$ > new.pid; mv new.pid web-01.pid
while :; do sleep 0.02; done";

#[test]
fn the_process_in_the_file_gets_the_signal() {
    let reloading = Reloading::new(SIGNAL);
    reloading.script("wrapper", WRAPPER);
    let _wrapper = Running::start(&reloading, "wrapper");
    reloading.until_lines("web-01.pid", 1);
    reloading.change(2);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.until_lines("signals", 1), ["hup"]);
    reloading.set("[{signal: {pidfile: 'DIR/web-01.pid', name: SIGUSR1}}]");
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    reloading.change(3);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    // Once for both proxies.
    assert_eq!(reloading.until_lines("signals", 2), ["hup", "usr1"]);
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.lines("signals").len(), 2);
}

/// What is said when the process id is to be found in `web-01.pid` as it is now.
#[track_caller]
fn refused(reloading: &Reloading, host: u8, expected: &str) {
    reloading.change(host);
    let (code, said) = reloading.run_once();
    assert_eq!(code, Some(2), "{said}");
    let said = said.replace(&format!("{}/", reloading.mesh.dir().display()), "");
    let head = "error: cannot reload default/web-01: SIGHUP by web-01.pid: ";
    assert!(said.starts_with(head) && said.contains(expected), "{said}");
}

#[test]
fn a_file_without_a_process_is_told() {
    let reloading = Reloading::new(SIGNAL);
    let pidfile = reloading.path("web-01.pid");
    refused(&reloading, 2, "there is no web-01.pid");
    for (text, expected) in [
        ("", "web-01.pid is empty"),
        (" \n", "web-01.pid is empty"),
        ("envoy\n", "holds \"envoy\" and no process id"),
        ("-1\n", "holds \"-1\" and no process id"),
        ("0\n", "holds \"0\" and no process id"),
        ("12 13\n", "holds \"12 13\" and no process id"),
        ("99999999999\n", "no process id"),
        // Linux has no numbers as high as this one.
        (
            "2000000000\n",
            "process 2000000000 of web-01.pid does not run; the file is left over",
        ),
    ] {
        fs::write(&pidfile, text).expect("a file");
        refused(&reloading, 2, expected);
    }
    fs::remove_file(&pidfile).expect("ours");
    mknodat(CWD, &pidfile, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    refused(&reloading, 2, "web-01.pid is not a file");
}

#[test]
fn a_process_that_took_over_the_number_gets_no_signal() {
    let reloading = Reloading::new(SIGNAL);
    reloading.script("wrapper", WRAPPER);
    let _wrapper = Running::start(&reloading, "wrapper");
    reloading.until_lines("web-01.pid", 1);
    let pidfile = reloading.path("web-01.pid");
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    let file = File::options().write(true).open(&pidfile).expect("a file");
    file.set_modified(yesterday).expect("ours");
    refused(&reloading, 2, "is `wrapper` and began after the file was written");
    assert!(reloading.lines("signals").is_empty());
    // Whoever writes the file says that it is the one.
    file.set_modified(SystemTime::now()).expect("ours");
    assert_eq!(reloading.run_once(), (Some(0), String::new()));
    assert_eq!(reloading.until_lines("signals", 1), ["hup"]);
}

#[test]
fn an_envoy_itself_gets_no_signal() {
    let reloading = Reloading::new(SIGNAL);
    reloading.script("envoy-like", WRAPPER);
    fs::create_dir(reloading.path("bin")).expect("a directory");
    // A script is called by the name of its file.
    fs::rename(reloading.path("envoy-like"), reloading.path("bin/envoy")).expect("ours");
    let _envoy = Running::start(&reloading, "bin/envoy");
    reloading.until_lines("bin/web-01.pid", 1);
    fs::rename(reloading.path("bin/web-01.pid"), reloading.path("web-01.pid")).expect("ours");
    refused(&reloading, 2, "is an Envoy itself");
    assert!(reloading.lines("bin/signals").is_empty());
}

#[test]
fn a_process_of_somebody_else_is_told() {
    let nobody = unprivileged::Unprivileged::new(env!("CARGO_BIN_EXE_meshtraced").as_ref());
    let reloading = Reloading::new("[]");
    let policies = nobody.dir().join("policies");
    let run = || {
        fs::create_dir_all(&policies).expect("a directory");
        for name in ["mesh.yaml", "trace-all.yaml", "web.yaml", "backend.yaml"] {
            fs::write(policies.join(name), reloading.mesh.read(name)).expect("a file");
        }
        let mut command = nobody.command();
        command.args(["run", "--once"]).env(
            "MESHTRACED_RELOAD",
            format!("[{{signal: {{pidfile: {}/pid}}}}]", nobody.dir().display()),
        );
        let output = command.output().expect("the program starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(run(), (Some(0), String::new()));
    // The first process of all belongs to root.
    fs::write(nobody.dir().join("pid"), "1\n").expect("a file");
    reloading.change(2);
    let (code, said) = run();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("this user may not signal process 1 of "), "{said}");
}
