//! The protocols of a service, and the common protocol of several instances.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{Schema, json_schema};

use crate::diag::{Code, Diagnostic};
use crate::keep::Text;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::origin::{Located, Origin};
use crate::settings_value::SettingValue;
use crate::words::closest;

/// The protocol of a service, from the tag `kuma.io/protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.
    Http,
    /// HTTP/2, with or without TLS.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// Opaque TCP.
    Tcp,
    /// TLS that the proxy does not terminate.
    Tls,
    /// The protocol of Kafka, treated as TCP.
    Kafka,
    /// The protocol of MySQL, treated as TCP.
    Mysql,
    /// Not set, or not the same in all instances; treated as opaque TCP.
    Unknown,
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Self::SUPPORTED.contains(&text) {
            true => Ok(Self::parse(text)),
            false => Err(format!("`{text}` must be one of {}", Self::SUPPORTED.join(", "))),
        }
    }
}

impl SettingValue for Protocol {
    fn name() -> Cow<'static, str> {
        "`grpc`, `http`, `http2`, `kafka` or `tcp`".into()
    }

    fn schema() -> Schema {
        json_schema!({"enum": Self::SUPPORTED})
    }
}

setting_value!(Protocol);

impl Protocol {
    /// The names in messages and in the schema.
    pub const SUPPORTED: [&'static str; 5] = ["grpc", "http", "http2", "kafka", "tcp"];

    /// The protocol with the given name, in any case; [`Protocol::Unknown`] for other names.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let is_lower = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let lower = if is_lower {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(name.to_lowercase())
        };
        match &*lower {
            "http" => Self::Http,
            "http2" => Self::Http2,
            "grpc" => Self::Grpc,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "kafka" => Self::Kafka,
            "mysql" => Self::Mysql,
            _ => Self::Unknown,
        }
    }

    /// The name of the protocol; `unknown` for [`Protocol::Unknown`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Kafka => "kafka",
            Self::Mysql => "mysql",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a proxy parses requests of the protocol, and so can trace them.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc)
    }

    /// Whether the protocol runs over HTTP/2.
    #[must_use]
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }

    /// The common protocol of two instances, as in Kuma: `grpc` and `http2` make `http2`, `http` and
    /// `http2` make `tcp`.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        let shared = |protocol: &&Self| other.stack().contains(protocol);
        self.stack().iter().find(shared).copied().unwrap_or(Self::Unknown)
    }

    /// The protocol and those below it, for comparison.
    fn stack(self) -> &'static [Self] {
        match self {
            Self::Grpc => &[Self::Grpc, Self::Http2, Self::Tcp],
            Self::Http2 => &[Self::Http2, Self::Tcp],
            Self::Http => &[Self::Http, Self::Tcp],
            Self::Kafka => &[Self::Kafka, Self::Tcp],
            Self::Tls | Self::Tcp => &[Self::Tcp],
            Self::Mysql | Self::Unknown => &[],
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The protocol of a tag; `None`, with an error, when Kuma does not configure it.
pub(in crate::resource) fn decode(decoder: &mut Decoder, written: Option<&Located<Text>>) -> Option<Located<Protocol>> {
    let written = written.filter(|written| !written.value.is_empty())?;
    let Origin { path, at, .. } = &written.origin;
    match Protocol::parse(&written.value) {
        Protocol::Unknown => {
            let message = format!("the protocol `{}` is not known", written.value);
            let help = match closest(&written.value, Protocol::SUPPORTED) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the protocols are {}", Protocol::SUPPORTED.join(", ")),
            };
            decoder.error_help(Code::UnknownValue, at, path, message, help);
            None
        }
        protocol @ (Protocol::Tls | Protocol::Mysql) => {
            let message = format!("Kuma accepts the protocol `{protocol}`, but sends no configuration to the proxy");
            let finding = Diagnostic::error(Code::UnknownValue, at, message).path(path.as_str());
            decoder.rejected_by_envoy(finding.help("write `tcp`"));
            None
        }
        protocol => Some(written.clone().map(|_| protocol)),
    }
}

#[cfg(test)]
mod tests {
    use super::Protocol::{self, Grpc, Http, Http2, Kafka, Mysql, Tcp, Tls, Unknown};

    #[test]
    fn the_common_protocol() {
        for (a, b, expected) in [
            (Http, Http, Http),
            (Grpc, Http2, Http2),
            (Http, Http2, Tcp),
            (Http, Grpc, Tcp),
            (Http, Tcp, Tcp),
            (Grpc, Tls, Tcp),
            (Kafka, Http, Tcp),
            (Mysql, Tcp, Unknown),
            (Mysql, Mysql, Mysql),
            (Unknown, Http, Unknown),
            (Unknown, Unknown, Unknown),
        ] {
            assert_eq!(a.common(b), expected, "{a} and {b}");
            assert_eq!(b.common(a), expected, "{b} and {a}");
        }
    }

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(Protocol::parse("HTTP2"), Http2);
        assert_eq!(Protocol::parse("htp"), Unknown);
    }
}
