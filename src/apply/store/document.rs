//! Files of meshtraced's own: JSON with the number of its format.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dir::{Content, Dir};
use super::output::{OutputDir, STAGING};
use crate::apply::error::Result;

/// The content of a file of meshtraced's own.
pub(in crate::apply) trait Document: Serialize + DeserializeOwned {
    /// The number of the format. A file with another number is not understood, whatever else is in it.
    const FORMAT: u32;
}

/// The file at the place of a document.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apply) enum Found<D> {
    /// No file.
    Missing,
    /// A document in a format that is known.
    Document(D),
    /// Something else, and the reason why it is not understood.
    Invalid(String),
}

#[derive(Serialize)]
struct Written<'d, D> {
    format: u32,
    #[serde(flatten)]
    document: &'d D,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The document in a file.
///
/// # Errors
/// When the file is there and cannot be read.
pub(in crate::apply) fn load<D: Document>(dir: &Dir, name: &str) -> Result<Found<D>> {
    Ok(match dir.read(name)? {
        Content::Missing => Found::Missing,
        Content::Text(text) => parse(&text).map_or_else(Found::Invalid, Found::Document),
        Content::Binary | Content::Other => Found::Invalid("it is not a readable text file".to_owned()),
    })
}

/// The document in a text; or the reason why it is not understood.
pub(in crate::apply) fn parse<D: Document>(text: &str) -> std::result::Result<D, String> {
    let Format { format } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if format == D::FORMAT {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        let known = D::FORMAT;
        Err(format!(
            "it has format {format}, and this version of meshtraced knows {known}"
        ))
    }
}

/// The text of a document.
pub(in crate::apply) fn text<D: Document>(document: &D) -> String {
    let format = D::FORMAT;
    let text = serde_json::to_string_pretty(&Written { format, document });
    text.expect("plain data is JSON") + "\n"
}

/// Replaces a document. When this returns the new one is on disk; when it fails or is killed the old one is there in
/// full.
///
/// # Errors
/// When the file cannot be written.
pub(in crate::apply) fn replace<D: Document>(out: &OutputDir, meta: &Dir, name: &str, document: &D) -> Result<()> {
    let staging = meta.make_child(STAGING, out.directory())?;
    meta.replace(name, &text(document), out.file(), &staging)?;
    meta.sync()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Numbers {
        numbers: BTreeMap<String, u64>,
    }

    impl Document for Numbers {
        const FORMAT: u32 = 2;
    }

    #[test]
    fn a_document_reads_what_it_writes() {
        let numbers = BTreeMap::from([("one".to_owned(), 1), ("\u{e4}".to_owned(), u64::MAX)]);
        let text = text(&Numbers {
            numbers: numbers.clone(),
        });
        assert!(text.starts_with("{\n  \"format\": 2,\n"), "{text}");
        assert_eq!(parse(&text), Ok(Numbers { numbers }));
    }

    #[test]
    fn another_format_is_not_understood() {
        for (text, expected) in [
            ("", "EOF"),
            ("{}", "missing field `format`"),
            (r#"{"format": 1, "numbers": {}}"#, "format 1"),
            (r#"{"format": 3}"#, "format 3"),
            (r#"{"format": 2}"#, "missing field `numbers`"),
        ] {
            let error = parse::<Numbers>(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
