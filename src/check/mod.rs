//! Questions about a whole compilation, one file per finding.
//!
//! A mistake that one document shows by itself is found where the document is decoded; the questions here need
//! several resources, or what they compile to.

mod subject;

mod ambiguous_policies;

mod backend_not_found;

mod both_policies;

mod collector_mismatch;

mod collector_settings;

mod hidden_listener;

mod mixed_propagation;

mod no_http_listener;

mod no_resources;

mod sampling_zero;

mod selects_nothing;

mod span_name;

pub use no_resources::no_resources;

use std::sync::Arc;

use self::subject::Subject;
use crate::collectors::Collectors;
use crate::compilation::{Compilation, Lowered};
use crate::diag::Diagnostics;
use crate::explain::propagation::is_called_and_calls_as;
use crate::ir::Proxy;
use crate::keep::carry::{self, Updated};
use crate::kuma::Kuma;
use crate::resource::Gaps;
use crate::resource::kinds::dataplane::Dataplane;
use crate::select::Policies;
use crate::system::parallel;

/// The findings of the last compilation about policies, which dataplanes that policies cannot tell apart do not change, and about
/// each proxy.
#[derive(Debug, Default)]
pub struct Cache {
    /// The generation of the selection, the invalid resources, and the collectors of the settings.
    of: Option<(u64, Gaps, Collectors)>,
    found: Diagnostics,
    /// The control plane that the findings about proxies are of.
    kuma: Option<Kuma>,
    of_each: Vec<Answer>,
    /// The findings about calls among the proxies of `of_each`.
    of_calls: Diagnostics,
}

/// The findings about one proxy, with all that they depend on beside the control plane.
#[derive(Debug)]
struct Answer {
    dataplane: Arc<Dataplane>,
    policies: Arc<Policies>,
    proxy: Arc<Proxy>,
    found: Diagnostics,
}

type Question = fn(&Subject, &mut Diagnostics);

type QuestionOfEach = fn(&Lowered, &mut Diagnostics);

/// The questions about policies and about the dataplanes that they match.
const OF_POLICIES: [Question; 7] = [
    ambiguous_policies::ask,
    backend_not_found::ask,
    both_policies::ask,
    collector_mismatch::ask,
    collector_settings::ask,
    sampling_zero::ask,
    selects_nothing::ask,
];

/// The questions about the proxies that were lowered, each by itself.
const OF_EACH: [QuestionOfEach; 3] = [hidden_listener::ask, no_http_listener::ask, span_name::ask];

/// Asks all questions and adds the findings to `diagnostics`. What is in `cache` changes the cost and not the result.
pub fn run(compilation: &Compilation, cache: &mut Cache, diagnostics: &mut Diagnostics) {
    let subject = Subject {
        compilation,
        resources: compilation.resources,
        selection: compilation.selection,
        fidelity: compilation.kuma.fidelity,
    };
    let generation = compilation.selection.generation;
    let gaps = compilation.resources.gaps.clone();
    let of = Some((generation, gaps, compilation.collectors.clone()));
    if cache.of != of {
        (cache.of, cache.found) = (of, ask(&OF_POLICIES, &subject));
    }
    diagnostics.append(&cache.found);
    let updated = ask_each(compilation, cache, diagnostics);
    if !are_calls_as_before(&updated, cache) {
        cache.of_calls = Diagnostics::default();
        mixed_propagation::ask(&subject, &mut cache.of_calls);
    }
    diagnostics.append(&cache.of_calls);
}

/// Whether all proxies call and are called as before, and the callers in findings are the very same.
fn are_calls_as_before(updated: &Updated<Answer>, cache: &Cache) -> bool {
    let Some(replaced) = &updated.replaced else {
        return false;
    };
    let new = updated.made.iter().map(|i| &cache.of_each[*i]);
    let mut pairs = replaced.iter().zip(new);
    pairs.all(|(old, new)| {
        let id = &new.dataplane.header.id;
        is_called_and_calls_as(&old.proxy, &new.proxy) && !cache.of_calls.are_about(id)
    })
}

/// Asks the questions about each proxy that is not the same as in the last compilation.
fn ask_each(compilation: &Compilation, cache: &mut Cache, diagnostics: &mut Diagnostics) -> Updated<Answer> {
    let all: Vec<Lowered> = compilation.each().collect();
    if cache.kuma.as_ref() != Some(compilation.kuma) {
        cache.kuma = Some(compilation.kuma.clone());
        cache.of_each.clear();
        cache.of_calls = Diagnostics::default();
    }
    let updated = carry::update(
        &mut cache.of_each,
        &all,
        |known, each| known.dataplane.cmp_by_name(each.governed.dataplane),
        Answer::is_of,
        |missing| {
            let threads = parallel::threads_for(missing.len());
            parallel::map("checking proxies", missing, threads, |each| Answer::to(each))
        },
    );
    for answer in &cache.of_each {
        diagnostics.append(&answer.found);
    }
    updated
}

impl Answer {
    fn to(each: &Lowered) -> Self {
        let mut found = Diagnostics::default();
        for question in OF_EACH {
            question(each, &mut found);
        }
        Self {
            dataplane: Arc::clone(each.governed.dataplane),
            policies: Arc::clone(each.governed.policies),
            proxy: Arc::clone(each.proxy),
            found,
        }
    }

    /// Whether the findings are those about this proxy.
    fn is_of(&self, each: &Lowered) -> bool {
        Arc::ptr_eq(&self.proxy, each.proxy)
            && Arc::ptr_eq(&self.dataplane, each.governed.dataplane)
            && Arc::ptr_eq(&self.policies, each.governed.policies)
    }
}

fn ask(questions: &[Question], subject: &Subject) -> Diagnostics {
    let threads = parallel::threads_for(subject.selection.dataplanes.len());
    let answers = parallel::map("checking policies", questions, threads, |question| {
        let mut found = Diagnostics::default();
        question(subject, &mut found);
        found
    });
    let mut all = Diagnostics::default();
    answers.iter().for_each(|found| all.append(found));
    all
}
