//! `both-policies`: a `TrafficTrace` and a `MeshTrace` for one dataplane.

use std::collections::BTreeMap;

use super::subject::{Subject, about, and_others};
use crate::diag::{Code, Diagnostic, Diagnostics};

/// One finding per pair of policies, not per dataplane.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    let mut pairs = BTreeMap::new();
    for governed in &subject.selection.dataplanes {
        let (Some(older), Some(merged)) = (governed.winner(), &governed.policies.mesh_trace.merged) else {
            continue;
        };
        let (older, newer) = (&older.policy.header, &merged.strongest.header);
        let pair = (older.mesh(), older.name(), newer.name());
        let first = governed.dataplane.header.name();
        let (.., dataplanes) = pairs
            .entry(pair)
            .or_insert((older, newer, merged.backend().is_some(), first, 0));
        *dataplanes += 1;
    }
    for (older, newer, traces, first, dataplanes) in pairs.into_values() {
        let selected = format!("`{first}`{}", and_others(dataplanes - 1));
        let (older_name, newer_name) = (older.name(), newer.name());
        let (message, help) = if traces {
            (
                format!(
                    "MeshTrace `{newer_name}` displaces TrafficTrace `{older_name}` at {selected}; nothing of the two is merged"
                ),
                "remove the TrafficTrace, or narrow one of the two",
            )
        } else {
            (
                format!(
                    "MeshTrace `{newer_name}` has no backend, which does not switch TrafficTrace `{older_name}` off at {selected}"
                ),
                "to trace nothing there, narrow the TrafficTrace",
            )
        };
        let diagnostic = Diagnostic::warning(Code::BothPolicies, &newer.at, message).path("spec.targetRef");
        diagnostics.push(about(newer, diagnostic.help(help)));
    }
}
