//! Questions about a whole compilation, one file per finding.
//!
//! A mistake that one document shows by itself is found where the document is decoded; the questions here need several
//! resources, or what they compile to.

mod subject;

mod ambiguous_policies;

mod backend_not_found;

mod both_policies;

mod mixed_propagation;

mod no_http_listener;

mod sampling_zero;

mod selects_nothing;

use self::subject::Subject;
use crate::diag::Diagnostics;
use crate::explain::World;

/// Asks all questions and adds the findings to `diagnostics`.
pub fn run(world: &World, diagnostics: &mut Diagnostics) {
    let subject = Subject {
        compilation: world,
        resources: world.resources,
        selection: world.selection,
        fidelity: world.kuma.fidelity,
    };
    for question in [
        ambiguous_policies::ask,
        backend_not_found::ask,
        both_policies::ask,
        mixed_propagation::ask,
        no_http_listener::ask,
        sampling_zero::ask,
        selects_nothing::ask,
    ] {
        question(&subject, diagnostics);
    }
}
