//! Drafts: the new policies that an earlier migration has put beside the older ones, without effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::content::Contents;
use super::existing;
use super::field::present;
use super::plan::{self, Planned};
use super::target::Target as NewTarget;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::target_ref::Target;
use crate::resource::value::tags::SERVICE;

/// The drafts of new policies, by name.
pub(super) type Drafts = BTreeMap<String, Arc<MeshTrace>>;

/// The policies without effect that are drafts: those with the name and the `spec` of a new policy. The names of others that a new
/// policy has, too, come as an error.
pub(super) fn of(
    planned: &[Planned],
    existing: &[Arc<MeshTrace>],
    contents: &Contents,
) -> Result<Drafts, BTreeSet<String>> {
    let new: BTreeMap<&str, &Planned> = planned.iter().map(|planned| (planned.name.as_str(), planned)).collect();
    let (mut drafts, mut taken) = (Drafts::new(), BTreeSet::new());
    for policy in existing.iter().filter(|policy| policy.header.is_shadow()) {
        let name = policy.header.display_name.as_str();
        let Some(planned) = new.get(name) else { continue };
        if spec(policy) == Some(plan::spec(planned, contents)) {
            drafts.insert(name.to_owned(), Arc::clone(policy));
        } else {
            taken.insert(name.to_owned());
        }
    }
    if taken.is_empty() { Ok(drafts) } else { Err(taken) }
}

/// The `spec` of a policy as a new policy has it; `None` for one with a target that no new policy has.
fn spec(policy: &MeshTrace) -> Option<Value> {
    let (kind, service, tags) = match &policy.target.target {
        target @ Target::Mesh { tags, proxy_types, .. } if proxy_types.is_empty() => (target.kind(), None, tags),
        target @ Target::Service {
            name: Some(name), tags, ..
        } => (target.kind(), Some(name), tags),
        _ => return None,
    };
    let tags = tags.tags.iter().map(|(key, value)| (key.clone(), value.value.clone()));
    let service = service.map(|name| (SERVICE.into(), name.value.clone()));
    let target = NewTarget {
        kind,
        wanted: tags.chain(service).collect(),
    };
    let conf = &policy.conf;
    let shares = existing::shares(&conf.sampling);
    let is_sampled = shares.iter().any(|(_, share)| share.is_some());
    let backends: Vec<Value> = conf.backend.value.iter().map(existing::backend).collect();
    let default = present([
        ("backends", Some(json!(backends))),
        ("sampling", is_sampled.then(|| present(shares))),
        ("tags", conf.tags.as_deref().map(existing::tags)),
    ]);
    Some(json!({"targetRef": target.value(), "default": default}))
}
