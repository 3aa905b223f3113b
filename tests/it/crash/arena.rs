//! A directory in which a publication can be interrupted at any of its system calls, and checked afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meshtraced::apply::{Target, history};
use meshtraced::envoy::FileText;
use meshtraced::envoy::artifact::{Artifact, Files, Fragments, ProxyKey};
use meshtraced::envoy::xds;
use serde_json::json;
use tempfile::TempDir;

use crate::kit::publish;
use crate::kit::strace::{self, Call, Run, Strace};
use crate::kit::wait;

/// A directory with policies and two states of them: one dataplane changes its collector, one goes, and one comes.
pub(crate) struct Arena {
    dir: TempDir,
    /// The directory of clusters and listeners, if they are not below the output directory.
    to: Option<TempDir>,
    /// The published files of each state.
    states: [Fragments; 2],
    /// The output directory after both states were published without interruption.
    expected: BTreeMap<PathBuf, Vec<u8>>,
    /// The calls of a publication, in their order.
    pub(crate) calls: Vec<Call>,
    /// The same calls in groups that are counted apart: of two threads only the one that makes its call of a number
    /// first is hit, unless the calls of the other are counted by themselves.
    pub(crate) groups: Vec<Group>,
}

/// The calls about a part of the output directory.
pub(crate) struct Group {
    strace: Strace,
    pub(crate) calls: Vec<Call>,
}

/// The result of an interrupted run.
pub(crate) struct Hurt {
    pub(crate) run: Run,
    /// Whether the run published nevertheless.
    pub(crate) is_finished: bool,
}

fn policies(backend: &str) -> String {
    format!(
        "type: Mesh\nname: default\ntracing:\n  backends:\n\
         \x20 - {{name: one, type: zipkin, conf: {{url: 'http://127.0.0.1:9411/api/v2/spans'}}}}\n\
         \x20 - {{name: two, type: zipkin, conf: {{url: 'http://127.0.0.2:9411/api/v2/spans'}}}}\n\
         ---\ntype: TrafficTrace\nmesh: default\nname: all\nselectors:\n- match: {{kuma.io/service: '*'}}\n\
         conf: {{backend: {backend}}}\n---\n{}",
        dataplane("web", 1),
    )
}

