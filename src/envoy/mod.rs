//! From effective tracing to the files of Envoy.
//!
//! Field names, `@type` URLs and cluster names live here; policies do not. Messages are structures with
//! Envoy's own field names, in the order in which its documentation lists them. Start with [`render`].

mod file_text;

pub mod artifact;

pub mod xds;

mod env;

mod spelling;

pub mod shape;

mod cache;

pub mod sds;

mod credential;

mod cluster;

pub mod secrets;

mod share;

mod zipkin;

mod datadog;

mod opentelemetry;

pub mod tracing;

pub mod layout;

mod untraced;

pub mod sidecar;

mod left_out;

mod bootstrap;

mod fragment;

pub mod blocks;

mod overlay;

pub mod effective;

pub use bootstrap::ADMIN_SOCKET;
pub use cache::Cache;
pub use cluster::collectors as collector_clusters;
pub use env::RenderEnv;
pub use file_text::FileText;
pub use spelling::camel;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, ResourceId, Severity};
use crate::ir::Proxy;
use crate::system::parallel;

use self::artifact::{Artifact, FEW_PROXIES, Files, Fragments, ProxyKey};
use self::cache::Worked;
use self::layout::Layout;
use self::shape::{SamplingChange, Shape, Shaped};

/// The files of proxies.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// The files of every proxy that can have them.
    pub fragments: Arc<Fragments>,
    /// The proxies whose files may be others than in the last compilation; `None` if those of all may be.
    pub changed: Option<BTreeSet<ProxyKey>>,
    /// The proxies that can have no files, sorted.
    pub without_files: Vec<ProxyKey>,
}

/// The files of every proxy. A proxy that cannot be written is left out, with a finding that gives the reason. What is
/// in `cache` changes the cost and not the result, but for what it says of the last compilation.
pub fn render(all: &[Arc<Shaped>], env: &RenderEnv, cache: &mut Cache, diagnostics: &mut Diagnostics) -> Rendered {
    let wanted: Vec<&Arc<Shaped>> = all.iter().collect();
    let sample = cache.sample(all.len(), env, || {
        let first = &wanted[..FEW_PROXIES];
        let mut rendered = first
            .chunks(1)
            .flat_map(|one| each("rendering files", one, env, Renderer::files));
        rendered.find_map(|(files, _)| Some(files?.sample()))
    });
    let changed = cache.update(&wanted, env, |missing| {
        let worked = each("rendering files", missing, env, |renderer, shaped, findings| {
            let files = renderer.files(shaped, findings)?;
            Some(files.like(sample.as_ref()))
        });
        let worked = missing.iter().zip(worked);
        let worked = worked.map(|(shaped, (files, findings))| Worked {
            shaped: Arc::clone(shaped),
            files,
            findings,
        });
        worked.collect()
    });
    let mut without_files = Vec::new();
    for one in cache.known() {
        diagnostics.append(&one.findings);
        without_files.extend(one.files.is_none().then(|| one.key().clone()));
    }
    diagnostics.append(cache.left_out(|| left_out(all, env)));
    Rendered {
        fragments: Arc::clone(cache.fragments()),
        changed,
        without_files,
    }
}

/// The proxies that [`render`] would leave out, with the same findings and without the cost of files, but for overlays.
pub fn check(all: &[Arc<Shaped>], env: &RenderEnv, diagnostics: &mut Diagnostics) -> Rendered {
    let wanted: Vec<&Arc<Shaped>> = all.iter().collect();
    let mut without_files = Vec::new();
    let checked = each("checking proxies", &wanted, env, Renderer::check);
    for (shaped, (sound, findings)) in all.iter().zip(checked) {
        diagnostics.append(&findings);
        without_files.extend(sound.is_none().then(|| shaped.proxy.key.clone()));
    }
    diagnostics.append(&left_out(all, env));
    Rendered {
        without_files,
        ..Rendered::default()
    }
}

/// The findings about features that sidecars lack.
fn left_out(all: &[Arc<Shaped>], env: &RenderEnv) -> Diagnostics {
    // The Envoy of any other shape is somebody else's.
    let sidecars = all.iter().filter(|shaped| shaped.shape == Shape::Sidecar);
    let sidecars: Vec<&Arc<Proxy>> = sidecars.map(|shaped| &shaped.proxy).collect();
    let mut found = Diagnostics::default();
    left_out::report(&sidecars, &env.without, &mut found);
    found
}

/// The work of one thread, with what it keeps from one proxy for the next.
struct Renderer<'e> {
    env: &'e RenderEnv,
    /// A buffer for all texts.
    buffer: String,
    clusters: sidecar::Written,
}

