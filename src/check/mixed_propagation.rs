//! `mixed-propagation`: a proxy calls another one whose tracer does not read what its own writes.

use std::collections::BTreeSet;

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::explain::propagation::{Calls, continues, of_provider, provider};
use crate::sorted;

/// One finding per pair of providers and mesh, with the first example.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    let proxies = subject.compilation.proxies;
    // What is not said yet, by mesh and providers of caller and called.
    let mut left: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for of_mesh in sorted::runs(proxies, |proxy| &proxy.key.mesh) {
        let providers: BTreeSet<&str> = of_mesh.iter().filter_map(|proxy| provider(proxy)).collect();
        for from in &providers {
            let breaks = providers.iter().filter(|to| !continues(from, to));
            left.extend(breaks.map(|to| (of_mesh[0].key.mesh.as_str(), *from, *to)));
        }
    }
    if left.is_empty() {
        return;
    }
    let mut calls = Calls::of(proxies);
    for (governed, caller) in subject.compilation.pairs() {
        if left.is_empty() {
            break;
        }
        let Some(from) = provider(caller) else { continue };
        let mesh = caller.key.mesh.as_str();
        let next = left.range((mesh, from, "")..).next();
        if next.is_none_or(|next| (next.0, next.1) != (mesh, from)) {
            continue;
        }
        for (to, called) in calls.by(caller) {
            if !left.remove(&(mesh, from, to)) {
                continue;
            }
            let message = format!(
                "`{}` sends spans to {from} and calls `{}`, which sends them to {to}: every trace ends between them",
                caller.key.dataplane, called.key.dataplane
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
