//! The shape of a proxy: which files it gets, and what they are made from.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::artifact::{Artifact, Elsewhere, ProxyKey};
use crate::ir::Proxy;
use crate::source::{BaseFiles, ProxyPath, SourceFile};
use crate::words::{self, FEW, first_of};

/// The shape of some proxies, as the settings describe it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shape {
    /// A complete proxy from the dataplane alone.
    #[default]
    Sidecar,
    /// The parts that tell the tracing, for an Envoy that somebody else configures.
    Fragment,
    /// An Envoy that somebody configured, with tracing added.
    Overlay(Arc<Overlay>),
}

/// The shape of some proxies, and the places of their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// The form of the files.
    pub shape: Shape,
    /// The paths of files that are not below the directory of their proxy.
    pub to: BTreeMap<Artifact, ProxyPath>,
    /// The way of changes of the sampling.
    pub sampling: SamplingChange,
    /// The path under which an Envoy in a container sees the directory of its proxy; `None` if it sees it as this machine does.
    pub seen_as: Option<ProxyPath>,
}

impl Form {
    /// Whether what a proxy gets depends neither on base files nor on the places of others.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.to.is_empty() && !matches!(self.shape, Shape::Overlay(_))
    }

    /// Whether the proxy has its bootstrap from us, which can name a file of the sampling.
    #[must_use]
    pub fn has_bootstrap(&self) -> bool {
        match &self.shape {
            Shape::Sidecar => true,
            Shape::Fragment => false,
            Shape::Overlay(overlay) => overlay.bases.iter().any(|(base, _)| *base == Artifact::Bootstrap),
        }
    }
}

/// The way in which a change of the sampling reaches a running Envoy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SamplingChange {
    /// By its listeners: new connections get the new sampling, and open ones drain.
    #[default]
    Drain,
    /// By its runtime: all requests get the new sampling at once, and no connection is closed.
    Hitless,
}

/// An Envoy that somebody configured, with tracing added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The paths of its files, by the files that are published for them; at least one with listeners.
    pub bases: Vec<(Artifact, ProxyPath)>,
    /// The listeners that neither address nor name tells.
    pub listeners: Vec<ListenerRule>,
    /// The treatment of tracing that its files set already.
    pub existing: ExistingTracing,
}

/// The entry of a dataplane that listeners of an Envoy belong to, where neither their address nor their name tells. Without
/// `inbound` and `outbound`, they are meant to belong to none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerRule {
    /// A pattern of the names of listeners, in which `*` stands for any characters.
    pub name: String,
    /// The port of an inbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<u16>,
    /// The service of an outbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<String>,
}

impl ListenerRule {
    /// Whether the listeners of a name are meant to belong to nothing.
    #[must_use]
    pub fn is_for_nothing(&self, name: &str) -> bool {
        self.inbound.is_none() && self.outbound.is_none() && words::fits(&self.name, name)
    }
}

/// The treatment of tracing that the files of an overlay set already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExistingTracing {
    /// Tracing of the files stays.
    #[default]
    Keep,
    /// Tracing of the policies takes its place, where a policy traces the listener.
    Replace,
}

/// A proxy, with its shape and all that this shape is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Shaped {
    /// The lowered dataplane.
    pub proxy: Arc<Proxy>,
    /// The form of its files, as the settings choose it.
    pub shape: Shape,
    /// The base files of an overlay.
    pub bases: Vec<Base>,
    /// The places of files that are not below the directory of the proxy.
    pub elsewhere: Elsewhere,
    /// The way of changes of the sampling.
    pub sampling: SamplingChange,
    /// The path under which its Envoy sees the directory of the proxy; `None` if it sees it as this machine does.
    pub seen_as: Option<String>,
    /// The reason why it cannot have these places.
    pub conflict: Option<String>,
    /// The key or certificates that its collector asks for and that cannot be had.
    pub missing_secret: Option<String>,
}

/// A base file of one proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The file that is published for it.
    pub artifact: Artifact,
    /// The path that it is read from.
    pub path: String,
    /// The text, or the reason why there is none.
    pub file: Result<Arc<SourceFile>, Cow<'static, str>>,
}

