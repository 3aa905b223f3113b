//! `span-name`: an inbound whose spans have the name of another service.

use super::subject::about;
use crate::compilation::Lowered;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::ir::{Direction, Provider};

/// One finding per traced inbound of a service that its spans do not name.
pub(super) fn ask(each: &Lowered, diagnostics: &mut Diagnostics) {
    let Lowered { governed, proxy, .. } = *each;
    let export = proxy.tracer.as_ref().and_then(|tracer| tracer.export.as_ref());
    let Some(provider) = export.map(|export| &export.provider) else {
        return;
    };
    // Whoever names spans in the settings wants another name.
    if proxy.additions.service_name.is_some() {
        return;
    }
    let header = &governed.dataplane.header;
    for listener in proxy
        .traced()
        .filter(|listener| listener.direction == Direction::Inbound)
    {
        let Some(reported) = &listener.reports_as else { continue };
        let service = &listener.service;
        if reported == service || *reported == format!("{service}_INBOUND") {
            continue;
        }
        let message = format!("the spans of `{service}` appear as `{reported}`");
        let help = match provider {
            Provider::Zipkin(_) => {
                "spans for Zipkin have one name per proxy, the first of its services: give each service a Dataplane of its own"
            }
            Provider::Datadog(_) | Provider::OpenTelemetry(_) => {
                "a MeshTrace gives one name per proxy, the first of its services: give each service a Dataplane of its own"
            }
        };
        let finding = Diagnostic::warning(Code::SpanName, &listener.at, message).path(listener.path.as_str());
        diagnostics.push(about(header, finding.help(help)));
    }
}
