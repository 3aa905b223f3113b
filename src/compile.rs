//! The pure pipeline, from a snapshot to files, as one function.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::check;
use crate::collectors::Collectors;
use crate::compilation::Compilation;
use crate::diag::{Diagnostic, Diagnostics, Holds, ResourceId, Sorter};
use crate::envoy::artifact::{Elsewhere, Fragments, ProxyKey};
use crate::envoy::secrets::Secrets;
use crate::envoy::shape::Form;
use crate::envoy::{self, RenderEnv, Rendered};
use crate::explain::outcomes::{Outcomes, outcomes};
use crate::ir::{self, Proxy};
use crate::kuma::Kuma;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::protocol::Protocol;
use crate::resource::{self, Contributions, List, ParseOptions, Resources, are_same};
use crate::select::scope::{InScope, Rule};
use crate::select::{self, Governed, SelectOptions, Selection};
use crate::shapes::Shapes;
use crate::sorted;
use crate::source::{Location, Snapshot};
use crate::spans::Spans;
use crate::yaml::Limits;

/// The options of one compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The Kuma control plane whose behaviour is compiled.
    pub kuma: Kuma,
    /// Protocols of services that have no dataplane among the resources.
    pub services: BTreeMap<String, Protocol>,
    /// The collectors as the settings describe them.
    pub collectors: Collectors,
    /// The spans as the settings describe them.
    pub spans: Spans,
    /// The rules that choose the dataplanes that get files; without rules, all do.
    pub scope: Vec<Rule>,
    /// The rule of each entry of `reload` in the settings, in their order.
    pub reload: Vec<Rule>,
    /// The shapes of proxies, each with its rule; the first that fits counts, and a proxy that none fits is a sidecar.
    pub shapes: Vec<(Rule, Form)>,
    /// The properties of the machine that the files depend on.
    pub env: RenderEnv,
    /// The meshes of each file when the file could be read last.
    pub known: Arc<Contributions>,
    /// The part of the work that the caller needs.
    pub extent: Extent,
}

impl Options {
    /// The options of a compile for an output directory, with all settings at their defaults.
    #[must_use]
    pub fn for_out(out: &str) -> Self {
        Self {
            kuma: Kuma::default(),
            services: BTreeMap::new(),
            collectors: Collectors::default(),
            spans: Spans::default(),
            scope: Vec::new(),
            reload: Vec::new(),
            shapes: Vec::new(),
            env: RenderEnv {
                out: out.to_owned(),
                admin_pipe: true,
                without: BTreeSet::new(),
                limits: Limits::default(),
            },
            known: Arc::default(),
            extent: Extent::default(),
        }
    }

    fn parse(&self) -> ParseOptions<'_> {
        ParseOptions {
            kuma: &self.kuma,
            limits: &self.env.limits,
            known: &self.known,
        }
    }

    fn select(&self) -> SelectOptions<'_> {
        SelectOptions {
            kuma: &self.kuma,
            hints: &self.services,
            collectors: &self.collectors,
        }
    }
}

/// The results that a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// The files of the dataplanes in scope, and the findings about them. Other dataplanes are not lowered.
    #[default]
    Files,
    /// The effective tracing of every dataplane, and the findings about all of them, without files.
    Findings,
}