impl Renderer<'_> {
    fn files(&mut self, shaped: &Shaped, findings: &mut Vec<Diagnostic>) -> Option<Files> {
        let proxy = &*shaped.proxy;
        check_places(shaped, findings)?;
        let mut files = match &shaped.shape {
            Shape::Sidecar => {
                let layout = layout_of(proxy, self.env, findings)?;
                self.sidecar(shaped, &layout, findings)
            }
            Shape::Fragment => Files::new(),
            Shape::Overlay(overlay) => overlay::files(shaped, overlay, self.env, findings)?,
        };
        let buffer = &mut self.buffer;
        if shaped.shape == Shape::Fragment {
            for (artifact, listener) in blocks::listeners(proxy) {
                files.insert(artifact, text(buffer, |out| blocks::render(out, proxy, listener)));
            }
        }
        if let Shape::Sidecar | Shape::Fragment = &shaped.shape {
            files.insert(
                Artifact::Fragment,
                text(buffer, |out| fragment::render(out, proxy, &self.env.out)),
            );
        }
        files.insert(Artifact::Effective, text(buffer, |out| effective::render(out, proxy)));
        Some(files)
    }

    fn sidecar(&mut self, shaped: &Shaped, layout: &Layout, findings: &mut Vec<Diagnostic>) -> Files {
        let proxy = &*shaped.proxy;
        let Self { env, buffer, clusters } = self;
        let cds = |out: &mut String| {
            xds::append_items(out, |out| {
                sidecar::append_clusters(out, clusters, (proxy, layout), &env.out)
            });
        };
        let lds = |out: &mut String| xds::append_response(out, &sidecar::listeners(shaped, layout));
        let bootstrap = |out: &mut String| bootstrap::render(out, shaped, env, findings);
        let mut files = Files::from([
            (Artifact::Cds, text(buffer, cds)),
            (Artifact::Lds, text(buffer, lds)),
            (Artifact::Bootstrap, text(buffer, bootstrap)),
        ]);
        if shaped.sampling == SamplingChange::Hitless {
            files.insert(Artifact::Rtds, tracing::rtds(proxy));
        }
        files
    }

    /// Whether a proxy can have files.
    fn check(&mut self, shaped: &Shaped, findings: &mut Vec<Diagnostic>) -> Option<()> {
        let proxy = &*shaped.proxy;
        check_places(shaped, findings)?;
        match &shaped.shape {
            Shape::Sidecar => {
                let is_sound = layout_of(proxy, self.env, findings).is_some();
                is_sound.then(|| drop(bootstrap::check(shaped, self.env, findings)))
            }
            Shape::Fragment => Some(()),
            Shape::Overlay(overlay) => overlay::files(shaped, overlay, self.env, findings).map(drop),
        }
    }
}

/// The text that `write` makes, by way of a buffer.
fn text(buffer: &mut String, write: impl FnOnce(&mut String)) -> FileText {
    buffer.clear();
    write(buffer);
    buffer.as_str().into()
}

/// The result of `work` for each proxy, in the same order, with the findings about the proxy.
fn each<'e, T: Send>(
    what: &'static str,
    all: &[&Arc<Shaped>],
    env: &'e RenderEnv,
    work: impl Fn(&mut Renderer<'e>, &Shaped, &mut Vec<Diagnostic>) -> T + Sync,
) -> Vec<(T, Diagnostics)> {
    let threads = parallel::threads_for(all.len());
    let start = || Renderer {
        env,
        buffer: String::new(),
        clusters: sidecar::Written::default(),
    };
    parallel::map_with(what, all, threads, start, |renderer, shaped| {
        let mut found = Vec::new();
        let result = work(renderer, shaped, &mut found);
        let mut findings = Diagnostics::default();
        found
            .into_iter()
            .for_each(|finding| findings.push(about(&shaped.proxy, finding)));
        (result, findings)
    })
}

/// `None`, with the reason, for a proxy whose files have no places, or that lacks a key or certificates.
fn check_places(shaped: &Shaped, findings: &mut Vec<Diagnostic>) -> Option<()> {
    if let Some(missing) = &shaped.missing_secret {
        let finding = Diagnostic::error(Code::MissingSecret, &shaped.proxy.at, missing.as_str());
        findings.push(finding.help("correct it, or `collectors` in the settings"));
        return None;
    }
    let Some(conflict) = &shaped.conflict else {
        return Some(());
    };
    let finding = Diagnostic::error(Code::UnusablePlace, &shaped.proxy.at, conflict.as_str());
    findings.push(finding.help("correct `to` in `shapes` of the settings"));
    None
}

/// The layout of a sidecar that may be published; `None`, with the reasons, if it may not.
fn layout_of<'p>(proxy: &'p Proxy, env: &RenderEnv, findings: &mut Vec<Diagnostic>) -> Option<Layout<'p>> {
    Layout::of(proxy, findings).filter(|_| left_out::may_lack_all(proxy, &env.without))
}

/// A finding about one proxy; an error holds that proxy alone.
fn about(proxy: &Proxy, diagnostic: Diagnostic) -> Diagnostic {
    let id = ResourceId {
        kind: "Dataplane".into(),
        mesh: proxy.key.mesh.as_str().into(),
        name: proxy.key.dataplane.as_str().into(),
    };
    let holds = match diagnostic.severity {
        Severity::Error => Holds::Proxies(Arc::new([(proxy.key.mesh.clone(), proxy.key.dataplane.clone())].into())),
        Severity::Warning => Holds::Nothing,
    };
    Diagnostic {
        resource: Some(Arc::new(id)),
        holds,
        ..diagnostic
    }
}
