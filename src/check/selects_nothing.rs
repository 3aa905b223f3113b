//! `selects-nothing`: a policy that matches no dataplane.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashMap;

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::target_ref::Target;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::tags::{SERVICE, Selector, Tags};
use crate::select::Governed;
use crate::select::target::{self, Mismatch};

/// The number of dataplanes with a tag that advice takes into account, so that it costs little in a large mesh.
const NEIGHBOURS: usize = 32;

/// The number of listeners up to which a dataplane is compared with a policy in full.
const LISTENERS: usize = 100;

/// One finding per policy, with the nearest miss.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    traffic_traces(subject, diagnostics);
    mesh_traces(subject, diagnostics);
}

fn mesh_traces(subject: &Subject, diagnostics: &mut Diagnostics) {
    let matching = subject.selection.matching_mesh_traces();
    let idle = subject.resources.mesh_traces.iter().filter(|policy| {
        let complete = subject.resources.gaps.has_all_dataplanes(policy.header.mesh());
        complete && !matching.contains(&Arc::as_ptr(policy))
    });
    let idle: Vec<&MeshTrace> = idle.map(Arc::as_ref).collect();
    let wanted = idle.iter().flat_map(|policy| {
        let mesh = policy.header.mesh();
        tags_of(&policy.target.target)
            .into_iter()
            .map(move |wanted| (mesh, wanted))
    });
    let neighbours = Neighbours::of(subject, wanted);
    for policy in idle {
        let mesh = policy.header.mesh();
        let message = format!("`{}` is for no dataplane of mesh {mesh}", policy.header.name());
        let diagnostic = Diagnostic::warning(Code::SelectsNothing, &policy.target.at, message).path("spec.targetRef");
        let nearest = nearest_miss(policy, &neighbours.near(mesh, tags_of(&policy.target.target)));
        let diagnostic = match nearest {
            Some((name, miss)) => diagnostic.help(format!("nearest is `{name}`: {miss}")),
            None if neighbours.is_empty(mesh) => diagnostic.help(format!("there is no Dataplane in mesh {mesh}")),
            None => diagnostic,
        };
        diagnostics.push(about(&policy.header, diagnostic));
    }
}

/// The dataplane whose mismatch tells most, and the mismatch.
fn nearest_miss<'c>(policy: &'c MeshTrace, near: &[&'c Governed<'c>]) -> Option<(&'c str, Mismatch<'c>)> {
    // What is said of tags and labels tells most.
    let tells = |miss: &Mismatch| match miss {
        Mismatch::Tag { found, .. } => 3 + usize::from(found.is_some()),
        Mismatch::Label { found, .. } => 3 + usize::from(found.is_some()),
        Mismatch::Name(_) | Mismatch::Gateway(_) => 2,
        _ => 1,
    };
    let mut nearest: Option<(&str, Mismatch)> = None;
    for governed in near
        .iter()
        .filter(|governed| governed.dataplane.inbounds.len() <= LISTENERS)
    {
        let (dataplane, gateway) = (governed.dataplane, governed.policies.policy_gateway.as_deref());
        let Some(miss) = target::mismatch(&policy.header, &policy.target, dataplane, gateway) else {
            continue;
        };
        if nearest.as_ref().is_none_or(|(_, best)| tells(&miss) > tells(best)) {
            nearest = Some((dataplane.header.name(), miss));
        }
    }
    nearest
}

/// The tags that a target asks for.
fn tags_of(target: &Target) -> Vec<(&str, &str)> {
    match target {
        Target::Mesh { tags, .. } => pairs(tags),
        Target::Service { name, tags, .. } => {
            let service = name.iter().map(|name| (SERVICE, name.value.as_str()));
            service.chain(pairs(tags)).collect()
        }
        Target::Gateway { .. } | Target::Dataplane { .. } => Vec::new(),
    }
}

fn pairs(selector: &Selector) -> Vec<(&str, &str)> {
    let tags = selector.tags.iter();
    tags.map(|(tag, wanted)| (tag.as_str(), wanted.value.as_str()))
        .collect()
}

