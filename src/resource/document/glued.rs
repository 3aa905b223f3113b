//! Documents that a missing line `---` joins into one mapping.

use crate::diag::{Code, Diagnostic};
use crate::source::Location;
use crate::yaml::Map;

/// The fields that name the kind of a document.
const KIND: [&str; 2] = ["type", "kind"];

/// The fields that, with the kind, identify a document.
const IDENTITY: [&str; 4] = ["apiVersion", "mesh", "name", "metadata"];

/// Whether a key of the document's identity is written more than once.
pub(in crate::resource) fn is_glued(map: &Map) -> bool {
    map.repeated
        .iter()
        .any(|at| is_one_of(at, &KIND) || is_one_of(at, &IDENTITY))
}

/// The errors about keys of a document's identity that are written more than once; empty for a sound document.
///
/// YAML keeps the last of equal keys, so the documents before it would be lost. There is one error for each lost
/// document: at its kind or, if the kind is written once, at another key.
pub(in crate::resource) fn errors(map: &Map) -> Vec<Diagnostic> {
    let repeated = |keys: &[&str]| -> Vec<&Location> {
        let keys = map.repeated.iter().filter(|at| is_one_of(at, keys));
        keys.collect()
    };
    let kinds = repeated(&KIND);
    let keys = if kinds.is_empty() { repeated(&IDENTITY) } else { kinds };
    keys.into_iter().map(error).collect()
}

/// Whether the key at a location is one of `keys`, with or without quotes.
fn is_one_of(at: &Location, keys: &[&str]) -> bool {
    keys.contains(&at.text().trim_matches(['"', '\'']))
}

/// The error about a repeated key.
fn error(at: &Location) -> Diagnostic {
    let message = format!(
        "`{}` appears twice in this document; is a line `---` missing before it?",
        at.text()
    );
    let whole = at.file.text();
    let before = whole[..at.bytes().start].trim_end();
    let help = if before.ends_with("---") {
        "put the `---` at the end of the line before it on a line of its own"
    } else {
        "write `---` on a line of its own between two documents, or remove one of the keys"
    };
    Diagnostic::error(Code::DuplicateKey, at, message).help(help)
}
