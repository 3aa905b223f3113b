//! The reasons for changes: what became of the policy that decided before, and which resource changed otherwise.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::compile::Compiled;
use crate::diag::ResourceId;
use crate::envoy::artifact::ProxyKey;
use crate::envoy::effective::Policy;
use crate::ir::Proxy;
use crate::resource::Origin;
use crate::source::Location;

/// The reason for a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Reason {
    /// The kind of the reason.
    pub kind: ReasonKind,
    /// The reason in words, with names and places.
    pub text: String,
}

/// The kind of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonKind {
    /// A policy selects the proxy, which no policy did before.
    PolicySelects,
    /// The policy that decided is gone.
    PolicyGone,
    /// The policy that decided does not select the proxy any more.
    PolicyNoLongerSelects,
    /// Another policy wins now.
    AnotherPolicyWins,
    /// The policy that decides changed.
    PolicyChanged,
    /// The backend of the policy changed.
    BackendChanged,
    /// The settings of meshtraced ask for something else.
    SettingsChanged,
    /// The dataplane itself changed.
    DataplaneChanged,
    /// A destination of the dataplane changed.
    DestinationChanged,
    /// The dataplane is gone.
    DataplaneGone,
    /// The setting `select` does not choose the dataplane any more.
    NotSelectedHere,
    /// The dataplane cannot be a sidecar any more.
    NoSidecar,
}

impl ReasonKind {
    /// The kind for a value that a resource sets for a proxy.
    pub(super) fn of_value(origin: &Origin, proxy: &Proxy) -> Self {
        let id = &origin.resource;
        match id.kind.as_str() {
            "Mesh" | "MeshOpenTelemetryBackend" => Self::BackendChanged,
            "TrafficTrace" | "MeshTrace" => Self::PolicyChanged,
            "Dataplane"
                if (id.mesh.as_str(), id.name.as_str()) == (proxy.key.mesh.as_str(), proxy.key.dataplane.as_str()) =>
            {
                Self::DataplaneChanged
            }
            _ => Self::DestinationChanged,
        }
    }
}

impl Reason {
    /// The resource that sets another value now, at its place.
    pub(super) fn changed(origin: &Origin, proxy: &Proxy) -> Self {
        let kind = ReasonKind::of_value(origin, proxy);
        let what = match kind {
            ReasonKind::BackendChanged => "its backend changed",
            ReasonKind::PolicyChanged => "its policy changed",
            ReasonKind::DataplaneChanged => return Self::dataplane_changed(proxy),
            _ => "a destination changed",
        };
        Self {
            kind,
            text: format!("{what}: {}", written_in(origin)),
        }
    }

    /// The settings of meshtraced.
    pub(super) fn settings_changed() -> Self {
        Self {
            kind: ReasonKind::SettingsChanged,
            text: "the settings changed".to_owned(),
        }
    }

    /// The dataplane itself.
    pub(super) fn dataplane_changed(proxy: &Proxy) -> Self {
        Self {
            kind: ReasonKind::DataplaneChanged,
            text: format!("its Dataplane changed ({})", place(&proxy.at)),
        }
    }

    /// The policy that selects a new proxy.
    pub(super) fn selected(policy: &Policy, proxy: Option<&Proxy>) -> Self {
        Self {
            kind: ReasonKind::PolicySelects,
            text: format!("by {}", policy_name(policy, proxy)),
        }
    }

