//! `ExternalService`: a service outside of the mesh, with one endpoint.

use std::net::IpAddr;

use crate::diag::Code;
use crate::keep::Text;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::Object;
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::value::names::is_dns_name;
use crate::resource::value::protocol::{self, Protocol};
use crate::resource::value::tags::{self, PROTOCOL, SERVICE};

/// A service outside of the mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalService {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `tags["kuma.io/service"]`.
    pub service: Located<Text>,
    /// `tags["kuma.io/protocol"]`.
    pub protocol: Option<Located<Protocol>>,
    /// Host name or IP address in `networking.address`.
    pub host: Text,
    /// Port in `networking.address`.
    pub port: u16,
    /// `networking.tls`, if it is enabled: proxies encrypt their connections to the service.
    pub tls: Option<Origin>,
}

pub(in crate::resource) fn decode(decoder: &mut Decoder, header: Header, body: &Body) -> Option<ExternalService> {
    let root = body.object(decoder, &["tags", "networking"])?;
    let address = decode_networking(decoder, &root);
    let tls = root.open_object(&mut decoder.silent(), "networking");
    let tls = tls.and_then(|networking| enabled_tls(decoder, &networking));
    let path = root.path_of("tags");
    let tags = root.texts(decoder, "tags").unwrap_or_default();
    tags::check_tags(decoder, &path, &tags);
    let service = tags.get(SERVICE).cloned();
    if service.is_none() {
        let at = root.get("tags").map_or(root.at, |entry| &entry.key_at);
        let help = "add the service that outbounds refer to: `kuma.io/service: payment-provider`";
        let message = format!("the mandatory tag `{SERVICE}` is missing");
        decoder.error_help(Code::MissingField, at, &path, message, help);
    }
    let protocol = protocol::decode(decoder, tags.get(PROTOCOL));
    let (service, address) = (service?, address?);
    if service.value == address.0 {
        let Origin { path, at, .. } = &service.origin;
        decoder.error(
            Code::InvalidValue,
            at,
            path,
            "the name of the service must differ from the host of `networking.address`",
        );
    }
    Some(ExternalService {
        header,
        service,
        protocol,
        host: address.0.into(),
        port: address.1,
        tls,
    })
}

/// The place of `tls`, if it is enabled.
pub(in crate::resource) fn enabled_tls(decoder: &mut Decoder, object: &Object) -> Option<Origin> {
    let unheard = &mut decoder.silent();
    let tls = object.open_object(unheard, "tls")?;
    let is_enabled = tls.boolean(unheard, "enabled").is_some_and(|enabled| enabled.value);
    is_enabled.then(|| object.origin_of(decoder, "tls"))
}

fn decode_networking(decoder: &mut Decoder, root: &Object) -> Option<(String, u16)> {
    let Some(networking) = root.object(decoder, "networking", &["address", "tls"]) else {
        if root.get("networking").is_none() {
            let help = "for example `networking: {address: payments.example:443}`";
            let path = root.path_of("networking");
            decoder.error_help(Code::MissingField, root.at, &path, "`networking` is missing", help);
        }
        return None;
    };
    let path = networking.path_of("address");
    let entry = networking.get("address");
    let address = networking.text(decoder, "address");
    if address.is_none() && entry.is_some() {
        return None;
    }
    let Some(address) = address.filter(|address| !address.value.is_empty()) else {
        let at = entry.map_or(networking.at, |entry| &entry.value.at);
        decoder.error(Code::EmptyField, at, &path, "`address` must not be empty");
        return None;
    };
    let parsed = split(&address.value);
    if parsed.is_none() {
        let message = format!("`address` is `{}`; it must be `HOST:PORT`", address.value);
        decoder.error(Code::InvalidAddress, &address.origin.at, &path, message);
    }
    parsed
}

/// Host and port of `HOST:PORT`.
fn split(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(inside) => inside.parse::<IpAddr>().is_ok(),
        None => !host.contains(':') && (host.parse::<IpAddr>().is_ok() || is_dns_name(host)),
    };
    let port: u16 = port.parse().ok().filter(|&port| port != 0)?;
    is_host.then(|| (bare.unwrap_or(host).to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(split("a.example:80"), Some(("a.example".to_owned(), 80)));
        assert_eq!(split("[fd00::1]:443"), Some(("fd00::1".to_owned(), 443)));
        for address in ["a", "a:", "a:0", "a:x", "fd00::1:80", "http://a:80", "[a]:80"] {
            assert_eq!(split(address), None, "{address}");
        }
    }
}
