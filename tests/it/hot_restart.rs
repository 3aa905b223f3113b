//! `examples/hot-restart`: a static Envoy that follows the policies by being replaced, and never stops serving.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::kit::collector::{Collector, Span};
use crate::kit::example::{Example, address, untraced};
use crate::kit::http::get;
use crate::kit::process::Process;
use crate::kit::{tools, wait};

/// The example, with its bootstrap and its first fragment.
fn example(collector: SocketAddr) -> Example {
    let example = Example::of("hot-restart", collector);
    // The admin is on the same address, at its own port.
    let base = example.text_here("base.yaml");
    let base = base.replace("address: 127.0.0.1", &format!("address: {}", example.web.ip()));
    fs::write(example.path("base.yaml"), base).expect("a file");
    example.publish();
    example
}

impl Example {
    /// Follows the policies: with the settings of the example, and with a validator.
    fn daemon(&self) -> Process {
        let settings = self.text("meshtraced.yaml");
        let dir = self.dir.path().to_str().expect("UTF-8");
        let settings = settings
            .replace(
                "policies: examples/hot-restart/policies",
                &format!("policies: {dir}/policies"),
            )
            .replace("/tmp/hot-restart/envoy", &format!("{dir}/envoy"))
            .replace(
                "/tmp/hot-restart/{dataplane}.pid",
                &format!("{dir}/run/{{dataplane}}.pid"),
            )
            .replace(
                "  # base: /etc/envoy/{dataplane}.yaml",
                &format!("  base: {dir}/base.yaml"),
            );
        assert_eq!(settings.matches(dir).count(), 4, "{settings}");
        fs::write(self.path("meshtraced.yaml"), settings).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        command
            .current_dir(self.dir.path())
            .args(["-c", "meshtraced.yaml", "run"])
            .env("MESHTRACED_ENVOY_VALIDATE", tools::envoy());
        Process::spawn(command, self.path("daemon.log"))
    }

    fn publish(&self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        let output = command.current_dir(self.dir.path()).args(["run", "--once"]).output();
        let output = output.expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn start(&self) -> Wrapper<'_> {
        let mut command = Command::new("python3");
        command.arg("-B").arg(self.source.join("wrapper.py"));
        // Killed wrappers leave their temporary directories.
        command.env("TMPDIR", self.dir.path());
        command.arg("--envoy").arg(tools::envoy());
        for (option, path) in [
            ("--base", "base.yaml"),
            ("--fragment", "envoy/default/web-01/fragment.yaml"),
            ("--pidfile", "run/web-01.pid"),
        ] {
            command.arg(option).arg(self.path(path));
        }
        // Of all addresses that tests use this one is its own, and so is what is made of it.
        let SocketAddr::V4(web) = self.web else {
            unreachable!("ports are of IPv4")
        };
        let base_id = web.ip().to_bits() & 0xff_ffff;
        command.args(["--base-id", &base_id.to_string()]);
        command.args(["--drain-time-s", "1", "--parent-shutdown-time-s", "2"]);
        command.args(["--", "--concurrency", "1", "--log-level", "warning"]);
        let mut wrapper = Wrapper {
            example: self,
            base_id,
            process: Process::spawn(command, self.path("wrapper.log")),
        };
        wrapper.says("epoch 0 serves", 1);
        wrapper
    }
}

struct Wrapper<'e> {
    example: &'e Example,
    base_id: u32,
    process: Process,
}

