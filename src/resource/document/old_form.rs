//! Documents in the form of Kuma before 0.7, which later versions do not read.

use super::kind::Kind;
use crate::diag::{Code, Diagnostic};
use crate::yaml::{Entry, Map, Node, Value};

/// The error about a document in an old form; `None` for any other document. Its help is the field as it is written
/// now.
pub(in crate::resource) fn error(kind: Kind, fields: &Map) -> Option<Diagnostic> {
    let (entry, path, help) = match kind {
        Kind::Dataplane => of_dataplane(fields)?,
        Kind::Mesh => of_mesh(fields)?,
        _ => return None,
    };
    let key = &entry.key.text;
    let message = format!("`{key}` is the form of Kuma before 0.7, which later versions do not read");
    Some(
        Diagnostic::error(Code::UnknownField, &entry.key_at, message)
            .path(format!("{path}.{key}"))
            .help(help),
    )
}

type Found<'a> = (&'a Entry<'a>, String, String);

/// `interface` of an inbound or outbound, and `service` of an outbound.
fn of_dataplane<'a>(fields: &'a Map<'a>) -> Option<Found<'a>> {
    let networking = map_in(fields, "networking")?;
    let first = |key: &str, find: fn(usize, &'a Node<'a>) -> Option<Found<'a>>| {
        let items = list_in(networking, key).iter().enumerate();
        items.into_iter().find_map(|(i, node)| find(i, node))
    };
    first("inbound", of_inbound).or_else(|| first("outbound", of_outbound))
}

fn of_inbound<'a>(i: usize, inbound: &'a Node<'a>) -> Option<Found<'a>> {
    let entry = inbound.map()?.get("interface")?;
    Some((
        entry,
        format!("networking.inbound[{i}]"),
        interface(entry.value.text()?),
    ))
}

fn of_outbound<'a>(i: usize, outbound: &'a Node<'a>) -> Option<Found<'a>> {
    let map = outbound.map()?;
    let service = map.get("service");
    let entry = map.get("interface").or(service)?;
    let port = match map.get("interface").and_then(|entry| entry.value.text()) {
        Some(interface) => interface.rsplit(':').next()?,
        None => map.get("port")?.value.text()?,
    };
    let service = service.and_then(|entry| entry.value.text()).unwrap_or("SERVICE");
    let help = format!("write `{{port: {port}, tags: {{kuma.io/service: {service}}}}}`");
    Some((entry, format!("networking.outbound[{i}]"), help))
}

/// The fields in place of `interface: [ADDRESS:]PORT[:APPLICATION PORT]`.
fn interface(text: &str) -> String {
    let parts: Vec<&str> = text.split(':').collect();
    let fields = match parts.as_slice() {
        [address, port, application] => format!("address: {address}, port: {port}, servicePort: {application}"),
        [address, port] => format!("address: {address}, port: {port}"),
        _ => format!("port: {text}"),
    };
    format!("write `{{{fields}}}`, and the tag `service` as `kuma.io/service`")
}

/// `zipkin` beside the name of a backend, in place of `type` and `conf`.
fn of_mesh<'a>(fields: &'a Map<'a>) -> Option<Found<'a>> {
    let backends = list_in(map_in(fields, "tracing")?, "backends");
    backends.iter().enumerate().find_map(|(i, node)| of_backend(i, node))
}

fn of_backend<'a>(i: usize, backend: &'a Node<'a>) -> Option<Found<'a>> {
    let entry = backend.map()?.get("zipkin")?;
    let text = entry.value.at.text();
    let conf = Some(&*text).filter(|conf| conf.starts_with('{') && !conf.contains('\n'));
    let help = format!("write `type: zipkin` and `conf: {}`", conf.unwrap_or("{...}"));
    Some((entry, format!("tracing.backends[{i}]"), help))
}

fn map_in<'a>(map: &'a Map<'a>, key: &str) -> Option<&'a Map<'a>> {
    map.get(key)?.value.map()
}

fn list_in<'a>(map: &'a Map<'a>, key: &str) -> &'a [Node<'a>] {
    match map.get(key).map(|entry| &entry.value.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_an_address_and_ports() {
        let help = interface("192.168.0.1:80:8080");
        assert!(
            help.contains("{address: 192.168.0.1, port: 80, servicePort: 8080}"),
            "{help}"
        );
    }
}
