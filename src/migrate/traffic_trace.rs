//! From the `TrafficTrace`s of a tree to the changes of its resources.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::content::{Contents, OFF};
use super::edits::Changes;
use super::options::Options;
use super::part::{governed_of, of_mesh, unmigrated};
use super::plan::{self, Planned};
use super::reduce;
use super::report::{Counts, Merged, Unmigrated};
use super::rule::{self, Rule};
use super::subject::{Need, Subject, Subjects, Wanted, has};
use crate::compilation::Compilation;
use crate::resource::kinds::mesh::Mesh;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::target_ref::Target;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::tags::{SERVICE, Tags};
use crate::resource::{Form, Text};
use crate::select::backend_name;
use crate::select::mesh_trace::Traces;
use crate::yaml::edit::Edit;

/// The new policies of all meshes.
#[derive(Debug)]
pub(super) struct Planning {
    meshes: Vec<OfMesh>,
    pub(super) counts: Counts,
    pub(super) unmigrated: Vec<Unmigrated>,
    system_namespace: String,
}

/// The new policies of one mesh.
#[derive(Debug)]
struct OfMesh {
    mesh: Option<Arc<Mesh>>,
    policies: Vec<Arc<TrafficTrace>>,
    planned: Vec<Planned>,
    contents: Contents,
}

impl Planning {
    /// Plans the new policies of every mesh.
    pub(super) fn of(compilation: &Compilation, options: &Options) -> Self {
        let resources = compilation.resources;
        let mut names: BTreeSet<&str> = resources.meshes.keys().map(String::as_str).collect();
        names.extend(resources.traffic_traces.iter().map(|policy| policy.header.mesh()));
        let mut planning = Self {
            meshes: Vec::new(),
            counts: Counts::default(),
            unmigrated: Vec::new(),
            system_namespace: options.compile.kuma.system_namespace.clone(),
        };
        for name in names {
            let policies = of_mesh(&resources.traffic_traces, name, |policy| &policy.header);
            let existing = of_mesh(&resources.mesh_traces, name, |policy| &policy.header);
            let mesh = resources.meshes.get(name).cloned();
            let mut contents = Contents::of(mesh.as_deref());
            let rules = rule::as_written(&policies, mesh.as_deref(), &contents, options.compile.kuma.ties);
            let governed = governed_of(&compilation.selection.dataplanes, name);
            let mut subjects = Subjects::of(governed.iter(), &contents);
            let sources: BTreeMap<String, Arc<TrafficTrace>> = (rules.iter())
                .map(|rule| (rule.policy.header.name().to_owned(), Arc::clone(&rule.policy)))
                .collect();
            let rules: Vec<Rule> = rules
                .into_iter()
                .filter(|rule| rule::is_possible(&rule.wanted))
                .collect();
            add_phantoms(&rules, &existing, &mut subjects);
            let rules = rule::expressible(rules, &subjects);
            planning.note_lost(sources, &rules);
            let rules = reduce::fewest(rules, &subjects, &contents);
            let taken = existing
                .iter()
                .map(|policy| policy.header.display_name.to_string())
                .collect();
            let planned = plan::policies(rules, &subjects, &mut contents, &taken);
            let planned = planning.writable(planned, &contents);
            if let Some(mesh) = &mesh {
                planning.note_unused(mesh, &policies);
            }
            planning.counts.traffic_traces += policies.len();
            planning.counts.meshes += usize::from(!policies.is_empty());
            planning.counts.mesh_traces += planned.len();
            planning.meshes.push(OfMesh {
                mesh,
                policies,
                planned,
                contents,
            });
        }
        planning
    }

    /// The new policies that stand for several.
    pub(super) fn merged(&self) -> Vec<Merged> {
        let all = self.meshes.iter().flat_map(|of_mesh| &of_mesh.planned);
        let merged = all.filter(|planned| !planned.merged.is_empty());
        merged
            .map(|planned| {
                let home = planned.home.header.name().to_owned();
                Merged {
                    mesh: planned.home.header.mesh().to_owned(),
                    name: planned.name.clone(),
                    target: planned.target.words(),
                    policies: std::iter::once(home).chain(planned.merged.iter().cloned()).collect(),
                }
            })
            .collect()
    }

