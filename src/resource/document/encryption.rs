//! Documents whose values are encrypted.

use crate::diag::{Code, Diagnostic};
use crate::yaml::{Map, Value};

/// The beginning of every value that SOPS encrypted.
const SOPS_VALUE: &str = "ENC[";

/// The error about a document that SOPS encrypted; `None` for any other document.
pub(in crate::resource) fn error(map: &Map) -> Option<Diagnostic> {
    let entry = map.get("sops")?;
    let is_metadata = match &entry.value.value {
        Value::Map(sops) => sops.get("mac").is_some() || sops.get("lastmodified").is_some(),
        Value::Scalar(_) | Value::List(_) => false,
    };
    let message = "the document is encrypted with SOPS";
    let error = Diagnostic::error(Code::EncryptedDocument, &entry.key_at, message);
    is_metadata.then(|| error.help("decrypt it first: `sops decrypt`; or move the file out of the policies"))
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
