//! Where the spans of a dataplane go, by the policies for it.

use super::{
    By, Collector, Datadog, Export, OpenTelemetry, Provider, Sampling, Tag, TagValue, Tls, Tracer, Zipkin,
    ZipkinEncoding,
};
use crate::kuma::{Fidelity, Kuma, Version};
use crate::resource::kinds::mesh::{self, BackendConf, ZipkinApiVersion};
use crate::resource::kinds::mesh_trace::{self, Backend, OpenTelemetryBackend};
use crate::resource::value::collector_url::CollectorUrl;
use crate::resource::value::otlp_endpoint::{Otlp, Transport};
use crate::resource::value::percent::Percent;
use crate::resource::{Effective, Header, Located, NAMESPACE, Origin, WORKLOAD};
use crate::select::Governed;
use crate::select::mesh_trace::Merged;

/// The tracer of a dataplane, and the one that it displaces and a control plane keeps a cluster for.
pub(super) fn tracers(governed: &Governed, kuma: &Kuma) -> (Option<Tracer>, Option<Tracer>) {
    let legacy = governed.backend.map(|backend| by_traffic_trace(governed, backend));
    let Some((merged, backend)) =
        (governed.mesh_trace.merged.as_ref()).and_then(|merged| Some((merged, merged.backend?)))
    else {
        // A policy that switches tracing off leaves a TrafficTrace alone.
        return (legacy, None);
    };
    let tracer = by_mesh_trace(governed, merged, backend, kuma);
    match kuma.fidelity {
        Fidelity::Exact => (Some(tracer), legacy),
        Fidelity::Documented => (Some(tracer).filter(|tracer| tracer.export.is_some()), None),
    }
}

fn by_traffic_trace(governed: &Governed, backend: &mesh::Backend) -> Tracer {
    let chosen_by_policy = governed.winner.and_then(|winner| winner.policy.backend.as_ref());
    let chosen_by_default = governed.mesh.and_then(|mesh| mesh.default_backend.as_ref());
    let chosen = chosen_by_policy.or(chosen_by_default).unwrap_or(&backend.name);
    let verified = governed.mesh.and_then(|mesh| mesh.header.verify_collector.as_ref());
    let export = match &backend.conf {
        BackendConf::Zipkin(conf) => Export {
            collector: of_url(&conf.url, verified),
            provider: Provider::Zipkin(Zipkin {
                path: conf.url.value.path.clone(),
                encoding: encoding(conf.api_version.as_ref()),
                trace_id_128bit: Effective::of(conf.trace_id_128bit.as_ref(), false),
                shared_span_context: Effective::of(conf.shared_span_context.as_ref(), true),
            }),
        },
        BackendConf::Datadog(conf) => Export {
            collector: Collector {
                authority: authority(&conf.address.value, conf.port.value),
                host: conf.address.value.clone(),
                port: conf.port.value,
                tls: None,
                origin: conf.address.origin.clone(),
            },
            provider: Provider::Datadog(Datadog {
                split_service: Effective::of(conf.split_service.as_ref(), false),
            }),
        },
    };
    Tracer {
        by: By::TrafficTrace,
        backend: chosen.clone(),
        export: Some(export),
        sampling: Sampling {
            overall: Effective::of(backend.sampling.as_ref(), Percent::HUNDRED),
            client: Effective::of(None, Percent::HUNDRED),
            random: Effective::of(None, Percent::HUNDRED),
        },
        tags: Vec::new(),
    }
}

fn by_mesh_trace(governed: &Governed, merged: &Merged, backend: &Backend, kuma: &Kuma) -> Tracer {
    let verified = merged.strongest.header.verify_collector.as_ref();
    let (backend, export) = match backend {
        Backend::Zipkin(conf) => {
            let export = Export {
                collector: of_url(&conf.url, verified),
                provider: Provider::Zipkin(Zipkin {
                    path: conf.url.value.path.clone(),
                    encoding: encoding(conf.api_version.as_ref()),
                    trace_id_128bit: Effective::of(conf.trace_id_128bit.as_ref(), false),
                    shared_span_context: Effective::of(conf.shared_span_context.as_ref(), true),
                }),
            };
            (conf.url.clone().map(|_| conf.written.clone()), Some(export))
        }
        Backend::Datadog(conf) => {
            let export = Export {
                collector: of_url(&conf.url, None),
                provider: Provider::Datadog(Datadog {
                    split_service: Effective::of(conf.split_service.as_ref(), false),
                }),
            };
            (conf.url.clone().map(|_| conf.written.clone()), Some(export))
        }
        Backend::OpenTelemetry(OpenTelemetryBackend::Endpoint { endpoint, written }) => {
            let export = of_otlp(endpoint, verified);
            (endpoint.clone().map(|_| written.clone()), Some(export))
        }
        Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { labels }) => {
            let found = governed.otel_backend;
            let own = |header: &Header| header.verify_collector.clone();
            let verified = verified.cloned().or_else(|| found.and_then(|found| own(&found.header)));
            let name = found.map(|found| found.header.display_name.clone()).unwrap_or_default();
            let export = found.map(|found| of_otlp(&found.collector, verified.as_ref()));
            (labels.clone().map(|_| name), export)
        }
    };
    let share = |written: &Option<Located<Percent>>| Effective::of(written.as_ref(), Percent::HUNDRED);
    Tracer {
        by: By::MeshTrace,
        backend,
        export,
        sampling: Sampling {
            overall: share(&merged.sampling.overall),
            client: share(&merged.sampling.client),
            random: share(&merged.sampling.random),
        },
        tags: tags(governed, merged, kuma),
    }
}

fn encoding(version: Option<&Located<ZipkinApiVersion>>) -> Effective<ZipkinEncoding> {
    let encoding = version.cloned().map(|version| {
        version.map(|version| match version {
            ZipkinApiVersion::HttpProto => ZipkinEncoding::Proto,
            ZipkinApiVersion::HttpJson | ZipkinApiVersion::HttpJsonV1 => ZipkinEncoding::Json,
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
        tls: url.tls.then(|| Tls {
            renegotiation: true,
            verified: verified.cloned(),
        }),
        origin: written.origin.clone(),
    }
}

/// The port on which a collector takes OTLP over HTTP with TLS.
const HTTPS_PORT: u16 = 443;

fn of_otlp(written: &Located<Otlp>, verified: Option<&Origin>) -> Export {
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
    // Without an address it is the machine of the proxy.
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Export {
        collector: Collector {
            authority: authority(host, *port),
            host: host.to_owned(),
            port: *port,
            tls: is_https.then(|| Tls {
                renegotiation: false,
                verified: verified.cloned(),
            }),
            origin: written.origin.clone(),
        },
        provider: Provider::OpenTelemetry(provider),
    }
}

/// Host and port, with brackets around an IPv6 address.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The tags that people wrote, and from 2.14 on those that a control plane adds where nobody took the name.
fn tags(governed: &Governed, merged: &Merged, kuma: &Kuma) -> Vec<Tag> {
    let mut tags: Vec<Tag> = merged.tags.iter().map(tag).collect();
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
                value: TagValue::Literal(value),
                origin: None,
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
        name: written.name.value.clone(),
        value,
        origin: Some(origin.clone()),
    }
}
