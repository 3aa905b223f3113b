//! From effective tracing to the files of Envoy.
//!
//! Field names, `@type` URLs and cluster names live here; policies do not. Messages are structures with
//! Envoy's own field names, in the order in which its documentation lists them. Start with [`render`].

pub mod artifact;

pub mod xds;

mod env;

mod cluster;

mod zipkin;

mod datadog;

mod opentelemetry;

pub mod tracing;

pub mod layout;

pub mod sidecar;

mod left_out;

mod bootstrap;

mod fragment;

pub mod effective;

pub use bootstrap::ADMIN_SOCKET;
pub use cluster::collectors as collector_clusters;
pub use env::RenderEnv;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{Diagnostic, Diagnostics, Holds, ResourceId, Severity};
use crate::ir::Proxy;
use crate::system::parallel;

use self::artifact::{Artifact, Files, Fragments, ProxyKey};
use self::layout::Layout;

/// The files of every proxy. A proxy that cannot be written is left out, with a finding that gives the reason.
pub fn render(proxies: &[&Proxy], env: &RenderEnv, diagnostics: &mut Diagnostics) -> Fragments {
    let written = each_layout(proxies, env, diagnostics, |proxy, key, layout, findings| {
        files(proxy, key, env, layout, findings)
    });
    let written = written.into_iter();
    written.filter_map(|(key, files)| Some((key, files?))).collect()
}

/// The proxies that [`render`] would leave out, with the same findings and without the cost of files.
pub fn check(proxies: &[&Proxy], env: &RenderEnv, diagnostics: &mut Diagnostics) -> Vec<ProxyKey> {
    let checked = each_layout(proxies, env, diagnostics, |proxy, key, _, findings| {
        bootstrap::check(proxy, key, env, findings);
    });
    let without_files = checked.into_iter().filter(|(_, checked)| checked.is_none());
    without_files.map(|(key, _)| key).collect()
}

/// The result of `work` for the layout of each proxy, in the same order; `None` for a proxy that may not be published.
fn each_layout<T: Send>(
    proxies: &[&Proxy],
    env: &RenderEnv,
    diagnostics: &mut Diagnostics,
    work: impl Fn(&Proxy, &ProxyKey, &Layout, &mut Vec<Diagnostic>) -> T + Sync,
) -> Vec<(ProxyKey, Option<T>)> {
    let worked = parallel::map(proxies, parallel::threads_for(proxies.len()), |proxy| {
        let key = ProxyKey::new(&proxy.mesh, &proxy.name);
        let mut findings = Vec::new();
        let layout = layout_of(proxy, env, &mut findings);
        let result = layout.map(|layout| work(proxy, &key, &layout, &mut findings));
        ((key, result), findings)
    });
    let mut results = Vec::with_capacity(proxies.len());
    for (proxy, (result, findings)) in proxies.iter().zip(worked) {
        results.push(result);
        findings
            .into_iter()
            .for_each(|finding| diagnostics.push(about(proxy, finding)));
    }
    left_out::report(proxies, &env.without, diagnostics);
    results
}

/// The layout of a proxy that may be published; `None`, with the reasons, if it may not.
fn layout_of<'p>(proxy: &'p Proxy, env: &RenderEnv, findings: &mut Vec<Diagnostic>) -> Option<Layout<'p>> {
    Layout::of(proxy, findings).filter(|_| left_out::may_lack_all(proxy, &env.without))
}

fn files(proxy: &Proxy, key: &ProxyKey, env: &RenderEnv, layout: &Layout, findings: &mut Vec<Diagnostic>) -> Files {
    BTreeMap::from([
        (Artifact::Cds, xds::response(&sidecar::clusters(proxy, layout))),
        (Artifact::Lds, xds::response(&sidecar::listeners(proxy, layout))),
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
        Severity::Error => Holds::Proxies(Arc::new([(proxy.mesh.clone(), proxy.name.clone())].into())),
        Severity::Warning => Holds::Nothing,
    };
    Diagnostic {
        resource: Some(id),
        holds,
        ..diagnostic
    }
}
