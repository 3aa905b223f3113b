//! Findings as JSON, for programs.

use serde::Serialize;

use crate::diag::{Diagnostic, Place};
use crate::words::below;

/// One finding as an object of `check -o json` and of `diagnostics` in `compile -o json`.
///
/// Keys that do not apply are left out. `document` counts from 0, `line` and `column` from 1.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    severity: &'static str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind_of_resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mesh: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    path: &'a str,
    kind: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

/// The JSON object of one finding. `root` is the prefix of every file path.
#[must_use]
pub fn entry<'a>(diagnostic: &'a Diagnostic, root: &str) -> Entry<'a> {
    let at = match &diagnostic.place {
        Place::In(at) => Some(at),
        Place::File(_) | Place::Nowhere => None,
    };
    let resource = diagnostic.resource.as_ref();
    Entry {
        severity: diagnostic.severity.as_str(),
        code: diagnostic.code.as_str(),
        file: diagnostic.file().map(|path| below(root, path)),
        document: diagnostic.document,
        line: at.map(|at| at.line()),
        column: at.map(|at| at.column()),
        kind_of_resource: resource.map(|r| r.kind.as_str()),
        mesh: resource.map(|r| r.mesh.as_str()),
        name: resource.map(|r| r.name.as_str()),
        path: &diagnostic.path,
        kind: diagnostic.code.kind(),
        message: &diagnostic.message,
        help: diagnostic.help.as_deref(),
    }
}
