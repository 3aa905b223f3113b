//! `no-http-listener`: a dataplane is selected and has nothing that could be traced.

use super::{Subject, about};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::resource::protocol::Protocol;

/// One finding per dataplane, at the protocol of its first inbound.
pub(super) fn ask(subject: &Subject, diagnostics: &mut Diagnostics) {
    for governed in &subject.selection.dataplanes {
        let (Some(winner), dataplane) = (governed.winner, governed.dataplane) else {
            continue;
        };
        let inbound_protocols = dataplane
            .inbounds
            .iter()
            .map(|inbound| inbound.protocol.as_ref().map_or(Protocol::Unknown, |p| p.value));
        let mut protocols = inbound_protocols.chain(governed.outbounds.iter().map(|routed| routed.protocol.value));
        if governed.backend.is_none() || protocols.any(Protocol::is_http) {
            continue;
        }
        let first = dataplane.inbounds.first();
        let protocol = first.and_then(|inbound| inbound.protocol.as_ref());
        let at = protocol
            .map(|protocol| &protocol.origin.at)
            .or(first.map(|inbound| &inbound.at))
            .unwrap_or(&dataplane.header.at);
        let message = format!(
            "`TrafficTrace` `{}` selects `{}/{}`, which has no HTTP listener to trace",
            winner.policy.header.name(),
            dataplane.header.mesh(),
            dataplane.header.name(),
        );
        let diagnostic = Diagnostic::warning(Code::NoHttpListener, at, message);
        let path = protocol.map_or("networking.inbound", |protocol| protocol.origin.path.as_str());
        let help = "set `kuma.io/protocol` to http, http2 or grpc if it speaks one of them";
        diagnostics.push(about(&dataplane.header, diagnostic.path(path).help(help)));
    }
}
