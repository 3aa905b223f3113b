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
use crate::resource::Gaps;
use crate::system::parallel;

/// The findings of the last compilation about policies, which dataplanes that policies cannot tell apart do not change.
#[derive(Debug, Default)]
pub struct Cache {
    /// The generation of the selection and the invalid resources.
    of: Option<(u64, Gaps)>,
    found: Diagnostics,
}

type Question = fn(&Subject, &mut Diagnostics);

/// The questions about policies and about the dataplanes that they match.
const OF_POLICIES: [Question; 6] = [
    ambiguous_policies::ask,
    backend_not_found::ask,
    both_policies::ask,
    collector_mismatch::ask,
    sampling_zero::ask,
    selects_nothing::ask,
];

/// The questions about the proxies that were lowered.
const OF_PROXIES: [Question; 4] = [
    hidden_listener::ask,
    mixed_propagation::ask,
    no_http_listener::ask,
    span_name::ask,
];

/// Asks all questions and adds the findings to `diagnostics`. What is in `cache` changes the cost and not the result.
pub fn run(compilation: &Compilation, cache: &mut Cache, diagnostics: &mut Diagnostics) {
    let subject = Subject {
        compilation,
        resources: compilation.resources,
        selection: compilation.selection,
        fidelity: compilation.kuma.fidelity,
    };
    let of = Some((compilation.selection.generation, compilation.resources.gaps.clone()));
    if cache.of != of {
        *cache = Cache {
            of,
            found: ask(&OF_POLICIES, &subject),
        };
    }
    diagnostics.append(cache.found.clone());
    diagnostics.append(ask(&OF_PROXIES, &subject));
}

fn ask(questions: &[Question], subject: &Subject) -> Diagnostics {
    let threads = parallel::threads_for(subject.selection.dataplanes.len());
    let answers = parallel::map("checking policies", questions, threads, |question| {
        let mut found = Diagnostics::default();
        question(subject, &mut found);
        found
    });
    let mut all = Diagnostics::default();
    answers.into_iter().for_each(|found| all.append(found));
    all
}
