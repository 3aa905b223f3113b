//! Questions about a whole compilation, one file per finding.
//!
//! A mistake that one document shows by itself is found where the document is decoded; the questions here need
//! several resources, or what they compile to.

mod subject;

mod ambiguous_policies;

mod backend_not_found;

mod both_policies;

mod collector_mismatch;

mod hidden_listener;

mod mixed_propagation;

mod no_http_listener;

mod no_resources;

mod sampling_zero;

mod selects_nothing;

mod span_name;

pub use no_resources::no_resources;

use self::subject::Subject;
use crate::compilation::Compilation;
use crate::diag::Diagnostics;
use crate::system::parallel;

/// Asks all questions and adds the findings to `diagnostics`.
pub fn run(compilation: &Compilation, diagnostics: &mut Diagnostics) {
    let subject = Subject {
        compilation,
        resources: compilation.resources,
        selection: compilation.selection,
        fidelity: compilation.kuma.fidelity,
    };
    let questions: [fn(&Subject, &mut Diagnostics); 10] = [
        ambiguous_policies::ask,
        backend_not_found::ask,
        both_policies::ask,
        collector_mismatch::ask,
        hidden_listener::ask,
        mixed_propagation::ask,
        no_http_listener::ask,
        sampling_zero::ask,
        selects_nothing::ask,
        span_name::ask,
    ];
    let answers = parallel::map(&questions, parallel::cpu_count(), |question| {
        let mut found = Diagnostics::default();
        question(&subject, &mut found);
        found
    });
    answers.into_iter().for_each(|found| diagnostics.append(found));
}
