//! Addresses and ports.

use std::net::IpAddr;

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::Object;
use crate::resource::decode::origin::{Located, Origin};

/// An IP address with its text, from which Kuma makes the name of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenIp {
    /// The address.
    pub ip: IpAddr,
    /// The text of the address.
    pub text: Text,
}

impl WrittenIp {
    /// The address in canonical form, as which it is mostly written.
    #[must_use]
    pub fn canonical(&self) -> Text {
        match self.ip {
            // It can be written in one way only.
            IpAddr::V4(_) => self.text.clone(),
            IpAddr::V6(ip) => Some(ip.to_string())
                .filter(|canonical| self.text != *canonical)
                .map_or_else(|| self.text.clone(), Text::from),
        }
    }
}

pub(in crate::resource) fn decode_port(
    decoder: &mut Decoder,
    object: &Object,
    key: &str,
    least: u16,
) -> Option<Located<u16>> {
    if object.get(key).is_none() {
        let path = object.path_of(key);
        let message = format!("`{key}` is missing; it must be from 1 to 65535");
        if decoder.is_strict {
            decoder.undecodable(Diagnostic::error(Code::MissingField, object.at, message).path(path));
        } else {
            decoder.error(Code::PortOutOfRange, object.at, &path, message);
        }
        return None;
    }
    let written = object.whole(decoder, key)?;
    match u16::try_from(written.value) {
        Ok(port) if port >= least => Some(written.map(|_| port)),
        _ => {
            let message = format!("`{key}` is {}; it must be from {least} to 65535", written.value);
            decoder.error(Code::PortOutOfRange, &written.origin.at, &written.origin.path, message);
            None
        }
    }
}

pub(in crate::resource) fn decode_ip(decoder: &mut Decoder, object: &Object, key: &str) -> Option<Located<WrittenIp>> {
    let written = object.text(decoder, key).filter(|address| !address.value.is_empty())?;
    let Origin { path, at, .. } = &written.origin;
    match written.value.parse() {
        Ok(ip) => Some(written.map(|text| WrittenIp { ip, text })),
        Err(_) => {
            let message = format!("`{key}` is `{}`, which is not an IP address", written.value);
            decoder.error(Code::InvalidAddress, at, path, message);
            None
        }
    }
}
