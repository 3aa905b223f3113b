//! The tracer of a dataplane, from the policies that govern it.

use std::sync::Arc;

use super::proxy::{
    Collector, Datadog, Export, OpenTelemetry, PolicyKind, Provider, Sampling, Tls, Tracer, Zipkin, ZipkinEncoding,
};
use super::tag::{Tag, TagValue};
use crate::collectors::{Collectors, Named, TRUSTED_CAS, TrustedCa};
use crate::keep::Shared;
use crate::keep::Text;
use crate::kuma::{Fidelity, Kuma, Version};
use crate::resource::kinds::mesh::{self, BackendConf, ZipkinApiVersion};
use crate::resource::kinds::mesh_trace::{self, Backend, OpenTelemetryBackend};
use crate::resource::value::collector_url::CollectorUrl;
use crate::resource::value::otlp_endpoint::{Otlp, Transport};
use crate::resource::value::percent::Percent;
use crate::resource::{Effective, Header, Located, NAMESPACE, Origin, Provenance, WORKLOAD};
use crate::select::Governed;
use crate::select::mesh_trace::Merged;

/// The properties of proxy and control plane that a tracer depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct LowerContext<'k> {
    pub(super) kuma: &'k Kuma,
    /// The collectors as the settings describe them.
    pub(super) collectors: &'k Collectors,
    pub(super) mesh: &'k str,
    /// Whether clusters are named after resources.
    pub(super) unified_naming: bool,
    /// Whether the proxy is a built-in gateway.
    pub(super) is_gateway: bool,
}

impl LowerContext<'_> {
    /// The destination of spans, for the kind of the policy and the name of its backend.
    fn export(&self, by: PolicyKind, backend: &str, mut collector: Collector, mut provider: Provider) -> Export {
        self.configure(backend, &provider, &mut collector);
        match &mut provider {
            // Kuma's schema of MeshTrace writes the default.
            Provider::Zipkin(zipkin) => {
                let is_written = zipkin.shared_span_context.is_written();
                zipkin.is_shared_span_context_explicit = by == PolicyKind::MeshTrace || is_written;
                zipkin.split_spans = by == PolicyKind::MeshTrace && self.is_gateway;
            }
            // Kuma omits the field.
            Provider::Datadog(datadog) if self.kuma.fidelity == Fidelity::Documented => {
                datadog.collector_hostname = Some(collector.authority.clone());
            }
            Provider::OpenTelemetry(OpenTelemetry::Http { uri }) if collector.tls.is_some() => {
                if let Some(rest) = uri.strip_prefix("http://") {
                    *uri = format!("https://{rest}");
                }
            }
            Provider::Datadog(_) | Provider::OpenTelemetry(_) => {}
        }
        Export {
            cluster_name: self.cluster_name(by, backend, &provider),
            track_remaining: self.kuma.version >= Version::V2_14,
            collector,
            provider,
        }
    }

    /// Adds what the settings say of a collector, and what `documented` says of its certificate.
    fn configure(&self, backend: &str, provider: &Provider, collector: &mut Collector) {
        let host = collector.host.clone();
        let named = Named {
            mesh: self.mesh,
            backend,
            host: &host,
            port: collector.port,
        };
        let setting = |entry: usize, key: &str| Provenance::Setting(format!("collectors[{entry}].{key}"));
        let timeout = self.collectors.first(named, |rule| rule.timeout.as_ref());
        // Envoy has none to set for the others.
        let timeout = timeout.filter(|_| matches!(provider, Provider::OpenTelemetry(_)));
        collector.timeout = timeout.map(|timeout| Effective {
            value: timeout.part.0,
            source: setting(timeout.entry, "timeout"),
        });
        let headers = self.collectors.first(named, |rule| rule.headers.as_ref());
        collector.headers = headers.map(|headers| Effective {
            value: headers.part.clone(),
            source: setting(headers.entry, "headers"),
        });
        let trusted = self.collectors.trusted_ca();
        if let Some(asked) = self.collectors.first(named, |rule| rule.tls.as_ref()) {
            let conf = asked.part;
            collector.tls = Some(Tls {
                renegotiation: collector.tls.as_ref().is_some_and(|tls| tls.renegotiation),
                verified: conf.verify.then(|| Effective {
                    value: conf.ca.clone().map_or(trusted, TrustedCa::Named),
                    source: setting(asked.entry, "tls"),
                }),
                name: conf.sni.clone(),
                certificate: conf.client_certificate(),
            });
        } else if let Some(tls) = &mut collector.tls {
            let is_able = self.collectors.machine.trusted_ca.is_some();
            let is_default = is_able && self.kuma.fidelity == Fidelity::Documented;
            let asked = tls.verified.take().map(|asked| asked.source);
            let source = asked.or(is_default.then_some(Provenance::Default));
            tls.verified = source.map(|source| Effective { value: trusted, source });
        }
    }

    fn cluster_name(&self, by: PolicyKind, backend: &str, provider: &Provider) -> String {
        let provider = match (by, self.unified_naming, provider) {
            (PolicyKind::TrafficTrace, ..) => return format!("tracing:{backend}"),
            (PolicyKind::MeshTrace, false, provider) => return format!("meshtrace:{}", provider.name()),
            (PolicyKind::MeshTrace, true, Provider::Zipkin(_)) => "zipkin",
            (PolicyKind::MeshTrace, true, Provider::Datadog(_)) => "datadog",
            (PolicyKind::MeshTrace, true, Provider::OpenTelemetry(_)) => "otel",
        };
        format!("system_meshtrace_{provider}_{}", clean(backend))
    }
}