/// The result of one compile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compiled {
    /// The effective tracing of every dataplane that the caller needs, sorted by key.
    pub proxies: Arc<Vec<Arc<Proxy>>>,
    /// The ids of the dataplanes out of scope, sorted.
    pub out_of_scope: Arc<Vec<Arc<ResourceId>>>,
    /// The files of every proxy in scope that can have them; none with [`Extent::Findings`].
    pub fragments: Arc<Fragments>,
    /// The proxies in scope, now or before, whose files may be others than those that the same [`Compiler`] made last; `None` if those of all may
    /// be, as with [`Extent::Findings`].
    pub changed: Option<BTreeSet<ProxyKey>>,
    /// The findings about the policies, sorted.
    pub diagnostics: Vec<Arc<Diagnostic>>,
    /// The reasons why dataplanes cannot be written in the configured shape, sorted.
    pub unpublishable: Vec<Arc<Diagnostic>>,
    /// The keys and certificates for collectors.
    pub secrets: Secrets,
    /// The places of files that are not below the directory of their proxy, for the proxies in scope that have such files.
    pub elsewhere: BTreeMap<ProxyKey, Elsewhere>,
    /// The proxies in scope whose Envoys somebody configured.
    pub overlays: BTreeSet<ProxyKey>,
    /// The proxies in scope that have no files, sorted.
    pub without_files: Vec<ProxyKey>,
    /// The places of all valid policies, by kind, mesh and name.
    pub policies: Arc<BTreeMap<ResourceId, Location>>,
    /// The number of Kuma resources in the snapshot that affect tracing.
    pub resources: usize,
    /// The number of Kuma resources in the snapshot that do not, by kind.
    pub passed_over: BTreeMap<&'static str, usize>,
    /// The meshes of each file, for the next compile.
    pub known: Arc<Contributions>,
    /// The dataplanes of every mesh that a resource belongs to, in numbers.
    pub meshes: BTreeMap<String, MeshCounts>,
    /// The numbers of policies that decide, lose or match nothing.
    pub outcomes: Outcomes,
    /// The index of the first rule of `reload` that fits each dataplane; empty when there are no rules.
    pub reload_entries: BTreeMap<ProxyKey, Option<usize>>,
    /// The work that was done, which depends on what was compiled before.
    pub work: Work,
}

/// The dataplanes of one mesh, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshCounts {
    /// The number of all dataplanes.
    pub dataplanes: usize,
    /// The number of dataplanes in scope.
    pub selected: usize,
    /// The number of dataplanes in scope that are traced, by the name of their provider.
    pub providers: BTreeMap<String, usize>,
}

/// The work of one compile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// The number of files that were decoded.
    pub decoded: usize,
    /// The number of proxies that were lowered.
    pub lowered: usize,
    /// The number of proxies whose files were rendered.
    pub rendered: usize,
}

impl Compiled {
    /// The effective tracing of a proxy, if the caller needs it.
    #[must_use]
    pub fn proxy(&self, key: &ProxyKey) -> Option<&Proxy> {
        let place = self.proxies.binary_search_by(|proxy| proxy.key.cmp(key));
        place.ok().map(|i| &*self.proxies[i])
    }

    /// All diagnostics, about the policies and about the shape, sorted.
    #[must_use]
    pub fn findings(&self) -> Vec<Arc<Diagnostic>> {
        if self.unpublishable.is_empty() {
            return self.diagnostics.clone();
        }
        let mut all = Diagnostics::from(self.diagnostics.clone());
        all.append(&Diagnostics::from(self.unpublishable.clone()));
        all.into_sorted()
    }
}

/// Compiles a snapshot of policies into Envoy files.
///
/// Never fails: an invalid resource is left out and explained in `diagnostics`. The same snapshot
/// always gives the same bytes, whatever the order of its files.
#[must_use]
pub fn compile(snapshot: &Snapshot, options: &Options) -> Compiled {
    Compiler::default().compile(snapshot, options)
}

/// Compiles, and calls `inspect` with all intermediate results.
pub fn compile_with<T>(
    snapshot: &Snapshot,
    options: &Options,
    inspect: impl FnOnce(&Compilation) -> T,
) -> (Compiled, T) {
    Compiler::default().compile_with(snapshot, options, inspect)
}

/// A compiler of one snapshot after another, which does not repeat the work for files that stay as they are.
///
/// The result is the same as that of [`compile`], whatever was compiled before.
#[derive(Debug, Default)]
pub struct Compiler {
    documents: resource::Cache,
    policies: select::Cache,
    places: PolicyPlaces,
    scope: InScope,
    proxies: ir::Cache,
    checks: check::Cache,
    shapes: Shapes,
    files: envoy::Cache,
    sorter: Sorter,
    /// The outcomes of the policies, with the generation of their selection.
    outcomes: Option<(u64, Outcomes)>,
}