    /// Adds the backends that no policy uses, which go with the others.
    fn note_unused(&mut self, mesh: &Mesh, policies: &[Arc<TrafficTrace>]) {
        let used: BTreeSet<&str> = policies
            .iter()
            .filter_map(|policy| backend_name(policy, Some(mesh)))
            .collect();
        for backend in mesh
            .backends
            .iter()
            .filter(|backend| !used.contains(backend.name.value.as_str()))
        {
            let reason = format!(
                "no policy uses its backend `{}`, which goes with the others",
                backend.name.value
            );
            self.unmigrated.push(Unmigrated {
                line: backend.name.origin.at.line(),
                ..unmigrated(&mesh.header, reason)
            });
        }
    }

    /// Adds the policies of which no rule is left.
    fn note_lost(&mut self, sources: BTreeMap<String, Arc<TrafficTrace>>, rules: &[Rule]) {
        let left: BTreeSet<&str> = rules.iter().map(|rule| rule.policy.header.name()).collect();
        for (_, policy) in sources.into_iter().filter(|(name, _)| !left.contains(name.as_str())) {
            let reason = "it selects no dataplane of the tree, and no `targetRef` can say what it asks for";
            self.unmigrated.push(unmigrated(&policy.header, reason.to_owned()));
        }
    }

    /// The policies with a backend that a `MeshTrace` can have; the others are unmigrated.
    fn writable(&mut self, planned: Vec<Planned>, contents: &Contents) -> Vec<Planned> {
        let mut writable = Vec::with_capacity(planned.len());
        for policy in planned {
            match &contents.get(policy.content).backend {
                Some(Err(reason)) => self.unmigrated.push(unmigrated(&policy.home.header, reason.clone())),
                Some(Ok(_)) | None => writable.push(policy),
            }
        }
        writable
    }

    /// The changes of the resources; with `keep`, the new policies stand beside the older ones, and have no effect yet.
    pub(super) fn changes(&self, keep: bool) -> Changes {
        let mut changes = Changes::default();
        for of_mesh in &self.meshes {
            let mut homes: HashMap<&str, Vec<&Planned>> = HashMap::new();
            for planned in &of_mesh.planned {
                homes.entry(planned.home.header.name()).or_default().push(planned);
            }
            for policy in &of_mesh.policies {
                let planned = homes.remove(policy.header.name()).unwrap_or_default();
                let change = changes.of(&policy.header);
                let mut rest = planned.into_iter();
                if !keep {
                    match rest.next() {
                        None => change.is_removed = true,
                        Some(first) => self.replace(change, first, of_mesh),
                    }
                }
                change.added = rest.map(|planned| self.resource(planned, of_mesh, keep)).collect();
            }
            if let Some(mesh) = of_mesh.mesh.as_ref().filter(|_| !keep) {
                let change = changes.of(&mesh.header);
                match mesh.header.form {
                    Form::Universal => change.edits.push((Vec::new(), Edit::Remove("tracing".to_owned()))),
                    Form::Kubernetes => change.stripped.push((vec!["spec"], |key| key == "tracing")),
                }
            }
        }
        changes
    }

