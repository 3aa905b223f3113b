//! Published files stay complete, whatever happens to the state files of meshtraced.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use meshtraced::apply::{Intent, Session, Target, history};
use meshtraced::daemon::client;
use meshtraced::reconcile::{Cache, ReconcileOptions, reconcile};
use meshtraced::settings::Settings;
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;
use walkdir::WalkDir;

use super::mistakes::{make, mistake};
use crate::kit::publish::settings;

/// A directory with two generations, and the texts that may be published in it.
struct Place {
    dir: TempDir,
    settings: Settings,
    target: Target,
    texts: BTreeSet<String>,
}

const POLICIES: &str = "type: Mesh\nname: default\ntracing:\n  backends:\n  - {name: z, type: zipkin, sampling: SAMPLING, conf: {url: \
                        'http://127.0.0.1:9411/api/v2/spans'}}\n---\ntype: TrafficTrace\nmesh: default\nname: all\nselectors:\n\
                        - match: {kuma.io/service: '*'}\nconf: {backend: z}\n---\ntype: Dataplane\nmesh: default\nname: web\n\
                        networking:\n  address: 127.0.0.1\n  inbound:\n  - port: 8080\n    servicePort: 18080\n    \
                        tags: {kuma.io/service: web, kuma.io/protocol: http}\n";

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let policies = dir.path().join("policies.yaml");
        let settings = settings(policies.clone(), dir.path().join("envoy"));
        let target = Target::from_settings(&settings).expect("a target");
        let mut place = Self {
            dir,
            settings,
            target,
            texts: BTreeSet::new(),
        };
        for sampling in ["10", "20"] {
            fs::write(&policies, POLICIES.replace("SAMPLING", sampling)).expect("a file");
            place.reconcile().expect("published");
            assert_eq!(place.published().len(), 5);
            place.texts.extend(place.published());
        }
        let state = Intent {
            approved: Some("an-id".to_owned()),
            ..Intent::default()
        };
        let session = Session::open(&place.target).expect("nobody else");
        state.write(&place.target.out, session.lock()).expect("written");
        place
    }

    fn reconcile(&self) -> Result<(), String> {
        let session = Session::open(&self.target).map_err(|error| error.to_string())?;
        match reconcile(
            &self.settings,
            &self.target,
            &session,
            &mut Cache::default(),
            &ReconcileOptions::default(),
        ) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The texts of the files that Envoy reads.
    fn published(&self) -> Vec<String> {
        let files = files(&self.target.out.root.join("default"));
        files
            .iter()
            .map(|path| fs::read_to_string(path).expect("a text"))
            .collect()
    }
}

/// All files below a directory, in the order of their names.
fn files(root: &Path) -> Vec<PathBuf> {
    let entries = WalkDir::new(root).sort_by_file_name().into_iter();
    let entries = entries.map(|entry| entry.expect("readable"));
    entries
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.into_path())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    for entry in WalkDir::new(from) {
        let entry = entry.expect("readable");
        let to = to.join(entry.path().strip_prefix(from).expect("below it"));
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).expect("a directory");
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

thread_local! {
    static PLACE: Place = Place::new();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_of_our_own_damage_nothing_published(
        which in any::<Index>(),
        mistakes in proptest::collection::vec(mistake(), 1..4),
        byte in any::<Option<(Index, u8)>>(),
    ) {
        PLACE.with(|place| {
            let own = place.target.out.own_directory();
            let whole = place.dir.path().join("whole");
            if !whole.exists() {
                copy(&place.target.out.root, &whole);
            }
            let all: Vec<PathBuf> = files(&own).into_iter().filter(|path| !path.ends_with("lock")).collect();
            prop_assert!(all.len() > 5, "{all:?}");
            let path = which.get(&all);
            let text = fs::read_to_string(path).expect("a text");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for mistake in &mistakes {
                make(mistake, &mut lines);
            }
            let mut bytes = lines.join("\n").into_bytes();
            if let Some((at, value)) = byte.filter(|_| !bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            // Another file: generations share the published ones, and this is not about those.
            fs::remove_file(path).expect("our own file");
            fs::write(path, &bytes).expect("our own file");

            let first = place.reconcile();
            // Looking must not fail in another way than by words.
            let _ = client::status(&place.settings);
            for generation in history::list(&place.target.out).unwrap_or_default() {
                let _ = history::load(&place.target.out, generation.id);
            }
            let published = place.published();
            let is_whole = published.len() == 5 && published.iter().all(|text| place.texts.contains(text));

            fs::remove_dir_all(&place.target.out.root).expect("ours");
            copy(&whole, &place.target.out.root);
            prop_assert!(is_whole, "{} -> {first:?}: {published:#?}", path.display());
            Ok(())
        })?;
    }
}
