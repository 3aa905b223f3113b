//! `ambiguous-policies`: only the name decides between two policies.

use std::collections::BTreeMap;

use super::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};

/// One finding per pair of policies, not per dataplane.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
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
        let others = match dataplanes.len() - 1 {
            0 => String::new(),
            1 => " and one other".to_owned(),
            n => format!(" and {n} others"),
        };
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
