//! From effective tracing to the files of Envoy.
//!
//! Field names, `@type` URLs and cluster names live here; policies do not. Messages are structures with
//! Envoy's own field names, in the order in which its documentation lists them. Start with [`render`].

pub mod artifact;

pub mod xds;

mod env;

mod cache;

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
pub use cache::Cache;
pub use cluster::collectors as collector_clusters;
pub use env::RenderEnv;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{Diagnostic, Diagnostics, Holds, ResourceId, Severity};
use crate::ir::Proxy;
use crate::keep::carry;
use crate::system::parallel;

use self::artifact::{Artifact, Files, Fragments, ProxyKey};
use self::cache::Worked;
use self::layout::Layout;

/// The files of every proxy. A proxy that cannot be written is left out, with a finding that gives the reason. What is
/// in `cache` changes the cost and not the result.
pub fn render(proxies: &[&Arc<Proxy>], env: &RenderEnv, cache: &mut Cache, diagnostics: &mut Diagnostics) -> Fragments {
    let known = cache.take(proxies, env);
    let (all, rendered) = carry::complete(known, proxies, |missing| {
        each_layout("rendering files", missing, env, Renderer::files)
    });
    let mut fragments = Vec::with_capacity(all.len());
    for one in &all {
        diagnostics.append(one.findings.clone());
        fragments.extend(one.result.clone().map(|files| (one.key.clone(), files)));
    }
    left_out::report(proxies, &env.without, diagnostics);
    cache.put(all, rendered);
    fragments.into_iter().collect()
}

/// The proxies that [`render`] would leave out, with the same findings and without the cost of files.
pub fn check(proxies: &[&Arc<Proxy>], env: &RenderEnv, diagnostics: &mut Diagnostics) -> Vec<ProxyKey> {
    let mut without_files = Vec::new();
    let checked = each_layout("checking proxies", proxies, env, |_, proxy, key, _, findings| {
        bootstrap::check(proxy, key, env, findings);
    });
    for checked in checked {
        diagnostics.append(checked.findings);
        without_files.extend(checked.result.is_none().then_some(checked.key));
    }
    left_out::report(proxies, &env.without, diagnostics);
    without_files
}

/// The work of one thread, with what it keeps from one proxy for the next.
struct Renderer<'e> {
    env: &'e RenderEnv,
    /// A buffer for all texts.
    buffer: String,
    clusters: sidecar::Written,
}

impl Renderer<'_> {
    fn files(&mut self, proxy: &Proxy, key: &ProxyKey, layout: &Layout, findings: &mut Vec<Diagnostic>) -> Files {
        let Self { env, buffer, clusters } = self;
        let mut text = |write: &mut dyn FnMut(&mut String)| {
            buffer.clear();
            write(buffer);
            Arc::from(buffer.as_str())
        };
        let mut cds = |out: &mut String| {
            xds::append_items(out, |out| sidecar::append_clusters(out, clusters, proxy, layout));
        };
        let mut lds = |out: &mut String| xds::append_response(out, &sidecar::listeners(proxy, layout));
        let mut bootstrap = |out: &mut String| bootstrap::render(out, proxy, key, env, findings);
        BTreeMap::from([
            (Artifact::Cds, text(&mut cds)),
            (Artifact::Lds, text(&mut lds)),
            (Artifact::Bootstrap, text(&mut bootstrap)),
            (Artifact::Fragment, text(&mut |out| fragment::render(out, proxy))),
            (Artifact::Effective, text(&mut |out| effective::render(out, proxy))),
        ])
    }
}

/// The result of `work` for the layout of each proxy, in the same order.
fn each_layout<'e, T: Send>(
    what: &'static str,
    proxies: &[&Arc<Proxy>],
    env: &'e RenderEnv,
    work: impl Fn(&mut Renderer<'e>, &Proxy, &ProxyKey, &Layout, &mut Vec<Diagnostic>) -> T + Sync,
) -> Vec<Worked<T>> {
    let threads = parallel::threads_for(proxies.len());
    let start = || Renderer {
        env,
        buffer: String::new(),
        clusters: sidecar::Written::new(),
    };
    parallel::map_with(what, proxies, threads, start, |renderer, proxy| {
        let key = ProxyKey::new(&proxy.mesh, &proxy.name);
        let mut found = Vec::new();
        let layout = layout_of(proxy, env, &mut found);
        let result = layout.map(|layout| work(renderer, proxy, &key, &layout, &mut found));
        let mut findings = Diagnostics::default();
        found
            .into_iter()
            .for_each(|finding| findings.push(about(proxy, finding)));
        Worked {
            proxy: Arc::clone(proxy),
            key,
            result,
            findings,
        }
    })
}

/// The layout of a proxy that may be published; `None`, with the reasons, if it may not.
fn layout_of<'p>(proxy: &'p Proxy, env: &RenderEnv, findings: &mut Vec<Diagnostic>) -> Option<Layout<'p>> {
    Layout::of(proxy, findings).filter(|_| left_out::may_lack_all(proxy, &env.without))
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
