//! From what was selected to effective tracing.

use std::net::IpAddr;

use super::{
    Collector, Datadog, Direction, Endpoint, Listener, Policy, Provider, Proxy, Tracer, Zipkin, ZipkinEncoding,
};
use crate::resource::dataplane::{Dataplane, Inbound, SERVICELESS_PORT};
use crate::resource::mesh::{Backend, BackendConf, ZipkinApiVersion};
use crate::resource::percent::Percent;
use crate::resource::protocol::Protocol;
use crate::resource::{Chosen, Fidelity, Located, Origin};
use crate::select::route::Routed;
use crate::select::{Governed, Selection};

/// Effective tracing of every dataplane, in the order of mesh and name.
#[must_use]
pub fn lower(selection: &Selection, fidelity: Fidelity) -> Vec<Proxy> {
    selection
        .dataplanes
        .iter()
        .map(|governed| lower_one(governed, selection, fidelity))
        .collect()
}

fn lower_one(governed: &Governed, selection: &Selection, fidelity: Fidelity) -> Proxy {
    let dataplane = governed.dataplane;
    let tracer = governed.backend.map(|backend| tracer(governed, backend));
    let names = Names {
        identity: dataplane.identifying_service(),
        provider: tracer.as_ref().map(|tracer| &tracer.provider),
    };
    let untraced = why_untraced(governed);
    let mut listeners = inbounds(dataplane, &names, untraced.as_deref());
    for routed in &governed.outbounds {
        let instances = selection.services.instances(dataplane.header.mesh(), routed.service);
        let mut upstream: Vec<Endpoint> = instances
            .iter()
            .map(|i| i.endpoint())
            .map(|(host, port)| Endpoint { host, port })
            .collect();
        upstream.sort();
        upstream.dedup();
        listeners.push(outbound(routed, upstream, &names, untraced.as_deref()));
    }
    let mut proxy = Proxy {
        mesh: dataplane.header.mesh().to_owned(),
        name: dataplane.header.name().to_owned(),
        at: dataplane.header.at.clone(),
        service: names.identity.to_owned(),
        ipv6: dataplane.is_ipv6(),
        transparent: dataplane.transparent_proxying.clone(),
        policy: governed.winner.map(|winner| Policy {
            name: winner.policy.header.name().to_owned(),
            origin: Origin {
                resource: winner.policy.header.id.clone(),
                path: "selectors".to_owned(),
                at: winner.policy.header.at.clone(),
            },
            tags: winner.rank.tags(),
            exact: winner.rank.exact,
        }),
        tracer,
        listeners,
    };
    // A collector that nothing would send to is left out; a control plane keeps it.
    if fidelity == Fidelity::Documented && proxy.traced().next().is_none() {
        proxy.tracer = None;
    }
    proxy
}

/// Why no listener of the dataplane is traced; `None` when policy and backend are there.
fn why_untraced(governed: &Governed) -> Option<String> {
    match (governed.winner, governed.backend) {
        (None, _) => Some("no TrafficTrace selects this dataplane".to_owned()),
        (Some(winner), None) => Some(format!("the backend of {} does not exist", winner.policy.header.name())),
        (Some(_), Some(_)) => None,
    }
}

fn tracer(governed: &Governed, backend: &Backend) -> Tracer {
    let chosen_by_policy = governed.winner.and_then(|winner| winner.policy.backend.as_ref());
    let chosen_by_default = governed.mesh.and_then(|mesh| mesh.default_backend.as_ref());
    let chosen = chosen_by_policy.or(chosen_by_default).unwrap_or(&backend.name);
    let (collector, provider) = match &backend.conf {
        BackendConf::Zipkin(conf) => {
            let Located { value: url, origin } = &conf.url;
            let collector = Collector {
                host: url.host.clone(),
                port: url.port,
                authority: url.authority.clone(),
                tls: url.tls,
                origin: origin.clone(),
            };
            let encoding = |version| match version {
                ZipkinApiVersion::HttpProto => ZipkinEncoding::Proto,
                ZipkinApiVersion::HttpJson | ZipkinApiVersion::HttpJsonV1 => ZipkinEncoding::Json,
            };
            let encoding = conf.api_version.clone().map(|version| version.map(encoding));
            let provider = Zipkin {
                path: url.path.clone(),
                encoding: Chosen::of(encoding.as_ref(), ZipkinEncoding::Json),
                trace_id_128bit: Chosen::of(conf.trace_id_128bit.as_ref(), false),
                shared_span_context: Chosen::of(conf.shared_span_context.as_ref(), true),
            };
            (collector, Provider::Zipkin(provider))
        }
        BackendConf::Datadog(conf) => {
            let (host, port) = (conf.address.value.clone(), conf.port.value);
            let authority = if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            };
            let collector = Collector {
                host,
                port,
                authority,
                tls: false,
                origin: conf.address.origin.clone(),
            };
            let split_service = Chosen::of(conf.split_service.as_ref(), false);
            (collector, Provider::Datadog(Datadog { split_service }))
        }
    };
    Tracer {
        backend: chosen.clone(),
        collector,
        provider,
        sampling: Chosen::of(backend.sampling.as_ref(), Percent::HUNDRED),
    }
}

