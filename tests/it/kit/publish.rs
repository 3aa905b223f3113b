//! Publications by the library, without the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshtraced::apply::{self, ApplyError, Bases, EnvoyAdmin, Looks, OutputDir, Publication, Request, Session, Target};
use meshtraced::envoy::artifact::{Fragments, ProxyKey};
use meshtraced::plan::{self, Constraints, Desired, DriftRepair, Observed, Plan};
use meshtraced::settings::{Admin, Overrides, Settings};
use tempfile::TempDir;

/// A target with default settings, short timeouts and few generations.
pub(crate) fn target(root: &Path) -> Target {
    Target {
        out: OutputDir {
            root: root.to_owned(),
            mode: 0o640,
            owner: None,
            group: None,
            has_sockets: true,
        },
        envoy: EnvoyAdmin {
            address: Admin::Pipe,
            confirm_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(2),
        },
        validator: None,
        history: 3,
    }
}

/// The settings for policies and an output directory, with all others at their defaults.
pub(crate) fn settings(policies: PathBuf, out: PathBuf) -> Settings {
    let overrides = Overrides {
        policies: vec![policies],
        out: Some(out),
    };
    Settings::load(None, &overrides).expect("settings")
}

/// A directory with an empty directory `policies`, and what publishes it to `envoy` beside it.
pub(crate) fn place() -> (TempDir, Settings, Target) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = settings(dir.path().join("policies"), dir.path().join("envoy"));
    let target = Target::from_settings(&settings).expect("a target");
    fs::create_dir(dir.path().join("policies")).expect("a directory");
    (dir, settings, target)
}

/// The proxy of a dataplane in the mesh `default`.
pub(crate) fn key(dataplane: &str) -> ProxyKey {
    ProxyKey::new("default", dataplane)
}

/// The plan that reaches the desired files and repairs all drift.
pub(crate) fn plan(observed: &Observed, desired: &Fragments) -> Plan {
    let constraints = Constraints {
        drift_repair: &DriftRepair::All,
        ..Constraints::default()
    };
    plan::plan(observed, Desired::Files(desired), &constraints).plan
}

/// Carries out a plan.
pub(crate) fn apply(plan: &Plan, bases: &Bases, target: &Target, session: &Session) -> Result<Publication, ApplyError> {
    let request = Request {
        places: None,
        plan,
        revision: "a revision",
        bases,
        looks: Looks::All,
    };
    apply::apply(&request, target, session)
}

/// Publishes the desired files and removes all others.
pub(crate) fn publish(desired: &Fragments, target: &Target) -> Publication {
    publish_with(desired, target, Looks::All)
}

/// As [`publish`], with a look at some proxies.
pub(crate) fn publish_with(desired: &Fragments, target: &Target, looks: Looks) -> Publication {
    let session = Session::open(target).expect("nobody else publishes there");
    let observed = apply::observe(&target.out).expect("a readable directory");
    let request = Request {
        places: None,
        plan: &plan(&observed, desired),
        revision: "a revision",
        bases: &Bases::new(),
        looks,
    };
    apply::apply(&request, target, &session).expect("a directory that can be written")
}