fn traffic_traces(subject: &Subject, diagnostics: &mut Diagnostics) {
    let matching = subject.selection.matching_traffic_traces();
    let idle = subject.resources.traffic_traces.iter().filter(|policy| {
        let complete = subject.resources.gaps.has_all_dataplanes(policy.header.mesh());
        complete && !matching.contains(&Arc::as_ptr(policy))
    });
    let idle: Vec<&TrafficTrace> = idle.map(Arc::as_ref).collect();
    let wanted = idle.iter().flat_map(|policy| {
        let mesh = policy.header.mesh();
        policy
            .selectors
            .iter()
            .flat_map(pairs)
            .map(move |wanted| (mesh, wanted))
    });
    let neighbours = Neighbours::of(subject, wanted);
    for policy in idle {
        let mesh = policy.header.mesh();
        let at = policy
            .selectors
            .first()
            .and_then(|selector| selector.tags.values().next())
            .map_or(&policy.header.at, |tag| &tag.origin.at);
        let message = format!("`{}` selects no dataplane of mesh {mesh}", policy.header.name());
        let diagnostic = Diagnostic::warning(Code::SelectsNothing, at, message).path("selectors");
        let wanted = policy.selectors.iter().flat_map(pairs).collect();
        let diagnostic = match nearest(policy, &neighbours.near(mesh, wanted)) {
            Some(help) => diagnostic.help(help),
            None if neighbours.is_empty(mesh) => diagnostic.help(format!("there is no Dataplane in mesh {mesh}")),
            None => diagnostic,
        };
        diagnostics.push(about(&policy.header, diagnostic));
    }
}

/// Advice that names the dataplane with most tags in common with a selector, and a tag in which the two differ.
fn nearest(policy: &TrafficTrace, near: &[&Governed]) -> Option<String> {
    let mut best: Option<(usize, &str, _)> = None;
    for governed in near {
        for tags in governed.dataplane.tag_sets().take(LISTENERS) {
            for selector in &policy.selectors {
                let Some(mismatch) = selector.mismatch(tags) else {
                    continue;
                };
                let common = common(selector, tags);
                if best.is_none_or(|(most, ..)| common > most) {
                    best = Some((common, governed.dataplane.header.name(), mismatch));
                }
            }
        }
    }
    let (_, name, (tag, wanted, found)) = best?;
    let found = found.map_or_else(|| "is not there".to_owned(), |found| format!("is `{found}`"));
    Some(format!(
        "nearest is `{name}`, whose `{tag}` {found}; wanted is `{wanted}`"
    ))
}

fn common(selector: &Selector, tags: &Tags) -> usize {
    selector
        .tags
        .iter()
        .filter(|(tag, wanted)| {
            tags.get(*tag)
                .is_some_and(|found| wanted.value == "*" || wanted.value == *found)
        })
        .count()
}

/// A tag with its value, or with `*` for any, in a mesh.
type Wanted<'c> = (&'c str, (&'c str, &'c str));

/// The first dataplanes of each mesh, and the first with each tag that some policy wants.
struct Neighbours<'c, 'a> {
    dataplanes: &'c [Governed<'a>],
    /// The indices of the first dataplanes of each mesh.
    of_mesh: HashMap<&'c str, Vec<usize>>,
    /// The indices of the first dataplanes with a tag.
    with_tag: HashMap<Wanted<'c>, Vec<usize>>,
}

impl<'c, 'a> Neighbours<'c, 'a> {
    fn of(subject: &Subject<'c, 'a>, wanted: impl Iterator<Item = Wanted<'c>>) -> Self {
        let mut with_tag: HashMap<Wanted, Vec<usize>> = wanted.map(|wanted| (wanted, Vec::new())).collect();
        let mut of_mesh: HashMap<&str, Vec<usize>> = HashMap::default();
        let dataplanes = &subject.selection.dataplanes;
        let add = |found: &mut Vec<usize>, i: usize| {
            if found.len() < NEIGHBOURS && found.last() != Some(&i) {
                found.push(i);
            }
        };
        for (i, governed) in dataplanes.iter().enumerate() {
            let mesh = governed.dataplane.header.mesh();
            add(of_mesh.entry(mesh).or_default(), i);
            if with_tag.is_empty() {
                continue;
            }
            for (tag, value) in governed.dataplane.tag_sets().flatten() {
                for value in [value.as_str(), "*"] {
                    if let Some(found) = with_tag.get_mut(&(mesh, (tag.as_str(), value))) {
                        add(found, i);
                    }
                }
            }
        }
        Self {
            dataplanes,
            of_mesh,
            with_tag,
        }
    }

    /// Whether a mesh has no dataplane.
    fn is_empty(&self, mesh: &str) -> bool {
        !self.of_mesh.contains_key(mesh)
    }

    /// The first dataplanes of the mesh, and the first with each of the tags, in their order.
    fn near(&self, mesh: &str, wanted: Vec<(&str, &str)>) -> Vec<&'c Governed<'a>> {
        let with_tags = wanted
            .into_iter()
            .filter_map(|wanted| self.with_tag.get(&(mesh, wanted)));
        let found: BTreeSet<usize> = (with_tags.chain(self.of_mesh.get(mesh)).flatten().copied()).collect();
        found.into_iter().map(|i| &self.dataplanes[i]).collect()
    }
}