impl Wrapper<'_> {
    /// Waits until it has said that so many times.
    #[track_caller]
    fn says(&mut self, words: &str, times: usize) {
        wait::until(words, || {
            let log = self.process.log();
            if log.matches(words).count() >= times {
                return Ok(());
            }
            self.process.assert_alive();
            Err(log)
        });
    }

    /// Sends a signal to whom the pidfile names.
    fn signal(&self, signal: Signal) {
        let text = fs::read_to_string(self.example.path("run/web-01.pid")).expect("a pidfile");
        assert_eq!(text.trim(), self.process.id().to_string());
        kill_process(pid(&text), signal).expect("our own child");
    }

    /// The Envoys that it started, whether they still run or not.
    fn envoys(&self) -> Vec<Pid> {
        let log = self.process.log();
        let numbers = log.lines().filter_map(|line| line.split_once(" starts, process "));
        numbers.map(|(_, number)| pid(number)).collect()
    }

    /// Waits until only the last of its Envoys runs.
    #[track_caller]
    fn settles(&mut self) {
        let drained = self.envoys().len() - 1;
        self.says("has drained, exit code 0", drained);
    }

    fn is_served(&self) {
        assert_eq!(get(format!("http://{}/", self.example.web)).send().status, 200);
    }
}

impl Drop for Wrapper<'_> {
    fn drop(&mut self) {
        // Envoy leaves its shared memory behind, for an epoch that may follow.
        let _ = fs::remove_file(format!("/dev/shm/envoy_shared_memory_{}", u64::from(self.base_id) * 10));
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().expect("a number")).expect("a process id")
}

/// Makes requests until the work is done; how many there were. All of them are answered.
fn under_requests(example: &Example, work: impl FnOnce()) -> usize {
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let answer = get(format!("http://{}/", example.web)).send();
                assert_eq!(answer.status, 200, "{}", answer.body);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let over = SetWhenDropped(&is_over);
        work();
        drop(over);
    });
    count.into_inner()
}

/// Ends the requests also when the work panics.
struct SetWhenDropped<'f>(&'f AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_policy_moves_the_spans_and_every_request_is_answered() {
    let [first, second] = [Collector::start(), Collector::start()];
    let example = example(first.address());
    let mut wrapper = example.start();
    let daemon = example.daemon();
    let count = under_requests(&example, || {
        first.wait_for(|spans: &[Span]| (!spans.is_empty()).then_some(()));
        example.write_policies(&example.policies(second.address()));
        wrapper.says("epoch 1 serves", 1);
        second.wait_for(|spans: &[Span]| (!spans.is_empty()).then_some(()));
        wrapper.settles();
    });
    assert!(count > 10, "{count} requests are too few to tell anything");
    wrapper.is_served();
    // What does not fit is not published, and nobody is told to read it.
    example.write_policies(&untraced(&example.policies(second.address())));
    let words = "unknown cluster 'tracing:zipkin' (fragment.yaml merged into ";
    wait::until(words, || {
        let log = daemon.log();
        if log.contains(words) { Ok(()) } else { Err(log) }
    });
    let fragment = fs::read_to_string(example.path("envoy/default/web-01/fragment.yaml")).expect("published");
    assert!(fragment.contains("tracing:zipkin"), "{fragment}");
    // It was told once, and all that it started came to serve.
    assert_eq!(daemon.log().matches("reloaded ").count(), 1, "{}", daemon.log());
    assert_eq!(wrapper.envoys().len(), 2, "{}", wrapper.process.log());
    let log = wrapper.process.log();
    assert!(!log.contains("exit code 1") && !log.contains("not started"), "{log}");
}

#[test]
fn signals_that_come_together_are_one_restart_at_a_time() {
    let example = example(([127, 0, 0, 1], 9411).into());
    let mut wrapper = example.start();
    under_requests(&example, || {
        for _ in 0..50 {
            wrapper.signal(Signal::HUP);
        }
        wrapper.says("epoch 1 serves", 1);
        wrapper.settles();
        wrapper.signal(Signal::USR1);
        wrapper.signal(Signal::HUP);
        wrapper.says("serves", 3);
        wrapper.settles();
    });
    // One for what came before the first look, one for what came during the start, one for the last.
    let count = wrapper.envoys().len();
    assert!((3..=4).contains(&count), "{}", wrapper.process.log());
    wrapper.is_served();
}

