//! The outcomes of all policies of a compilation, in numbers.

use std::collections::BTreeSet;
use std::ptr;

use serde::{Deserialize, Serialize};

use crate::compilation::Compilation;
use crate::resource::Header;

/// The number of policies by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// The number of policies that decide for a dataplane.
    pub decide: usize,
    /// The number of policies that match, and lose or are merged into a stronger policy everywhere.
    pub lose: usize,
    /// The number of policies that match no dataplane.
    pub match_nothing: usize,
}

/// Counts the policies of a compilation by outcome.
#[must_use]
pub fn outcomes(compilation: &Compilation) -> Outcomes {
    let selection = compilation.selection;
    // Each policy has a header of its own, whatever its kind.
    let decide: BTreeSet<*const Header> = (selection.dataplanes.iter())
        .filter_map(|governed| {
            // A `MeshTrace` displaces what `TrafficTrace` would do.
            let strongest = governed
                .policies
                .mesh_trace
                .merged
                .as_ref()
                .map(|merged| &merged.strongest.header);
            let deciding = strongest.or(governed.winner().map(|winner| &winner.policy.header))?;
            Some(ptr::from_ref(deciding))
        })
        .collect();
    let match_any = selection.matching_traffic_traces().len() + selection.matching_mesh_traces().len();
    let resources = compilation.resources;
    let all = resources.traffic_traces.len() + resources.mesh_traces.len();
    Outcomes {
        decide: decide.len(),
        lose: match_any - decide.len(),
        match_nothing: all - match_any,
    }
}
