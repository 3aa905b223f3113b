//! The reasons for changes: what became of the policy that decided before, and of a dataplane that is removed.

use std::sync::Arc;

use crate::compile::Compiled;
use crate::diag::ResourceId;
use crate::envoy::artifact::ProxyKey;
use crate::envoy::effective::Policy;
use crate::ir::Proxy;
use crate::source::Location;

/// The reasons for changes, from the compile that they come from.
pub(super) struct Because<'c> {
    pub(super) compiled: &'c Compiled,
}

impl Because<'_> {
    /// The reason why another policy decides now; `None` when it is the same one.
    pub(super) fn policy_changed(
        &self,
        mesh: &str,
        old: Option<&Policy>,
        new: Option<&Policy>,
        proxy: Option<&Proxy>,
    ) -> Option<String> {
        let identity = |policy: Option<&Policy>| policy.map(|policy| (policy.kind.clone(), policy.name.clone()));
        if identity(old) == identity(new) {
            return None;
        }
        Some(match (old, new) {
            (None, None) => return None,
            (None, Some(new)) => format!("{} selects it now", policy_name(new, proxy)),
            (Some(old), new) => {
                let id = ResourceId {
                    kind: old.kind.clone(),
                    mesh: mesh.to_owned(),
                    name: old.name.clone(),
                };
                let matches = |proxy: &Proxy| proxy.is_matched_by(&id);
                let named = |at| format!("{} ({})", old.name, place(at));
                match (self.compiled.policies.get(&id), new) {
                    (Some(at), Some(new)) if proxy.is_some_and(matches) => beaten(&named(at), old, new, proxy),
                    (Some(at), Some(new)) => {
                        let new = policy_name(new, proxy);
                        format!("{} does not select it any more, and {new} does", named(at))
                    }
                    (Some(at), None) => format!("{} does not select it any more, nor does any other policy", named(at)),
                    (None, Some(new)) => format!("{} is gone, and {} selects it", old.name, policy_name(new, proxy)),
                    (None, None) => format!("{} is gone, and no other policy selects it", old.name),
                }
            }
        })
    }

    /// The reason why a proxy has no files any more.
    pub(super) fn removed(&self, key: &ProxyKey, proxy: Option<&Proxy>) -> &'static str {
        let own = (key.mesh.as_str(), key.dataplane.as_str());
        let by_name = |id: &Arc<ResourceId>| (id.mesh.as_str(), id.name.as_str()).cmp(&own);
        if self.compiled.out_of_scope.binary_search_by(by_name).is_ok() {
            "`select` in the settings does not choose it any more"
        } else if proxy.is_some() {
            "it cannot be a sidecar any more; a warning says why"
        } else {
            "its Dataplane is gone"
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
pub(super) fn policy_name(policy: &Policy, proxy: Option<&Proxy>) -> String {
    let at = proxy.and_then(Proxy::policy).map(|policy| &policy.origin.at);
    at.map_or_else(|| policy.name.clone(), |at| format!("{} ({})", policy.name, place(at)))
}

pub(super) fn place(at: &Location) -> String {
    format!("{}:{}", at.file.path, at.line())
}
