//! The findings about features of a control plane's proxy that a `sidecar` lacks: one per place that asks for one,
//! with the proxies that it concerns.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Code, Diagnostic, Diagnostics, Holds};
use crate::ir::{LeftOut, Proxy};
use crate::resource::value::feature::Feature;
use crate::words::few;

/// The proxies, by the feature that they lack and the place that asks for it.
#[derive(Debug, Default)]
pub(super) struct LeftOutBy<'p>(BTreeMap<&'p LeftOut, Vec<&'p Proxy>>);

impl<'p> LeftOutBy<'p> {
    /// Notes the features that a proxy lacks, except for those that it may lack. Returns whether the proxy can be
    /// published: none of the noted features is vital.
    pub(super) fn may_lack_all(&mut self, proxy: &'p Proxy, without: &BTreeSet<Feature>) -> bool {
        let mut may_lack_all = true;
        for left_out in proxy
            .left_out
            .iter()
            .filter(|left_out| !without.contains(&left_out.feature))
        {
            may_lack_all &= !left_out.feature.is_vital();
            self.0.entry(left_out).or_default().push(proxy);
        }
        may_lack_all
    }

    /// Reports every place: errors that hold the proxies without a vital feature, warnings else.
    pub(super) fn report(self, diagnostics: &mut Diagnostics) {
        for (left_out, proxies) in self.0 {
            diagnostics.push(finding(left_out, &proxies));
        }
    }
}

fn finding(LeftOut { feature, origin }: &LeftOut, proxies: &[&Proxy]) -> Diagnostic {
    let names: Vec<String> = proxies.iter().map(|proxy| proxy.name.clone()).collect();
    let (names, verb) = (few(&names), if names.len() == 1 { "is" } else { "are" });
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
        let held = proxies.iter().map(|proxy| (proxy.mesh.clone(), proxy.name.clone()));
        Diagnostic::error(Code::NotCarriedOver, &origin.at, message)
            .holds(Holds::Proxies(held.collect()))
            .help(format!(
                "`sidecar: {{without: [{name}]}}` in the settings publishes without it"
            ))
    } else {
        let message = format!("a sidecar {lacks}, which a control plane gives to {names}");
        let help = format!("`sidecar: {{without: [{name}]}}` in the settings says that this is meant");
        Diagnostic::warning(Code::NotCarriedOver, &origin.at, message).help(help)
    };
    finding.resource = Some((*origin.resource).clone());
    finding.path.clone_from(&origin.path);
    finding
}
