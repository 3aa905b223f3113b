//! The parser's kinds of errors, each told as the mistake that people make.

use granit_parser::{ErrorKind, ScanError};

use super::brackets::{no_comma, unclosed};
use super::keys::{colon_not_allowed, no_colon, out_of_place};
use super::marks::{no_document_start, unknown_anchor};
use super::quotes::{bad_escape, behind_quote, quote_it, unclosed_quote};
use super::stop::Stop;
use super::text::first;
use crate::diag::Diagnostic;

pub(super) fn by_kind(stop: &Stop, error: &ScanError) -> Diagnostic {
    let here = stop.rest();
    let word = stop.part(here.clone());
    match error.kind() {
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => no_colon(stop, here),
        ErrorKind::MappingValueNotAllowed => colon_not_allowed(stop),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::ExpectedBlockSequenceEntry => out_of_place(stop, error.kind()),
        ErrorKind::BlockSequenceEntryNotAllowed => stop
            .error(here, "a list cannot start on the line of its key")
            .help("start the list on the next line, or quote the value if it is text"),
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent => unclosed_quote(stop),
        ErrorKind::InvalidTrailingSingleQuotedScalar => behind_quote(stop, '\'', "''"),
        ErrorKind::InvalidTrailingDoubleQuotedScalar => behind_quote(stop, '"', "\\\""),
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate => bad_escape(stop),
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '[' { ']' } else { '}' };
            unclosed(stop, stop.offset, *open, close)
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let should = if *open == '[' { ']' } else { '}' };
            stop.error(here, format!("this `{open}` is closed by `{close}`"))
                .help(format!("close it with `{should}`"))
        }
        ErrorKind::MisplacedFlowCollectionEnd => stop
            .error(stop.word(), format!("`{}` closes nothing", first(word)))
            .help("remove it, or quote the value if it is text"),
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => no_comma(stop),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => stop
            .error(
                stop.offset..stop.offset + character.len_utf8(),
                format!("the control character U+{:04X}", u32::from(*character)),
            )
            .help("remove it: YAML takes it only as an escape between double quotes"),
        ErrorKind::UnexpectedCharacter { character: '`' } => stop
            .error(here.clone(), "a value cannot start with a backtick")
            .help(quote_it(word)),
        ErrorKind::UnexpectedCharacter { character } => stop
            .error(here.clone(), format!("a value cannot start with `{character}`"))
            .help(quote_it(word)),
        ErrorKind::MissingAnchorOrAliasName => stop
            .error(here.clone(), format!("a name should follow `{}`", first(word)))
            .help(quote_it(word)),
        ErrorKind::UnknownAnchor => unknown_anchor(stop),
        ErrorKind::UndeclaredTagHandle => stop
            .error(
                stop.word(),
                format!("the tag `{}` is not declared", stop.part(stop.word())),
            )
            .help("remove the tag, or quote the value if it is text"),
        ErrorKind::MappingKeyNotAllowed => stop
            .error(here.clone(), "a value cannot start with `? `")
            .help(quote_it(word)),
        ErrorKind::InvalidBlockScalarHeader => stop
            .error(here, format!("text on the line of `{}`", first(word)))
            .help("start the text on the next line, or quote the value"),
        ErrorKind::ExpectedNodeContent
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofBlockSequence
        | ErrorKind::UnexpectedEof
            if word.starts_with(',') =>
        {
            stop.error(here.clone(), "a `,` where a value is expected")
                .help("remove it, or quote the value if it is text")
        }
        ErrorKind::InvalidDocumentEnd => stop
            .error(here, "text after `...`, which ends a document")
            .help("start the next document with `---` on a line of its own"),
        ErrorKind::ExpectedDocumentStart => no_document_start(stop),
        ErrorKind::BomInsideDocument => stop
            .error(
                stop.offset..stop.offset + '\u{feff}'.len_utf8(),
                "a byte order mark (U+FEFF), which can only start a file",
            )
            .help("remove the invisible character"),
        ErrorKind::UnsupportedYamlMajorVersion => stop
            .error(here, "this version of YAML does not exist")
            .help("remove the line"),
        _ => stop.error(here, format!("not YAML: {}", error.info())),
    }
}
