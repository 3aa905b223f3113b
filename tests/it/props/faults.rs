//! A panic at any item of any stage leaves an empty cache, and files that the next reconciliation completes.

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use meshtraced::apply::{Session, Target};
use meshtraced::compile::{Extent, compile};
use meshtraced::envoy::artifact::Fragments;
use meshtraced::reconcile::{Cache, ReconcileError, ReconcileOptions, Reconciliation, reconcile};
use meshtraced::settings::Settings;
use meshtraced::source::{Consistency, Scan, read};
use meshtraced::system::progress::{Step, observed};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use crate::kit::publish::place;

/// The number of dataplanes.
const DATAPLANES: usize = 6;

/// A change of one file, and the item at which the next reconciliation ends, if it does not end well.
#[derive(Debug, Clone)]
struct Edit {
    /// The number of the dataplane; beyond the last one, the policy.
    file: usize,
    /// The port of the dataplane or the sampling of the policy; without one, the file goes.
    value: Option<u16>,
    fault: Option<Index>,
}

fn edit() -> impl Strategy<Value = Edit> {
    let parts = (
        0..=DATAPLANES,
        prop::option::weighted(0.8, 1..100_u16),
        any::<Option<Index>>(),
    );
    parts.prop_map(|(file, value, fault)| Edit { file, value, fault })
}

struct Place {
    dir: TempDir,
    settings: Settings,
    target: Target,
}

impl Place {
    fn new() -> Self {
        let (dir, settings, target) = place();
        let place = Self { dir, settings, target };
        place.write(
            "mesh.yaml",
            "type: Mesh\nname: default\ntracing:\n  backends:\n  - {name: z, type: zipkin, conf: {url: \
             'http://127.0.0.1:9411/api/v2/spans'}}\n",
        );
        (0..=DATAPLANES).for_each(|file| place.edit(file, Some(1)));
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("policies").join(name)
    }

    fn edit(&self, file: usize, value: Option<u16>) {
        let name = format!("{file}.yaml");
        match value {
            None => drop(fs::remove_file(self.path(&name))),
            Some(sampling) if file == DATAPLANES => self.write(
                &name,
                &format!(
                    "type: MeshTrace\nmesh: default\nname: all\nspec:\n  targetRef: {{kind: Mesh}}\n  default:\n    backends:\n    \
                     - {{type: Zipkin, zipkin: {{url: 'http://127.0.0.1:9411/api/v2/spans'}}}}\n    \
                     sampling: {{overall: {sampling}}}\n"
                ),
            ),
            Some(port) => self.write(
                &name,
                &format!(
                    "type: Dataplane\nmesh: default\nname: d-{file}\nnetworking:\n  address: 192.0.2.{}\n  inbound:\n  - port: \
                     {}\n    tags: {{kuma.io/service: s-{file}, kuma.io/protocol: http}}\n  outbound:\n  - port: 9000\n    \
                     tags: {{kuma.io/service: s-{}}}\n",
                    file + 1,
                    8000 + port,
                    (file + 1) % DATAPLANES,
                ),
            ),
        }
    }

    /// Reconciles, with a panic at an item if there is to be one.
    fn reconcile(
        &self,
        cache: &mut Cache,
        scan: Scan,
        fault: Option<usize>,
    ) -> (Result<Reconciliation, ReconcileError>, usize) {
        let session = Session::open(&self.target).expect("nobody else");
        let items = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&items);
        let observer = move |_: Step| {
            if Some(counted.fetch_add(1, Ordering::Relaxed)) == fault {
                // A panic that is not reported.
                resume_unwind(Box::new("a fault"));
            }
        };
        let options = ReconcileOptions {
            scan,
            ..ReconcileOptions::default()
        };
        let result = observed(Arc::new(observer), || {
            reconcile(&self.settings, &self.target, &session, cache, &options)
        });
        (result, items.load(Ordering::Relaxed))
    }

    /// The files that a compiler without a cache makes of the policies.
    fn desired(&self) -> Fragments {
        let limit = self.settings.limits.file_bytes.get() as u64;
        let snapshot = read(&self.settings.sources(), limit, Consistency::Dirty).expect("readable");
        let options = self.settings.options(Arc::default(), Extent::Files).expect("options");
        Arc::unwrap_or_clone(compile(&snapshot, &options).fragments)
    }

    /// Whether the published files are the desired ones, and there are no others.
    fn has(&self, desired: &Fragments) -> Result<(), String> {
        for (proxy, files) in desired {
            for (artifact, text) in files {
                let path = self.target.out.root.join(proxy.directory()).join(&*artifact.path());
                if fs::read_to_string(&path).ok().as_deref() != Some(&*text.text()) {
                    return Err(format!("{} is not as desired", path.display()));
                }
            }
        }
        let published = count(&self.target.out.root.join("default"));
        if published != desired.len() {
            return Err(format!("{published} proxies instead of {}", desired.len()));
        }
        Ok(())
    }
}

/// The number of entries of a directory, which may be missing.
fn count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_panic_leaves_an_empty_cache(edits in vec(edit(), 1..8)) {
        let (place, mut cache) = (Place::new(), Cache::default());
        let mut last = place.reconcile(&mut cache, Scan::Full, None).1;
        for Edit { file, value, fault } in edits {
            place.edit(file, value);
            if let Some(fault) = fault {
                let fault = fault.index(last);
                let (result, items) = place.reconcile(&mut cache, Scan::Changes, Some(fault));
                match result {
                    Ok(_) => prop_assert!(items <= fault, "the fault had no effect"),
                    Err(error) => prop_assert!(matches!(error, ReconcileError::Panic(_)), "{error}"),
                }
            }
            let (result, items) = place.reconcile(&mut cache, Scan::Changes, None);
            prop_assert!(result.is_ok(), "{result:?}");
            prop_assert_eq!(place.has(&place.desired()), Ok(()));
            last = items;
        }
    }
}

/// The tests are built with another profile than the program that people run.
#[test]
fn a_panic_of_the_released_program_can_be_caught() {
    let manifest = include_str!("../../../Cargo.toml");
    let ends_at_once = |line: &&str| line.replace(' ', "").starts_with("panic=\"abort");
    assert_eq!(manifest.lines().find(ends_at_once), None);
}