/// A text as a part of a Kuma name, with a dash for every character that such names cannot have.
fn clean(text: &str) -> String {
    let fits = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    text.chars().map(|c| if fits(&c) { c } else { '-' }).collect()
}

/// The tracers that were made so far. Proxies with the same policies share theirs.
#[derive(Debug, Default)]
pub(super) struct Tracers {
    /// By the addresses of policy and mesh.
    by_traffic_trace: Shared<(usize, usize, bool, bool), Arc<Tracer>>,
    /// By the address of the merged policies, and the labels that become tags.
    by_mesh_trace: Shared<(usize, bool, bool, Labels), Arc<Tracer>>,
}

/// The workload and the namespace of a dataplane.
type Labels = [Option<Text>; 2];

impl Tracers {
    /// The tracer of a dataplane, and the displaced tracer whose cluster a control plane keeps.
    pub(super) fn of(&self, governed: &Governed, context: LowerContext) -> (Option<Arc<Tracer>>, Option<Arc<Tracer>>) {
        let legacy = governed.backend().map(|backend| {
            let policy = governed.winner().map_or(0, |winner| Arc::as_ptr(&winner.policy).addr());
            let mesh = governed.mesh.map_or(0, |mesh| std::ptr::from_ref(mesh).addr());
            let key = (policy, mesh, context.unified_naming, context.is_gateway);
            let tracer = || Arc::new(by_traffic_trace(governed, backend, context));
            self.by_traffic_trace.get(&key, tracer)
        });
        let Some((merged, backend)) =
            (governed.policies.mesh_trace.merged.as_ref()).and_then(|merged| Some((merged, merged.backend()?)))
        else {
            // A MeshTrace that switches tracing off does not displace a TrafficTrace.
            return (legacy, None);
        };
        let labels = [WORKLOAD, NAMESPACE].map(|label| governed.dataplane.header.labels.get(label).cloned());
        let policies = Arc::as_ptr(&governed.policies.mesh_trace).addr();
        let key = (policies, context.unified_naming, context.is_gateway, labels);
        let tracer = || Arc::new(by_mesh_trace(governed, merged, backend, context));
        let tracer = self.by_mesh_trace.get(&key, tracer);
        match context.kuma.fidelity {
            Fidelity::Exact => (Some(tracer), legacy),
            Fidelity::Documented => (Some(tracer).filter(|tracer| tracer.export.is_some()), None),
        }
    }
}

