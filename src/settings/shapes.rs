//! `shapes`: the files that proxies get, and what they are made from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envoy::artifact::Artifact;
use crate::envoy::shape::{ExistingTracing, Form, ListenerRule, Overlay, SamplingChange, Shape};
use crate::select::scope::Rule;
use crate::source::ProxyPath;

/// One entry of `shapes`, with exactly one of `sidecar`, `fragment` and `overlay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Entry", into = "Entry")]
pub struct ShapeRule {
    /// The proxies; the first entry that fits a proxy decides.
    pub select: Rule,
    /// The shape, and the places of the files.
    pub form: Form,
    /// The way of changes of the sampling, if it is another one than that of all proxies.
    pub sampling: Option<SamplingChange>,
}

impl ShapeRule {
    /// The paths of the base files.
    pub fn bases(&self) -> impl Iterator<Item = &ProxyPath> {
        let overlay = match &self.form.shape {
            Shape::Overlay(overlay) => Some(overlay),
            Shape::Sidecar | Shape::Fragment => None,
        };
        overlay
            .into_iter()
            .flat_map(|overlay| &overlay.bases)
            .map(|(_, path)| path)
    }
}

/// A [`ShapeRule`] as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["sidecar"]}, {"required": ["fragment"]}, {"required": ["overlay"]}]))]
struct Entry {
    /// The proxies of this entry; every proxy without this key.
    #[serde(default)]
    select: Rule,
    /// A complete proxy from the dataplane alone: `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sidecar: Option<Nothing>,
    /// The cluster of the collector, to merge into a bootstrap, and the tracing of each listener in `tracing/`, to paste into a template: `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fragment: Option<Nothing>,
    /// The files of an Envoy that somebody configured, which come out with tracing added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overlay: Option<Bases>,
    /// The places of the files; below `out` without this key.
    #[serde(default, skip_serializing_if = "Places::is_empty")]
    to: Places,
    /// The way of changes of the sampling; that of the key `sampling` of the settings without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sampling: Option<SamplingChange>,
    /// The path under which an Envoy in a container sees the directory of its proxy below `out`, for the paths in the bootstrap
    /// of a sidecar. `{mesh}` and `{dataplane}` stand for the names as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen_as: Option<ProxyPath>,
    /// The treatment of tracing that the files of an overlay set already; `keep` without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    existing: Option<ExistingTracing>,
}

/// The places of files that are not below `out`. `{mesh}` and `{dataplane}` stand for the names as in the paths there. A file that is
/// there already and is not ours is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Places {
    /// The file that Envoy starts with.
    #[serde(skip_serializing_if = "Option::is_none")]
    bootstrap: Option<ProxyPath>,
    /// The clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    cds: Option<ProxyPath>,
    /// The listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    lds: Option<ProxyPath>,
}

impl Places {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn by_artifact(self) -> BTreeMap<Artifact, ProxyPath> {
        let all = [
            (Artifact::Cds, self.cds),
            (Artifact::Lds, self.lds),
            (Artifact::Bootstrap, self.bootstrap),
        ];
        all.into_iter()
            .filter_map(|(artifact, path)| Some((artifact, path?)))
            .collect()
    }
}

/// The mistake in the places of the files of a shape.
fn mistake(form: &Form) -> Option<&'static str> {
    let ends_with = |path: &ProxyPath, end: &str| path.to_string().ends_with(end);
    let bases: &[(Artifact, ProxyPath)] = match &form.shape {
        Shape::Overlay(overlay) => &overlay.bases,
        Shape::Sidecar | Shape::Fragment => &[],
    };
    let is_json = |artifact: &Artifact| {
        let base = bases.iter().find(|(base, _)| base == artifact);
        base.is_some_and(|(_, path)| ends_with(path, ".json"))
    };
    let is_read_by_envoy = |(artifact, path): (&Artifact, &ProxyPath)| {
        [".yaml", ".yml"].iter().any(|end| ends_with(path, end)) || (ends_with(path, ".json") && is_json(artifact))
    };
    let has = |artifact: &Artifact| match &form.shape {
        Shape::Sidecar => true,
        Shape::Fragment => false,
        Shape::Overlay(_) => bases.iter().any(|(base, _)| base == artifact),
    };
    let distinct: BTreeSet<&ProxyPath> = form.to.values().collect();
    if !form.to.keys().all(has) {
        Some("`to` names a file that this shape does not have")
    } else if form.seen_as.is_some() && form.shape != Shape::Sidecar {
        Some("`seen_as` is about the paths in the bootstrap of a `sidecar`")
    } else if form.sampling == SamplingChange::Hitless && !form.has_bootstrap() {
        Some("`sampling: hitless` needs the bootstrap, which names the file of the sampling")
    } else if !form.to.iter().all(is_read_by_envoy) {
        Some(
            "a path of `to` must end with .yaml or .yml, since Envoy chooses its reader by that; with .json if the base does",
        )
    } else if distinct.len() < form.to.len() {
        Some("`to` names one path for two files")
    } else if bases.iter().any(|(_, base)| distinct.contains(base)) {
        Some("`to` names a file that the overlay is made from")
    } else {
        None
    }
}

/// A shape without settings of its own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The files of an Envoy that somebody configured, which are read and never written. `{mesh}` and `{dataplane}` stand for the
/// names as in the paths below `out`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bases {
    /// A bootstrap with its listeners and clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bootstrap: Option<ProxyPath>,
    /// Clusters: a discovery response, or resources alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cds: Option<ProxyPath>,
    /// Listeners: a discovery response, or resources alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lds: Option<ProxyPath>,
    /// The entries of the dataplane that listeners belong to, where neither their address nor their name tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    listeners: Vec<ListenerRule>,
}

