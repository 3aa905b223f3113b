//! Documents whose values are encrypted.

use crate::diag::{Code, Diagnostic};
use crate::yaml::{Map, Value};

/// The beginning of every value that SOPS encrypted.
const SOPS_VALUE: &str = "ENC[";

/// The key under which SOPS writes its metadata.
const SOPS: &str = "sops";

/// Whether SOPS encrypted a document.
pub(in crate::resource) fn is_encrypted(map: &Map) -> bool {
    match map.get(SOPS).map(|entry| &entry.value.value) {
        Some(Value::Map(sops)) => sops.get("mac").is_some() || sops.get("lastmodified").is_some(),
        Some(Value::Scalar(_) | Value::List(_)) | None => false,
    }
}

/// The error about an encrypted document.
///
/// # Panics
/// If the document is not encrypted, which the caller must check.
pub(in crate::resource) fn error(map: &Map) -> Diagnostic {
    let entry = map.get(SOPS).expect("an encrypted document has the metadata of SOPS");
    let message = "the document is encrypted with SOPS";
    Diagnostic::error(Code::EncryptedDocument, &entry.key_at, message)
        .help("decrypt it first: `sops decrypt`; or move the file out of the policies")
}

/// Whether the kind of a document is encrypted, so that the document may be any resource.
pub(in crate::resource) fn hides_kind(map: &Map) -> bool {
    ["type", "kind"]
        .iter()
        .any(|key| match map.get(key).map(|entry| &entry.value.value) {
            Some(Value::Scalar(scalar)) => scalar.text.starts_with(SOPS_VALUE),
            Some(Value::List(_) | Value::Map(_)) | None => false,
        })
}
