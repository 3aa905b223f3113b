//! `mixed-propagation`: a proxy calls another one whose tracer does not read what its own writes.

use std::collections::BTreeSet;

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::explain::propagation::{calls, continues, of_provider, provider};

/// One finding per pair of providers and mesh, with the first example.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    let traced: Vec<_> = (subject.selection.dataplanes.iter())
        .zip(subject.compilation.proxies)
        .filter_map(|(governed, proxy)| Some((governed, proxy, provider(proxy)?)))
        .collect();
    let providers: BTreeSet<&str> = traced.iter().map(|(.., provider)| *provider).collect();
    if providers.len() < 2 {
        return;
    }
    let mut said = BTreeSet::new();
    for (governed, caller, from) in &traced {
        for (_, called, to) in &traced {
            let breaks = caller.mesh == called.mesh && !continues(from, to);
            if !breaks || said.contains(&(&caller.mesh, from, to)) || !calls(caller, called) {
                continue;
            }
            said.insert((&caller.mesh, from, to));
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
