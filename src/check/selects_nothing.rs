//! `selects-nothing`: a policy that matches no dataplane.

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::tags::Selector;
use crate::select::target::{self, Mismatch};

/// One finding per policy, with the nearest miss.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    traffic_traces(subject, diagnostics);
    mesh_traces(subject, diagnostics);
}

fn mesh_traces(subject: &Subject, diagnostics: &mut Diagnostics) {
    let complete = |policy: &&MeshTrace| subject.resources.gaps.has_all_dataplanes(policy.header.mesh());
    for policy in subject.resources.mesh_traces.iter().filter(complete) {
        let of_mesh = || {
            let governed = subject.selection.dataplanes.iter();
            governed.filter(|governed| governed.dataplane.header.mesh() == policy.header.mesh())
        };
        let is_chosen = |chosen: &&MeshTrace| chosen.header.id == policy.header.id;
        if of_mesh().any(|governed| governed.mesh_trace.policies.iter().any(is_chosen)) {
            continue;
        }
        let misses = of_mesh().filter_map(|governed| {
            let miss = target::mismatch(
                &policy.header,
                &policy.target,
                governed.dataplane,
                governed.policy_gateway,
            )?;
            Some((governed.dataplane.header.name(), miss))
        });
        // What is said of tags and labels tells most.
        let tells = |miss: &Mismatch| match miss {
            Mismatch::Tag { found, .. } => 3 + usize::from(found.is_some()),
            Mismatch::Label { found, .. } => 3 + usize::from(found.is_some()),
            Mismatch::Name(_) | Mismatch::Gateway(_) => 2,
            _ => 1,
        };
        let mut nearest: Option<(&str, Mismatch)> = None;
        for (name, miss) in misses {
            if nearest.as_ref().is_none_or(|(_, best)| tells(&miss) > tells(best)) {
                nearest = Some((name, miss));
            }
        }
        let mesh = policy.header.mesh();
        let message = format!("`{}` is for no dataplane of mesh {mesh}", policy.header.name());
        let diagnostic = Diagnostic::warning(Code::SelectsNothing, &policy.target.at, message).path("spec.targetRef");
        let diagnostic = diagnostic.help(match nearest {
            Some((name, miss)) => format!("nearest is `{name}`: {miss}"),
            None => format!("there is no Dataplane in mesh {mesh}"),
        });
        diagnostics.push(about(&policy.header, diagnostic));
    }
}

fn traffic_traces(subject: &Subject, diagnostics: &mut Diagnostics) {
    let complete = |policy: &&TrafficTrace| subject.resources.gaps.has_all_dataplanes(policy.header.mesh());
    for policy in subject.resources.traffic_traces.iter().filter(complete) {
        let of_mesh = || {
            subject
                .resources
                .dataplanes
                .iter()
                .filter(|dataplane| dataplane.header.mesh() == policy.header.mesh())
        };
        let mut tag_sets = of_mesh().flat_map(|dataplane| dataplane.tag_sets());
        if tag_sets.any(|tags| policy.selectors.iter().any(|selector| selector.matches(tags))) {
            continue;
        }
        let at = policy
            .selectors
            .first()
            .and_then(|selector| selector.tags.values().next())
            .map_or(&policy.header.at, |tag| &tag.origin.at);
        let message = format!(
            "`{}` selects no dataplane of mesh {}",
            policy.header.name(),
            policy.header.mesh()
        );
        let diagnostic = Diagnostic::warning(Code::SelectsNothing, at, message).path("selectors");
        let diagnostic = match nearest(policy, subject) {
            Some(help) => diagnostic.help(help),
            None if of_mesh().next().is_none() => {
                diagnostic.help(format!("there is no Dataplane in mesh {}", policy.header.mesh()))
            }
            None => diagnostic,
        };
        diagnostics.push(about(&policy.header, diagnostic));
    }
}

/// Advice that names the dataplane with most tags in common with a selector, and a tag in which the two differ.
fn nearest(policy: &TrafficTrace, subject: &Subject) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for dataplane in subject
        .resources
        .dataplanes
        .iter()
        .filter(|dataplane| dataplane.header.mesh() == policy.header.mesh())
    {
        for tags in dataplane.tag_sets() {
            for selector in &policy.selectors {
                let Some((tag, wanted, found)) = selector.mismatch(tags) else {
                    continue;
                };
                let common = common(selector, tags);
                if best.as_ref().is_none_or(|(most, _)| common > *most) {
                    let found = found.map_or_else(|| "is not there".to_owned(), |found| format!("is `{found}`"));
                    best = Some((
                        common,
                        format!(
                            "nearest is `{}`, whose `{tag}` {found}; wanted is `{wanted}`",
                            dataplane.header.name()
                        ),
                    ));
                }
            }
        }
    }
    best.map(|(_, help)| help)
}

fn common(selector: &Selector, tags: &crate::resource::value::tags::Tags) -> usize {
    selector
        .tags
        .iter()
        .filter(|(tag, wanted)| {
            tags.get(*tag)
                .is_some_and(|found| wanted.value == "*" || wanted.value == *found)
        })
        .count()
}
