//! Questions about a whole compilation, one file per finding.
//!
//! What one document shows by itself is found where it is decoded; here is what takes several resources, or
//! what was made of them.

mod ambiguous_policies;
mod backend_not_found;
mod both_policies;
mod mixed_propagation;
mod no_http_listener;
mod sampling_zero;
mod selects_nothing;

use crate::diag::{Diagnostic, Diagnostics};
use crate::explain::World;
use crate::resource::{Fidelity, Header, Resources};
use crate::select::Selection;

/// Everything there is to ask about.
pub(crate) struct Subject<'a> {
    world: &'a World<'a>,
    resources: &'a Resources,
    selection: &'a Selection<'a>,
    fidelity: Fidelity,
}

/// Asks all questions.
pub fn run(world: &World, diagnostics: &mut Diagnostics) {
    let subject = Subject {
        world,
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

/// ` and 3 others`, where there are some.
fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " and one other".to_owned(),
        n => format!(" and {n} others"),
    }
}

/// The finding, said of the resource with that header.
fn about(header: &Header, diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.resource(header.document, (*header.id).clone())
}
