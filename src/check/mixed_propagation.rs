//! `mixed-propagation`: a proxy calls another one whose tracer does not read what its own writes.

use std::collections::BTreeSet;

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::explain::propagation::{Calls, continues, of_provider, provider};

/// One finding per pair of providers and mesh, with the first example.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    let proxies = subject.compilation.proxies;
    let providers: BTreeSet<&str> = proxies.iter().filter_map(|proxy| provider(proxy)).collect();
    if providers.len() < 2 {
        return;
    }
    let mut calls = Calls::of(proxies);
    let mut said = BTreeSet::new();
    for (governed, caller) in subject.compilation.pairs() {
        let Some(from) = provider(caller) else { continue };
        for (to, called) in calls.by(caller) {
            if continues(from, to) || !said.insert((&caller.mesh, from, to)) {
                continue;
            }
            let message = format!(
                "`{}` sends spans to {from} and calls `{}`, which sends them to {to}: every trace ends between them",
                caller.name, called.name
            );
            let help = format!(
                "use one provider for both: {to} reads {}, and {from} writes {}",
                of_provider(to).reads.join(" or "),
                of_provider(from).writes.join(", ")
            );
            let header = &governed.dataplane.header;
            let diagnostic = Diagnostic::warning(Code::MixedPropagation, &header.at, message);
            diagnostics.push(about(header, diagnostic.path("networking.outbound").help(help)));
        }
    }
}
