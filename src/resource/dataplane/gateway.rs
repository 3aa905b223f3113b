//! `networking.gateway`.

use super::Context;
use crate::diag::{Code, Diagnostic};
use crate::resource::Version;
use crate::resource::decode::{Object, Origin};
use crate::resource::decoder::Decoder;
use crate::resource::protocol::Protocol;
use crate::resource::tags::{self, PROTOCOL, SERVICE, Tags};

/// `networking.gateway`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// `type`.
    pub kind: GatewayKind,
    /// `tags`, with the zone.
    pub tags: Tags,
}

/// Who configures the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayKind {
    /// `DELEGATED`: somebody else; Kuma sees its outbounds only.
    Delegated,
    /// `BUILTIN`: Kuma, by `MeshGateway`.
    Builtin,
}

pub(super) fn decode(decoder: &mut Decoder, context: &Context, networking: &Object) -> Option<Gateway> {
    let object = networking.object(decoder, "gateway", &["tags", "type"])?;
    let kind = match object.text(decoder, "type") {
        None if object.get("type").is_some() => return None,
        None => GatewayKind::Delegated,
        Some(kind) => match kind.value.as_str() {
            "DELEGATED" => GatewayKind::Delegated,
            "BUILTIN" if context.kuma.version < Version::V3_0 => GatewayKind::Builtin,
            "BUILTIN" => {
                let Origin { path, at, .. } = &kind.origin;
                let message = "Kuma 3.0 has no built-in gateways";
                decoder.error_help(Code::InvalidValue, at, path, message, "write `DELEGATED`");
                return None;
            }
            other => {
                let Origin { path, at, .. } = &kind.origin;
                let message = format!("a gateway has type `{other}`; known are `DELEGATED` and `BUILTIN`");
                decoder.undecodable(Diagnostic::error(Code::InvalidValue, at, message).path(path.as_str()));
                return None;
            }
        },
    };
    let path = object.path_of("tags");
    let tags = object.texts(decoder, "tags").unwrap_or_default();
    if !tags.contains_key(SERVICE) && !context.may_lack_tags(&tags) {
        let at = object.get("tags").map_or(object.at, |entry| &entry.key_at);
        decoder.error(
            Code::MissingField,
            at,
            &path,
            format!("mandatory tag `{SERVICE}` is missing"),
        );
    }
    tags::check_tags(decoder, &path, &tags);
    if let Some(protocol) = tags
        .get(PROTOCOL)
        .filter(|protocol| Protocol::parse(&protocol.value) != Protocol::Tcp)
    {
        let Origin { path, at, .. } = &protocol.origin;
        let message = format!("the protocol of a gateway can only be `tcp`, not `{}`", protocol.value);
        decoder.error(Code::UnknownValue, at, path, message);
    }
    Some(Gateway {
        kind,
        tags: context.with_zone(&tags),
    })
}
