//! `collector-not-allowed` and `unused-collector-entry`: the collectors of the policies beside those of the settings.

use super::subject::{Subject, about};
use crate::collectors::Named;
use crate::diag::{Code, Diagnostic, Diagnostics, Place, Severity};
use crate::resource::kinds::mesh::BackendConf;
use crate::resource::kinds::mesh_trace::{Backend, OpenTelemetryBackend};
use crate::resource::value::collector_url;
use crate::resource::{Header, Origin};

/// One error per collector that an entry forbids, and one warning per entry without a collector. The cost grows with backends times
/// entries, of which a machine has few.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    let collectors = subject.compilation.collectors;
    if collectors.rules.is_empty() {
        return;
    }
    let mut is_used = vec![false; collectors.rules.len()];
    for (named, header, origin) in all(subject) {
        collectors.of(named).for_each(|(entry, _)| is_used[entry] = true);
        if let Some(forbidding) = collectors.forbidding(named) {
            let entry = format!("`collectors[{}].allow` of the settings", forbidding.entry);
            let networks: Vec<String> = forbidding.part.iter().map(ToString::to_string).collect();
            let networks = networks.join(", ");
            let host = named.host;
            let (message, help) = if collector_url::is_ip(host) {
                let message = format!("spans must not go to {host}: {entry} allows {networks}");
                (message, "send them to a collector in these networks")
            } else {
                let message = format!("`{host}` can resolve to any address, and {entry} allows {networks} alone");
                (message, "write the address of the collector")
            };
            let diagnostic = Diagnostic::error(Code::CollectorNotAllowed, &origin.at, message);
            diagnostics.push(about(header, diagnostic.path(&origin.path).help(help)));
        }
    }
    let unused = is_used.iter().enumerate().filter(|(_, is_used)| !**is_used);
    for (entry, _) in unused {
        let message = format!("`collectors[{entry}]` of the settings fits no collector of the policies");
        let diagnostic = Diagnostic::new(Severity::Warning, Code::UnusedCollectorEntry, Place::Nowhere, message);
        diagnostics
            .push(diagnostic.help("`meshtraced explain` shows the host, port and backend of each proxy's collector"));
    }
}

/// The collectors of the policies, with the resource and the field that name each.
fn all<'c>(subject: &Subject<'c, '_>) -> Vec<(Named<'c>, &'c Header, &'c Origin)> {
    let resources = subject.resources;
    let mut all = Vec::new();
    let mut add = |header: &'c Header, backend, (host, port): (&'c str, u16), origin| {
        let mesh = header.mesh();
        let named = Named {
            mesh,
            backend,
            host,
            port,
        };
        all.push((named, header, origin));
    };
    for mesh in resources.meshes.values() {
        for backend in &mesh.backends {
            let (place, origin) = match &backend.conf {
                BackendConf::Zipkin(conf) => ((conf.url.value.host.as_str(), conf.url.value.port), &conf.url.origin),
                BackendConf::Datadog(conf) => ((conf.address.value.as_str(), conf.port.value), &conf.address.origin),
            };
            add(&mesh.header, backend.name.value.as_str(), place, origin);
        }
    }
    for policy in &*resources.mesh_traces {
        let (written, place, origin) = match &policy.conf.backend.value {
            Some(Backend::Zipkin(backend)) => {
                let url = &backend.url;
                (&backend.written, (url.value.host.as_str(), url.value.port), &url.origin)
            }
            Some(Backend::Datadog(backend)) => {
                let url = &backend.url;
                (&backend.written, (url.value.host.as_str(), url.value.port), &url.origin)
            }
            Some(Backend::OpenTelemetry(OpenTelemetryBackend::Endpoint { endpoint, written })) => {
                let place = (endpoint.value.reached_at(), endpoint.value.port);
                (written, place, &endpoint.origin)
            }
            Some(Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { .. })) | None => continue,
        };
        add(&policy.header, written.as_str(), place, origin);
    }
    for backend in &*resources.otel_backends {
        let collector = &backend.collector;
        let place = (collector.value.reached_at(), collector.value.port);
        add(&backend.header, backend.header.name(), place, &collector.origin);
    }
    all
}
