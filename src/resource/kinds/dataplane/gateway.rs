//! `networking.gateway`.

use crate::diag::{Code, Diagnostic};
use crate::kuma::Version;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::Object;
use crate::resource::decode::origin::Origin;
use crate::resource::value::protocol::Protocol;
use crate::resource::value::tags::{self, PROTOCOL, SERVICE, Tags};

/// `networking.gateway`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// `type`.
    pub kind: GatewayKind,
    /// `tags`, with the zone.
    pub tags: Tags,
}

/// The configuration of the gateway: built in or delegated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayKind {
    /// `DELEGATED`: another program; Kuma configures its outbounds only.
    Delegated,
    /// `BUILTIN`: Envoy, configured by a `MeshGateway`.
    Builtin,
}

pub(in crate::resource) fn decode(decoder: &mut Decoder, context: &Context, networking: &Object) -> Option<Gateway> {
    let object = networking.object(decoder, "gateway", &["tags", "type"])?;
    let kind = match object.word(decoder, "type", &["DELEGATED", "BUILTIN"]) {
        None if object.get("type").is_some() => return None,
        None | Some(0) => GatewayKind::Delegated,
        Some(_) if context.kuma.version < Version::V3_0 => GatewayKind::Builtin,
        Some(_) => {
            let at = object.get("type").map_or(object.at, |entry| &entry.value.at);
            let finding = Diagnostic::error(Code::InvalidValue, at, "Kuma 3.0 has no built-in gateways");
            let finding = finding.path(object.path_of("type"));
            decoder.report(finding.help("write `DELEGATED`"));
            return None;
        }
    };
    let path = object.path_of("tags");
    let tags = object.texts(decoder, "tags").unwrap_or_default();
    if !tags.contains_key(SERVICE) && !context.may_lack_tags(&tags) {
        let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
        decoder.error(
            Code::MissingField,
            at,
            &path,
            format!("the mandatory tag `{SERVICE}` is missing"),
        );
    }
    tags::check_tags(decoder, &path, &tags);
    if let Some(protocol) = tags
        .get(PROTOCOL)
        .filter(|protocol| Protocol::parse(&protocol.value) != Protocol::Tcp)
    {
        let Origin { path, at, .. } = &protocol.origin;
        let message = format!("the protocol of a gateway must be `tcp`, not `{}`", protocol.value);
        decoder.error(Code::UnknownValue, at, path, message);
    }
    Some(Gateway {
        kind,
        tags: context.with_zone(&tags),
    })
}
