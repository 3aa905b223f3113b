//! Policies out of every kind of repository and directory, and out of those that are just being changed.
//!
//! Each tree of policies carries a stamp: the sampling of two meshes that stand in two files. Published proxies whose
//! stamps differ were compiled from two trees at once.

mod absent;
mod changes;
mod consistent_reads;
mod directories;
mod git_race;
mod limits;
mod refused;
mod repositories;
mod worktrees;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meshtraced::apply::{Target, history};
use meshtraced::envoy::artifact::{Artifact, Files};
use tempfile::TempDir;

use crate::kit::daemon::Daemon;
use crate::kit::process::Process;
use crate::kit::publish::settings;
use crate::kit::wait;

/// The meshes of a tree, each in a file of its name.
const MESHES: [&str; 2] = ["one", "two"];

/// A mesh that carries a stamp.
fn policies(mesh: &str, stamp: u32) -> String {
    format!(
        "type: Mesh\nname: {mesh}\ntracing:\n  backends:\n  - name: first\n    type: zipkin\n    sampling: {stamp}\n    \
         conf: {{url: 'http://127.0.0.1:9411/api/v2/spans'}}\n---\ntype: TrafficTrace\nmesh: {mesh}\nname: all\n\
         selectors:\n- match: {{kuma.io/service: '*'}}\nconf: {{backend: first}}\n---\ntype: Dataplane\nmesh: {mesh}\n\
         name: web\nnetworking:\n  address: 127.0.0.1\n  inbound:\n  - port: 8080\n    servicePort: 18080\n    \
         tags: {{kuma.io/service: web, kuma.io/protocol: http}}\n"
    )
}

/// Writes a tree with that stamp.
#[track_caller]
fn stamp(dir: &Path, stamp: u32) {
    fs::create_dir_all(dir).expect("a directory");
    for mesh in MESHES {
        fs::write(dir.join(mesh).with_extension("yaml"), policies(mesh, stamp)).expect("a file");
    }
}

/// The stamps in what is published, by mesh.
type Stamps = BTreeMap<String, u32>;

/// The name of a revision, and the stamps that were published for it.
type Generation = (String, Stamps);

fn stamps_are(stamp: u32) -> Stamps {
    MESHES.iter().map(|mesh| ((*mesh).to_owned(), stamp)).collect()
}

/// The stamp in the text of an `effective.yaml`.
#[track_caller]
fn stamp_in(effective: &str) -> u32 {
    let (_, behind) = effective.split_once("sampling:\n    value: ").expect("a sampling");
    let number = behind.lines().next().expect("a line");
    number.trim_end_matches(".0").parse().expect("a whole number")
}

/// A directory with a place to publish to.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `meshtraced` for policies that are read in that way.
    fn meshtraced(&self, policies: &Path, source: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtraced"));
        command
            .current_dir(self.dir.path())
            .args(arguments)
            .arg("--policies")
            .arg(policies)
            .arg("--out")
            .arg(self.path("envoy"))
            .env("MESHTRACED_SOURCE", source)
            .env("MESHTRACED_HISTORY", "1000");
        command
    }

    /// Publishes once: the stamps, or what is wrong.
    #[track_caller]
    fn publish(&self, policies: &Path, source: &str) -> Result<Stamps, String> {
        self.publish_by(&mut self.meshtraced(policies, source, &["run", "--once"]))
    }

    #[track_caller]
    fn publish_by(&self, command: &mut Command) -> Result<Stamps, String> {
        let output = command.output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        match output.status.code() {
            Some(0) => Ok(self.stamps()),
            _ => Err(said),
        }
    }

    /// What is published now; only when nobody publishes.
    fn stamps(&self) -> Stamps {
        let read = |mesh: &&str| {
            let path = self.path("envoy").join(mesh).join("web/effective.yaml");
            Some(((*mesh).to_owned(), stamp_in(&fs::read_to_string(path).ok()?)))
        };
        MESHES.iter().filter_map(read).collect()
    }

    /// The name of the last revision that was published.
    fn revision(&self) -> String {
        let (generations, _) = self.generations();
        generations.last().expect("a generation").0.clone()
    }

    /// All generations that were published, each with its revision and stamps, and those that mix two trees.
    fn generations(&self) -> (Vec<Generation>, Vec<Generation>) {
        let settings = settings(self.path("nothing"), self.path("envoy"));
        let target = Target::from_settings(&settings).expect("a target");
        let stamps = |id: u64| -> Stamps {
            let fragments = history::load(&target.out, id).expect("a whole generation");
            let stamp = |files: &Files| stamp_in(&files[&Artifact::Effective].text());
            fragments
                .iter()
                .map(|(proxy, files)| (proxy.mesh.clone(), stamp(files)))
                .collect()
        };
        let generations = history::list(&target.out).expect("a history");
        let all: Vec<_> = (generations.iter())
            .map(|generation| (generation.revision.clone(), stamps(generation.id)))
            .collect();
        let is_mixed = |(_, stamps): &&Generation| stamps.values().collect::<BTreeSet<_>>().len() > 1;
        let mixed = all.iter().filter(is_mixed).cloned().collect();
        (all, mixed)
    }

    /// Waits until both meshes are published with a stamp.
    #[track_caller]
    fn until_published(&self, daemon: &Daemon, stamp: u32) {
        wait::until(&format!("stamp {stamp} is published"), || {
            let now = self.stamps();
            if now == stamps_are(stamp) {
                Ok(())
            } else {
                Err(format!("{now:?}\n{}", daemon.process.log()))
            }
        });
    }

    /// Starts the daemon; it may be anywhere in its first turn.
    fn daemon(&self, policies: &Path, source: &str) -> Daemon {
        self.daemon_by(self.meshtraced(policies, source, &["run", "-v"]))
    }

    fn daemon_by(&self, command: Command) -> Daemon {
        Daemon {
            process: Process::spawn(command, self.path("daemon.log")),
            socket: self.path("envoy/.meshtraced/control.sock"),
        }
    }
}