/// Under which names spans are filed.
struct Names<'a> {
    identity: &'a str,
    provider: Option<&'a Provider>,
}

impl Names<'_> {
    fn splits(&self) -> bool {
        match self.provider {
            Some(Provider::Datadog(datadog)) => datadog.split_service.value,
            Some(Provider::Zipkin(_)) | None => false,
        }
    }

    fn inbound(&self, service: &str) -> String {
        if self.splits() {
            format!("{service}_INBOUND")
        } else {
            service.to_owned()
        }
    }

    fn outbound(&self, to: &str) -> String {
        if self.splits() {
            format!("{}_OUTBOUND_{to}", self.identity)
        } else {
            self.identity.to_owned()
        }
    }
}

/// The listeners of the inbounds; of several at one address and port the last one is made.
fn inbounds(dataplane: &Dataplane, names: &Names, untraced: Option<&str>) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for inbound in dataplane
        .inbounds
        .iter()
        .filter(|inbound| inbound.port.value != SERVICELESS_PORT)
    {
        let listener = one_inbound(dataplane, inbound, names, untraced);
        match listeners
            .iter()
            .position(|other| (&other.address, other.port) == (&listener.address, listener.port))
        {
            Some(i) => listeners[i] = listener,
            None => listeners.push(listener),
        }
    }
    listeners
}

fn one_inbound(dataplane: &Dataplane, inbound: &Inbound, names: &Names, untraced: Option<&str>) -> Listener {
    let own = inbound.address.as_ref().map(|address| address.value.to_string());
    let address = own.unwrap_or_else(|| canonical(&dataplane.address.value));
    let service = inbound
        .service
        .as_ref()
        .map_or("unknown", |service| service.value.as_str());
    let protocol = Chosen::of(inbound.protocol.as_ref(), Protocol::Unknown);
    let because = untraced
        .map(str::to_owned)
        .or_else(|| (!protocol.value.is_http()).then(|| speaks(service, protocol.value)));
    let host = inbound
        .service_address
        .as_ref()
        .map_or_else(|| address.clone(), |address| address.value.to_string());
    let port = inbound
        .service_port
        .as_ref()
        .map_or(inbound.port.value, |port| port.value);
    Listener {
        direction: Direction::Inbound,
        at: inbound.at.clone(),
        path: inbound.path.clone(),
        address,
        port: inbound.port.value,
        protocol,
        service: service.to_owned(),
        upstream: vec![Endpoint { host, port }],
        reports_as: because.is_none().then(|| names.inbound(service)),
        untraced_because: because,
    }
}

fn outbound(routed: &Routed, upstream: Vec<Endpoint>, names: &Names, untraced: Option<&str>) -> Listener {
    let address = routed
        .outbound
        .address
        .as_ref()
        .map_or_else(|| "127.0.0.1".to_owned(), |address| address.value.to_string());
    let because = match (untraced, &routed.untraced_because) {
        (Some(why), _) => Some(why.to_owned()),
        (None, Some(why)) => Some(why.clone()),
        (None, None) => (!routed.protocol.value.is_http()).then(|| speaks(routed.service, routed.protocol.value)),
    };
    Listener {
        direction: Direction::Outbound,
        at: routed.outbound.at.clone(),
        path: routed.outbound.path.clone(),
        address,
        port: routed.outbound.port.value,
        protocol: routed.protocol.clone(),
        service: routed.service.to_owned(),
        upstream,
        reports_as: because.is_none().then(|| names.outbound(routed.service)),
        untraced_because: because,
    }
}

fn speaks(service: &str, protocol: Protocol) -> String {
    match protocol {
        Protocol::Unknown => format!("{service} does not say what it speaks"),
        known => format!("{service} speaks {known}"),
    }
}

/// An IP address in its usual form, other names as they are.
fn canonical(address: &str) -> String {
    address
        .parse::<IpAddr>()
        .map_or_else(|_| address.to_owned(), |address| address.to_string())
}
