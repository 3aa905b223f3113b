//! Values of single settings: file modes, addresses, the place of an admin interface.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::{Schema, json_schema};

use crate::settings_value::SettingValue;

/// Permission bits of a file, written in octal digits; its owner can always read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FromStr for FileMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 && mode & 0o600 == 0o600 => Ok(Self(mode)),
            Ok(mode) if mode <= 0o777 => Err(format!("`{text}` does not let the owner read and write")),
            _ => Err(format!("`{text}` is not a file mode; example: \"0640\"")),
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl SettingValue for FileMode {
    fn name() -> Cow<'static, str> {
        "a file mode in octal digits".into()
    }

    fn schema() -> Schema {
        // Quoted: YAML 1.1 reads 0640 as the number 416.
        json_schema!({"type": "string", "pattern": "^0*[67][0-7][0-7]$"})
    }
}

setting_value!(FileMode);

/// An address and port of the loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopbackAddress(pub SocketAddr);

impl FromStr for LoopbackAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self(address)),
            Ok(_) => Err(format!(
                "`{text}` can be reached from other machines; use 127.0.0.1 or [::1]"
            )),
            Err(_) => Err(format!(
                "`{text}` is not an address with a port; example: 127.0.0.1:9902"
            )),
        }
    }
}

impl fmt::Display for LoopbackAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SettingValue for LoopbackAddress {
    fn name() -> Cow<'static, str> {
        "a loopback address with a port".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^(127\\..*|\\[.*\\]):[0-9]+$"})
    }
}

setting_value!(LoopbackAddress);

/// An absolute path of a program. A name alone would depend on `PATH`, which differs between a shell and a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramPath(pub PathBuf);

impl FromStr for ProgramPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Path::new(text).is_absolute() {
            true => Ok(Self(text.into())),
            false => Err(format!("`{text}` must be an absolute path, such as /usr/bin/envoy")),
        }
    }
}

impl fmt::Display for ProgramPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl SettingValue for ProgramPath {
    fn name() -> Cow<'static, str> {
        "an absolute path".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^/"})
    }
}

setting_value!(ProgramPath);

/// The place of the admin interface of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// A socket file in the directory of the proxy, as the generated bootstrap says.
    Pipe,
    /// A TCP port, as `host:port`.
    Http(String),
    /// A socket file.
    Unix(PathBuf),
    /// No admin interface: pauses pace the steps of a publication.
    None,
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "pipe" => Ok(Self::Pipe),
            None if text == "none" => Ok(Self::None),
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("http", rest)) if rest.starts_with("//") && rest[2..].contains(':') => {
                Ok(Self::Http(rest[2..].trim_end_matches('/').to_owned()))
            }
            _ => Err(format!(
                "`{text}` is not one of `pipe`, `http://HOST:PORT`, `unix:/PATH` and `none`"
            )),
        }
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe => f.write_str("pipe"),
            Self::Http(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::None => f.write_str("none"),
        }
    }
}

impl SettingValue for Admin {
    fn name() -> Cow<'static, str> {
        "`pipe`, `http://HOST:PORT`, `unix:/PATH` or `none`".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^(pipe|none|unix:/.*|http://.*:.*)$"})
    }
}

setting_value!(Admin);
