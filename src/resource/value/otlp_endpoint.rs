//! The `endpoint` of an OTLP collector in a `MeshTrace`.

use std::net::Ipv6Addr;

use crate::kuma::Version;

/// The endpoint of an OTLP collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// Host name or IP address, without brackets; empty for the machine of the proxy.
    pub host: String,
    /// Port, 1 to 65535.
    pub port: u16,
    /// The transport of OTLP.
    pub transport: Transport,
}

impl Otlp {
    /// The host that a proxy connects to: without one, the collector runs on its machine.
    #[must_use]
    pub fn reached_at(&self) -> &str {
        if self.host.is_empty() { "127.0.0.1" } else { &self.host }
    }
}

/// A transport of OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// gRPC, without TLS.
    Grpc,
    /// HTTP, with TLS on port 443.
    Http {
        /// The part of the path before `/v1/traces`, with a leading slash; empty if there is none.
        base: String,
    },
}

/// The default port of OTLP over gRPC.
pub const GRPC_PORT: u16 = 4317;

/// The reason why an endpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The endpoint is a URL.
    #[error("must be `HOST:PORT`, not a URL")]
    Url,
    /// Kuma takes it and Envoy does not.
    #[error("has no host")]
    NoHost,
    /// Kuma takes it and Envoy does not.
    #[error("has no port from 1 to 65535")]
    Port,
    /// Kuma 2.13 splits an IPv6 address at its first colon.
    #[error("has an IPv6 address, which Kuma supports from 2.14 on")]
    Ipv6,
}

/// Parses `HOST` or `HOST:PORT`.
///
/// # Errors
/// The reason why Kuma or Envoy would reject the endpoint.
pub fn parse_endpoint(text: &str, version: Version) -> Result<Otlp, EndpointError> {
    let (host, port) = match version {
        Version::V2_13 => cut(text)?,
        Version::V2_14 | Version::V3_0 => split(text)?,
    };
    if host.is_empty() {
        return Err(EndpointError::NoHost);
    }
    Ok(Otlp {
        host,
        port,
        transport: Transport::Grpc,
    })
}

/// Host and port by the rule of 2.13: split at the first colon.
fn cut(text: &str) -> Result<(String, u16), EndpointError> {
    if text.starts_with('[') || text.parse::<Ipv6Addr>().is_ok() {
        return Err(EndpointError::Ipv6);
    }
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or_default();
    let port = match parts.next() {
        None => GRPC_PORT,
        Some(port) => match port.parse() {
            Ok(port @ 1..) => port,
            _ if text.contains("//") => return Err(EndpointError::Url),
            _ => return Err(EndpointError::Port),
        },
    };
    if host.contains(['/', '?', '#']) {
        return Err(EndpointError::Url);
    }
    Ok((host.to_owned(), port))
}

/// Host and port by the rule of 2.14: an endpoint that cannot be split is a host.
fn split(text: &str) -> Result<(String, u16), EndpointError> {
    if text.contains(['/', '?', '#']) {
        return Err(EndpointError::Url);
    }
    let whole = || (text.to_owned(), GRPC_PORT);
    let named = text.rsplit_once('@').map_or(text, |(_user, rest)| rest);
    if let Some(rest) = named.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else {
            return Ok(whole());
        };
        return Ok(match after.strip_prefix(':').map(port_of) {
            Some(Some(port)) => (inside.to_owned(), port),
            None if after.is_empty() => (inside.to_owned(), GRPC_PORT),
            _ => whole(),
        });
    }
    match named.split_once(':') {
        None => Ok((named.to_owned(), GRPC_PORT)),
        Some((host, port)) if !port.contains(':') && !host.is_empty() => {
            Ok(port_of(port).map_or_else(whole, |port| (host.to_owned(), port)))
        }
        Some(_) => Ok(whole()),
    }
}

/// The port of a text: the default if empty or out of range, `None` if not a number.
fn port_of(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok().filter(|&port| port != 0).unwrap_or(GRPC_PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, version: Version, expected: Result<(&str, u16), EndpointError>) {
        let found = parse_endpoint(text, version);
        let found = found.as_ref().map(|otlp| (otlp.host.as_str(), otlp.port));
        assert_eq!(found, expected.as_ref().map(|e| *e), "{text}");
    }

    #[test]
    fn the_older_version_cuts_at_colons() {
        let check = |text, expected| check(text, Version::V2_13, expected);
        check("otel:4317", Ok(("otel", 4317)));
        check("otel", Ok(("otel", 4317)));
        check("otel:1:2", Ok(("otel", 1)));
        check("otel:x", Err(EndpointError::Port));
        check("otel:0", Err(EndpointError::Port));
        check("[2001:db8::1]:4317", Err(EndpointError::Ipv6));
        check("http://otel:4317", Err(EndpointError::Url));
        check(":4317", Err(EndpointError::NoHost));
    }

    #[test]
    fn the_newer_one_knows_brackets() {
        let check = |text, expected| check(text, Version::V2_14, expected);
        check("otel:14317", Ok(("otel", 14317)));
        check("[2001:db8::1]:14317", Ok(("2001:db8::1", 14317)));
        check("[2001:db8::1]", Ok(("2001:db8::1", 4317)));
        check("2001:db8::1", Ok(("2001:db8::1", 4317)));
        check("otel:99999", Ok(("otel", 4317)));
        check("otel:", Ok(("otel", 4317)));
        check("me@otel:1", Ok(("otel", 1)));
        check("otel:x", Ok(("otel:x", 4317)));
        check("otel:1:2", Ok(("otel:1:2", 4317)));
        check(":5", Ok((":5", 4317)));
        check("otel:4317/v1", Err(EndpointError::Url));
    }
}