#[test]
fn what_is_no_good_leaves_the_epoch_that_serves() {
    let example = example(([127, 0, 0, 1], 9411).into());
    let mut wrapper = example.start();
    let good = fs::read_to_string(example.path("policies/web.yaml")).expect("ours");
    let untraced = untraced(&good);
    under_requests(&example, || {
        example.write_policies(&untraced);
        example.publish();
        wrapper.signal(Signal::HUP);
        wrapper.says("epoch 1 is not started: ", 1);
        assert!(
            wrapper.process.log().contains("unknown cluster 'tracing:zipkin'"),
            "{}",
            wrapper.process.log()
        );

        // It is gone altogether.
        let fragment = example.path("envoy/default/web-01/fragment.yaml");
        fs::rename(&fragment, example.path("away")).expect("published");
        wrapper.signal(Signal::HUP);
        wrapper.says("epoch 1 is not started: ", 2);
        fs::rename(example.path("away"), &fragment).expect("back");

        // Good, and the number was not used up.
        example.write_policies(&good);
        example.publish();
        wrapper.signal(Signal::HUP);
        wrapper.says("epoch 1 serves", 1);
    });
    wrapper.settles();
    wrapper.is_served();
}

#[test]
fn an_epoch_that_does_not_start_leaves_the_one_before() {
    let example = example(([127, 0, 0, 1], 9411).into());
    let mut wrapper = example.start();
    // A second listener, on a port that somebody has: validation opens none.
    let taken = TcpListener::bind((example.web.ip(), 0)).expect("a port");
    let base = fs::read_to_string(example.path("base.yaml")).expect("ours");
    let (head, tail) = base.split_once("  - name: web\n").expect("the listener");
    let (listener, clusters) = tail.split_once("  clusters:\n").expect("the clusters");
    let other = listener.replace(&address(example.web), &address(taken.local_addr().expect("bound")));
    let both = format!("{head}  - name: web\n{listener}  - name: other\n{other}  clusters:\n{clusters}");
    fs::write(example.path("base.yaml"), both).expect("ours");
    under_requests(&example, || {
        wrapper.signal(Signal::HUP);
        wrapper.says("epoch 1 did not start, exit code 1; the one before goes on", 1);
        // Envoy itself cannot restart hot any more then: it takes the one that died for one that still starts.
        drop(taken);
        wrapper.signal(Signal::HUP);
        wrapper.says("epoch 1 did not start, exit code 1; the one before goes on", 2);
        assert!(
            wrapper.process.log().contains("still initializing"),
            "{}",
            wrapper.process.log()
        );
        assert!(wrapper.process.log().contains("only a restart of this wrapper helps"));
    });
    wrapper.is_served();
}

#[test]
fn when_it_ends_nothing_is_left() {
    let example = example(([127, 0, 0, 1], 9411).into());
    let are_gone = |envoys: &[Pid]| {
        wait::until("all Envoys are gone", || {
            let left: Vec<&Pid> = envoys.iter().filter(|pid| test_kill_process(**pid).is_ok()).collect();
            left.is_empty().then_some(()).ok_or(format!("{left:?}"))
        });
    };
    // Told to, while two epochs run.
    let mut wrapper = example.start();
    wrapper.signal(Signal::HUP);
    wrapper.says("epoch 1 serves", 1);
    wrapper.signal(Signal::TERM);
    let status = wait::until("it ends", || {
        wrapper.process.exited().ok_or_else(|| wrapper.process.log())
    });
    assert_eq!(status.code(), Some(0), "{}", wrapper.process.log());
    are_gone(&wrapper.envoys());
    assert!(!example.path("run/web-01.pid").exists());
    drop(wrapper);
    // Its Envoy dies.
    let mut wrapper = example.start();
    kill_process(wrapper.envoys()[0], Signal::KILL).expect("it runs");
    let status = wait::until("it ends", || {
        wrapper.process.exited().ok_or_else(|| wrapper.process.log())
    });
    assert_eq!(status.code(), Some(1), "{}", wrapper.process.log());
    drop(wrapper);
    // It is killed itself.
    let wrapper = example.start();
    wrapper.signal(Signal::KILL);
    are_gone(&wrapper.envoys());
}
