//! Every system call by which a run changes the output directory is the last one, or fails, once.
//!
//! What readers find then are old or new files in full and a pair of clusters and listeners that starts; the next run
//! ends where one that nothing happened to ends, and says nothing about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meshtraced::apply::{Target, history};
use meshtraced::envoy::artifact::{Artifact, Files, Fragments, ProxyKey};
use meshtraced::envoy::xds;
use meshtraced::settings::Admin;
use tempfile::TempDir;

use crate::kit::parallel::in_parallel;
use crate::kit::strace::{self, Call, Run, Strace};

/// A directory with policies and two states of them: one dataplane changes its collector, one goes, and one comes.
struct Arena {
    dir: TempDir,
    strace: Strace,
    /// What each state publishes.
    states: [Fragments; 2],
    /// The output directory after both were published and nothing happened.
    expected: BTreeMap<PathBuf, Vec<u8>>,
    calls: Vec<Call>,
}

fn policies(backend: &str, second: &str) -> String {
    let dataplane = |name: &str, host: u8| {
        format!(
            "---\ntype: Dataplane\nmesh: default\nname: {name}\nnetworking:\n  address: 10.0.0.{host}\n  inbound:\n  \
             - {{port: 8080, tags: {{kuma.io/service: {name}, kuma.io/protocol: http}}}}\n"
        )
    };
    format!(
        "type: Mesh\nname: default\ntracing:\n  backends:\n\
         \x20 - {{name: one, type: zipkin, conf: {{url: 'http://127.0.0.1:9411/api/v2/spans'}}}}\n\
         \x20 - {{name: two, type: zipkin, conf: {{url: 'http://127.0.0.2:9411/api/v2/spans'}}}}\n\
         ---\ntype: TrafficTrace\nmesh: default\nname: all\nselectors:\n- match: {{kuma.io/service: '*'}}\n\
         conf: {{backend: {backend}}}\n{}{}",
        dataplane("web", 1),
        dataplane(second, 2),
    )
}

impl Arena {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| {
            fs::create_dir(dir.path().join(name)).expect("a directory");
            fs::write(dir.path().join(name).join("all.yaml"), text).expect("a file");
        };
        write("before", &policies("one", "goes"));
        write("after", &policies("two", "comes"));
        let mut arena = Self {
            strace: Strace::of_everything(),
            dir,
            states: Default::default(),
            expected: BTreeMap::new(),
            calls: Vec::new(),
        };
        assert_eq!(
            ended(&arena.command("before").output().expect("the program starts")),
            (Some(0), String::new())
        );
        arena.states[0] = read(&arena.out());
        let saved = Command::new("cp")
            .args(["-a", "out", "saved"])
            .current_dir(arena.dir.path())
            .status();
        assert!(saved.expect("cp").success());
        // Every path that calls name, known from a run that nothing happens to.
        for _ in 0..2 {
            arena.reset();
            let (output, calls) = arena.strace.record(&arena.command("after"));
            assert_eq!(ended(&output), (Some(0), String::new()));
            arena.strace = Strace::of(&arena.out(), strace::names(&calls, &arena.out()));
            arena.calls = calls;
        }
        arena.states[1] = read(&arena.out());
        arena.expected = tree(&arena.out());
        arena
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn command(&self, state: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        command
            .current_dir(self.dir.path())
            .args(["--policies", state, "--out", "out", "run", "--once"])
            .env("MESHTRACED_HISTORY", "1");
        command
    }

    /// Back to the first state.
    fn reset(&self) {
        let _ = fs::remove_dir_all(self.out());
        let status = Command::new("cp")
            .args(["-a", "saved", "out"])
            .current_dir(self.dir.path())
            .status();
        assert!(status.expect("cp").success());
    }

    /// Lets something happen to a run, and checks what it leaves and what the next run makes of it.
    #[track_caller]
    fn hurt(&self, call: &str, how: &str, number: usize) -> Run {
        self.reset();
        let run = self.strace.inject(&self.command("after"), call, how, number);
        let at = format!("{call} {how} {number}");
        self.check_readers(&at);
        let (code, said) = ended(&self.command("after").output().expect("the program starts"));
        assert_eq!((code, said.as_str()), (Some(0), ""), "{at}: the next run");
        self.check_end(&at);
        run
    }

    /// What an Envoy that starts now would find.
    #[track_caller]
    fn check_readers(&self, at: &str) {
        let found = read(&self.out());
        let [old, new] = &self.states;
        for (proxy, files) in &found {
            let known = |artifact: &Artifact| {
                [old, new]
                    .into_iter()
                    .filter_map(|state| state.get(proxy)?.get(artifact))
                    .collect::<Vec<_>>()
            };
            for (artifact, text) in files {
                let between =
                    *artifact == Artifact::Cds && known(artifact).iter().any(|known| xds::union(known, text).is_none());
                assert!(
                    known(artifact).contains(&text) || between,
                    "{at}: {proxy} {}: {text}",
                    artifact.path()
                );
                let mode = fs::metadata(self.out().join(proxy.directory()).join(artifact.path()))
                    .expect("it is there")
                    .mode();
                assert_eq!(mode & 0o7777, 0o640, "{at}: {proxy} {}", artifact.path());
            }
            if files.contains_key(&Artifact::Bootstrap) {
                assert!(is_pair(files), "{at}: {proxy} does not start: {files:#?}");
            }
        }
        let stays = ProxyKey::new("default", "web");
        assert_eq!(
            found.get(&stays).map(|files| files.len()),
            Some(Artifact::ALL.len()),
            "{at}: {found:#?}"
        );
    }

