//! The pure pipeline as one function.

use std::collections::{BTreeMap, BTreeSet};

use crate::check;
use crate::diag::{Code, Diagnostic, Diagnostics, Holds, Place, Severity};
use crate::envoy::artifact::Fragments;
use crate::envoy::{self, RenderEnv};
use crate::explain::World;
use crate::explain::outcomes::{Outcomes, outcomes};
use crate::ir::{self, Proxy};
use crate::kuma::Kuma;
use crate::resource::value::protocol::Protocol;
use crate::resource::{self, Contributions, Resources};
use crate::select::{
    self,
    scope::{self, Rule},
};
use crate::source::{Snapshot, UnreadableReason};
use crate::yaml::Limits;

/// How to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whose behaviour is followed.
    pub kuma: Kuma,
    /// Protocols of services that have no dataplane among the resources.
    pub services: BTreeMap<String, Protocol>,
    /// Which dataplanes get files; all without a rule.
    pub scope: Vec<Rule>,
    /// What of the surroundings reaches the files.
    pub env: RenderEnv,
    /// How much is read.
    pub limits: Limits,
    /// What files were about when they could be read last.
    pub known: Contributions,
}

/// What comes of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// Effective tracing of every dataplane.
    pub proxies: Vec<Proxy>,
    /// The files of every proxy in scope that can have them.
    pub fragments: Fragments,
    /// What is wrong with the policies, sorted.
    pub diagnostics: Vec<Diagnostic>,
    /// What keeps a dataplane from being a proxy of the wanted shape, sorted.
    pub refusals: Vec<Diagnostic>,
    /// How many resources were seen.
    pub resources: usize,
    /// What files are about: what to know the next time.
    pub known: Contributions,
    /// Every mesh that a resource belongs to.
    pub meshes: BTreeSet<String>,
    /// What became of the policies.
    pub outcomes: Outcomes,
}

impl Compiled {
    /// What is wrong with the policies and with the shape, in their common order.
    #[must_use]
    pub fn findings(&self) -> Vec<Diagnostic> {
        let mut all = Diagnostics::default();
        for finding in self.diagnostics.iter().chain(&self.refusals) {
            all.push(finding.clone());
        }
        all.into_sorted()
    }
}

/// Compiles what people wrote into what Envoy reads.
///
/// Total: a resource that cannot be understood is left out and explained in `diagnostics`. The same snapshot
/// always gives the same bytes, whatever the order of its files.
#[must_use]
pub fn compile(snapshot: &Snapshot, options: &Options) -> Compiled {
    compile_and(snapshot, options, |_| ()).0
}

/// The same, with a look at everything that it came to on the way.
pub fn compile_and<T>(snapshot: &Snapshot, options: &Options, look: impl FnOnce(&World) -> T) -> (Compiled, T) {
    let mut diagnostics = Diagnostics::default();
    let resources = resource::parse(
        snapshot,
        &options.kuma,
        &options.limits,
        &options.known,
        &mut diagnostics,
    );
    let selection = select::select(&resources, &options.kuma, &options.services, &mut diagnostics);
    let proxies = ir::lower(&selection, &options.kuma);
    let world = World {
        resources: &resources,
        selection: &selection,
        proxies: &proxies,
        kuma: &options.kuma,
    };
    check::run(&world, &mut diagnostics);
    // Whoever wrote something that cannot be read hears of that.
    let is_readable = (snapshot.unreadable.iter()).all(|file| file.reason == UnreadableReason::Empty);
    if resources.seen == 0 && is_readable && !diagnostics.has_errors() {
        diagnostics.push(no_resources(snapshot));
    }
    let in_scope = selection
        .dataplanes
        .iter()
        .map(|governed| scope::contains(&options.scope, governed.dataplane));
    let published = proxies
        .iter()
        .zip(in_scope)
        .filter_map(|(proxy, in_scope)| in_scope.then_some(proxy));
    let mut refusals = Diagnostics::default();
    let fragments = envoy::render(published, &options.env, &mut refusals);
    let looked = look(&world);
    let meshes = resources
        .meshes
        .keys()
        .cloned()
        .chain(proxies.iter().map(|proxy| proxy.mesh.clone()));
    let compiled = Compiled {
        meshes: meshes.collect(),
        resources: resources.seen,
        known: resources.contributions.clone(),
        outcomes: outcomes(&world),
        proxies,
        fragments,
        diagnostics: hold_what_exists(diagnostics.into_sorted(), &resources),
        refusals: refusals.into_sorted(),
    };
    (compiled, looked)
}

/// A mistake in a mesh that does not exist may have been meant for any other.
fn hold_what_exists(mut diagnostics: Vec<Diagnostic>, resources: &Resources) -> Vec<Diagnostic> {
    for diagnostic in &mut diagnostics {
        if matches!(&diagnostic.holds, Holds::Meshes(meshes) if !meshes.is_subset(&resources.declared)) {
            diagnostic.holds = Holds::All;
        }
    }
    diagnostics
}

/// The smallest files that would do something.
const SMALLEST: &str = "the smallest policies that work are three documents:

type: Mesh
name: default
tracing:
  defaultBackend: zipkin
  backends:
  - {name: zipkin, type: zipkin, conf: {url: \"http://127.0.0.1:9411/api/v2/spans\"}}
---
type: TrafficTrace
mesh: default
name: trace-all
selectors:
- match: {kuma.io/service: \"*\"}
---
type: Dataplane
mesh: default
name: web-01
networking:
  address: 127.0.0.1
  inbound:
  - {port: 8080, servicePort: 18080, tags: {kuma.io/service: web, kuma.io/protocol: http}}";

fn no_resources(snapshot: &Snapshot) -> Diagnostic {
    let message = match snapshot.len() {
        0 => "no .yaml, .yml or .json file here; hidden files and directories are passed over".to_owned(),
        1 => "nothing that concerns tracing in the one file here".to_owned(),
        n => format!("nothing that concerns tracing in the {n} files here"),
    };
    let place = Place::File(String::new());
    Diagnostic::new(Severity::Error, Code::NoResources, place, message)
        .holds(Holds::All)
        .help(SMALLEST)
}
