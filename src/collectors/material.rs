//! The keys and certificates that connections to collectors need, as they can be had.

use std::borrow::Cow;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::file_path::FilePath;
use super::header::{HeaderSource, unsendable};
use super::rule::{Collectors, TRUSTED_CAS};
use super::secret::Secret;
use super::tls::{ClientCertificate, TrustedCa};
use crate::source::BaseFiles;

/// The keys and certificates that connections to collectors need, from the files as of the moment of the policies.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    collectors: &'a Collectors,
    files: &'a BaseFiles,
}

impl<'a> Material<'a> {
    /// The material for some collectors.
    #[must_use]
    pub fn new(collectors: &'a Collectors, files: &'a BaseFiles) -> Self {
        Self { collectors, files }
    }

    /// The value of a header.
    ///
    /// # Errors
    /// The reason why there is none, after the name of the source.
    pub fn header(&self, source: &HeaderSource) -> Result<Secret, String> {
        let whole;
        let text = match source {
            HeaderSource::File(path) => {
                whole = self.text(path)?;
                let text = whole.strip_suffix('\n').unwrap_or(&whole);
                text.strip_suffix('\r').unwrap_or(text)
            }
            HeaderSource::Env(name) => {
                let value = self.collectors.machine.environment.get(name);
                value.map(Secret::expose).ok_or_else(|| "is not set".to_owned())?
            }
            HeaderSource::Value(value) => value,
        };
        match unsendable(text) {
            Some(why) => Err(why.to_owned()),
            None => Ok(Secret::new(text)),
        }
    }

    /// The text of the certificates that are trusted; `None` for those of the machine, which Envoys read by themselves.
    ///
    /// # Errors
    /// The reason why there are none, after the path.
    pub fn trusted_ca(&self, trusted: &TrustedCa) -> Result<Option<Cow<'a, str>>, String> {
        match trusted {
            TrustedCa::Named(path) => self.certificates(path).map(Some),
            TrustedCa::OfMachine(_) if self.collectors.machine.trusted_ca.is_some() => Ok(None),
            TrustedCa::OfMachine(_) => {
                let others = TRUSTED_CAS[1..].join(" and ");
                Err(format!(
                    "does not exist, nor do {others}; install `ca-certificates`, or set `tls.ca`"
                ))
            }
        }
    }

    /// The texts of a certificate and of its key.
    ///
    /// # Errors
    /// The reason why one of them cannot be had, after its path.
    pub fn certificate(&self, certificate: &ClientCertificate) -> Result<[Cow<'a, str>; 2], String> {
        let chain = self
            .certificates(&certificate.chain)
            .map_err(|why| format!("{} {why}", certificate.chain))?;
        let key = self
            .key(&certificate.key)
            .map_err(|why| format!("{} {why}", certificate.key))?;
        Ok([chain, key])
    }

    fn certificates(&self, path: &FilePath) -> Result<Cow<'a, str>, String> {
        let text = self.text(path)?;
        let all: Result<Vec<CertificateDer>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match all {
            Ok(all) if !all.is_empty() => Ok(text),
            Ok(_) => Err("has no certificate in the form PEM".to_owned()),
            Err(error) => Err(format!("is no valid PEM: {error}")),
        }
    }

    fn key(&self, path: &FilePath) -> Result<Cow<'a, str>, String> {
        let text = self.text(path)?;
        // The error of a key could show a part of it.
        match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(_) => Ok(text),
            Err(_) => Err("has no private key in the form PEM that needs no password".to_owned()),
        }
    }

    fn text(&self, path: &FilePath) -> Result<Cow<'a, str>, String> {
        match self.files.get(path.as_base().as_str()) {
            Ok(file) => Ok(file.text()),
            Err(None) => Err("does not exist, or is no file".to_owned()),
            Err(Some(reason)) => Err(format!("cannot be used: {reason}")),
        }
    }
}