    /// That nothing tells that something happened.
    #[track_caller]
    fn check_end(&self, at: &str) {
        let found = tree(&self.out());
        let (found_names, expected): (Vec<_>, Vec<_>) = (found.keys().collect(), self.expected.keys().collect());
        assert_eq!(found_names, expected, "{at}");
        for (path, bytes) in &found {
            assert!(self.expected[path] == *bytes, "{at}: {} is another", path.display());
        }
        let generations = history::list(&self.target()).expect("a history");
        let last = generations.last().expect("a generation").id;
        assert_eq!(generations.len(), 1, "{at}");
        assert_eq!(
            history::load(&self.target(), last).expect("all of it"),
            self.states[1],
            "{at}"
        );
        let objects = fs::read_dir(self.out().join(".meshtraced/history/objects"))
            .expect("the texts")
            .count();
        let needed: BTreeSet<_> = self.states[1].values().flat_map(Files::values).collect();
        assert_eq!(objects, needed.len(), "{at}: texts that nobody needs");
    }

    fn target(&self) -> Target {
        Target {
            root: self.out(),
            mode: 0o640,
            owner: None,
            group: None,
            admin: Admin::Pipe,
            confirm_timeout: std::time::Duration::from_secs(1),
            history: 1,
        }
    }
}

/// Exit code and standard error.
#[track_caller]
fn ended(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8(output.stderr.clone()).expect("messages are UTF-8");
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

/// Whether every cluster that the listeners name is there.
fn is_pair(files: &Files) -> bool {
    let (Some(cds), Some(lds)) = (files.get(&Artifact::Cds), files.get(&Artifact::Lds)) else {
        return false;
    };
    ["tracing:one", "tracing:two"]
        .iter()
        .all(|cluster| !lds.contains(cluster) || cds.contains(cluster))
}

/// What is published, as a reader finds it.
fn read(out: &Path) -> Fragments {
    let mut found = Fragments::new();
    for dataplane in ["web", "goes", "comes"] {
        let proxy = ProxyKey::new("default", dataplane);
        for artifact in Artifact::ALL {
            if let Ok(text) = fs::read_to_string(out.join(proxy.directory()).join(artifact.path())) {
                found.entry(proxy.clone()).or_default().insert(artifact, text);
            }
        }
    }
    found
}

/// Everything below the output directory, but for what says when: the lock and the history.
fn tree(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(out)
        .into_iter()
        .map(|entry| entry.expect("a readable tree").into_path());
    let below =
        entries.filter(|path| !path.ends_with("lock") && !path.components().any(|part| part.as_os_str() == "history"));
    below
        .map(|path| {
            let mode = fs::metadata(&path).expect("there").mode();
            let bytes = fs::read(&path).unwrap_or_else(|_| format!("{mode:o}").into_bytes());
            (path.strip_prefix(out).expect("below").to_owned(), bytes)
        })
        .collect()
}

/// The numbers of the calls of each name that are worth it.
fn numbers(calls: &[Call], is_worth_it: impl Fn(&Call) -> bool) -> BTreeSet<(String, usize)> {
    calls
        .iter()
        .filter(|call| is_worth_it(call))
        .map(|call| (call.name.clone(), call.number))
        .collect()
}

fn creates(call: &Call) -> bool {
    call.name != "openat" || call.arguments.contains("O_CREAT")
}

/// Spreads work over arenas, since paths are part of what is published.
fn in_arenas<T: Sync>(items: &[T], work: impl Fn(&Arena, &T) + Sync) {
    let halves: Vec<&[T]> = items.chunks(items.len().div_ceil(2).max(1)).collect();
    in_parallel(&halves, |half| {
        let arena = Arena::new();
        for item in *half {
            work(&arena, item);
        }
    });
}

#[test]
fn killed_at_every_call() {
    let arena = Arena::new();
    let calls: Vec<_> = numbers(&arena.calls, creates).into_iter().collect();
    for needed in [
        "openat",
        "write",
        "syncfs",
        "fsync",
        "renameat",
        "renameat2",
        "linkat",
        "unlinkat",
        "mkdirat",
        "fchmod",
    ] {
        assert!(calls.iter().any(|(name, _)| name == needed), "a run makes no {needed}");
    }
    in_arenas(&calls, |arena, (call, number)| {
        let run = arena.hurt(call, "signal=SIGKILL", *number);
        assert!(run.was_hit || run.output.status.success(), "{call} {number}");
    });
    // There are no more of them than were seen.
    for name in strace::WRITES {
        let last = calls
            .iter()
            .filter(|(call, _)| call == name)
            .map(|(_, number)| *number)
            .max();
        if let Some(last) = last.filter(|_| name != "openat") {
            assert!(
                !arena.hurt(name, "signal=SIGKILL", last + 1).was_hit,
                "more than {last} {name}"
            );
        }
    }
}