fn dataplane(name: &str, host: u8) -> String {
    format!(
        "type: Dataplane\nmesh: default\nname: {name}\nnetworking:\n  address: 10.0.0.{host}\n  inbound:\n  \
         - {{port: 8080, tags: {{kuma.io/service: {name}, kuma.io/protocol: http}}}}\n"
    )
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self::in_directory(&std::env::temp_dir())
    }

    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self::with(directory, None)
    }

    /// An arena whose clusters and listeners have places of their own, on another file system.
    pub(crate) fn elsewhere() -> Self {
        let to = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
        Self::with(&std::env::temp_dir(), Some(to))
    }

    fn with(directory: &Path, to: Option<TempDir>) -> Self {
        let dir = tempfile::tempdir_in(directory).expect("a temporary directory");
        for (state, backend, second) in [("before", "one", "goes"), ("after", "two", "comes")] {
            let directory = dir.path().join(state);
            fs::create_dir(&directory).expect("a directory");
            fs::write(directory.join("all.yaml"), policies(backend)).expect("a file");
            fs::write(directory.join(format!("{second}.yaml")), dataplane(second, 2)).expect("a file");
        }
        let place = |to: &TempDir, file: &str| to.path().join(format!("{{dataplane}}-{file}.yaml"));
        let shape = match &to {
            Some(to) => json!({"sidecar": {}, "to": {"cds": place(to, "cds"), "lds": place(to, "lds")}}),
            // The one that goes has its tracing in files for templates.
            None => json!({"select": {"name": "goes"}, "fragment": {}}),
        };
        fs::write(dir.path().join("settings.yaml"), json!({"shapes": [shape]}).to_string()).expect("settings");
        let mut arena = Self {
            dir,
            to,
            states: Default::default(),
            expected: BTreeMap::new(),
            calls: Vec::new(),
            groups: Vec::new(),
        };
        // Every run leaves the same files once the policies are old enough for a record of the run.
        wait::until("a run is recorded", || {
            let output = arena.command("before").output().expect("the program starts");
            assert_eq!(ended(&output), (Some(0), String::new()));
            let is_there = arena.out().join(".meshtraced/last-run.json").exists();
            is_there.then_some(()).ok_or_else(|| "it is not".to_owned())
        });
        arena.states[0] = arena.read();
        let is_block = |artifact: &Artifact| matches!(artifact, Artifact::Tracing(_));
        let has_block = arena.states[0].values().flat_map(|files| files.keys()).any(is_block);
        assert_eq!(has_block, arena.to.is_none());
        arena.copy("out", "saved");
        if let Some(to) = arena.to_path() {
            arena.copy(&to, "saved-to");
        }
        // Every path that calls name, known from a run that nothing happens to.
        let mut names = strace::names(&arena.record(&Strace::of_everything()), &arena.out());
        names.insert(String::new());
        let in_places = |dataplane: &str| {
            let to = arena.to.as_ref().map(|to| to.path().to_owned());
            let names = ["cds", "lds"].map(|file| format!("{dataplane}-{file}.yaml"));
            let names = names.into_iter().flat_map(|name| [format!(".{name}.meshtraced"), name]);
            let paths: Vec<PathBuf> = to
                .iter()
                .flat_map(|to| names.clone().map(|name| to.join(name)))
                .collect();
            paths.into_iter().chain(to.clone())
        };
        let strace = |part: &str| {
            let names = names.iter().filter(|name| name.starts_with(part));
            let below = names.map(|name| arena.dir.path().join(format!("out/{name}").trim_end_matches('/')));
            let elsewhere = ["web", "goes", "comes"].into_iter().flat_map(in_places);
            Strace::of(below.chain(elsewhere.filter(|_| part.is_empty())))
        };
        let groups = ["", "default", ".meshtraced/undo"].map(strace);
        arena.calls = arena.record(&groups[0]);
        for strace in groups {
            let calls = arena.record(&strace);
            arena.groups.push(Group { strace, calls });
        }
        arena.states[1] = arena.read();
        arena.expected = arena.tree();
        arena
    }

    /// The calls of an uninterrupted run.
    #[track_caller]
    fn record(&self, strace: &Strace) -> Vec<Call> {
        self.reset();
        let (output, calls) = strace.record(&self.command("after"));
        assert_eq!(ended(&output), (Some(0), String::new()));
        calls
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn command(&self, state: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        command
            .current_dir(self.dir.path())
            .args([
                "--config",
                "settings.yaml",
                "--policies",
                state,
                "--out",
                "out",
                "run",
                "--once",
            ])
            .env("MESHTRACED_HISTORY", "1");
        command
    }

    /// Restores the first state.
    pub(crate) fn reset(&self) {
        let _ = fs::remove_dir_all(self.out());
        self.copy("saved", "out");
        if let Some(to) = self.to_path() {
            for entry in fs::read_dir(&to).expect("a directory") {
                fs::remove_file(entry.expect("a file").path()).expect("a file");
            }
            self.copy("saved-to/.", &to);
        }
    }

    fn copy(&self, from: &str, to: &str) {
        let status = Command::new("cp")
            .args(["-a", from, to])
            .current_dir(self.dir.path())
            .status();
        assert!(status.expect("cp").success());
    }

    fn to_path(&self) -> Option<String> {
        self.to.as_ref().map(|to| to.path().display().to_string())
    }

    /// The path of a published file.
    fn path(&self, proxy: &ProxyKey, artifact: Artifact) -> PathBuf {
        let name = match (artifact, &self.to) {
            (Artifact::Cds, Some(_)) => "cds",
            (Artifact::Lds, Some(_)) => "lds",
            _ => return self.out().join(proxy.directory()).join(&*artifact.path()),
        };
        let to = self.to.as_ref().expect("a directory").path();
        to.join(format!("{}-{name}.yaml", proxy.dataplane))
    }

    /// Interrupts a run at a call of a group, and checks the files that remain and the result of the next run
    /// after it.
    #[track_caller]
    pub(crate) fn hurt(&self, group: usize, call: &str, how: &str, number: usize) -> Hurt {
        self.hurt_by(&self.groups[group].strace, call, how, number)
    }

    /// Interrupts a run at a call about one published directory, with the same checks.
    #[track_caller]
    pub(crate) fn hurt_in(&self, directory: &str, call: &str, how: &str, number: usize) -> Hurt {
        self.hurt_by(&Strace::of([self.out().join(directory)]), call, how, number)
    }

    #[track_caller]
    fn hurt_by(&self, strace: &Strace, call: &str, how: &str, number: usize) -> Hurt {
        self.reset();
        let run = strace.inject(&self.command("after"), call, how, number);
        let is_finished = self.check(&format!("{call} {how} {number}"));
        Hurt { run, is_finished }
    }

    /// Interrupts a run at a call of a group, without checks.
    #[track_caller]
    pub(crate) fn injure(&self, group: usize, call: &str, how: &str, number: usize) -> Run {
        self.groups[group]
            .strace
            .inject(&self.command("after"), call, how, number)
    }

    /// Checks the files after an interruption and the result of the next run. Returns whether everything was
    /// published before that run.
    #[track_caller]
    pub(crate) fn check(&self, at: &str) -> bool {
        self.check_readers(at);
        let is_finished = self.read() == self.states[1];
        let (code, said) = ended(&self.command("after").output().expect("the program starts"));
        assert_eq!((code, said.as_str()), (Some(0), ""), "{at}: the next run");
        self.check_end(at);
        is_finished
    }

    /// Checks the files that an Envoy would find at its start.
    #[track_caller]
    fn check_readers(&self, at: &str) {
        let found = self.read();
        let [old, new] = &self.states;
        for (proxy, files) in &found {
            let known = |artifact: &Artifact| {
                [old, new]
                    .into_iter()
                    .filter_map(|state| state.get(proxy)?.get(artifact))
                    .collect::<Vec<_>>()
            };
            for (artifact, text) in files {
                let between = *artifact == Artifact::Cds
                    && known(artifact)
                        .iter()
                        .any(|known| xds::union(&known.text(), &text.text()).is_none());
                assert!(
                    known(artifact).contains(&text) || between,
                    "{at}: {proxy} {}: {text}",
                    artifact.path()
                );
                let mode = fs::metadata(self.path(proxy, *artifact)).expect("it is there").mode();
                assert_eq!(mode & 0o7777, 0o640, "{at}: {proxy} {}", artifact.path());
            }
            if files.contains_key(&Artifact::Bootstrap) {
                assert!(is_pair(files), "{at}: {proxy} does not start: {files:#?}");
            }
        }
        let stays = ProxyKey::new("default", "web");
        assert_eq!(
            found.get(&stays).map(|files| files.len()),
            Some(Artifact::SINGLE.len() - 1),
            "{at}: {found:#?}"
        );
    }

    /// Checks that no trace of the interruption remains.
    #[track_caller]
    fn check_end(&self, at: &str) {
        let found = self.tree();
        let (found_names, expected): (Vec<_>, Vec<_>) = (found.keys().collect(), self.expected.keys().collect());
        assert_eq!(found_names, expected, "{at}");
        for (path, bytes) in &found {
            assert!(self.expected[path] == *bytes, "{at}: {} is another", path.display());
        }
        let generations = history::list(&self.target().out).expect("a history");
        let last = generations.last().expect("a generation").id;
        assert_eq!(generations.len(), 1, "{at}");
        assert_eq!(
            history::load(&self.target().out, last).expect("all of it"),
            self.states[1],
            "{at}"
        );
        let in_history = fs::read_dir(self.out().join(".meshtraced/history"))
            .expect("the history")
            .count();
        assert_eq!(in_history, 3, "{at}: something is left over");
        let objects = fs::read_dir(self.out().join(".meshtraced/history/objects"))
            .expect("the texts")
            .count();
        // Each proxy is in a shard of its own, which has its texts to itself.
        let distinct = |files: &Files| files.values().map(FileText::digest).collect::<BTreeSet<_>>().len();
        let needed: usize = self.states[1].values().map(distinct).sum();
        assert_eq!(objects, needed, "{at}: texts that nobody needs");
    }

    /// The published files, in the view of a reader.
    fn read(&self) -> Fragments {
        let mut found = Fragments::new();
        for dataplane in ["web", "goes", "comes"] {
            let proxy = ProxyKey::new("default", dataplane);
            let block = Artifact::at("tracing/inbound-8080.yaml").expect("the file of a block");
            for artifact in Artifact::SINGLE.into_iter().chain([block]) {
                if let Ok(text) = fs::read_to_string(self.path(&proxy, artifact)) {
                    found.entry(proxy.clone()).or_default().insert(artifact, text.into());
                }
            }
        }
        found
    }

    /// Everything that is published, by its path below its directory.
    fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = tree(&self.out());
        found.extend(self.to.iter().flat_map(|to| tree(to.path())));
        found
    }

    fn target(&self) -> Target {
        let mut target = publish::target(&self.out());
        target.history = 1;
        target
    }
}

/// Exit code and standard error.
#[track_caller]
pub(crate) fn ended(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8(output.stderr.clone()).expect("messages are UTF-8");
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

/// Whether every cluster that the listeners refer to exists.
fn is_pair(files: &Files) -> bool {
    let (Some(cds), Some(lds)) = (files.get(&Artifact::Cds), files.get(&Artifact::Lds)) else {
        return false;
    };
    ["tracing:one", "tracing:two"]
        .iter()
        .all(|cluster| !lds.text().contains(cluster) || cds.text().contains(cluster))
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
