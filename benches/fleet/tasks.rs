//! The tasks that are measured.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::live::{EDITS, Live};
use crate::{floor, tree};

const ROUNDS: usize = 3;

/// The most proxies that are published on one machine.
const MOST_PUBLISHED: usize = 20_000;

/// The results of all tasks for one fleet, each with the name of its task.
pub(crate) type Column = Vec<(&'static str, Measured)>;

/// A result.
#[derive(Debug)]
pub(crate) enum Measured {
    Time {
        took: Duration,
        /// The time of the work that the task cannot do without, in the same run.
        floor: Option<Duration>,
    },
    /// In bytes.
    Memory(usize),
    /// What the task needs is not there.
    Nothing,
}

/// Measures all tasks for the fleet in a directory, beside which there is room for output.
pub(crate) fn measure(dir: &Path, dataplanes: usize, policies: usize) -> Column {
    let source = dir.join("policies");
    let floor = shortest(|| assert_eq!(floor::parse(&source), dataplanes + policies + tree::OTHERS));
    let timed = |took| Measured::Time { took, floor: None };
    let above = |took, floor| Measured::Time {
        took,
        floor: Some(floor),
    };
    let mut column = vec![
        ("floor: walk, read, parse on one core", timed(floor)),
        (
            "a Python script",
            script(&source, dataplanes).map_or(Measured::Nothing, |took| above(took, floor)),
        ),
        ("check", above(check(dir), floor)),
        ("check, peak memory", Measured::Memory(peak(dir, &["check"]))),
    ];
    let mut put = |task, measured| column.push((task, measured));

    let one = settings(dir, "one", "select: [{name: dp-77}]\n");
    put("run --once, one proxy, first time", above(once(&one), floor));
    rest();
    put("run --once, one proxy, nothing to do", above(once_more(&one), floor));
    put(
        "daemon, one proxy, ready after a restart",
        above(ready(dir, &one), floor),
    );
    let stat = shortest(|| assert!(floor::stat(&source) > dataplanes));
    let mut live = Live::start(&one, &source);
    put("daemon, rescan, one proxy", above(shortest(|| live.rescan()), stat));
    let (edit, synced) = live.edits(&tree::dataplane(77), dir);
    put("daemon, its dataplane edited", above(edit, synced));
    drop(live);
    put("daemon, one proxy, resident", Measured::Memory(resident(dir, &one)));

    if dataplanes > MOST_PUBLISHED {
        return column;
    }
    let all = settings(dir, "all", "guard: {max_removed: 100%}\n");
    let first = once(&all);
    let copy = time(|| floor::copy(&dir.join("all"), &dir.join("copy")));
    put("run --once, all proxies, first time", above(first, floor + copy));
    rest();
    let read = shortest(|| assert!(floor::read(&dir.join("all")) > dataplanes));
    put(
        "run --once, all proxies, nothing to do",
        above(once_more(&all), floor + read),
    );
    let mut live = Live::start(&all, &source);
    let (edit, synced) = live.edits(&tree::dataplane(77), dir);
    put("daemon, all proxies, a dataplane edited", above(edit, synced));
    put(
        "daemon, all proxies, a policy for 1 %",
        timed(live.edits(tree::PART, dir).0),
    );
    put(
        "daemon, all proxies, a policy for all",
        timed(live.edits(tree::ALL, dir).0),
    );
    drop(live);
    put("daemon, all proxies, resident", Measured::Memory(resident(dir, &all)));
    tree::edit(&source.join(tree::ALL), EDITS + 1);
    put(
        "diff of that policy",
        timed(shortest(|| run(dir, &["diff", "--config", &all]))),
    );
    column
}

/// The shortest time of `check`.
pub(crate) fn check(dir: &Path) -> Duration {
    shortest(|| run(dir, &["check"]))
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The shortest of some rounds.
fn shortest(mut work: impl FnMut()) -> Duration {
    shortest_of(|| time(&mut work))
}

fn shortest_of(round: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(round).take(ROUNDS).min().unwrap_or_default()
}

/// Writes settings for an output directory of the given name, beside the policies; gives their path.
fn settings(dir: &Path, out: &str, more: &str) -> String {
    let path = dir.join(format!("{out}.yaml"));
    let (policies, out) = (dir.join("policies"), dir.join(out));
    let text = format!(
        "policies: {}\nout: {}\nhistory: 2\nrescan: 1h\n{more}",
        policies.display(),
        out.display()
    );
    fs::write(&path, text).expect("a file");
    path.to_str().expect("plain").to_owned()
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
    let policies = dir.join("policies");
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    if !arguments.contains(&"--config") {
        command.args(["--policies".as_ref(), policies.as_os_str()]);
    }
    command
}

fn run(dir: &Path, arguments: &[&str]) {
    let status = command(dir, arguments).status().expect("it runs");
    assert!(status.code().is_some_and(|code| code <= 1), "{arguments:?}: {status}");
}

fn once(settings: &str) -> Duration {
    time(|| run(Path::new("."), &["run", "--once", "--config", settings]))
}

/// The shortest time of `run --once` when nothing is left to do.
fn once_more(settings: &str) -> Duration {
    shortest_of(|| once(settings))
}

/// Waits until the times of all files are past, so that a run can tell that they have not changed.
fn rest() {
    thread::sleep(Duration::from_secs(4));
}

/// The time from the start of a daemon to its readiness, when nothing has changed since the last run.
fn ready(dir: &Path, settings: &str) -> Duration {
    once(settings);
    let mut daemon = command(dir, &["run", "--config", settings]);
    let start = Instant::now();
    let mut process = daemon.stderr(Stdio::piped()).spawn().expect("it runs");
    let log = BufReader::new(process.stderr.take().expect("its log"));
    let is_ready = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("nothing to change"));
    assert!(log.lines().any(|line| is_ready(&line)), "it was ready");
    let took = start.elapsed();
    process.kill().expect("it runs");
    process.wait().expect("it is ours");
    took
}

/// The time of the script; `None` without Python and its YAML library.
fn script(source: &Path, dataplanes: usize) -> Option<Duration> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/fleet/script.py");
    let start = Instant::now();
    let output = Command::new("python3").arg(script).arg(source).output().ok()?;
    let took = start.elapsed();
    let counted = String::from_utf8_lossy(&output.stdout);
    (counted.trim() == dataplanes.to_string()).then_some(took)
}

/// The value of a line of `/proc/PID/status`, in bytes; `None` when the process has ended.
fn memory(process: &Child, line: &str) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let value = status.lines().find_map(|found| found.strip_prefix(line))?;
    let kilobytes: usize = value.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The most memory that a command was seen with.
fn peak(dir: &Path, arguments: &[&str]) -> usize {
    let mut process = command(dir, arguments).spawn().expect("it runs");
    let mut peak = 0;
    while process.try_wait().expect("it is ours").is_none() {
        peak = peak.max(memory(&process, "VmHWM:").unwrap_or_default());
        thread::sleep(Duration::from_millis(2));
    }
    peak
}

/// The memory of a daemon that has nothing to do.
fn resident(dir: &Path, settings: &str) -> usize {
    let mut process = command(dir, &["run", "--config", settings]).spawn().expect("it runs");
    let mut last = 0;
    // Until it stays the same for a while.
    let mut same = 0;
    while same < 20 {
        thread::sleep(Duration::from_millis(100));
        let now = memory(&process, "VmRSS:").expect("it runs");
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    process.kill().expect("it runs");
    process.wait().expect("it is ours");
    last
}
