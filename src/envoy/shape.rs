//! The shape of a proxy: which files it gets, and what they are made from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::artifact::{Artifact, ProxyKey};
use crate::ir::Proxy;
use crate::source::{BaseFiles, BasePath, SourceFile};
use crate::words::{self, FEW, first_of};

/// The shape of some proxies, as the settings describe it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shape {
    /// A complete proxy from the dataplane alone.
    #[default]
    Sidecar,
    /// The collector cluster to merge into a bootstrap.
    Fragment,
    /// An Envoy that somebody configured, with tracing added.
    Overlay(Arc<Overlay>),
}

/// An Envoy that somebody configured, with tracing added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The paths of its files, by the files that are published for them; at least one with listeners.
    pub bases: Vec<(Artifact, BasePath)>,
    /// The listeners that neither address nor name tells.
    pub listeners: Vec<ListenerRule>,
    /// What happens to tracing that its files set already.
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

/// What happens to tracing that the files of an overlay set already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExistingTracing {
    /// It stays.
    #[default]
    Keep,
    /// That of the policies takes its place, where a policy traces the listener.
    Replace,
}

/// A proxy, with its shape and all that this shape is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Shaped {
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// The shape.
    pub shape: Shape,
    /// The base files of an overlay.
    pub bases: Vec<Base>,
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
    pub fn new(proxy: &Arc<Proxy>, shape: Shape, files: &BaseFiles) -> Self {
        let bases = match &shape {
            Shape::Overlay(overlay) => {
                let directory = ProxyKey::new(&proxy.mesh, &proxy.name).directory();
                let (mesh, dataplane) = directory.split_once('/').unwrap_or_default();
                let base =
                    |(artifact, path): &(Artifact, BasePath)| Base::read(*artifact, path.fill(mesh, dataplane), files);
                overlay.bases.iter().map(base).collect()
            }
            Shape::Sidecar | Shape::Fragment => Vec::new(),
        };
        Self {
            proxy: Arc::clone(proxy),
            shape,
            bases,
        }
    }
}

impl Shaped {
    /// Whether the files of another one are the same, since all is the same that they are made from.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.proxy, &other.proxy) && self.shape == other.shape && self.bases == other.bases
    }
}

/// The proxies, without the base files that several of them have: an Envoy is that of one dataplane.
#[must_use]
pub fn without_shared_bases(mut all: Vec<Shaped>) -> Vec<Shaped> {
    let mut owners: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, base) in all
        .iter()
        .enumerate()
        .flat_map(|(i, shaped)| shaped.bases.iter().map(move |base| (i, base)))
    {
        owners.entry(base.path.clone()).or_default().push(i);
    }
    for (path, owners) in owners.into_iter().filter(|(_, owners)| owners.len() > 1) {
        let keys = owners.iter().take(FEW + 1).map(|i| {
            let proxy = &all[*i].proxy;
            ProxyKey::new(&proxy.mesh, &proxy.name)
        });
        let keys: Vec<ProxyKey> = keys.collect();
        let reason = format!(
            "it is that of {} dataplanes: {}; use {{dataplane}} in its path, or a narrower `select`",
            owners.len(),
            first_of(keys.iter(), owners.len())
        );
        for owner in owners {
            let shared = all[owner].bases.iter_mut().filter(|base| base.path == path);
            shared.for_each(|base| base.file = Err(reason.clone().into()));
        }
    }
    all
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
