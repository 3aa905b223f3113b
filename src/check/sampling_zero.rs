//! `sampling-zero`: sampling 0 does not mean off.

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};

/// One finding per backend, and per share of a `MeshTrace` that leaves nothing to sample.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    for policy in &subject.resources.mesh_traces {
        let sampling = &policy.conf.sampling;
        for share in [&sampling.overall, &sampling.random].into_iter().flatten() {
            if share.value.get() > 0.0 {
                continue;
            }
            let message = format!(
                "sampling 0 of `{}` does not switch tracing off: requests that come with a sampling decision are traced, and Datadog gets spans all the same",
                policy.header.name()
            );
            let diagnostic = Diagnostic::warning(Code::SamplingZero, &share.origin.at, message);
            let help = "to trace nothing, write `backends: []`";
            diagnostics.push(about(&policy.header, diagnostic.path(&share.origin.path).help(help)));
        }
    }
    for mesh in subject.resources.meshes.values() {
        for backend in &mesh.backends {
            let Some(sampling) = backend.sampling.as_ref().filter(|sampling| sampling.value.get() == 0.0) else {
                continue;
            };
            let message = format!(
                "sampling 0 of backend `{}` does not switch tracing off: requests that come with a sampling decision are traced, and Datadog gets spans all the same",
                backend.name.value
            );
            let diagnostic = Diagnostic::warning(Code::SamplingZero, &sampling.origin.at, message);
            let help = "to trace nothing, remove the TrafficTrace, or narrow its selectors";
            diagnostics.push(about(&mesh.header, diagnostic.path(&sampling.origin.path).help(help)));
        }
    }
}
