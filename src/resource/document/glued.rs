//! Documents that a missing line `---` joins into one mapping.

use crate::diag::{Code, Diagnostic};
use crate::source::Location;
use crate::yaml::Map;

/// The fields that name the kind of a document.
const KIND: [&str; 2] = ["type", "kind"];

/// The fields that, with the kind, identify a document.
const IDENTITY: [&str; 4] = ["apiVersion", "mesh", "name", "metadata"];

/// The errors about keys of a document's identity that are written more than once; empty for a sound document.
///
/// YAML keeps the last of equal keys, so the documents before it would be lost. There is one error for each lost
/// document: at its kind or, if the kind is written once, at another key.
pub(in crate::resource) fn errors(map: &Map) -> Vec<Diagnostic> {
    let repeated = |keys: &[&str]| -> Vec<&Location> {
        let is_one_of = |at: &&Location| keys.contains(&at.text().trim_matches(['"', '\'']));
        map.repeated.iter().filter(is_one_of).collect()
    };
    let kinds = repeated(&KIND);
    let keys = if kinds.is_empty() { repeated(&IDENTITY) } else { kinds };
    keys.into_iter().map(error).collect()
}

/// The error about a repeated key.
fn error(at: &Location) -> Diagnostic {
    let message = format!(
        "`{}` appears twice in this document; is a line `---` missing before it?",
        at.text()
    );
    let before = at.file.text[..at.bytes.start].trim_end();
    let help = if before.ends_with("---") {
        let line = before.lines().count();
        format!("put the `---` at the end of line {line} on a line of its own")
    } else {
        "write `---` on a line of its own between two documents, or remove one of the keys".to_owned()
    };
    Diagnostic::error(Code::DuplicateKey, at, message).help(help)
}
