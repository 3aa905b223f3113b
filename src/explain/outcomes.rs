//! The outcomes of all policies of a compilation, in numbers.

use std::collections::BTreeSet;
use std::ptr;

use crate::compilation::Compilation;
use crate::resource::Header;

/// The number of policies by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    // Each policy has a header of its own, whatever its kind.
    let (mut decide, mut lose) = (BTreeSet::new(), BTreeSet::new());
    for governed in &compilation.selection.dataplanes {
        let traces = &governed.mesh_trace;
        let strongest = traces.merged.as_ref().map(|merged| &merged.strongest.header);
        let winner = governed.winner.map(|winner| &winner.policy.header);
        // A `MeshTrace` displaces what `TrafficTrace` would do.
        let deciding = strongest.or(winner);
        decide.extend(deciding.map(ptr::from_ref::<Header>));
        lose.extend(winner.map(ptr::from_ref));
        lose.extend(traces.policies.iter().map(|policy| ptr::from_ref(&policy.header)));
        lose.extend(governed.lost.iter().map(|lost| ptr::from_ref(&lost.policy.header)));
    }
    let resources = compilation.resources;
    let all = resources.traffic_traces.len() + resources.mesh_traces.len();
    let lose = lose.difference(&decide).count();
    Outcomes {
        decide: decide.len(),
        lose,
        match_nothing: all - decide.len() - lose,
    }
}
