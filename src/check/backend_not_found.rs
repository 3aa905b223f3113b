//! `backend-not-found`: a policy sends spans to a backend that its mesh does not have.

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics, Place, Severity};
use crate::kuma::Fidelity;
use crate::resource::kinds::mesh::Mesh;
use crate::resource::kinds::mesh_trace::{Backend, OpenTelemetryBackend};
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::select::{backend_name, otel};
use crate::words::{closest, few, first_of};

/// An error where the documentation is followed; Kuma itself logs it and traces nothing.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    references(subject, diagnostics);
    let severity = match subject.fidelity {
        Fidelity::Documented => Severity::Error,
        Fidelity::Exact => Severity::Warning,
    };
    for policy in &*subject.resources.traffic_traces {
        let mesh = subject.resources.mesh(policy.header.mesh());
        let name = backend_name(policy, mesh);
        let is_declared = name.is_some_and(|name| mesh.is_some_and(|mesh| mesh.declared.contains(name)));
        if !is_declared && subject.resources.gaps.has_all_documents(policy.header.mesh()) {
            let at = policy
                .backend
                .as_ref()
                .map_or(&policy.header.at, |name| &name.origin.at);
            let (message, help) = explain(policy, mesh);
            let diagnostic = Diagnostic::new(severity, Code::BackendNotFound, Place::In(at.clone()), message);
            diagnostics.push(about(&policy.header, diagnostic.path("conf.backend").help(help)));
        }
    }
}

/// A `MeshTrace` that refers to a collector by labels that none has, or several have.
fn references(subject: &Subject, diagnostics: &mut Diagnostics) {
    for policy in &*subject.resources.mesh_traces {
        let mesh = policy.header.mesh();
        let Some(Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { labels })) = &policy.conf.backend.value
        else {
            continue;
        };
        let all = &subject.resources.otel_backends;
        let names: Vec<&str> = otel::backends(all, mesh, &labels.value)
            .iter()
            .map(|backend| backend.header.name())
            .collect();
        let (code, message, help) = match names.as_slice() {
            [_] => continue,
            [] if !subject.resources.gaps.has_all_documents(mesh) => continue,
            [] => {
                let there = all.iter().filter(|backend| backend.header.mesh() == mesh);
                let there: Vec<&str> = there.map(|backend| backend.header.name()).collect();
                let message = format!(
                    "`{}` refers to a MeshOpenTelemetryBackend with labels that none in mesh {mesh} has, so nothing is traced",
                    policy.header.name()
                );
                let meant = labels
                    .value
                    .values()
                    .find_map(|label| closest(&label.value, there.iter().copied()));
                let help = match (meant, there.is_empty()) {
                    (Some(meant), _) => format!("did you mean `{meant}`?"),
                    (None, false) => format!("there are: {}", few(&there)),
                    (None, true) => format!("declare one: `type: MeshOpenTelemetryBackend` with `mesh: {mesh}`"),
                };
                (Code::BackendNotFound, message, help)
            }
            [first, others @ ..] => {
                let message = format!(
                    "`{}` refers to labels that {} other backend{} too; `{first}` is taken, by its name",
                    policy.header.name(),
                    others.len(),
                    if others.len() == 1 { " has" } else { "s have" },
                );
                (Code::AmbiguousPolicies, message, format!("the others: {}", few(others)))
            }
        };
        let diagnostic = Diagnostic::warning(code, &labels.origin.at, message).path(&labels.origin.path);
        diagnostics.push(about(&policy.header, diagnostic.help(help)));
    }
}

fn explain(policy: &TrafficTrace, mesh: Option<&Mesh>) -> (String, String) {
    let (name, mesh_name) = (policy.header.name(), policy.header.mesh());
    let backends = mesh.map_or(&[][..], |mesh| &mesh.backends);
    let names = || backends.iter().map(|backend| backend.name.value.as_str());
    let listed = match backends.len() {
        0 => "no tracing backend".to_owned(),
        n => first_of(names().map(|name| format!("`{name}`")), n),
    };
    match &policy.backend {
        Some(wanted) => {
            let message = format!(
                "`{name}` names backend `{}`; mesh {mesh_name} has {listed}",
                wanted.value
            );
            let help = match closest(&wanted.value, names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("add it to `tracing.backends` of the Mesh `{mesh_name}`"),
            };
            (message, help)
        }
        None => {
            let message =
                format!("`{name}` names no backend and mesh {mesh_name} has no `defaultBackend`, so nothing is traced");
            let help = match names().next() {
                Some(first) => {
                    format!("write `conf: {{backend: {first}}}`, or `tracing.defaultBackend: {first}` in the Mesh")
                }
                None => format!("add a backend to `tracing.backends` of the Mesh `{mesh_name}`"),
            };
            (message, help)
        }
    }
}
