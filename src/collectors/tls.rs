//! The encryption of connections to collectors.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file_path::FilePath;

/// The encryption of connections to a collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConf {
    /// Whether the certificate of the collector is verified, which it is without this key.
    pub verify: bool,
    /// The file with the certificates that are trusted. Without a value, these are those that the machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<FilePath>,
    /// The name that is asked for, and that the certificate must have. Without a value, this is the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The file with the certificate of the proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<FilePath>,
    /// The file with the key of that certificate, without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<FilePath>,
}

/// The certificates that are trusted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustedCa {
    /// The file of those that the machine trusts.
    OfMachine(PathBuf),
    /// A file that the settings name.
    Named(FilePath),
}

impl fmt::Display for TrustedCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfMachine(path) => path.display().fmt(f),
            Self::Named(path) => path.fmt(f),
        }
    }
}

/// The certificate that proxies show, with its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientCertificate {
    /// The file with the certificate, and those between it and an authority.
    pub chain: FilePath,
    /// The file with its key.
    pub key: FilePath,
}

impl Default for TlsConf {
    fn default() -> Self {
        Self {
            verify: true,
            ca: None,
            sni: None,
            certificate: None,
            key: None,
        }
    }
}

impl TlsConf {
    /// The certificate of the proxies, if they show one.
    #[must_use]
    pub fn client_certificate(&self) -> Option<ClientCertificate> {
        let (chain, key) = self.certificate.clone().zip(self.key.clone())?;
        Some(ClientCertificate { chain, key })
    }

    /// The mistake in the conf; `None` if there is none.
    #[must_use]
    pub fn mistake(&self) -> Option<&'static str> {
        if self.certificate.is_some() != self.key.is_some() {
            return Some("`certificate` and `key` belong together");
        }
        let is_idle = self.ca.is_some() && !self.verify;
        is_idle.then_some("`ca` says what is trusted, and `verify: false` trusts all")
    }
}
