//! `sampling-zero`: sampling 0 does not mean off.

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::explain::sampling::at_zero;
use crate::resource::kinds::mesh::BackendConf;
use crate::resource::kinds::mesh_trace::Backend;

/// One finding per backend, and per share of a `MeshTrace` that leaves nothing to sample.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    for policy in &*subject.resources.mesh_traces {
        let sampling = &policy.conf.sampling;
        let provider = match &policy.conf.backend.value {
            Some(Backend::Zipkin(_)) => "zipkin",
            Some(Backend::Datadog(_)) => "datadog",
            Some(Backend::OpenTelemetry(_)) => "opentelemetry",
            None => continue,
        };
        for (name, share) in [("overall", &sampling.overall), ("random", &sampling.random)] {
            let Some(share) = share.as_ref().filter(|share| share.value.get() == 0.0) else {
                continue;
            };
            let name_of = policy.header.name();
            let message = format!("with `{name}: 0` of `{name_of}`, {}", at_zero(provider, name));
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
            let provider = match &backend.conf {
                BackendConf::Zipkin(_) => "zipkin",
                BackendConf::Datadog(_) => "datadog",
            };
            let name = &backend.name.value;
            let message = format!(
                "with `sampling: 0` of backend `{name}`, {}",
                at_zero(provider, "overall")
            );
            let diagnostic = Diagnostic::warning(Code::SamplingZero, &sampling.origin.at, message);
            let help = "to trace nothing, remove the TrafficTrace, or narrow its selectors";
            diagnostics.push(about(&mesh.header, diagnostic.path(&sampling.origin.path).help(help)));
        }
    }
}
