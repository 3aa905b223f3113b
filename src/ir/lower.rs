//! From the selection to effective tracing.

use std::sync::Arc;

use super::adding::Adding;
use super::cache::{Cache, Known};
use super::destinations::Destinations;
use super::left_out::{left_out_alone, left_out_by_policies};
use super::naming::Naming;
use super::proxy::{AllLeftOut, LeftOut, Listener, Policy, Proxy, Specificity, Tracer, Upstream};
use super::proxy_key::ProxyKey;
use super::tracer::{LowerContext, Tracers};
use crate::diag::{Diagnostics, ResourceId};
use crate::keep::Shared;
use crate::keep::Text;
use crate::kuma::{Fidelity, Kuma, Version};
use crate::resource::kinds::dataplane::{Dataplane, GatewayKind};
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::{Origin, WORKLOAD};
use crate::select::route::ResolvedOutbound;
use crate::select::{Candidate, Governed, Selection};
use crate::spans::Spans;
use crate::system::parallel;

/// Effective tracing of the given dataplanes, in their order. What is in `cache` changes the cost and not the result.
///
/// The cost follows the number of dataplanes plus that of endpoints: what several proxies have in common, they share.
pub fn lower<'a>(
    dataplanes: &[&Governed<'a>],
    selection: &Selection<'a>,
    spans: &Spans,
    cache: &mut Cache,
    diagnostics: &mut Diagnostics,
) -> Arc<Vec<Arc<Proxy>>> {
    let lowering = Lowering {
        kuma: selection.options.kuma,
        selection,
        localhost: "127.0.0.1".into(),
        destinations: Destinations::new(selection.services),
        tracers: Tracers::default(),
        mesh_traces: Shared::default(),
        matching: Shared::default(),
        left_out: Shared::default(),
        adding: Adding::new(spans, &selection.options.kuma.zone),
    };
    let (all, proxies) = cache.update(dataplanes, selection, spans, |missing| {
        parallel::map(
            "lowering proxies",
            missing,
            parallel::threads_for(missing.len()),
            |governed| lowering.known(governed),
        )
    });
    all.iter().for_each(|known| diagnostics.append(&known.found));
    Arc::clone(proxies)
}

/// The values that proxies share, by the addresses of those from which they were made.
struct Lowering<'s, 'a> {
    kuma: &'s Kuma,
    selection: &'s Selection<'a>,
    /// The address of outbounds without one.
    localhost: Text,
    destinations: Destinations<'a>,
    tracers: Tracers,
    mesh_traces: Shared<usize, Arc<[Policy]>>,
    matching: Shared<usize, Arc<[Arc<ResourceId>]>>,
    left_out: Shared<(usize, usize), Arc<[LeftOut]>>,
    adding: Adding<'s>,
}

