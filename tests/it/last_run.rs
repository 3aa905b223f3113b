//! The result of the last run spares the next process the work, and never changes what it does.

use std::fs::{self, File};
use std::path::PathBuf;

use meshtraced::apply::{Session, Target};
use meshtraced::compile::Extent;
use meshtraced::reconcile::{Cache, Policies, Purpose, ReconcileOptions, Reconciliation, Side, Stopwatch, reconcile};
use meshtraced::settings::Settings;
use meshtraced::source::Mode;
use tempfile::TempDir;

use crate::kit::git::Git;
use crate::kit::publish::settings;
use crate::kit::wait;

/// A dataplane that is traced, and a policy that selects nothing, which is a finding.
const POLICIES: &str = "type: Mesh\nname: default\ntracing:\n  backends:\n  - {name: z, type: zipkin, conf: {url: \
                        'http://127.0.0.1:9411/api/v2/spans'}}\n---\ntype: TrafficTrace\nmesh: default\nname: all\nselectors:\n\
                        - match: {kuma.io/service: '*'}\nconf: {backend: z}\n---\ntype: TrafficTrace\nmesh: default\nname: \
                        none\nselectors:\n- match: {kuma.io/service: nobody}\nconf: {backend: z}\n---\ntype: Dataplane\n\
                        mesh: default\nname: web\nnetworking:\n  address: 127.0.0.1\n  inbound:\n  - port: 8080\n    \
                        servicePort: 18080\n    tags: {kuma.io/service: web, kuma.io/protocol: http}\n";

struct Place {
    dir: TempDir,
    git: Git,
    settings: Settings,
}

impl Place {
    /// A repository whose only commit is published.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let git = Git::init(&dir.path().join("policies"), &[]);
        let mut settings = settings(git.dir.clone(), dir.path().join("envoy"));
        settings.source = Mode::Git;
        let place = Self { dir, git, settings };
        place.commit(POLICIES);
        assert!(!place.run().is_remembered());
        place
    }

    fn commit(&self, policies: &str) {
        fs::write(self.git.dir.join("policies.yaml"), policies).expect("a file");
        self.git.commit("policies");
    }

    /// A reconciliation as of a new process.
    fn run(&self) -> Reconciliation {
        let target = Target::from_settings(&self.settings).expect("a target");
        let session = Session::open(&target).expect("nobody else");
        let (mut cache, options) = (Cache::default(), ReconcileOptions::default());
        reconcile(&self.settings, &target, &session, &mut cache, &options).expect("published")
    }

    fn published(&self, name: &str) -> PathBuf {
        self.dir.path().join("envoy/default/web").join(name)
    }

    fn record(&self) -> PathBuf {
        self.dir.path().join("envoy/.meshtraced/last-run.json")
    }

    /// Whether the published files are those that the policies ask for.
    fn is_up_to_date(&self) -> bool {
        let target = Target::from_settings(&self.settings).expect("a target");
        let (purpose, mut cache) = (Purpose::Inspect(&Side::Now, Extent::Files), Cache::default());
        let policies = Policies::read(&self.settings, &target, purpose, &mut cache, &mut Stopwatch::default());
        let policies = policies.expect("settings").expect("readable");
        let mut files = policies.compiled.fragments.iter().flat_map(|(proxy, files)| {
            let directory = target.out.root.join(proxy.directory());
            files
                .iter()
                .map(move |(artifact, text)| (directory.join(&*artifact.path()), text))
        });
        files.all(|(path, text)| fs::read_to_string(path).is_ok_and(|found| found == text.text()))
    }
}

#[test]
fn what_has_not_changed_is_not_compiled_again() {
    let place = Place::new();
    // The first run recorded another reconciliation than the next one sees: one that published.
    let (second, third) = (place.run(), place.run());
    for run in [&second, &third] {
        assert!(run.is_remembered() && run.carried_out().changes.is_empty());
        assert_eq!((run.published_before, run.read_back), (1, 1));
    }
    fs::remove_file(place.record()).expect("a record");
    let fresh = place.run();
    assert!(!fresh.is_remembered());
    let (remembered, compiled) = (second.policies.expect("an overview"), fresh.policies.expect("policies"));
    assert_eq!(remembered.findings.len(), 1);
    assert_eq!(remembered, compiled);
    assert_eq!(remembered.findings[0].one_line(), compiled.findings[0].one_line());
    assert_eq!(*second.published, *fresh.published);
}

