//! The URL of a Zipkin collector, parsed as in Kuma.
//!
//! Kuma parses with Go's `net/url.ParseRequestURI`, which is neither RFC 3986 nor the WHATWG rules: a `#` is
//! part of the path, an explicit default port is kept, and the host keeps its case.

use std::net::{IpAddr, Ipv6Addr};

use crate::diag::{Code, Diagnostic};
use crate::kuma::Fidelity;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::origin::{Located, Origin};

/// The parts of a collector URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorUrl {
    /// Whether the scheme is `https`; any other scheme means plain text.
    pub tls: bool,
    /// Host name or IP address, without brackets.
    pub host: String,
    /// Port, 1 to 65535.
    pub port: u16,
    /// Host and port as in the URL, with brackets: the value of the `Host` header.
    pub authority: String,
    /// The path without escapes; never empty.
    pub path: String,
    /// The query as in the URL, which Kuma drops.
    pub query: Option<String>,
    /// Whether the URL has a user or a password, which are never sent.
    pub has_user: bool,
}

/// The reason why a URL is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Kuma accepts `http` and, for Zipkin, `https`, in lowercase.
    #[error("must begin with {0}")]
    Scheme(&'static str),
    /// The URL has a part without a meaning for a collector.
    #[error("has a {0}, which has no meaning for a collector")]
    Surplus(&'static str),
    /// Kuma rejects the text, since it is not a URL.
    #[error("is not a URL with a scheme and a host")]
    Invalid,
    /// Kuma requires an explicit port.
    #[error("has no port; Kuma requires one")]
    NoPort,
    /// Kuma takes it and Envoy does not.
    #[error("has port {0}; it must be from 1 to 65535")]
    PortOutOfRange(String),
    /// Kuma takes it and Envoy does not.
    #[error("has no host")]
    NoHost,
    /// Kuma takes it and Envoy does not.
    #[error("has no path; Envoy requires one for spans")]
    NoPath,
    /// Kuma takes it and Envoy does not.
    #[error("has a path whose escapes are not UTF-8")]
    PathNotText,
}

impl UrlError {
    /// Whether the URL has a part to remove, rather than a missing one.
    #[must_use]
    pub fn is_surplus(&self) -> bool {
        matches!(self, Self::Scheme(_) | Self::Surplus(_))
    }
}

/// Parses the URL of a Zipkin collector in a `MeshTrace`, with scheme `http` or `https`.
///
/// # Errors
/// The first reason why Kuma or Envoy would reject the URL.
pub fn parse_http(text: &str) -> Result<CollectorUrl, UrlError> {
    if !["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err(UrlError::Scheme("http:// or https://"));
    }
    let url = parse(text)?;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if is_ip(&url.host) || url.host.bytes().all(is_name) {
        Ok(url)
    } else {
        Err(UrlError::Invalid)
    }
}

/// Parses the URL of a Datadog agent in a `MeshTrace`: scheme, host and port.
///
/// # Errors
/// All reasons why Kuma or Envoy would reject the URL.
pub fn parse_agent(text: &str) -> Result<CollectorUrl, Vec<UrlError>> {
    let (path, query) = match text.split_once('?') {
        Some((before, query)) => (before, query),
        None => (text, ""),
    };
    let (scheme, rest) = split_scheme(path).map_err(|why| vec![why])?;
    let mut reasons = Vec::new();
    if scheme.is_none_or(|scheme| !scheme.eq_ignore_ascii_case("http")) {
        reasons.push(UrlError::Scheme("http://"));
    }
    if !query.is_empty() {
        reasons.push(UrlError::Surplus("query"));
    }
    let opaque = scheme.is_some() && !rest.starts_with('/');
    let authority = rest.strip_prefix("//").filter(|_| scheme.is_some());
    let path = match authority {
        Some(authority) => authority.find('/').map_or("", |i| &authority[i..]),
        None if opaque => "",
        None => rest,
    };
    if opaque && !rest.is_empty() {
        reasons.push(UrlError::Surplus("part without a host"));
    }
    if !path.is_empty() {
        reasons.push(UrlError::Surplus("path"));
    }
    let authority = authority.map_or("", |authority| authority.split('/').next().unwrap_or_default());
    if authority.contains('@') {
        reasons.push(UrlError::Surplus("user"));
    }
    // A path is valid in the URL of a collector, but not of an agent.
    let slash = if path.is_empty() { "/" } else { "" };
    match parse(&format!("{}{slash}", text.split('?').next().unwrap_or_default())) {
        Ok(url) if reasons.is_empty() => Ok(url),
        Ok(_) => Err(reasons),
        Err(UrlError::Invalid) => Err(vec![UrlError::Invalid]),
        Err(why) => {
            reasons.insert(0, why);
            Err(reasons)
        }
    }
}

/// Parses the URL of a collector.
///
/// # Errors
/// The first reason why Kuma or Envoy would reject the URL.
pub fn parse(text: &str) -> Result<CollectorUrl, UrlError> {
    if text.is_empty() || text.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err(UrlError::Invalid);
    }
    let (scheme, rest) = split_scheme(text)?;
    let (rest, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query).filter(|query| !query.is_empty())),
        None => (rest, None),
    };
    let Some(rest) = rest.strip_prefix('/') else {
        // With a scheme, Go calls this form opaque: it has neither host nor port.
        return Err(if scheme.is_some() {
            UrlError::NoPort
        } else {
            UrlError::Invalid
        });
    };
    let (Some(scheme), Some(rest)) = (scheme, rest.strip_prefix('/')) else {
        return unescape(rest).map_or(Err(UrlError::Invalid), |_| Err(UrlError::NoPort));
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |i| rest.split_at(i));
    let (has_user, authority) = match authority.rsplit_once('@') {
        Some((user, authority)) if is_user_info(user) => (true, authority),
        Some(_) => return Err(UrlError::Invalid),
        None => (false, authority),
    };
    let (host, port) = split_port(authority)?;
    let path = unescape(path).ok_or(UrlError::Invalid)?;
    let path = String::from_utf8(path).map_err(|_| UrlError::PathNotText)?;
    let port = match port {
        None | Some("") => return Err(UrlError::NoPort),
        Some(port) => match port.parse::<u16>() {
            Ok(number @ 1..) => number,
            _ => return Err(UrlError::PortOutOfRange(port.to_owned())),
        },
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if bare.is_empty() {
        return Err(UrlError::NoHost);
    }
    if path.is_empty() {
        return Err(UrlError::NoPath);
    }
    let authority = match authority.rfind(':') {
        Some(i) => format!("{host}{}", &authority[i..]),
        None => host,
    };
    Ok(CollectorUrl {
        tls: scheme.eq_ignore_ascii_case("https"),
        host: bare,
        port,
        authority,
        path,
        query: query.map(str::to_owned),
        has_user,
    })
}