impl<'a> Lowering<'_, 'a> {
    fn known(&self, governed: &Governed<'a>) -> Known {
        let mut found = Diagnostics::default();
        let (outbounds, sources) = self.selection.outbounds(governed, &mut found);
        Known {
            dataplane: Arc::clone(governed.dataplane),
            policies: Arc::clone(governed.policies),
            is_complete: governed.is_complete,
            sources,
            proxy: Arc::new(self.proxy(governed, &outbounds)),
            found,
        }
    }

    fn proxy(&self, governed: &Governed<'a>, outbounds: &[ResolvedOutbound<'a>]) -> Proxy {
        let (dataplane, kuma) = (governed.dataplane, self.kuma);
        let unified_naming = has_unified_naming(governed, kuma);
        let is_gateway = is_builtin_gateway(dataplane);
        let context = LowerContext {
            kuma,
            collectors: self.selection.options.collectors,
            mesh: dataplane.header.mesh(),
            unified_naming,
            is_gateway,
        };
        let (tracer, idle_tracer) = self.tracers.of(governed, context);
        let identity = identity(dataplane, kuma);
        let additions = self.adding.of(dataplane, &identity);
        let naming = Naming {
            identity: &identity,
            service_name: additions.service_name.as_ref().map(|name| &name.value),
            dataplane,
            zone: &kuma.zone,
            localhost: &self.localhost,
            tracer: tracer.as_deref(),
            unified: unified_naming,
            is_new: kuma.version >= Version::V3_0,
            untraced: why_untraced(governed, tracer.as_deref()),
        };
        let mut listeners = naming.inbounds(dataplane);
        if let Some(gateway) = governed.policies.gateway.as_deref().filter(|_| is_gateway) {
            listeners.extend(naming.gateway(dataplane, gateway));
        }
        listeners.extend(self.outbounds(dataplane, outbounds, &naming));
        let mut proxy = Proxy {
            key: ProxyKey::new(dataplane.header.mesh(), dataplane.header.name()),
            at: dataplane.header.at.clone(),
            service: identity.clone(),
            ipv6: dataplane.is_ipv6(),
            transparent: dataplane
                .transparent_proxying
                .as_deref()
                .map(|span| dataplane.header.location(*span)),
            is_gateway,
            unified_naming,
            traffic_trace: governed.winner().map(of_traffic_trace),
            matching: self.matching(governed),
            mesh_traces: self.mesh_traces(governed),
            node_cluster: naming.node_cluster(),
            additions,
            tracer,
            idle_tracer,
            listeners,
            left_out: AllLeftOut {
                by_policies: self.left_out(governed),
                alone: left_out_alone(dataplane, outbounds, self.destinations.services),
            },
        };
        // A collector without any traced listener is left out, although a control plane keeps it.
        if kuma.fidelity == Fidelity::Documented && proxy.traced().next().is_none() {
            proxy.tracer = None;
        }
        proxy
    }

    /// The listeners of the outbounds. With transparent proxying, a control plane binds them to addresses of its own.
    fn outbounds(
        &self,
        dataplane: &'a Dataplane,
        outbounds: &[ResolvedOutbound<'a>],
        naming: &Naming,
    ) -> Vec<Listener> {
        let known = outbounds.iter().filter(|_| dataplane.transparent_proxying.is_none());
        let listener = |routed: &ResolvedOutbound<'a>| {
            let upstreams = routed.targets.iter().map(|target| Upstream {
                weight: target.weight,
                protocol: target.protocol.value,
                destination: self.destinations.get(dataplane.header.mesh(), routed, target, naming),
            });
            naming.outbound(dataplane, routed, upstreams.collect())
        };
        known.map(listener).collect()
    }

    fn mesh_traces(&self, governed: &Governed) -> Arc<[Policy]> {
        let traces = &governed.policies.mesh_trace;
        self.mesh_traces.get(&Arc::as_ptr(traces).addr(), || {
            traces.policies.iter().map(|policy| of_mesh_trace(policy)).collect()
        })
    }

    /// The ids of the `TrafficTrace` policies that match the dataplane.
    fn matching(&self, governed: &Governed) -> Vec<Arc<[Arc<ResourceId>]>> {
        let lists = governed.policies.traffic_traces.lists();
        let ids = lists.map(|list| {
            self.matching.get(&list.as_ptr().addr(), || {
                list.iter()
                    .map(|candidate| Arc::clone(&candidate.policy.header.id))
                    .collect()
            })
        });
        ids.collect()
    }

    fn left_out(&self, governed: &Governed) -> Arc<[LeftOut]> {
        let mesh = governed.mesh.map_or(0, |mesh| std::ptr::from_ref(mesh).addr());
        let key = (mesh, Arc::as_ptr(&governed.policies.others).addr());
        self.left_out.get(&key, || {
            left_out_by_policies(governed.mesh, &governed.policies.others)
                .into_iter()
                .collect()
        })
    }
}

fn is_builtin_gateway(dataplane: &Dataplane) -> bool {
    let own = dataplane.gateway.as_ref();
    own.is_some_and(|own| own.kind == GatewayKind::Builtin)
}

/// Whether listeners and clusters are named after resources: always in Kuma 3.0, before where the settings and the
/// mesh ask for it.
fn has_unified_naming(governed: &Governed, kuma: &Kuma) -> bool {
    let is_new = kuma.version >= Version::V3_0;
    let exclusive = is_new || governed.mesh.is_some_and(|mesh| mesh.has_exclusive_mesh_services);
    kuma.unified_naming.unwrap_or(is_new) && exclusive
}

/// The service that identifies a dataplane: from its tags in Kuma 2, from its label in 3.0.
fn identity(dataplane: &Dataplane, kuma: &Kuma) -> Text {
    let name = if kuma.version >= Version::V3_0 {
        dataplane.header.labels.get(WORKLOAD)
    } else {
        dataplane.identifying_service()
    };
    name.cloned().unwrap_or_else(|| "unknown".into())
}

fn of_traffic_trace(candidate: &Candidate) -> Policy {
    let header = &candidate.policy.header;
    Policy {
        name: header.name().to_owned(),
        origin: Origin {
            resource: header.id.clone(),
            path: "selectors".into(),
            at: header.at.clone(),
        },
        specificity: Specificity::Tags {
            tags: candidate.rank.tags(),
            exact: candidate.rank.exact,
        },
    }
}

fn of_mesh_trace(policy: &MeshTrace) -> Policy {
    Policy {
        name: policy.header.name().to_owned(),
        origin: Origin {
            resource: policy.header.id.clone(),
            path: "spec.targetRef".into(),
            at: policy.header.at.clone(),
        },
        specificity: Specificity::Target(policy.target.target.kind().as_str()),
    }
}

/// The reason why no listener of the dataplane is traced; `None` when it has a policy and a backend.
fn why_untraced(governed: &Governed, tracer: Option<&Tracer>) -> Option<Text> {
    if tracer.is_some() {
        return None;
    }
    if let Some(merged) = &governed.policies.mesh_trace.merged {
        let name = merged.strongest.header.name();
        return Some(match merged.backend() {
            None => format!("MeshTrace {name} switches tracing off").into(),
            Some(_) => format!("the backend of MeshTrace {name} does not exist").into(),
        });
    }
    Some(match governed.winner() {
        Some(winner) => format!("the backend of {} does not exist", winner.policy.header.name()).into(),
        None => "no policy selects this dataplane".into(),
    })
}
