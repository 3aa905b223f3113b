//! `ambiguous-policies`: only the name decides between two policies.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;

use super::subject::{Subject, about, and_others};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::select::{Governed, target};

/// One finding per pair of policies, not per dataplane.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    traffic_traces(subject, diagnostics);
    mesh_traces(subject, diagnostics);
}

/// Policies that several dataplanes share.
struct Shared<'c, T> {
    value: &'c T,
    /// The name of the first of the dataplanes.
    first: &'c str,
    count: usize,
}

/// The policies of all dataplanes, those that dataplanes share once, in the order of their first dataplanes.
fn shared<'c, 'a, T>(subject: &Subject<'c, 'a>, part: impl Fn(&'c Governed<'a>) -> &'c Arc<T>) -> Vec<Shared<'c, T>> {
    let mut found: Vec<Shared<T>> = Vec::new();
    let mut places: HashMap<*const T, usize> = HashMap::default();
    for governed in &subject.selection.dataplanes {
        let value = part(governed);
        let place = *places.entry(Arc::as_ptr(value)).or_insert(found.len());
        match found.get_mut(place) {
            Some(known) => known.count += 1,
            None => found.push(Shared {
                value,
                first: governed.dataplane.header.name(),
                count: 1,
            }),
        }
    }
    found
}

/// Policies for one dataplane of which only the name says that one is the stronger.
fn mesh_traces(subject: &Subject, diagnostics: &mut Diagnostics) {
    let mut ties = BTreeMap::new();
    for Shared { value, first, count } in shared(subject, |governed| &governed.policies.mesh_trace) {
        for pair in value.policies.windows(2) {
            let [weaker, stronger] = [&*pair[0], &*pair[1]];
            if target::precedence(weaker, stronger) == Ordering::Equal {
                let names = (weaker.header.mesh(), stronger.header.name(), weaker.header.name());
                let (.., dataplanes) = ties.entry(names).or_insert((stronger, weaker, first, 0));
                *dataplanes += count;
            }
        }
    }
    for (stronger, weaker, first, dataplanes) in ties.into_values() {
        let others = and_others(dataplanes - 1);
        let (stronger, weaker_name) = (stronger.header.name(), weaker.header.name());
        let message = format!(
            "`{weaker_name}` is for `{first}`{others} as narrowly as `{stronger}` is; `{stronger}` wins by its name"
        );
        let diagnostic = Diagnostic::warning(Code::AmbiguousPolicies, &weaker.header.at, message);
        let help = "choose a narrower `targetRef` for the one that should win: Mesh, Dataplane, MeshSubset, MeshService and MeshServiceSubset come in this order";
        diagnostics.push(about(&weaker.header, diagnostic.path("spec.targetRef").help(help)));
    }
}

fn traffic_traces(subject: &Subject, diagnostics: &mut Diagnostics) {
    let mut ties = BTreeMap::new();
    for Shared { value, first, count } in shared(subject, |governed| &governed.policies.traffic_traces) {
        let Some(winner) = &value.winner else { continue };
        for lost in value.tied() {
            let pair = (
                winner.policy.header.mesh(),
                winner.policy.header.name(),
                lost.policy.header.name(),
            );
            let (.., dataplanes) = ties.entry(pair).or_insert((&winner.policy, &lost.policy, first, 0));
            *dataplanes += count;
        }
    }
    for (winner, lost, first, dataplanes) in ties.into_values() {
        let others = and_others(dataplanes - 1);
        let message = format!(
            "`{}` selects `{first}`{others} as specifically as `{}` does; `{}` wins by its name",
            lost.header.name(),
            winner.header.name(),
            winner.header.name(),
        );
        let diagnostic = Diagnostic::warning(Code::AmbiguousPolicies, &lost.header.at, message);
        let help = "add a tag to the one that should win: more tags win, then more exact ones";
        diagnostics.push(about(&lost.header, diagnostic.path("selectors").help(help)));
    }
}