/// The URL that was probably meant: with a scheme, a port and a path where these are missing; without a path by default,
/// that of an agent. `None` when nothing is to be corrected, or the result is no URL either.
#[must_use]
pub fn completed(text: &str, default_port: u16, default_path: &str) -> Option<String> {
    let text = text.trim();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
        Some((_, rest)) => ("http", rest),
        None => ("http", text.trim_start_matches('/')),
    };
    let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |i| rest.split_at(i));
    // The URL of an agent is a host and a port alone, without TLS.
    let (scheme, authority, path) = if default_path.is_empty() {
        ("http", authority.rsplit('@').next().unwrap_or(authority), "")
    } else {
        (scheme, authority, path)
    };
    let has_port = match authority.rsplit_once(']') {
        Some((_, after)) => after.starts_with(':'),
        None => authority.contains(':'),
    };
    let port = match (has_port, scheme) {
        (true, _) => String::new(),
        (false, "https") => ":443".to_owned(),
        (false, _) => format!(":{default_port}"),
    };
    let path = match path {
        "" | "/" => default_path.to_owned(),
        query if query.starts_with('?') => format!("{default_path}{query}"),
        path => path.to_owned(),
    };
    let authority = authority.trim_end_matches(':');
    let completed = format!("{scheme}://{authority}{port}{path}");
    let is_url = parse_http(&completed).is_ok() || (path.is_empty() && parse_agent(&completed).is_ok());
    (completed != text && is_url).then_some(completed)
}

/// Warns of the parts of a URL that are not sent to its collector.
pub(in crate::resource) fn warn_of_unsent_parts(decoder: &mut Decoder, context: &Context, url: &Located<CollectorUrl>) {
    let Origin { path, at, .. } = &url.origin;
    if url.value.has_user {
        let message = "`url` has a user or a password, which neither Kuma nor meshtraced sends to the collector";
        let finding = Diagnostic::warning(Code::UnsentUrlPart, at, message).path(path.as_str());
        decoder.report(finding.help("remove them, and change the password: whoever reads the policies knows it"));
    }
    if url.value.query.is_some() && context.kuma.fidelity == Fidelity::Exact {
        let message = "Kuma drops the query of `url`, so the collector does not get it";
        let finding = Diagnostic::warning(Code::UnsentUrlPart, at, message).path(path.as_str());
        decoder.report(finding.help("with `kuma: {fidelity: documented}` in the settings, the query is sent"));
    }
}

