//! Findings in SARIF 2.1.0, which code hosts and editors show beside the lines they are about.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::limit::FileFindings;
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::source::Location;
use crate::words::below;

/// The log of one run. `root` is put before every path, so that a code host finds the file.
#[must_use]
pub fn render(files: &[FileFindings], root: &str) -> Value {
    let shown = || files.iter().flat_map(|of_file| of_file.shown.iter().copied());
    let codes: BTreeSet<Code> = shown().map(|finding| finding.code).collect();
    let codes: Vec<Code> = codes.into_iter().collect();
    let mut seen = BTreeMap::new();
    let results: Vec<Value> = shown()
        .map(|finding| result(finding, root, &codes, &mut seen))
        .collect();
    let left_out: usize = files.iter().map(|of_file| of_file.left_out).sum();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "meshtraced",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": {"resultsLeftOut": left_out},
        }],
    })
}

fn rule(code: Code) -> Value {
    json!({"id": code.as_str(), "shortDescription": {"text": code.summary()}})
}

fn result(finding: &Diagnostic, root: &str, codes: &[Code], seen: &mut BTreeMap<String, usize>) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let help = finding
        .help
        .as_ref()
        .map_or(String::new(), |help| format!("\n\n{help}"));
    let mut result = json!({
        "ruleId": finding.code.as_str(),
        "ruleIndex": codes.iter().position(|code| *code == finding.code),
        "level": level,
        "message": {"text": format!("{}{help}", finding.message)},
        "partialFingerprints": {"meshtraced/v1": fingerprint(finding, seen)},
    });
    if let Some(location) = location(finding, root) {
        result["locations"] = json!([location]);
    }
    result
}

/// A fingerprint that stays the same when the lines of a finding move: code, file, field and message, with a number
/// where several findings agree in all of them.
fn fingerprint(finding: &Diagnostic, seen: &mut BTreeMap<String, usize>) -> String {
    let resource = finding.resource.as_ref().map(ToString::to_string).unwrap_or_default();
    let parts = [
        finding.code.as_str(),
        finding.file().unwrap_or_default(),
        &resource,
        &finding.path,
        &finding.message,
    ];
    let hash = blake3::hash(parts.join("\0").as_bytes()).to_hex()[..16].to_owned();
    let count = seen.entry(hash.clone()).or_default();
    *count += 1;
    format!("{hash}:{count}")
}

fn location(finding: &Diagnostic, root: &str) -> Option<Value> {
    let file = finding.file().filter(|file| !file.is_empty())?;
    let mut physical = json!({"artifactLocation": {"uri": uri(&below(root, file))}});
    if let Place::In(at) = &finding.place {
        physical["region"] = region(at);
    }
    let mut location = json!({"physicalLocation": physical});
    if let Some(resource) = &finding.resource {
        let name = if finding.path.is_empty() {
            resource.to_string()
        } else {
            format!("{resource} {}", finding.path)
        };
        location["logicalLocations"] = json!([{"fullyQualifiedName": name, "kind": "resource"}]);
    }
    Some(location)
}

fn region(at: &Location) -> Value {
    let end = at.end();
    json!({
        "startLine": at.line(),
        "startColumn": at.column(),
        "endLine": end.line(),
        "endColumn": end.column(),
    })
}

/// A path as a URI reference: absolute paths become `file:` URIs, others stay relative.
fn uri(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    let encode = |b: u8| {
        if plain(b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    let encoded: String = path.trim_start_matches("./").bytes().map(encode).collect();
    if path.starts_with('/') {
        format!("file://{encoded}")
    } else {
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("policies/a b#%ä.yaml"), "policies/a%20b%23%25%C3%A4.yaml");
        assert_eq!(uri("./mesh.yaml"), "mesh.yaml");
        assert_eq!(uri("/srv/mesh.yaml"), "file:///srv/mesh.yaml");
    }
}