fn by_traffic_trace(governed: &Governed, backend: &mesh::Backend, context: LowerContext) -> Tracer {
    let chosen_by_policy = governed.winner().and_then(|winner| winner.policy.backend.as_ref());
    let chosen_by_default = governed.mesh.and_then(|mesh| mesh.default_backend.as_ref());
    let chosen = chosen_by_policy.or(chosen_by_default).unwrap_or(&backend.name);
    let verified = governed.mesh.and_then(|mesh| mesh.header.verify_collector.as_deref());
    let (collector, provider) = match &backend.conf {
        BackendConf::Zipkin(conf) => {
            let flags = [&conf.trace_id_128bit, &conf.shared_span_context];
            let provider = zipkin(context.kuma, &conf.url, conf.api_version.as_ref(), flags);
            (of_url(&conf.url, verified), provider)
        }
        BackendConf::Datadog(conf) => {
            let collector = Collector {
                authority: authority(&conf.address.value, conf.port.value),
                host: conf.address.value.to_string(),
                port: conf.port.value,
                tls: None,
                headers: None,
                timeout: None,
                origin: conf.address.origin.clone(),
            };
            (collector, datadog(conf.split_service.as_ref()))
        }
    };
    Tracer {
        by: PolicyKind::TrafficTrace,
        export: Some(context.export(PolicyKind::TrafficTrace, &chosen.value, collector, provider)),
        backend: chosen.clone(),
        sampling: Sampling {
            overall: Effective::of(backend.sampling.as_ref(), Percent::HUNDRED),
            client: Effective::of(None, Percent::HUNDRED),
            random: Effective::of(None, Percent::HUNDRED),
        },
        tags: Vec::new(),
    }
}

fn by_mesh_trace(governed: &Governed, merged: &Merged, backend: &Backend, context: LowerContext) -> Tracer {
    let verified = merged.strongest.header.verify_collector.as_deref();
    let (backend, destination) = match backend {
        Backend::Zipkin(conf) => {
            let flags = [&conf.trace_id_128bit, &conf.shared_span_context];
            let provider = zipkin(context.kuma, &conf.url, conf.api_version.as_ref(), flags);
            let destination = (of_url(&conf.url, verified), provider);
            (conf.url.clone().map(|_| conf.written.clone()), Some(destination))
        }
        Backend::Datadog(conf) => {
            let destination = (of_url(&conf.url, None), datadog(conf.split_service.as_ref()));
            (conf.url.clone().map(|_| conf.written.clone()), Some(destination))
        }
        Backend::OpenTelemetry(OpenTelemetryBackend::Endpoint { endpoint, written }) => {
            let destination = of_otlp(endpoint, verified);
            (endpoint.clone().map(|_| written.clone()), Some(destination))
        }
        Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { labels }) => {
            let found = governed.policies.otel_backend.as_deref();
            let own = |header: &Header| header.verify_collector.as_deref().cloned();
            let verified = verified.cloned().or_else(|| found.and_then(|found| own(&found.header)));
            let name = found.map(|found| found.header.display_name.clone()).unwrap_or_default();
            let destination = found.map(|found| of_otlp(&found.collector, verified.as_ref()));
            (labels.clone().map(|_| name), destination)
        }
    };
    let export = destination
        .map(|(collector, provider)| context.export(PolicyKind::MeshTrace, &backend.value, collector, provider));
    let share = |written: &Option<Located<Percent>>| Effective::of(written.as_ref(), Percent::HUNDRED);
    Tracer {
        by: PolicyKind::MeshTrace,
        backend,
        export,
        sampling: Sampling {
            overall: share(&merged.sampling.overall),
            client: share(&merged.sampling.client),
            random: share(&merged.sampling.random),
        },
        tags: tags(governed, merged, context.kuma),
    }
}

fn zipkin(
    kuma: &Kuma,
    url: &Located<CollectorUrl>,
    api_version: Option<&Located<ZipkinApiVersion>>,
    [trace_id_128bit, shared_span_context]: [&Option<Located<bool>>; 2],
) -> Provider {
    let query = url
        .value
        .query
        .as_ref()
        .filter(|_| kuma.fidelity == Fidelity::Documented);
    Provider::Zipkin(Zipkin {
        path: match query {
            Some(query) => format!("{}?{query}", url.value.path),
            None => url.value.path.clone(),
        },
        encoding: encoding(api_version),
        trace_id_128bit: Effective::of(trace_id_128bit.as_ref(), false),
        shared_span_context: Effective::of(shared_span_context.as_ref(), true),
        is_shared_span_context_explicit: false,
        split_spans: false,
    })
}

