//! The secrets that Envoys read from files, by Envoy's secret discovery service.

use std::fmt;

use serde_json::{Value, json};

use crate::collectors::{ClientCertificate, HeaderSource, TrustedCa};

/// The directory of the files with secrets, below the output directory.
pub const SECRETS: &str = ".secrets";

/// A key or certificates that the cluster of a collector names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Secret<'a> {
    /// The value of a header.
    Header(&'a HeaderSource),
    /// The certificates that are trusted.
    TrustedCa(&'a TrustedCa),
    /// The certificate of the proxies, with its key.
    Certificate(&'a ClientCertificate),
}

impl Secret<'_> {
    /// The name of the secret, which is that of its file too. It tells the source, and nothing of the content.
    pub(super) fn name(&self) -> String {
        let (kind, text) = match self {
            Self::Header(HeaderSource::File(path)) => ("file", path.to_string()),
            Self::Header(HeaderSource::Env(name)) => ("env", name.clone()),
            Self::Header(HeaderSource::Value(value)) => ("value", value.clone()),
            Self::TrustedCa(TrustedCa::OfMachine(path)) => ("machine-ca", path.display().to_string()),
            Self::TrustedCa(TrustedCa::Named(path)) => ("ca", path.to_string()),
            Self::Certificate(certificate) => ("certificate", format!("{}:{}", certificate.chain, certificate.key)),
        };
        let hash = blake3::hash(format!("{kind}:{text}").as_bytes()).to_hex();
        format!("{kind}-{}.yaml", &hash[..16])
    }

    /// The source of the key, for a secret that has one; a header whose value stands in the settings has none.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Header(HeaderSource::Value(_)) | Self::TrustedCa(_) => None,
            Self::Header(source) => Some(source.to_string()),
            Self::Certificate(certificate) => Some(certificate.key.to_string()),
        }
    }

    /// The `SdsSecretConfig` of the secret; `out` is the output directory.
    pub(super) fn config(&self, out: &str) -> Value {
        let name = self.name();
        let path = format!("{out}/{SECRETS}/{name}");
        json!({
            "name": name,
            "sds_config": {"resource_api_version": "V3", "path_config_source": {"path": path}},
        })
    }
}

impl fmt::Display for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(source) => write!(f, "the key of its collector is missing: {source}"),
            Self::TrustedCa(trusted) => write!(f, "the certificates that it trusts are missing: {trusted}"),
            Self::Certificate(_) => f.write_str("the certificate for its collector is missing:"),
        }
    }
}
