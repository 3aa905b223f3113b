//! A diff is the plan that a run carries out: it is empty if and only if the run writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use meshtraced::apply::{Session, Target};
use meshtraced::compile::Extent;
use meshtraced::envoy::artifact::Artifact;
use meshtraced::plan::Plan;
use meshtraced::reconcile::{Cache, Policies, Purpose, ReconcileOptions, Side, Stopwatch, compare, reconcile};
use meshtraced::settings::{OnDrift, Settings};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::kit::publish::place;

const DATAPLANES: usize = 4;

/// A change of the policies, of the published files or of the settings.
#[derive(Debug, Clone)]
enum Edit {
    /// The sampling of the backend; beyond 100 it is an error that holds the mesh.
    Sampling(u16),
    /// The port of a dataplane, or its end.
    Dataplane(usize, Option<u16>),
    /// A dataplane that nobody can publish: an error that holds it alone.
    Refused(usize),
    /// A comment.
    Comment,
    /// Somebody else writes a published file, or removes it.
    Published(usize, Artifact, Option<&'static [u8]>),
    /// The setting `drift`.
    Drift(OnDrift),
}

fn edit() -> impl Strategy<Value = Edit> {
    let dataplane = || 0..DATAPLANES;
    let text = prop_oneof![
        Just(None),
        Just(Some(&b"edited: true\n"[..])),
        Just(Some(&b"\xff\x00\x1b[31m"[..])),
    ];
    prop_oneof![
        2 => prop_oneof![0..=100_u16, Just(250)].prop_map(Edit::Sampling),
        3 => (dataplane(), prop::option::weighted(0.8, 1..9_u16)).prop_map(|(one, port)| Edit::Dataplane(one, port)),
        1 => dataplane().prop_map(Edit::Refused),
        1 => Just(Edit::Comment),
        2 => (dataplane(), prop::sample::select(&Artifact::SINGLE[..]), text)
            .prop_map(|(one, artifact, text)| Edit::Published(one, artifact, text)),
        1 => prop_oneof![Just(OnDrift::Report), Just(OnDrift::Heal)].prop_map(Edit::Drift),
    ]
}

struct Place {
    dir: TempDir,
    settings: Settings,
    target: Target,
}

/// The files of the proxies, each with what tells whether it was written.
type Files = BTreeMap<PathBuf, (u64, Vec<u8>)>;

impl Place {
    fn new() -> Self {
        let (dir, settings, target) = place();
        let mut place = Self { dir, settings, target };
        place.edit(&Edit::Sampling(100));
        place.write(
            "trace.yaml",
            "type: TrafficTrace\nmesh: default\nname: all\nselectors:\n- match: {kuma.io/service: '*'}\n",
        );
        (0..DATAPLANES).for_each(|one| place.edit(&Edit::Dataplane(one, Some(1))));
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.policies().join(name), text).expect("a file");
    }

    fn policies(&self) -> PathBuf {
        self.dir.path().join("policies")
    }

    fn edit(&mut self, edit: &Edit) {
        let dataplane = |one: usize, address: &str, port: u16| {
            format!(
                "type: Dataplane\nmesh: default\nname: d-{one}\nnetworking:\n  address: {address}\n  inbound:\n  - port: \
                 {}\n    tags: {{kuma.io/service: s-{one}, kuma.io/protocol: http}}\n",
                8000 + port
            )
        };
        match edit {
            Edit::Sampling(sampling) => self.write(
                "mesh.yaml",
                &format!(
                    "type: Mesh\nname: default\ntracing:\n  defaultBackend: z\n  backends:\n  - {{name: z, type: zipkin, \
                     sampling: {sampling}, conf: {{url: 'http://127.0.0.1:9411/api/v2/spans'}}}}\n"
                ),
            ),
            Edit::Dataplane(one, Some(port)) => {
                let address = format!("192.0.2.{}", one + 1);
                self.write(&format!("{one}.yaml"), &dataplane(*one, &address, *port));
            }
            Edit::Dataplane(one, None) => drop(fs::remove_file(self.policies().join(format!("{one}.yaml")))),
            // An address by name cannot be bound.
            Edit::Refused(one) => self.write(&format!("{one}.yaml"), &dataplane(*one, "host.example.com", 1)),
            Edit::Comment => {
                let path = self.policies().join("trace.yaml");
                let text = fs::read_to_string(&path).expect("a file");
                fs::write(path, format!("# A comment\n{text}")).expect("a file");
            }
            Edit::Published(one, artifact, text) => {
                let path = self.target.out.root.join(format!("default/d-{one}")).join(&*artifact.path());
                match text {
                    _ if !path.exists() => {}
                    None => fs::remove_file(path).expect("removed"),
                    Some(bytes) => fs::write(path, bytes).expect("a file"),
                }
            }
            Edit::Drift(drift) => self.settings.drift = *drift,
        }
    }

    /// The plan that `diff` shows.
    fn diff(&self) -> Plan {
        let purpose = Purpose::Inspect(&Side::Now, Extent::Files);
        let policies = Policies::read(
            &self.settings,
            &self.target,
            purpose,
            &mut Cache::default(),
            &mut Stopwatch::default(),
        );
        let policies = policies.expect("settings").expect("readable");
        let comparison = compare(&self.settings, &self.target, &policies).expect("readable");
        comparison.planned.plan
    }

    /// The plan that `run --once` carries out.
    fn run(&self) -> Plan {
        let session = Session::open(&self.target).expect("nobody else");
        let options = ReconcileOptions::once(&self.settings);
        let result = reconcile(&self.settings, &self.target, &session, &mut Cache::default(), &options);
        result.expect("published").planned.plan
    }

    fn files(&self) -> Files {
        let mut found = Files::new();
        for entry in walkdir::WalkDir::new(self.target.out.root.join("default")) {
            let Ok(entry) = entry else { continue };
            if entry.file_type().is_file() {
                let inode = entry.metadata().expect("metadata").ino();
                found.insert(
                    entry.path().to_owned(),
                    (inode, fs::read(entry.path()).expect("a file")),
                );
            }
        }
        found
    }
}

/// The files that a plan writes or removes.
fn planned(plan: &Plan, root: &Path) -> Vec<PathBuf> {
    let files = plan.changes.iter().flat_map(|change| {
        let directory = root.join(change.proxy.directory());
        change.changed().map(move |artifact| directory.join(&*artifact.path()))
    });
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_is_what_a_run_does(edits in vec(vec(edit(), 1..3), 1..6)) {
        let mut place = Place::new();
        place.run();
        for edits in edits {
            edits.iter().for_each(|edit| place.edit(edit));
            let (diff, before) = (place.diff(), place.files());
            let run = place.run();
            prop_assert_eq!(&diff, &run);
            let after = place.files();
            let all = before.keys().chain(after.keys());
            let mut written: Vec<PathBuf> = all.filter(|path| before.get(*path) != after.get(*path)).cloned().collect();
            written.sort();
            written.dedup();
            // A file that was gone and is not wanted is no file to remove.
            let is_there = |path: &PathBuf| before.contains_key(path) || after.contains_key(path);
            let mut expected = planned(&diff, &place.target.out.root);
            expected.retain(is_there);
            prop_assert_eq!(expected, written);
        }
    }
}
