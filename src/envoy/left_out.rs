//! The findings about features of a control plane's proxy that a `sidecar` lacks: one per place that asks for one,
//! with the proxies that it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds};
use crate::ir::{LeftOut, Proxy};
use crate::resource::value::feature::Feature;
use crate::words::{FEW, first_of};

/// Whether a proxy can be published: none of the features that it lacks is vital, except for those that it may lack.
pub(super) fn may_lack_all(proxy: &Proxy, without: &BTreeSet<Feature>) -> bool {
    let mut lacked = proxy.left_out.iter().map(|left_out| left_out.feature);
    lacked.all(|feature| without.contains(&feature) || !feature.is_vital())
}

/// The proxies that lack the same features for the sake of policies.
type Group<'p> = Vec<&'p Proxy>;

/// Reports every place that asks for a feature which proxies lack: with errors that hold the proxies without a vital
/// feature, with warnings else.
///
/// Proxies are taken together by what they share, so that the cost is not that of every place for every proxy.
pub(super) fn report(proxies: &[&Arc<Proxy>], without: &BTreeSet<Feature>, diagnostics: &mut Diagnostics) {
    let mut places: HashMap<*const LeftOut, usize> = HashMap::default();
    let mut groups: Vec<(&Arc<[LeftOut]>, Group)> = Vec::new();
    let mut alone: BTreeMap<&LeftOut, Group> = BTreeMap::new();
    for &proxy in proxies {
        let by_policies = &proxy.left_out.by_policies;
        let place = *places.entry(by_policies.as_ptr()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, group)) => group.push(proxy),
            None => groups.push((by_policies, vec![proxy])),
        }
        for left_out in &proxy.left_out.alone {
            alone.entry(left_out).or_default().push(proxy);
        }
    }
    let mut all: BTreeMap<&LeftOut, Vec<&Group>> = BTreeMap::new();
    for (by_policies, group) in &groups {
        by_policies
            .iter()
            .for_each(|left_out| all.entry(left_out).or_default().push(group));
    }
    for (left_out, group) in &alone {
        all.entry(left_out).or_default().push(group);
    }
    let mut holds = HashMap::default();
    for (left_out, groups) in all {
        if !without.contains(&left_out.feature) {
            diagnostics.push(finding(left_out, &groups, &mut holds));
        }
    }
}

/// The holds on groups of proxies, by the addresses of the groups.
type HoldsOf<'p> = HashMap<Vec<*const Group<'p>>, Holds>;

/// The hold on the proxies of several groups, which findings about the same groups share.
fn hold<'p>(groups: &[&Group<'p>], known: &mut HoldsOf<'p>) -> Holds {
    let key = groups.iter().map(|group| std::ptr::from_ref(*group)).collect();
    let made = known.entry(key).or_insert_with(|| {
        let proxies = groups.iter().flat_map(|group| group.iter());
        let proxies = proxies.map(|proxy| (proxy.key.mesh.clone(), proxy.key.dataplane.clone()));
        Holds::Proxies(Arc::new(proxies.collect()))
    });
    made.clone()
}

/// The first few of the proxies by mesh and name, with the number of the others; and whether there is only one.
fn named(groups: &[&Group]) -> (String, bool) {
    let mut first: BTreeSet<(&str, &str)> = BTreeSet::new();
    for proxy in groups.iter().flat_map(|group| group.iter().take(FEW + 1)) {
        first.insert((&proxy.key.mesh, &proxy.key.dataplane));
    }
    // No place is both that of a policy and in a dataplane or its routes, so no proxy is in two groups.
    let total = groups.iter().map(|group| group.len()).sum();
    (first_of(first.into_iter().map(|(_, name)| name), total), total == 1)
}

fn finding<'p>(left_out: &LeftOut, groups: &[&Group<'p>], holds: &mut HoldsOf<'p>) -> Diagnostic {
    let LeftOut { feature, origin } = left_out;
    let (names, is_one) = named(groups);
    let verb = if is_one { "is" } else { "are" };
    let lacks = match feature {
        Feature::Mtls => "does not encrypt with TLS",
        Feature::Permissions => "does not check permissions",
        Feature::Routes => "does not choose destinations by request, nor change requests",
        Feature::Patches => "does not apply patches",
        Feature::Traffic => "has no timeouts, retries, health checks, limits, faults or load balancing",
        Feature::Telemetry => "has no access logs or metrics",
    };
    let name = feature.as_str();
    let mut finding = if feature.is_vital() {
        let message = format!("a sidecar {lacks}, so {names} {verb} not published");
        Diagnostic::error(Code::NotCarriedOver, &origin.at, message)
            .holds(hold(groups, holds))
            .help(format!(
                "`sidecar: {{without: [{name}]}}` in the settings publishes without it"
            ))
    } else {
        let message = format!("a sidecar {lacks}, which a control plane gives to {names}");
        let help = format!("`sidecar: {{without: [{name}]}}` in the settings says that this is meant");
        Diagnostic::warning(Code::NotCarriedOver, &origin.at, message).help(help)
    };
    finding.resource = Some(Arc::clone(&origin.resource));
    finding.path = origin.path.to_string();
    finding
}
