//! `collector-mismatch`: a collector that probably cannot receive the spans that Envoy sends.

use super::subject::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::resource::kinds::mesh::{BackendConf, ZipkinApiVersion};
use crate::resource::kinds::mesh_trace::{Backend, OpenTelemetryBackend};
use crate::resource::value::collector_url::CollectorUrl;
use crate::resource::value::otlp_endpoint::{Otlp, Transport};
use crate::resource::{Header, Located, Origin};

/// The usual ports of collectors, with the protocol that each receives.
const USUAL_PORTS: [(u16, &str); 8] = [
    (4317, "OTLP over gRPC"),
    (4318, "OTLP over HTTP"),
    (8125, "DogStatsD"),
    (8126, "Datadog traces"),
    (9411, "Zipkin spans"),
    (14250, "Jaeger's spans over gRPC"),
    (14268, "Jaeger's spans in Thrift"),
    (16686, "requests for Jaeger's web page"),
];

/// The ends of host names that a resolver on a VM usually does not know, with the resolver that does.
const PRIVATE_NAMES: [(&str, &str); 3] = [
    (".mesh", "Kuma's own DNS"),
    (".svc", "the DNS of a Kubernetes cluster"),
    (".svc.cluster.local", "the DNS of a Kubernetes cluster"),
];

/// The findings per collector of a `Mesh`, `MeshTrace` or `MeshOpenTelemetryBackend`: port, host, path and version.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    for mesh in subject.resources.meshes.values() {
        let mut sink = Sink::new(&mesh.header, diagnostics);
        for backend in &mesh.backends {
            match &backend.conf {
                BackendConf::Zipkin(conf) => sink.zipkin(&conf.url, conf.api_version.as_ref()),
                BackendConf::Datadog(conf) => {
                    sink.port(conf.port.value, "Datadog traces", &conf.port.origin);
                    sink.host(&conf.address.value, &conf.address.origin);
                }
            }
        }
    }
    for policy in &*subject.resources.mesh_traces {
        let mut sink = Sink::new(&policy.header, diagnostics);
        match &policy.conf.backend.value {
            Some(Backend::Zipkin(backend)) => sink.zipkin(&backend.url, backend.api_version.as_ref()),
            Some(Backend::Datadog(backend)) => {
                sink.port(backend.url.value.port, "Datadog traces", &backend.url.origin);
                sink.host(&backend.url.value.host, &backend.url.origin);
            }
            Some(Backend::OpenTelemetry(OpenTelemetryBackend::Endpoint { endpoint, .. })) => sink.otlp(endpoint),
            Some(Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { .. })) | None => (),
        }
    }
    for backend in &*subject.resources.otel_backends {
        Sink::new(&backend.header, diagnostics).otlp(&backend.collector);
    }
}

/// The findings about the collectors of one resource.
struct Sink<'a> {
    header: &'a Header,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Sink<'a> {
    fn new(header: &'a Header, diagnostics: &'a mut Diagnostics) -> Self {
        Self { header, diagnostics }
    }

    fn warn(&mut self, origin: &Origin, message: String, help: String) {
        let diagnostic = Diagnostic::warning(Code::CollectorMismatch, &origin.at, message);
        let diagnostic = diagnostic.path(&origin.path).help(help);
        self.diagnostics.push(about(self.header, diagnostic));
    }

    fn zipkin(&mut self, url: &Located<CollectorUrl>, version: Option<&Located<ZipkinApiVersion>>) {
        let collector = &url.value;
        self.port(collector.port, "Zipkin spans", &url.origin);
        self.host(&collector.host, &url.origin);
        if let Some(base) = collector.path.strip_suffix("/api/v1/spans") {
            self.warn(
                &url.origin,
                "Envoy sends spans of Zipkin's version 2, and the path `/api/v1/spans` is for version 1".to_owned(),
                format!("the path of version 2 is `{base}/api/v2/spans`"),
            );
        }
        if let Some(version) = version.filter(|version| version.value == ZipkinApiVersion::HttpJsonV1) {
            self.warn(
                &version.origin,
                "Envoy cannot send spans of Zipkin's version 1; with `httpJsonV1`, Kuma sends version 2".to_owned(),
                "write `httpJson`, and a path such as `/api/v2/spans`".to_owned(),
            );
        }
    }

    fn otlp(&mut self, collector: &Located<Otlp>) {
        let sent = match collector.value.transport {
            Transport::Grpc => "OTLP over gRPC",
            Transport::Http { .. } => "OTLP over HTTP",
        };
        self.port(collector.value.port, sent, &collector.origin);
        self.host(&collector.value.host, &collector.origin);
    }

    /// Reports the usual port of another protocol than `sent`.
    fn port(&mut self, port: u16, sent: &str, origin: &Origin) {
        let usual = USUAL_PORTS.iter().find(|(_, protocol)| *protocol == sent);
        let received = USUAL_PORTS.iter().find(|(known, _)| *known == port);
        let (Some((usual, _)), Some((_, received))) = (usual, received) else {
            return;
        };
        if *received != sent {
            self.warn(
                origin,
                format!("port {port} usually receives {received}, and Envoy sends {sent}"),
                format!("the usual port for {sent} is {usual}"),
            );
        }
    }

    /// Reports a host name that only a control plane or a Kubernetes cluster resolves.
    fn host(&mut self, host: &str, origin: &Origin) {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some((_, resolver)) = PRIVATE_NAMES.iter().find(|(end, _)| name.ends_with(end)) {
            self.warn(
                origin,
                format!("only {resolver} resolves `{host}`, and Envoy on a VM usually has another resolver"),
                "write a host name or an IP address that is known on the machines of the proxies".to_owned(),
            );
        }
    }
}