impl TryFrom<Entry> for ShapeRule {
    type Error = &'static str;

    fn try_from(entry: Entry) -> Result<Self, Self::Error> {
        let shape = match (entry.sidecar, entry.fragment, entry.overlay) {
            (Some(Nothing {}), None, None) => Shape::Sidecar,
            (None, Some(Nothing {}), None) => Shape::Fragment,
            (None, None, Some(bases)) => Shape::Overlay(Arc::new(bases.overlay(entry.existing)?)),
            _ => return Err("exactly one of `sidecar`, `fragment` and `overlay` must be set"),
        };
        if entry.existing.is_some() && !matches!(shape, Shape::Overlay(_)) {
            return Err("`existing` is about the files of an `overlay`");
        }
        let form = Form {
            shape,
            to: entry.to.by_artifact(),
            seen_as: entry.seen_as,
            sampling: entry.sampling.unwrap_or_default(),
        };
        if let Some(mistake) = mistake(&form) {
            return Err(mistake);
        }
        let select = entry.select;
        let sampling = entry.sampling;
        Ok(Self { select, form, sampling })
    }
}

impl Bases {
    fn overlay(self, existing: Option<ExistingTracing>) -> Result<Overlay, &'static str> {
        let Self {
            bootstrap,
            cds,
            lds,
            listeners,
        } = self;
        match (&bootstrap, &cds, &lds) {
            (None, _, None) => return Err("`overlay` has no listeners: name `bootstrap` or `lds`"),
            (_, None, Some(_)) => {
                return Err("`overlay` has `lds` without `cds`, where the cluster of the collector goes");
            }
            _ => {}
        }
        if listeners
            .iter()
            .any(|rule| rule.inbound.is_some() && rule.outbound.is_some())
        {
            return Err("an entry of `listeners` has `inbound` or `outbound`, not both");
        }
        let all = [
            (Artifact::Cds, cds),
            (Artifact::Lds, lds),
            (Artifact::Bootstrap, bootstrap),
        ];
        let bases = all.into_iter().filter_map(|(artifact, path)| Some((artifact, path?)));
        Ok(Overlay {
            bases: bases.collect(),
            listeners,
            existing: existing.unwrap_or_default(),
        })
    }
}

impl From<ShapeRule> for Entry {
    fn from(rule: ShapeRule) -> Self {
        let mut entry = Self {
            select: rule.select,
            sidecar: None,
            fragment: None,
            overlay: None,
            to: Places {
                bootstrap: rule.form.to.get(&Artifact::Bootstrap).cloned(),
                cds: rule.form.to.get(&Artifact::Cds).cloned(),
                lds: rule.form.to.get(&Artifact::Lds).cloned(),
            },
            sampling: rule.sampling,
            seen_as: rule.form.seen_as,
            existing: None,
        };
        match rule.form.shape {
            Shape::Sidecar => entry.sidecar = Some(Nothing {}),
            Shape::Fragment => entry.fragment = Some(Nothing {}),
            Shape::Overlay(overlay) => {
                let path = |wanted| {
                    let found = overlay.bases.iter().find(|(artifact, _)| *artifact == wanted);
                    found.map(|(_, path)| path.clone())
                };
                entry.existing = Some(overlay.existing);
                entry.overlay = Some(Bases {
                    bootstrap: path(Artifact::Bootstrap),
                    cds: path(Artifact::Cds),
                    lds: path(Artifact::Lds),
                    listeners: overlay.listeners.clone(),
                });
            }
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_checked() {
        for (text, expected) in [
            ("[{}]", "exactly one of"),
            ("[{sidecar: {}, fragment: {}}]", "exactly one of"),
            ("[{sidecar: {}, existing: keep}]", "is about the files of an `overlay`"),
            ("[{overlay: {}}]", "no listeners"),
            ("[{overlay: {cds: /a/b}}]", "no listeners"),
            ("[{overlay: {lds: /a/b}}]", "`lds` without `cds`"),
            ("[{overlay: {bootstrap: a}}]", "must be an absolute path"),
            (
                "[{overlay: {bootstrap: '/a/{name}'}}]",
                "neither {mesh} nor {dataplane}",
            ),
            (
                "[{fragment: {}, to: {bootstrap: /a/b.yaml}}]",
                "a file that this shape does not have",
            ),
            ("[{fragment: {}, seen_as: /a/b}]", "is about the paths in the bootstrap"),
            ("[{sidecar: {}, to: {cds: /a/b}}]", "must end with .yaml"),
            ("[{sidecar: {}, to: {cds: /a/b.json}}]", "must end with .yaml"),
            (
                "[{sidecar: {}, to: {cds: /a/b.yaml, lds: /a/b.yaml}}]",
                "one path for two",
            ),
            (
                "[{overlay: {bootstrap: /a/b.yaml}, to: {bootstrap: /a/b.yaml}}]",
                "is made from",
            ),
            (
                "[{overlay: {bootstrap: /a/b, listeners: [{name: a, inbound: 1, outbound: b}]}}]",
                "not both",
            ),
        ] {
            let error = serde_yaml::from_str::<Vec<ShapeRule>>(text)
                .expect_err(text)
                .to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn an_entry_is_written_as_it_was_read() {
        let text = "- select:\n    name: web-*\n  overlay:\n    cds: /a/cds.yaml\n    lds: /a/{dataplane}.yaml\n    listeners:\n    - name: edge\n      inbound: 80\n  to:\n    lds: /b/lds.yaml\n  existing: replace\n";
        let rules: Vec<ShapeRule> = serde_yaml::from_str(text).expect("entries");
        assert_eq!(serde_yaml::to_string(&rules).expect("text"), text);
    }
}
