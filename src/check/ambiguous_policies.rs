//! `ambiguous-policies`: only the name decides between two policies.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::subject::{Subject, about, and_others};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::select::target;

/// One finding per pair of policies, not per dataplane.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    traffic_traces(subject, diagnostics);
    mesh_traces(subject, diagnostics);
}

/// Policies for one dataplane of which only the name says that one is the stronger.
fn mesh_traces(subject: &Subject, diagnostics: &mut Diagnostics) {
    let mut ties = BTreeMap::new();
    for governed in &subject.selection.dataplanes {
        for pair in governed.mesh_trace.policies.windows(2) {
            let [weaker, stronger] = [pair[0], pair[1]];
            if target::precedence(weaker, stronger) == Ordering::Equal {
                let names = (weaker.header.mesh(), stronger.header.name(), weaker.header.name());
                let (_, _, dataplanes) = ties.entry(names).or_insert((stronger, weaker, Vec::new()));
                dataplanes.push(governed.dataplane.header.name());
            }
        }
    }
    for (stronger, weaker, dataplanes) in ties.into_values() {
        let others = and_others(dataplanes.len() - 1);
        let (stronger, weaker_name) = (stronger.header.name(), weaker.header.name());
        let message = format!(
            "`{weaker_name}` is for `{}`{others} as narrowly as `{stronger}` is; `{stronger}` wins by its name",
            dataplanes[0]
        );
        let diagnostic = Diagnostic::warning(Code::AmbiguousPolicies, &weaker.header.at, message);
        let help = "choose a narrower `targetRef` for the one that should win: Mesh, Dataplane, MeshSubset, MeshService and MeshServiceSubset come in this order";
        diagnostics.push(about(&weaker.header, diagnostic.path("spec.targetRef").help(help)));
    }
}

fn traffic_traces(subject: &Subject, diagnostics: &mut Diagnostics) {
    let mut ties = BTreeMap::new();
    for governed in &subject.selection.dataplanes {
        let Some(winner) = governed.winner else { continue };
        for lost in governed.tied() {
            let pair = (
                winner.policy.header.mesh(),
                winner.policy.header.name(),
                lost.policy.header.name(),
            );
            let (_, _, dataplanes) = ties.entry(pair).or_insert((winner.policy, lost.policy, Vec::new()));
            dataplanes.push(governed.dataplane.header.name());
        }
    }
    for (winner, lost, dataplanes) in ties.into_values() {
        let others = and_others(dataplanes.len() - 1);
        let message = format!(
            "`{}` selects `{}`{others} as specifically as `{}` does; `{}` wins by its name",
            lost.header.name(),
            dataplanes[0],
            winner.header.name(),
            winner.header.name(),
        );
        let diagnostic = Diagnostic::warning(Code::AmbiguousPolicies, &lost.header.at, message);
        let help = "add a tag to the one that should win: more tags win, then more exact ones";
        diagnostics.push(about(&lost.header, diagnostic.path("selectors").help(help)));
    }
}
