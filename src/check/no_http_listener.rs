//! `no-http-listener`: a dataplane is selected and has nothing that could be traced.

use std::collections::BTreeSet;

use super::subject::about;
use crate::compilation::Lowered;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::kuma::Version;

/// At most one finding, at the protocol of the first inbound.
pub(super) fn ask(each: &Lowered, diagnostics: &mut Diagnostics) {
    let Lowered { governed, proxy, .. } = *each;
    let dataplane = governed.dataplane;
    let newer = (governed.policies.mesh_trace.merged.as_ref()).filter(|merged| merged.backend().is_some());
    let older = governed.winner().filter(|_| governed.backend().is_some());
    let policy = match (newer, older) {
        (Some(merged), _) => &merged.strongest.header,
        (None, Some(winner)) => &winner.policy.header,
        (None, None) => return,
    };
    let has_gateway = governed.policies.gateway.as_ref().is_some_and(|gateway| {
        gateway
            .listeners
            .iter()
            .any(|listener| listener.protocol.value.is_http())
    });
    // Which outbounds there are is not known.
    if dataplane.transparent_proxying.is_some() && dataplane.inbounds.is_empty() {
        return;
    }
    if has_gateway || proxy.listeners.iter().any(|listener| listener.protocol.value.is_http()) {
        return;
    }
    let listener_paths: BTreeSet<&str> = proxy.listeners.iter().map(|listener| listener.path.as_str()).collect();
    let mut inbounds = dataplane.inbounds.iter();
    let first = inbounds
        .find(|inbound| listener_paths.contains(inbound.path.as_str()))
        .or(dataplane.inbounds.first());
    let protocol = first.and_then(|inbound| inbound.located_protocol(&dataplane.header));
    let of_inbound = || first.map(|inbound| dataplane.header.location(inbound.span));
    let at = match &protocol {
        Some(protocol) => protocol.origin.at.clone(),
        None => of_inbound().unwrap_or_else(|| dataplane.header.at.clone()),
    };
    let message = format!(
        "`{}` `{}` selects `{}/{}`, which has no HTTP listener to trace",
        policy.id.kind,
        policy.name(),
        dataplane.header.mesh(),
        dataplane.header.name(),
    );
    let diagnostic = Diagnostic::warning(Code::NoHttpListener, &at, message);
    let path = protocol
        .as_ref()
        .map_or("networking.inbound", |protocol| protocol.origin.path.as_str());
    let help = match (&dataplane.gateway, each.kuma.version) {
        (Some(_), _) => "a gateway is traced where its outbounds lead to services that speak http, http2 or grpc",
        (None, Version::V3_0) => "write `protocol: http`, `http2` or `grpc` in the inbound if it speaks one of them",
        (None, _) => "set `kuma.io/protocol` to http, http2 or grpc if it speaks one of them",
    };
    diagnostics.push(about(&dataplane.header, diagnostic.path(path).help(help)));
}