impl Compiler {
    /// Compiles the next snapshot.
    pub fn compile(&mut self, snapshot: &Snapshot, options: &Options) -> Compiled {
        self.compile_with(snapshot, options, |_| ()).0
    }

    /// Compiles the next snapshot, and calls `inspect` with all intermediate results.
    pub fn compile_with<T>(
        &mut self,
        snapshot: &Snapshot,
        options: &Options,
        inspect: impl FnOnce(&Compilation) -> T,
    ) -> (Compiled, T) {
        let mut diagnostics = Diagnostics::default();
        let resources = resource::parse(snapshot, &options.parse(), &mut self.documents, &mut diagnostics);
        let selection = select::select(&resources, options.select(), &mut self.policies);
        self.scope.update(&options.scope, &resources.dataplanes);
        let lowered = lowered(&selection, &self.scope, options.extent);
        let proxies = ir::lower(
            &lowered,
            &selection,
            &options.spans,
            &mut self.proxies,
            &mut diagnostics,
        );
        let compilation = Compilation {
            resources: &resources,
            selection: &selection,
            lowered: &lowered,
            proxies: &proxies,
            kuma: &options.kuma,
            collectors: &options.collectors,
        };
        check::run(&compilation, &mut self.checks, &mut diagnostics);
        check::no_resources(snapshot, &compilation, &mut diagnostics);
        let wanted = in_scope(&compilation, &self.scope, options.extent);
        (self.shapes).update(&wanted, &options.shapes, &options.collectors, &snapshot.bases);
        let mut unpublishable = Diagnostics::default();
        let rendered = render(&self.shapes, options, &mut self.files, &mut unpublishable);
        let inspected = inspect(&compilation);
        let compiled = Compiled {
            meshes: meshes(&resources, &self.shapes),
            policies: self.places.of(&resources),
            elsewhere: self.shapes.elsewhere(),
            secrets: self.shapes.secrets().clone(),
            overlays: self.shapes.overlays(),
            out_of_scope: Arc::clone(self.scope.others()),
            without_files: rendered.without_files,
            resources: resources.seen,
            passed_over: resources.passed_over.clone(),
            known: Arc::clone(&resources.contributions),
            outcomes: outcomes_of(&compilation, &mut self.outcomes),
            reload_entries: reload_entries(&selection, &options.reload),
            work: Work {
                decoded: self.documents.decoded(),
                lowered: self.proxies.lowered(),
                rendered: self.files.rendered(),
            },
            proxies,
            fragments: rendered.fragments,
            changed: rendered.changed,
            diagnostics: hold_all_for_undeclared_meshes(self.sorter.sort(diagnostics), &resources),
            unpublishable: unpublishable.into_sorted(),
        };
        (compiled, inspected)
    }
}

/// The files of proxies in their shapes, as far as the caller needs them.
fn render(shapes: &Shapes, options: &Options, cache: &mut envoy::Cache, findings: &mut Diagnostics) -> Rendered {
    match options.extent {
        Extent::Files => envoy::render(shapes.all(), &options.env, cache, findings),
        Extent::Findings => envoy::check(shapes.all(), &options.env, findings),
    }
}

/// The dataplanes that are lowered: those in scope, unless findings about all of them are wanted.
fn lowered<'s, 'a>(selection: &'s Selection<'a>, scope: &InScope, extent: Extent) -> Vec<&'s Governed<'a>> {
    let all = &selection.dataplanes;
    match extent {
        Extent::Files => scope.places().iter().map(|place| &all[*place]).collect(),
        Extent::Findings => all.iter().collect(),
    }
}

/// The dataplanes in scope, each with its proxy.
fn in_scope<'c, 'a>(
    compilation: &Compilation<'c, 'a>,
    scope: &InScope,
    extent: Extent,
) -> Vec<(&'a Arc<Dataplane>, &'c Arc<Proxy>)> {
    let pair = |i: usize| (compilation.lowered[i].dataplane, &compilation.proxies[i]);
    match extent {
        Extent::Files => (0..compilation.lowered.len()).map(pair).collect(),
        Extent::Findings => scope.places().iter().copied().map(pair).collect(),
    }
}