fn datadog(split_service: Option<&Located<bool>>) -> Provider {
    Provider::Datadog(Datadog {
        collector_hostname: None,
        split_service: Effective::of(split_service, false),
    })
}

fn encoding(version: Option<&Located<ZipkinApiVersion>>) -> Effective<ZipkinEncoding> {
    let encoding = version.cloned().map(|version| {
        version.map(|version| match version {
            ZipkinApiVersion::HttpProto => ZipkinEncoding::Proto,
            ZipkinApiVersion::HttpJson => ZipkinEncoding::Json,
            ZipkinApiVersion::HttpJsonV1 => ZipkinEncoding::JsonForV1,
        })
    });
    Effective::of(encoding.as_ref(), ZipkinEncoding::Json)
}

fn of_url(written: &Located<CollectorUrl>, verified: Option<&Origin>) -> Collector {
    let url = &written.value;
    Collector {
        host: url.host.clone(),
        port: url.port,
        authority: url.authority.clone(),
        tls: url.tls.then(|| tls(true, verified)),
        headers: None,
        timeout: None,
        origin: written.origin.clone(),
    }
}

/// TLS as the policies ask for it.
fn tls(renegotiation: bool, verified: Option<&Origin>) -> Tls {
    Tls {
        renegotiation,
        verified: verified.map(|asked| Effective {
            value: TrustedCa::OfMachine(TRUSTED_CAS[0].into()),
            source: Provenance::Written(asked.clone()),
        }),
        name: None,
        certificate: None,
    }
}

/// The port of OTLP over HTTP that means TLS.
const HTTPS_PORT: u16 = 443;

fn of_otlp(written: &Located<Otlp>, verified: Option<&Origin>) -> (Collector, Provider) {
    let Otlp { host, port, transport } = &written.value;
    let is_https = matches!(transport, Transport::Http { .. }) && *port == HTTPS_PORT;
    let provider = match transport {
        Transport::Grpc => OpenTelemetry::Grpc,
        Transport::Http { base } => {
            let scheme = if is_https { "https" } else { "http" };
            OpenTelemetry::Http {
                uri: format!("{scheme}://{}{base}/v1/traces", authority(host, *port)),
            }
        }
    };
    let host = written.value.reached_at();
    let collector = Collector {
        authority: authority(host, *port),
        host: host.to_owned(),
        port: *port,
        tls: is_https.then(|| tls(false, verified)),
        headers: None,
        timeout: None,
        origin: written.origin.clone(),
    };
    (collector, Provider::OpenTelemetry(provider))
}

/// Host and port, with brackets around an IPv6 address.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The tags of the policies, and from 2.14 on those that a control plane adds under names not yet taken.
fn tags(governed: &Governed, merged: &Merged, kuma: &Kuma) -> Vec<Tag> {
    let mut tags: Vec<Tag> = merged.tags().iter().map(tag).collect();
    if kuma.version < Version::V2_14 {
        return tags;
    }
    let header = &governed.dataplane.header;
    let workload = header
        .label(WORKLOAD)
        .filter(|workload| !workload.is_empty())
        .map(|workload| {
            let namespace = header.label(NAMESPACE).unwrap_or_default();
            format!("kri_wl_{}_{}_{namespace}_{workload}_", header.mesh(), kuma.zone)
        });
    let added = [
        ("kuma.mesh", Some(header.mesh().to_owned())),
        ("kuma.zone", Some(kuma.zone.clone())),
        ("kuma.workload", workload),
    ];
    for (name, value) in added {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            continue;
        };
        if tags.iter().all(|tag| tag.name != name) {
            tags.push(Tag {
                name: name.to_owned(),
                value: TagValue::Literal(value.into()),
                source: Provenance::Default,
            });
        }
    }
    tags
}

fn tag(written: &mesh_trace::Tag) -> Tag {
    let (value, origin) = match &written.value {
        mesh_trace::TagValue::Literal(literal) => (TagValue::Literal(literal.value.clone()), &literal.origin),
        mesh_trace::TagValue::Header { name, default } => {
            let value = TagValue::Header {
                name: name.value.clone(),
                default: default.as_ref().map(|default| default.value.clone()),
            };
            (value, &name.origin)
        }
    };
    Tag {
        name: written.name.value.to_string(),
        value,
        source: Provenance::Written(origin.clone()),
    }
}
