//! From effective tracing to the files of Envoy.
//!
//! Field names, `@type` URLs and cluster names live here; policies do not. Messages are JSON values with
//! Envoy's own field names, in the order in which its documentation lists them. Start with [`render`].

pub mod artifact;

pub mod xds;

mod env;

mod cluster;

mod zipkin;

mod datadog;

mod opentelemetry;

pub mod tracing;

pub mod sidecar;

mod left_out;

mod references;

mod bootstrap;

mod fragment;

pub mod effective;

pub use bootstrap::ADMIN_SOCKET;
pub use cluster::collectors as collector_clusters;
pub use env::RenderEnv;

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, ResourceId, Severity};
use crate::ir::Proxy;

use self::artifact::{Artifact, Files, Fragments, ProxyKey};
use self::left_out::LeftOutBy;

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

/// The files of every proxy. A proxy that cannot be written is left out, with a finding that gives the reason.
pub fn render<'p>(
    proxies: impl IntoIterator<Item = &'p Proxy>,
    env: &RenderEnv,
    diagnostics: &mut Diagnostics,
) -> Fragments {
    let mut fragments = Fragments::new();
    let mut left_out = LeftOutBy::default();
    for proxy in proxies {
        let key = ProxyKey::new(&proxy.mesh, &proxy.name);
        let mut findings = Vec::new();
        let may_lack_all = left_out.may_lack_all(proxy, &env.without);
        let resources = sidecar::render(proxy, &mut findings).filter(|_| may_lack_all);
        let resources = resources.filter(|resources| {
            let faults = references::faults(resources);
            let finding = |fault| Diagnostic::error(Code::DanglingReference, &proxy.at, fault);
            findings.extend(faults.iter().map(finding));
            faults.is_empty()
        });
        if let Some(resources) = resources {
            let files = files(proxy, &key, env, resources, &mut findings);
            fragments.insert(key, files);
        }
        for finding in findings {
            diagnostics.push(about(proxy, finding));
        }
    }
    left_out.report(diagnostics);
    fragments
}

fn files(
    proxy: &Proxy,
    key: &ProxyKey,
    env: &RenderEnv,
    resources: sidecar::Resources,
    findings: &mut Vec<Diagnostic>,
) -> Files {
    BTreeMap::from([
        (Artifact::Cds, xds::response(xds::typed(CLUSTER, resources.clusters))),
        (Artifact::Lds, xds::response(xds::typed(LISTENER, resources.listeners))),
        (Artifact::Bootstrap, bootstrap::render(proxy, key, env, findings)),
        (Artifact::Fragment, fragment::render(proxy)),
        (Artifact::Effective, effective::render(proxy)),
    ])
}

/// A finding about one proxy; an error holds that proxy alone.
fn about(proxy: &Proxy, diagnostic: Diagnostic) -> Diagnostic {
    let id = ResourceId {
        kind: "Dataplane".to_owned(),
        mesh: proxy.mesh.clone(),
        name: proxy.name.clone(),
    };
    let holds = match diagnostic.severity {
        Severity::Error => Holds::Proxies([(proxy.mesh.clone(), proxy.name.clone())].into()),
        Severity::Warning => Holds::Nothing,
    };
    Diagnostic {
        resource: Some(id),
        holds,
        ..diagnostic
    }
}