    /// The reason why another policy decides now; `None` when it is the same one.
    pub(super) fn policy(
        compiled: &Compiled,
        mesh: &str,
        old: Option<&Policy>,
        new: Option<&Policy>,
        proxy: Option<&Proxy>,
    ) -> Option<Self> {
        let identity = |policy: Option<&Policy>| policy.map(|policy| (policy.kind.clone(), policy.name.clone()));
        if identity(old) == identity(new) {
            return None;
        }
        let Some(old) = old else {
            return Some(Self {
                kind: ReasonKind::PolicySelects,
                text: format!("{} selects it now", policy_name(new?, proxy)),
            });
        };
        let id = ResourceId {
            kind: old.kind.as_str().into(),
            mesh: mesh.into(),
            name: old.name.as_str().into(),
        };
        let matches = |proxy: &Proxy| proxy.is_matched_by(&id);
        let named = |at| format!("{} ({})", old.name, place(at));
        let (kind, text) = match (compiled.policies.get(&id), new) {
            (Some(at), Some(new)) if proxy.is_some_and(matches) => {
                (ReasonKind::AnotherPolicyWins, beaten(&named(at), old, new, proxy))
            }
            (Some(at), Some(new)) => (
                ReasonKind::PolicyNoLongerSelects,
                format!(
                    "{} does not select it any more, and {} does",
                    named(at),
                    policy_name(new, proxy)
                ),
            ),
            (Some(at), None) => (
                ReasonKind::PolicyNoLongerSelects,
                format!("{} does not select it any more, nor does any other policy", named(at)),
            ),
            (None, Some(new)) => (
                ReasonKind::PolicyGone,
                format!("{} is gone, and {} selects it", old.name, policy_name(new, proxy)),
            ),
            (None, None) => (
                ReasonKind::PolicyGone,
                format!("{} is gone, and no other policy selects it", old.name),
            ),
        };
        Some(Self { kind, text })
    }

    /// The reason why a proxy has no files any more.
    pub(super) fn removed(compiled: &Compiled, key: &ProxyKey, proxy: Option<&Proxy>) -> Self {
        let own = (key.mesh.as_str(), key.dataplane.as_str());
        let by_name = |id: &Arc<ResourceId>| (id.mesh.as_str(), id.name.as_str()).cmp(&own);
        let (kind, text) = if compiled.out_of_scope.binary_search_by(by_name).is_ok() {
            let text = "`select` in the settings does not choose it any more";
            (ReasonKind::NotSelectedHere, text)
        } else if proxy.is_some() {
            (
                ReasonKind::NoSidecar,
                "it cannot be a sidecar any more; a warning says why",
            )
        } else {
            (ReasonKind::DataplaneGone, "its Dataplane is gone")
        };
        Self {
            kind,
            text: text.to_owned(),
        }
    }
}

/// The reason why a policy wins over another one that matches, too.
fn beaten(loser: &str, old: &Policy, new: &Policy, proxy: Option<&Proxy>) -> String {
    let winner = policy_name(new, proxy);
    let tags = |n: usize| {
        if n == 1 {
            "1 tag".to_owned()
        } else {
            format!("{n} tags")
        }
    };
    if old.kind != new.kind {
        return format!(
            "the {} {winner} comes before every {}, so before {loser}",
            new.kind, old.kind
        );
    }
    match (old.tags.zip(old.exact), new.tags.zip(new.exact)) {
        (Some((less, _)), Some((more, _))) if more > less => {
            format!("{winner} now wins over {loser}: {} against {less}", tags(more))
        }
        (Some((n, less)), Some((all, more))) if n == all && more > less => {
            format!(
                "{winner} now wins over {loser}: {more} exact of {} against {less}",
                tags(all)
            )
        }
        // The match of the old policy may have become narrower or wider.
        (Some(_), Some(_)) => format!("{winner} now wins over {loser}"),
        _ => match (&old.target, &new.target) {
            (Some(wide), Some(narrow)) if wide != narrow => {
                format!("{winner} now wins over {loser}: it targets {narrow}, which is narrower than {wide}")
            }
            _ => format!("{winner} now wins over {loser}, by its name"),
        },
    }
}

/// The name of the policy that decides now, with its place.
fn policy_name(policy: &Policy, proxy: Option<&Proxy>) -> String {
    let at = proxy.and_then(Proxy::policy).map(|policy| &policy.origin.at);
    at.map_or_else(|| policy.name.clone(), |at| format!("{} ({})", policy.name, place(at)))
}

/// A resource with the place of a field of it.
pub(super) fn written_in(origin: &Origin) -> String {
    format!("{} ({})", origin.resource, place(&origin.at))
}

fn place(at: &Location) -> String {
    format!("{}:{}", at.file.path, at.line())
}