    /// Makes a `TrafficTrace` the new policy, where it stands.
    fn replace(&self, change: &mut super::segment::ResourceChange, planned: &Planned, of_mesh: &OfMesh) {
        let header = &planned.home.header;
        let spec = spec(planned, &of_mesh.contents);
        let set = |key: &str, value: Value, after: &'static str| Edit::Set {
            key: key.to_owned(),
            value,
            after,
        };
        change.labels.added.extend(
            of_mesh
                .contents
                .is_verified
                .then(|| (VERIFY.to_owned(), "true".to_owned())),
        );
        let name = (planned.name != header.name()).then(|| set("name", json!(planned.name), "type"));
        match header.form {
            Form::Universal => {
                change.edits.push((vec![], set("type", json!("MeshTrace"), "")));
                change.edits.extend(name.map(|edit| (vec![], edit)));
                let body = Edit::Replace {
                    keys: vec!["selectors", "conf"],
                    with: "spec".to_owned(),
                    value: spec,
                };
                change.edits.push((vec![], body));
                change.labels.goes = Some(has_meaning_for_mesh_trace);
            }
            Form::Kubernetes => {
                change.edits.push((vec![], set("kind", json!("MeshTrace"), "")));
                change.edits.push((vec![], Edit::Remove("mesh".to_owned())));
                change
                    .edits
                    .extend(name.map(|edit| (vec!["metadata".to_owned()], edit)));
                change.edits.push((
                    vec!["metadata".to_owned()],
                    set("namespace", json!(self.system_namespace), "name"),
                ));
                change
                    .labels
                    .added
                    .insert("kuma.io/mesh".to_owned(), header.mesh().to_owned());
                let body = Edit::Replace {
                    keys: vec!["spec"],
                    with: "spec".to_owned(),
                    value: spec,
                };
                change.edits.push((vec![], body));
                change
                    .stripped
                    .push((vec!["metadata", "annotations"], |key| key == "kuma.io/display-name"));
                change.labels.goes = Some(has_meaning_for_mesh_trace);
            }
        }
    }

    /// The new policy as a resource of its own.
    fn resource(&self, planned: &Planned, of_mesh: &OfMesh, is_shadow: bool) -> Value {
        let header = &planned.home.header;
        let spec = spec(planned, &of_mesh.contents);
        let verified = of_mesh.contents.is_verified.then(|| (VERIFY.to_owned(), json!("true")));
        let effect = is_shadow.then(|| ("kuma.io/effect".to_owned(), json!("shadow")));
        let labels: Map<String, Value> = effect.into_iter().chain(verified).collect();
        match header.form {
            Form::Universal => {
                let mut resource = Map::new();
                resource.insert("type".to_owned(), json!("MeshTrace"));
                resource.insert("mesh".to_owned(), json!(header.mesh()));
                resource.insert("name".to_owned(), json!(planned.name));
                if !labels.is_empty() {
                    resource.insert("labels".to_owned(), Value::Object(labels));
                }
                resource.insert("spec".to_owned(), spec);
                Value::Object(resource)
            }
            Form::Kubernetes => {
                let mesh = ("kuma.io/mesh".to_owned(), json!(header.mesh()));
                let labels: Map<String, Value> = std::iter::once(mesh).chain(labels).collect();
                json!({
                    "apiVersion": "kuma.io/v1alpha1",
                    "kind": "MeshTrace",
                    "metadata": {"name": planned.name, "namespace": self.system_namespace, "labels": labels},
                    "spec": spec,
                })
            }
        }
    }
}

/// The label that makes meshtraced verify the certificates of https collectors, which a `Mesh` has for all of its backends.
const VERIFY: &str = "meshtraced/verify-collector";

/// Whether a label, without a meaning for a `TrafficTrace`, would have one for a `MeshTrace`.
fn has_meaning_for_mesh_trace(key: &str) -> bool {
    let is_known = key.starts_with("kuma.io/") || key.starts_with("k8s.kuma.io/");
    is_known && key != "kuma.io/mesh"
}

fn spec(planned: &Planned, contents: &Contents) -> Value {
    json!({"targetRef": planned.target.value(), "default": plan::default(planned, contents)})
}

