//! From the `TrafficTrace`s of a tree to the changes of its resources.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::content::Contents;
use super::draft::{self, Drafts};
use super::edits::Changes;
use super::options::Options;
use super::part::{NewResource, governed_of, unmigrated};
use super::phantom;
use super::plan::{self, Planned};
use super::reduce;
use super::report::{Counts, Merged, Unmigrated};
use super::rule::{self, Rule};
use super::segment::ResourceChange;
use super::subject::Subjects;
use crate::compilation::Compilation;
use crate::resource::kinds::mesh::Mesh;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::{DISPLAY_NAME, Form, MESH_LABEL, VERIFY_COLLECTOR};
use crate::select::{backend_name, of_mesh};
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
    drafts: Drafts,
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
            let rules = rule::as_written(policies, mesh.as_deref(), &contents, options.compile.kuma.ties);
            let governed = governed_of(&compilation.selection.dataplanes, name);
            let mut subjects = Subjects::of(governed.iter(), &contents);
            let sources: BTreeMap<String, Arc<TrafficTrace>> = (rules.iter())
                .map(|rule| (rule.policy.header.name().to_owned(), Arc::clone(&rule.policy)))
                .collect();
            let rules: Vec<Rule> = rules
                .into_iter()
                .filter(|rule| rule::is_possible(&rule.wanted))
                .collect();
            phantom::add(&rules, existing, &mut subjects);
            let rules = rule::expressible(rules, &subjects);
            planning.note_lost(sources, &rules);
            let rules = reduce::fewest(rules, &subjects, &contents);
            // The names of drafts are for the policies that they are drafts of.
            let lasting = existing.iter().filter(|policy| !policy.header.is_shadow());
            let mut taken: BTreeSet<String> = lasting.map(|policy| policy.header.display_name.to_string()).collect();
            let (planned, drafts) = loop {
                let planned = plan::policies(rules.clone(), &subjects, &mut contents, &taken);
                match draft::of(&planned, existing, &contents) {
                    Ok(drafts) => break (planned, drafts),
                    Err(others) => taken.extend(others),
                }
            };
            let planned = planning.writable(planned, &contents);
            if let Some(mesh) = &mesh {
                planning.note_unused(mesh, policies);
            }
            planning.counts.traffic_traces += policies.len();
            planning.counts.meshes += usize::from(!policies.is_empty());
            planning.counts.mesh_traces += planned.len();
            planning.meshes.push(OfMesh {
                mesh,
                policies: policies.to_vec(),
                planned,
                drafts,
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
                let rest = rest.filter(|planned| !(keep && of_mesh.drafts.contains_key(&planned.name)));
                change.added = rest.map(|planned| self.resource(planned, of_mesh, keep)).collect();
            }
            for draft in of_mesh.drafts.values().filter(|_| !keep) {
                changes.of(&draft.header).is_removed = true;
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
    fn replace(&self, change: &mut ResourceChange, planned: &Planned, of_mesh: &OfMesh) {
        let header = &planned.home.header;
        let labels = &mut change.labels;
        labels.goes = Some(has_meaning_for_mesh_trace);
        labels.added.extend(
            of_mesh
                .verified()
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let (kind, holder, body) = match header.form {
            Form::Universal => ("type", vec![], vec!["selectors", "conf"]),
            Form::Kubernetes => {
                let metadata = vec!["metadata".to_owned()];
                let namespace = Edit::set("namespace", json!(self.system_namespace), "name");
                change.edits.push((vec![], Edit::Remove("mesh".to_owned())));
                change.edits.push((metadata.clone(), namespace));
                labels.added.insert(MESH_LABEL.to_owned(), header.mesh().to_owned());
                let annotations = vec!["metadata", "annotations"];
                change.stripped.push((annotations, |key| key == DISPLAY_NAME));
                ("kind", metadata, vec!["spec"])
            }
        };
        change.edits.push((vec![], Edit::set(kind, json!("MeshTrace"), "")));
        if planned.name != header.name() {
            change
                .edits
                .push((holder, Edit::set("name", json!(planned.name), "type")));
        }
        let body = Edit::Replace {
            keys: body,
            with: "spec".to_owned(),
            value: plan::spec(planned, &of_mesh.contents),
        };
        change.edits.push((vec![], body));
    }

    /// The new policy as a resource of its own.
    fn resource(&self, planned: &Planned, of_mesh: &OfMesh, is_shadow: bool) -> Value {
        let effect = is_shadow.then_some(("kuma.io/effect", "shadow"));
        let resource = NewResource {
            kind: "MeshTrace",
            name: &planned.name,
            namespace: &self.system_namespace,
            labels: effect.into_iter().chain(of_mesh.verified()).collect(),
            spec: plan::spec(planned, &of_mesh.contents),
        };
        resource.beside(&planned.home.header)
    }
}

impl OfMesh {
    /// The label of new policies of a `Mesh` that has the certificates of its collectors verified.
    fn verified(&self) -> Option<(&'static str, &'static str)> {
        self.contents.is_verified.then_some((VERIFY_COLLECTOR, "true"))
    }
}

/// Whether a label, without a meaning for a `TrafficTrace`, would have one for a `MeshTrace`.
fn has_meaning_for_mesh_trace(key: &str) -> bool {
    let is_known = key.starts_with("kuma.io/") || key.starts_with("k8s.kuma.io/");
    is_known && key != MESH_LABEL
}
