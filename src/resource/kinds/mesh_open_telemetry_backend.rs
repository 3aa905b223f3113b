//! `MeshOpenTelemetryBackend`: a collector that policies refer to, from Kuma 2.14 on.

use std::net::IpAddr;

use crate::diag::Code;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::Object;
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::value::address::decode_port;
use crate::resource::value::names::is_dns_name;
use crate::resource::value::otlp_endpoint::{GRPC_PORT, Otlp, Transport};

/// An OTLP collector.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshOpenTelemetryBackend {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// The endpoint of the collector.
    pub collector: Located<Otlp>,
}

pub(in crate::resource) fn decode(
    decoder: &mut Decoder,
    header: Header,
    body: &Body,
) -> Option<MeshOpenTelemetryBackend> {
    let spec = body.object(decoder, &["endpoint", "protocol", "env"])?;
    let is_http = decode_protocol(decoder, &spec);
    let endpoint = spec.object(decoder, "endpoint", &["address", "port", "path"]);
    check_env(decoder, &spec);
    let mut collector = Otlp {
        host: String::new(),
        port: GRPC_PORT,
        transport: Transport::Grpc,
    };
    let mut base = String::new();
    if let Some(endpoint) = &endpoint {
        collector.host = decode_address(decoder, endpoint).unwrap_or_default();
        if endpoint.get("port").is_some() {
            let port = decode_port(decoder, endpoint, "port", 1);
            collector.port = port.map_or(GRPC_PORT, |port| port.value);
        }
        base = decode_path(decoder, endpoint, is_http).unwrap_or_default();
    }
    if is_http {
        collector.transport = Transport::Http { base };
    }
    let (path, at) = match &endpoint {
        Some(endpoint) => (endpoint.path.clone(), endpoint.at),
        None => (spec.path.clone(), spec.at),
    };
    Some(MeshOpenTelemetryBackend {
        collector: decoder.located(collector, &path, at),
        header,
    })
}

/// Whether the protocol is OTLP over HTTP, rather than over gRPC.
fn decode_protocol(decoder: &mut Decoder, spec: &Object) -> bool {
    let Some(protocol) = spec.text(decoder, "protocol") else {
        return false;
    };
    match protocol.value.as_str() {
        "http" => true,
        "grpc" => false,
        other => {
            let Origin { path, at, .. } = &protocol.origin;
            let message = format!("`protocol` is `{other}`; it must be `grpc` or `http`");
            decoder.error(Code::UnknownValue, at, path, message);
            false
        }
    }
}

fn decode_address(decoder: &mut Decoder, endpoint: &Object) -> Option<String> {
    let address = endpoint.text(decoder, "address")?;
    let Origin { path, at, .. } = &address.origin;
    if address.value.is_empty() {
        decoder.error(Code::EmptyField, at, path, "`address` must not be empty");
        return None;
    }
    if address.value.parse::<IpAddr>().is_err() && !is_dns_name(&address.value) {
        let message = format!(
            "`address` is `{}`, which is neither an IP address nor a DNS name",
            address.value
        );
        let help = "write the host alone, without scheme, port or brackets; port and path have their own fields";
        decoder.error_help(Code::InvalidAddress, at, path, message, help);
        return None;
    }
    Some(address.value.to_string())
}

/// The part of a path before `/v1/traces`, without a slash at its end.
fn decode_path(decoder: &mut Decoder, endpoint: &Object, is_http: bool) -> Option<String> {
    let base = endpoint.text(decoder, "path").filter(|base| !base.value.is_empty())?;
    let Origin { path, at, .. } = &base.origin;
    if !is_http {
        let message = "`path` has no meaning with the protocol `grpc`";
        decoder.error_help(
            Code::NotAllowed,
            at,
            path,
            message,
            "remove it, or write `protocol: http`",
        );
        return None;
    }
    let before = decoder.errors();
    if !base.value.starts_with('/') {
        let message = format!("`path` is `{}`; it must start with `/`", base.value);
        decoder.error(Code::InvalidValue, at, path, message);
    }
    if base.value.contains(['?', '#']) {
        let message = format!("`path` is `{}`; it must not have a query or fragment", base.value);
        decoder.error(Code::InvalidValue, at, path, message);
    }
    (decoder.errors() == before).then(|| clean(&base.value))
}

/// The path in the form of Go's `path.Join`: without empty parts, `.` and `..`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().map(|part| format!("/{part}")).collect()
}

/// Checks `env`, which only `kuma-dp` uses.
fn check_env(decoder: &mut Decoder, spec: &Object) {
    let Some(env) = spec.object(decoder, "env", &["mode", "precedence", "allowSignalOverrides"]) else {
        return;
    };
    env.boolean(decoder, "allowSignalOverrides");
    for (key, known) in [
        ("mode", &["Disabled", "Optional", "Required"][..]),
        ("precedence", &["ExplicitFirst", "EnvFirst"][..]),
    ] {
        let word = env.text(decoder, key).filter(|word| !word.value.is_empty());
        if let Some(word) = word.filter(|word| !known.contains(&word.value.as_str())) {
            let Origin { path, at, .. } = &word.origin;
            let message = format!("`{key}` is `{}`; it must be one of {}", word.value, known.join(", "));
            decoder.error(Code::UnknownValue, at, path, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn the_base_of_a_path_has_no_slash_at_its_end() {
        assert_eq!(
            [clean("/"), clean("/base/"), clean("/a//./b/../c")],
            ["", "/base", "/a/c"]
        );
    }
}