/// Adds a subject for each rule that decides about no dataplane of the tree: one with just the tags that it wants, so that the plan
/// serves dataplanes that are not in the tree, too.
fn add_phantoms(rules: &[Rule], existing: &[Arc<MeshTrace>], subjects: &mut Subjects) {
    let mut decides = vec![false; rules.len()];
    let mut seen = vec![false; subjects.all.len()];
    for (i, rule) in rules.iter().enumerate() {
        for id in subjects.with(&rule.wanted) {
            decides[i] |= !std::mem::replace(&mut seen[id], true);
        }
    }
    let filed = Filed::of(rules.iter().map(|rule| rule.wanted.clone()));
    let targets: Vec<Option<Wanted>> = existing.iter().map(|policy| wanted_by(policy)).collect();
    let others = Filed::of(targets.iter().map(|wanted| wanted.clone().unwrap_or_default()));
    for (rule, _) in rules.iter().zip(&decides).filter(|(_, decides)| !**decides) {
        let mut tags = Tags::new();
        for (key, value) in &rule.wanted {
            tags.insert(
                key.clone(),
                if value.as_str() == "*" {
                    Text::from("any")
                } else {
                    value.clone()
                },
            );
        }
        tags.try_insert(SERVICE.into(), "any".into());
        let governing = others
            .matching(&tags)
            .into_iter()
            .filter(|policy| targets[*policy].is_some());
        let traces = Traces::of(governing.map(|policy| Arc::clone(&existing[policy])).collect());
        let is_governed = traces.merged.as_ref().is_some_and(|merged| merged.backend().is_some());
        let content = filed.matching(&tags).first().map_or(OFF, |first| rules[*first].content);
        subjects.add(Subject {
            tags: vec![tags],
            need: if is_governed {
                Need::Governed
            } else {
                Need::Content(content)
            },
            traces: Arc::new(traces),
        });
    }
}

/// The tags that the target of a policy wants; `None` for one that selects by name or label, or has no effect.
fn wanted_by(policy: &MeshTrace) -> Option<Wanted> {
    let mut wanted = Wanted::new();
    let tags = match &policy.target.target {
        Target::Mesh { tags, .. } => Some(tags),
        Target::Service {
            name: Some(name), tags, ..
        } => {
            wanted.insert(SERVICE.into(), name.value.clone());
            Some(tags)
        }
        Target::Dataplane {
            name: None,
            labels: None,
            namespace: None,
        } => None,
        Target::Service { .. } | Target::Gateway { .. } | Target::Dataplane { .. } => return None,
    };
    wanted.extend(
        tags.into_iter()
            .flat_map(|tags| tags.tags.iter())
            .map(|(key, value)| (key.clone(), value.value.clone())),
    );
    (!policy.header.is_shadow()).then_some(wanted)
}

/// Wanted tags, each filed under the one that the fewest others want.
struct Filed {
    all: Vec<Wanted>,
    by_tag: BTreeMap<(Text, Text), Vec<usize>>,
    /// The indexes of wanted tags without a value.
    others: Vec<usize>,
}

impl Filed {
    fn of(all: impl Iterator<Item = Wanted>) -> Self {
        let all: Vec<Wanted> = all.collect();
        let mut counts: HashMap<(&Text, &Text), usize> = HashMap::new();
        all.iter()
            .flatten()
            .for_each(|tag| *counts.entry(tag).or_default() += 1);
        let (mut by_tag, mut others) = (BTreeMap::<(Text, Text), Vec<usize>>::new(), Vec::new());
        for (i, wanted) in all.iter().enumerate() {
            let exact = wanted.iter().filter(|(_, value)| value.as_str() != "*");
            match exact.min_by_key(|tag| counts[tag]) {
                Some((key, value)) => by_tag.entry((key.clone(), value.clone())).or_default().push(i),
                None => others.push(i),
            }
        }
        Self { all, by_tag, others }
    }

    /// The indexes of wanted tags that tags satisfy, sorted.
    fn matching(&self, tags: &Tags) -> Vec<usize> {
        let filed = tags
            .iter()
            .filter_map(|(key, value)| self.by_tag.get(&(key.clone(), value.clone())));
        let all = filed.flatten().chain(&self.others).copied();
        let mut found: Vec<usize> = all.filter(|i| has(tags, &self.all[*i])).collect();
        found.sort_unstable();
        found
    }
}