#[test]
fn whatever_has_changed_is_compiled() {
    type Edit = fn(&mut Place);
    let edits: [(&str, Edit); 7] = [
        ("a commit", |place| place.commit(&POLICIES.replace("9411", "9412"))),
        ("a commit without a change", |place| drop(place.git.commit("nothing"))),
        ("a branch", |place| {
            drop(place.git.run(&["checkout", "-q", "-b", "other"]))
        }),
        ("a setting", |place| place.settings.sidecar.without.clear()),
        ("another setting", |place| place.settings.kuma.zone = "east".to_owned()),
        ("a published file that is gone", |place| {
            fs::remove_file(place.published("xds/lds.yaml")).expect("published");
        }),
        ("an inventory that is gone", |place| {
            fs::remove_dir_all(place.dir.path().join("envoy/.meshtraced/inventory")).expect("published");
        }),
    ];
    for (what, edit) in edits {
        let mut place = Place::new();
        let is_a_change = what != "a setting";
        edit(&mut place);
        assert_eq!(place.run().is_remembered(), !is_a_change, "{what}");
        assert!(place.is_up_to_date(), "{what}");
        // What the next process starts from is the new state.
        place.run();
        assert!(place.run().is_remembered(), "{what}");
    }
}

#[test]
fn an_edited_file_is_reported_as_ever() {
    let place = Place::new();
    fs::write(place.published("xds/lds.yaml"), "edited").expect("published");
    let run = place.run();
    assert!(!run.is_remembered());
    assert_eq!(run.planned.drift.len(), 1);
}

#[test]
fn errors_are_compiled_every_time() {
    let place = Place::new();
    place.commit(&POLICIES.replace("type: zipkin", "type: zipper"));
    for _ in 0..3 {
        let run = place.run();
        assert!(!run.is_remembered());
        assert!(!run.policies.expect("readable").held.is_empty());
    }
}

#[test]
fn a_record_that_is_damaged_or_foreign_is_ignored() {
    let place = Place::new();
    let record = fs::read_to_string(place.record()).expect("a record");
    let signed = |text: String| format!("{}\n{text}", blake3::hash(text.as_bytes()).to_hex());
    let (_, text) = record.split_once('\n').expect("a hash");
    let mut damaged = vec![
        String::new(),
        "{}".to_owned(),
        text.to_owned(),
        record[..record.len() / 2].to_owned(),
        signed(text.replace("{\"format\":1", "{\"format\":2")),
        signed(text.replace("\"program\":\"", "\"program\":\"0.0.")),
        signed(text.replace("\"message\"", "\"massage\"")),
        signed(text.replace("\"texts\":{\"policies.yaml\"", "\"texts\":{\"others.yaml\"")),
        signed(text.replace("\"code\":\"", "\"code\":\"un")),
    ];
    // Any other letter anywhere.
    let letters = (0..record.len())
        .step_by(97)
        .filter(|at| record.is_char_boundary(*at) && record.is_char_boundary(at + 1));
    damaged.extend(letters.map(|at| {
        let other = if record[at..].starts_with('x') { "y" } else { "x" };
        format!("{}{other}{}", &record[..at], &record[at + 1..])
    }));
    for damaged in damaged {
        assert_ne!(damaged, record);
        fs::write(place.record(), &damaged).expect("ours");
        assert!(!place.run().is_remembered(), "{damaged}");
        assert!(place.is_up_to_date());
        // It was replaced by a good one.
        assert!(place.run().is_remembered());
    }
}

#[test]
fn plain_files_count_once_their_times_are_past() {
    let mut place = Place::new();
    place.settings.source = Mode::Worktree;
    fs::remove_dir_all(place.git.dir.join(".git")).expect("a repository");
    let remembered = || {
        wait::until("the files are at rest", || {
            place.run();
            let run = place.run();
            if run.is_remembered() {
                Ok(run)
            } else {
                Err("compiled".to_owned())
            }
        })
    };
    remembered();
    // The same size, and the same time of the last change.
    let path = place.git.dir.join("policies.yaml");
    let before = fs::metadata(&path)
        .and_then(|metadata| metadata.modified())
        .expect("a time");
    fs::write(&path, POLICIES.replace("9411", "9412")).expect("a file");
    let file = File::options().append(true).open(&path).expect("a file");
    file.set_modified(before).expect("a time");
    let run = place.run();
    assert!(!run.is_remembered() && !run.carried_out().changes.is_empty());
    remembered();
    assert!(place.is_up_to_date());
}