impl Shaped {
    /// A proxy of a shape, with its base files as they were read.
    #[must_use]
    pub fn new(proxy: &Arc<Proxy>, form: &Form, files: &BaseFiles) -> Self {
        let Form {
            shape,
            to,
            sampling,
            seen_as,
        } = form.clone();
        // Most proxies have no such path, and the names are encoded for nothing.
        let directory = LazyCell::new(|| proxy.key.directory());
        let filled = |path: &ProxyPath| {
            let (mesh, dataplane) = directory.split_once('/').unwrap_or_default();
            path.fill(mesh, dataplane)
        };
        let bases = match &shape {
            Shape::Overlay(overlay) => {
                let base = |(artifact, path): &(Artifact, ProxyPath)| Base::read(*artifact, filled(path), files);
                overlay.bases.iter().map(base).collect()
            }
            Shape::Sidecar | Shape::Fragment => Vec::new(),
        };
        Self {
            proxy: Arc::clone(proxy),
            shape,
            bases,
            elsewhere: (to.iter())
                .map(|(artifact, path)| (*artifact, filled(path).into()))
                .collect(),
            sampling,
            seen_as: seen_as.as_ref().map(filled),
            conflict: None,
            missing_secret: None,
        }
    }
}

impl Shaped {
    /// Whether another one leaves out the same features of a control plane's proxy, for places in the very same files.
    pub(super) fn leaves_out_as<'s>(&'s self, other: &'s Self) -> bool {
        let is_sidecar = |shaped: &Self| shaped.shape == Shape::Sidecar;
        let left_out = |shaped: &'s Self| {
            let all = shaped.proxy.left_out.iter();
            all.map(|left_out| (left_out, Arc::as_ptr(&left_out.origin.at.file)))
        };
        is_sidecar(self) == is_sidecar(other) && left_out(self).eq(left_out(other))
    }

    /// Whether the files of another one are the same, since all is the same that they are made from.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same_place = self.elsewhere == other.elsewhere
            && self.sampling == other.sampling
            && self.seen_as == other.seen_as
            && self.conflict == other.conflict
            && self.missing_secret == other.missing_secret;
        Arc::ptr_eq(&self.proxy, &other.proxy)
            && self.shape == other.shape
            && self.bases == other.bases
            && is_same_place
    }
}

/// Takes from proxies what several of them claim: an Envoy is that of one dataplane, and so is a place for its files.
pub fn resolve_conflicts(all: &mut [Shaped]) {
    let mut bases: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, shaped) in all.iter().enumerate() {
        for base in &shaped.bases {
            bases.entry(base.path.clone()).or_default().push(i);
        }
        for path in shaped.elsewhere.values() {
            places.entry(path.display().to_string()).or_default().push(i);
        }
    }
    for (path, claims) in &places {
        let conflict = if bases.contains_key(path) {
            Some(format!(
                "`{path}` is a file that an overlay is made from, and would be overwritten"
            ))
        } else {
            (claims.len() > 1).then(|| format!("`{path}` is the place for files of {}", several(all, claims)))
        };
        for owner in claims.iter().filter(|_| conflict.is_some()) {
            if all[*owner].conflict.is_none() {
                all[*owner].conflict.clone_from(&conflict);
            }
        }
    }
    for (path, claims) in bases.into_iter().filter(|(_, claims)| claims.len() > 1) {
        let reason = format!("it is that of {}", several(all, &claims));
        for owner in claims {
            let shared = all[owner].bases.iter_mut().filter(|base| base.path == path);
            shared.for_each(|base| base.file = Err(reason.clone().into()));
        }
    }
}

/// The proxies that claim one path, with advice.
fn several(all: &[Shaped], claims: &[usize]) -> String {
    let key = |i: &usize| all[*i].proxy.key.clone();
    let keys: Vec<ProxyKey> = claims.iter().take(FEW + 1).map(key).collect();
    format!(
        "{} dataplanes: {}; use {{dataplane}} in the path, or a narrower `select`",
        claims.len(),
        first_of(keys.iter(), claims.len())
    )
}

impl Base {
    fn read(artifact: Artifact, path: String, files: &BaseFiles) -> Self {
        let file = match files.get(&path) {
            Ok(file) => Ok(Arc::clone(file)),
            Err(None) => Err("the file does not exist".into()),
            Err(Some(reason)) => Err(reason.to_string().into()),
        };
        Self { artifact, path, file }
    }
}