fn split_scheme(text: &str) -> Result<(Option<&str>, &str), UrlError> {
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match text.find(|c| !of_scheme(c)) {
        Some(0) if text.starts_with(':') => Err(UrlError::Invalid),
        Some(i) if text[i..].starts_with(':') && text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok((Some(&text[..i]), &text[i + 1..]))
        }
        _ => Ok((None, text)),
    }
}

fn is_user_info(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    text.chars().all(allowed) && unescape(text).is_some()
}

/// The host, without brackets and escapes, and the digits after its colon.
fn split_port(authority: &str) -> Result<(String, Option<&str>), UrlError> {
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = authority.strip_prefix('[') {
        let (inside, after) = rest.rsplit_once(']').ok_or(UrlError::Invalid)?;
        let port = match after.strip_prefix(':') {
            Some(port) if digits(port) => Some(port),
            None if after.is_empty() => None,
            _ => return Err(UrlError::Invalid),
        };
        let (address, zone) = match inside.split_once("%25") {
            Some((address, zone)) if !zone.is_empty() => (address, Some(zone)),
            Some(_) => return Err(UrlError::Invalid),
            None => (inside, None),
        };
        address.parse::<Ipv6Addr>().map_err(|_| UrlError::Invalid)?;
        let zone = match zone {
            Some(zone) => {
                let zone = unescape(zone).and_then(|bytes| String::from_utf8(bytes).ok());
                format!("%{}", zone.ok_or(UrlError::Invalid)?)
            }
            None => String::new(),
        };
        return Ok((format!("[{address}{zone}]"), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) if digits(port) => (host, Some(port)),
        Some(_) => return Err(UrlError::Invalid),
        None => (authority, None),
    };
    let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "!$&'()*+,;=<>\"-_.~%".contains(c);
    if !host.chars().all(allowed) {
        return Err(UrlError::Invalid);
    }
    // An escape of an ASCII character is not allowed in a host.
    let escapes_ascii = host
        .match_indices('%')
        .any(|(i, _)| host[i + 1..].starts_with(|c: char| ('0'..='7').contains(&c)));
    let host = unescape(host)
        .filter(|_| !escapes_ascii)
        .and_then(|bytes| String::from_utf8(bytes).ok());
    Ok((host.ok_or(UrlError::Invalid)?, port))
}

/// The bytes with `%xx` decoded; `None` for a `%` that does not start an escape.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            let is_hex = hex.bytes().all(|b| b.is_ascii_hexdigit());
            bytes.push(u8::from_str_radix(hex, 16).ok().filter(|_| is_hex)?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    Some(bytes)
}

/// Whether a host is an IP address, rather than a name.
#[must_use]
pub fn is_ip(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(bool, &str, u16, &str, &str), UrlError>) {
        let found = parse(text);
        let found = found
            .as_ref()
            .map(|u| (u.tls, u.host.as_str(), u.port, u.authority.as_str(), u.path.as_str()));
        assert_eq!(found, expected.as_ref().map(|e| *e), "{text}");
    }

    #[test]
    fn urls_that_work() {
        check(
            "http://zipkin.us:9090/v2/spans",
            Ok((false, "zipkin.us", 9090, "zipkin.us:9090", "/v2/spans")),
        );
        check("HTTPS://Zipkin:443/x", Ok((true, "Zipkin", 443, "Zipkin:443", "/x")));
        check("ftp://zipkin:9411/x", Ok((false, "zipkin", 9411, "zipkin:9411", "/x")));
        check("http://zipkin:80/x?a=b", Ok((false, "zipkin", 80, "zipkin:80", "/x")));
        check("http://z:80/x#a", Ok((false, "z", 80, "z:80", "/x#a")));
        check("http://z:80/a%20b", Ok((false, "z", 80, "z:80", "/a b")));
        check("http://user:pw@z:80/x", Ok((false, "z", 80, "z:80", "/x")));
        check(
            "http://[2001:db8::1]:9411/x",
            Ok((false, "2001:db8::1", 9411, "[2001:db8::1]:9411", "/x")),
        );
        check(
            "http://[fe80::1%25eth0]:80/x",
            Ok((false, "fe80::1%eth0", 80, "[fe80::1%eth0]:80", "/x")),
        );
    }

    #[test]
    fn query_and_user_are_told() {
        let url = parse("https://me:pw@z.example:443/trace/v1?Api-Key=X&Data-Format=zipkin").expect("a URL");
        assert_eq!(url.query.as_deref(), Some("Api-Key=X&Data-Format=zipkin"));
        assert!(url.has_user && url.path == "/trace/v1" && url.authority == "z.example:443");
        let url = parse("http://z:80/x?").expect("a URL");
        assert!(url.query.is_none() && !url.has_user);
    }

    #[test]
    fn what_is_missing_is_completed() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(completed(text, 9411, "/api/v2/spans").as_deref(), expected, "{text}");
        };
        check("zipkin.local:9411", Some("http://zipkin.local:9411/api/v2/spans"));
        check("zipkin.local", Some("http://zipkin.local:9411/api/v2/spans"));
        check("10.0.0.1:9411/api", Some("http://10.0.0.1:9411/api"));
        check("https://z.example/x", Some("https://z.example:443/x"));
        check("http://z:9411/", Some("http://z:9411/api/v2/spans"));
        check("http://[fd00::1]/x", Some("http://[fd00::1]:9411/x"));
        check("http://z:9411/x", None);
        check("http://a b:80/x", None);
        assert_eq!(completed("dd", 8126, "").as_deref(), Some("http://dd:8126"));
        let agent = completed("https://me@dd.example/v0.4/traces", 8126, "");
        assert_eq!(agent.as_deref(), Some("http://dd.example:8126"));
    }

    #[test]
    fn what_kuma_refuses() {
        for text in [
            "invalid-url",
            "10.0.0.1:9411/api",
            "http://zipkin:port/x",
            "http://::1:80/x",
            "http://z:80:81/x",
            "",
            ":x",
            "http://[z]:80/x",
            "http://[1.2.3.4]:80/x",
            "http://[]:80/x",
            "http://a[b]:80/x",
            "http://a b:80/x",
            "http://z:80/%zz",
            "http://z:80/\u{7f}",
        ] {
            check(text, Err(UrlError::Invalid));
        }
        for text in [
            "zipkin:9411/api/v2/spans",
            "http://zipkin/v2/spans",
            "/api/v2/spans",
            "http://zipkin:/x",
        ] {
            check(text, Err(UrlError::NoPort));
        }
    }

    #[test]
    fn what_envoy_refuses() {
        check("http://zipkin:99999/x", Err(UrlError::PortOutOfRange("99999".into())));
        check("http://zipkin:0/x", Err(UrlError::PortOutOfRange("0".into())));
        check("http://:80/x", Err(UrlError::NoHost));
        check("http://zipkin:9411", Err(UrlError::NoPath));
        check("http://zipkin:9411?x=/y", Err(UrlError::NoPath));
        check("http://z:80/%ff", Err(UrlError::PathNotText));
    }

    #[test]
    fn the_agent_of_datadog_is_a_host_and_a_port() {
        let check = |text: &str, expected: &[UrlError]| match parse_agent(text) {
            Ok(url) => assert!(expected.is_empty(), "{text}: {url:?}"),
            Err(reasons) => assert_eq!(reasons, expected, "{text}"),
        };
        check("http://dd:8126", &[]);
        check("HTTP://dd:8126", &[]);
        check("http://[fd00::1]:8126", &[]);
        check("http://dd", &[UrlError::NoPort]);
        check("http://dd:0", &[UrlError::PortOutOfRange("0".to_owned())]);
        check("sql://dd:8126", &[UrlError::Scheme("http://")]);
        check("http://dd:8126/", &[UrlError::Surplus("path")]);
        check(
            "http://me@dd:8126/x?y",
            &[
                UrlError::Surplus("query"),
                UrlError::Surplus("path"),
                UrlError::Surplus("user"),
            ],
        );
        check(
            "dd:8126",
            &[
                UrlError::NoPort,
                UrlError::Scheme("http://"),
                UrlError::Surplus("part without a host"),
            ],
        );
        check("10.0.0.1:8126", &[UrlError::Invalid]);
        check("not_valid_url", &[UrlError::Invalid]);
    }

    #[test]
    fn a_collector_of_the_web_has_a_lowercase_scheme_and_a_name() {
        assert!(parse_http("https://zipkin.example:9411/api/v2/spans").is_ok());
        for text in [
            "HTTP://h:1/x",
            "ftp://h:1/x",
            "h:9411/api",
            "http://h/x",
            "http://h:1",
            "http://a!b:1/x",
        ] {
            assert!(parse_http(text).is_err(), "{text}");
        }
    }
}
