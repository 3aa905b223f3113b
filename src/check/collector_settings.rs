//! `collector-not-allowed` and `unused-collector-entry`: the collectors of the policies beside those of the settings.

use super::subject::{Subject, about};
use crate::collectors::{Collectors, Named};
use crate::diag::{self, Code, Diagnostic, Diagnostics, Severity};
use crate::resource::kinds::mesh::{self, BackendConf};
use crate::resource::kinds::mesh_open_telemetry_backend::MeshOpenTelemetryBackend;
use crate::resource::kinds::mesh_trace::{Backend, MeshTrace, OpenTelemetryBackend};
use crate::resource::value::collector_url::{self, CollectorUrl};
use crate::resource::{Header, Origin};

/// One error per collector that an entry forbids, and one warning per entry without a collector. The cost grows with backends times
/// entries, of which a machine has few.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    let collectors = subject.compilation.collectors;
    if collectors.rules.is_empty() {
        return;
    }
    let mut is_used = vec![false; collectors.rules.len()];
    // Whether the timeout of an entry is for collectors, and whether Envoy can set it for one of them.
    let mut timeouts = vec![(false, false); collectors.rules.len()];
    for found in all(subject) {
        let named = found.named;
        collectors.of(named).for_each(|(entry, _)| is_used[entry] = true);
        if let Some(timeout) = collectors.first(named, |rule| rule.timeout.as_ref()) {
            let (is_wanted, is_set) = &mut timeouts[timeout.entry];
            (*is_wanted, *is_set) = (true, *is_set || found.has_timeout);
        }
        if let Some(error) = forbidden(collectors, &found) {
            diagnostics.push(error);
        }
    }
    let idle = timeouts
        .iter()
        .enumerate()
        .filter(|(_, timeout)| **timeout == (true, false));
    for (entry, _) in idle {
        let message =
            format!("`collectors[{entry}].timeout` of the settings is for collectors of Zipkin or Datadog alone");
        diagnostics.push(unused(message).help("remove it: Envoy has no timeout to set for them"));
    }
    for (entry, _) in is_used.iter().enumerate().filter(|(_, is_used)| !**is_used) {
        let message = format!("`collectors[{entry}]` of the settings fits no collector of the policies");
        let help = "`meshtraced explain` shows the host, port and backend of each proxy's collector";
        diagnostics.push(unused(message).help(help));
    }
}

/// The finding about an entry, or a part of one, that has no effect.
fn unused(message: String) -> Diagnostic {
    let code = Code::UnusedCollectorEntry;
    Diagnostic::new(Severity::Warning, code, diag::Place::Nowhere, message)
}

/// The error about a collector that an entry forbids.
fn forbidden(collectors: &Collectors, found: &Found) -> Option<Diagnostic> {
    let forbidding = collectors.forbidding(found.named)?;
    let entry = format!("`collectors[{}].allow` of the settings", forbidding.entry);
    let networks: Vec<String> = forbidding.part.iter().map(ToString::to_string).collect();
    let networks = networks.join(", ");
    let host = found.named.host;
    let (message, help) = if collector_url::is_ip(host) {
        let message = format!("spans must not go to {host}: {entry} allows {networks}");
        (message, "send them to a collector in these networks")
    } else {
        let message = format!("`{host}` can resolve to any address, and {entry} allows {networks} alone");
        (message, "write the address of the collector")
    };
    let diagnostic = Diagnostic::error(Code::CollectorNotAllowed, &found.origin.at, message);
    Some(about(found.header, diagnostic.path(&found.origin.path).help(help)))
}

/// A collector of the policies, with the resource and the field that name it.
struct Found<'c> {
    named: Named<'c>,
    header: &'c Header,
    origin: &'c Origin,
    /// Whether Envoy has a timeout to set for it.
    has_timeout: bool,
}

/// Host, port, and whether Envoy has a timeout to set.
type Place<'c> = (&'c str, u16, bool);

impl<'c> Found<'c> {
    fn new(header: &'c Header, backend: &'c str, (host, port, has_timeout): Place<'c>, origin: &'c Origin) -> Self {
        let mesh = header.mesh();
        let named = Named {
            mesh,
            backend,
            host,
            port,
        };
        Self {
            named,
            header,
            origin,
            has_timeout,
        }
    }

    fn of_mesh(header: &'c Header, backend: &'c mesh::Backend) -> Self {
        let (place, origin) = match &backend.conf {
            BackendConf::Zipkin(conf) => (of_url(&conf.url.value), &conf.url.origin),
            BackendConf::Datadog(conf) => {
                let place = (conf.address.value.as_str(), conf.port.value, false);
                (place, &conf.address.origin)
            }
        };
        Self::new(header, backend.name.value.as_str(), place, origin)
    }

    /// The collector that a MeshTrace itself names.
    fn of_mesh_trace(policy: &'c MeshTrace) -> Option<Self> {
        let (written, place, origin) = match policy.conf.backend.value.as_ref()? {
            Backend::Zipkin(backend) => (&backend.written, of_url(&backend.url.value), &backend.url.origin),
            Backend::Datadog(backend) => (&backend.written, of_url(&backend.url.value), &backend.url.origin),
            Backend::OpenTelemetry(OpenTelemetryBackend::Endpoint { endpoint, written }) => {
                let place = (endpoint.value.reached_at(), endpoint.value.port, true);
                (written, place, &endpoint.origin)
            }
            Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { .. }) => return None,
        };
        Some(Self::new(&policy.header, written.as_str(), place, origin))
    }

    fn of_resource(backend: &'c MeshOpenTelemetryBackend) -> Self {
        let collector = &backend.collector;
        let place = (collector.value.reached_at(), collector.value.port, true);
        Self::new(&backend.header, backend.header.name(), place, &collector.origin)
    }
}

fn of_url(url: &CollectorUrl) -> Place<'_> {
    (url.host.as_str(), url.port, false)
}

/// The collectors of the policies.
fn all<'c>(subject: &Subject<'c, '_>) -> impl Iterator<Item = Found<'c>> {
    let resources = subject.resources;
    let meshes = resources.meshes.values();
    let of_meshes = meshes.flat_map(|mesh| {
        mesh.backends
            .iter()
            .map(|backend| Found::of_mesh(&mesh.header, backend))
    });
    let of_mesh_traces = resources
        .mesh_traces
        .iter()
        .filter_map(|policy| Found::of_mesh_trace(policy));
    let of_resources = resources
        .otel_backends
        .iter()
        .map(|backend| Found::of_resource(backend));
    of_meshes.chain(of_mesh_traces).chain(of_resources)
}