/// The outcomes of the policies, which are `known` for the same generation.
fn outcomes_of(compilation: &Compilation, known: &mut Option<(u64, Outcomes)>) -> Outcomes {
    let generation = compilation.selection.generation;
    match known {
        Some((of, outcomes)) if *of == generation => *outcomes,
        _ => known.insert((generation, outcomes(compilation))).1,
    }
}

/// The dataplanes of every mesh, in numbers. Dataplanes and proxies are sorted by mesh.
fn meshes(resources: &Resources, shapes: &Shapes) -> BTreeMap<String, MeshCounts> {
    let declared = resources
        .meshes
        .keys()
        .map(|mesh| (mesh.clone(), MeshCounts::default()));
    let mut meshes: BTreeMap<String, MeshCounts> = declared.collect();
    for of_mesh in sorted::runs(&resources.dataplanes, |dataplane| dataplane.header.mesh()) {
        let counts = meshes.entry(of_mesh[0].header.mesh().to_owned()).or_default();
        counts.dataplanes = of_mesh.len();
    }
    for of_mesh in sorted::runs(shapes.all(), |shaped| &shaped.proxy.key.mesh) {
        let mesh = &of_mesh[0].proxy.key.mesh;
        let counts = meshes.entry(mesh.clone()).or_default();
        counts.selected = of_mesh.len();
        counts.providers = shapes.providers(mesh);
    }
    meshes
}

/// The places of all policies, which are collected again when a policy has changed.
#[derive(Debug, Default)]
struct PolicyPlaces {
    traffic_traces: List<TrafficTrace>,
    mesh_traces: List<MeshTrace>,
    places: Arc<BTreeMap<ResourceId, Location>>,
}

impl PolicyPlaces {
    fn of(&mut self, resources: &Resources) -> Arc<BTreeMap<ResourceId, Location>> {
        let Resources {
            traffic_traces,
            mesh_traces,
            ..
        } = resources;
        if !are_same(&self.traffic_traces, traffic_traces) || !are_same(&self.mesh_traces, mesh_traces) {
            let headers = traffic_traces.iter().map(|policy| &policy.header);
            let headers = headers.chain(mesh_traces.iter().map(|policy| &policy.header));
            let places = headers.map(|header| ((*header.id).clone(), header.at.clone()));
            *self = Self {
                traffic_traces: Arc::clone(traffic_traces),
                mesh_traces: Arc::clone(mesh_traces),
                places: Arc::new(places.collect()),
            };
        }
        Arc::clone(&self.places)
    }
}

/// The index of the first rule that fits each dataplane; empty when there are no rules.
fn reload_entries(selection: &Selection, rules: &[Rule]) -> BTreeMap<ProxyKey, Option<usize>> {
    if rules.is_empty() {
        return BTreeMap::new();
    }
    let dataplanes = selection.dataplanes.iter().map(|governed| governed.dataplane);
    dataplanes
        .map(|dataplane| {
            let proxy = ProxyKey::new(dataplane.header.mesh(), dataplane.header.name());
            (proxy, rules.iter().position(|rule| rule.fits(dataplane)))
        })
        .collect()
}

/// Makes diagnostics of meshes without resources hold all meshes, since the name of the mesh itself may be the
/// mistake.
fn hold_all_for_undeclared_meshes(
    mut diagnostics: Vec<Arc<Diagnostic>>,
    resources: &Resources,
) -> Vec<Arc<Diagnostic>> {
    for diagnostic in &mut diagnostics {
        let exists = |mesh: &String| resources.declared.contains(mesh) || resources.unavailable.contains(mesh);
        if matches!(&diagnostic.holds, Holds::Meshes(meshes) if !meshes.iter().all(exists)) {
            Arc::make_mut(diagnostic).holds = Holds::All;
        }
    }
    diagnostics
}
