//! Lines that should be `key: value`, and indentation that fits nothing above it.

use std::ops::Range;

use granit_parser::ErrorKind;

use super::stop::Stop;
use super::text::{content_of, indent_of, lines_before};
use crate::diag::Diagnostic;
use crate::words::plural;

/// A line among `key: value` lines without a colon, or without a space after it.
pub(super) fn no_colon(stop: &Stop, here: Range<usize>) -> Diagnostic {
    let found = stop.part(here.clone());
    if let Some(error) = long_key(stop, here.clone()) {
        return error;
    }
    let error = stop.error(here.clone(), format!("expected `key: value`, found `{found}`"));
    let one_word = |text: &str| !text.is_empty() && !text.contains(' ');
    match found.split_once(':') {
        Some((key, value)) if one_word(key) && value.starts_with(|c: char| !c.is_ascii() && c.is_whitespace()) => error
            .help(format!(
                "the character after the colon is not a plain space; type one: `{key}: {}`",
                value.trim()
            )),
        Some((key, value)) if one_word(key) && one_word(value) => {
            error.help(format!("put a space after the colon: `{key}: {value}`"))
        }
        None if one_word(found) => error.help(format!("write a colon after the key: `{found}:`")),
        _ => error.help("write a colon and a space between key and value"),
    }
}

/// A key that is longer than what a parser searches for the colon.
pub(super) fn long_key(stop: &Stop, key: Range<usize>) -> Option<Diagnostic> {
    if stop.part(key.clone()).chars().count() <= 1024 {
        return None;
    }
    let start = stop.error(key.start..key.start + 1, "a key longer than 1,024 characters");
    Some(start.help("shorten it, or put `? ` before it and `: ` before its value on the next line"))
}

/// A `: ` after something that cannot be a key.
pub(super) fn colon_not_allowed(stop: &Stop) -> Diagnostic {
    let line = stop.line();
    let before = stop.part(line.start..stop.offset);
    if let Some(error) = long_key(stop, content_of(stop.text, line.start..stop.offset)) {
        return error;
    }
    if let Some(rest) = before.strip_prefix("--- ") {
        let start = stop.offset - rest.len();
        return stop
            .error(stop.rest_from(start), "a mapping on the line of `---`")
            .help("start it on the next line");
    }
    if let Some(i) = before.find(": ") {
        let key = before[..i].trim_start().trim_start_matches("- ").trim();
        let value = &before[i + 2..];
        let start = stop.offset - value.trim_start().len();
        let whole = stop.rest_from(start);
        let value = stop.part(whole.clone());
        let error = stop.error(whole, "a `: ` inside a value");
        return if value.len() > 60 {
            error.help("put the value between double quotes")
        } else {
            error.help(format!("quote the value: `{key}: {}`", serde_json::Value::from(value)))
        };
    }
    let Some(previous) = stop.line_before() else {
        return stop.error(stop.rest(), "a `:` where no key is possible");
    };
    let above = content_of(stop.text, previous.clone());
    let written = stop.part(above.clone());
    let item = written.trim_start_matches("- ");
    let key = content_of(stop.text, line.start..stop.offset);
    let column = key.start - line.start;
    let beside_item = column == above.end - item.len() - previous.start;
    if column > indent_of(stop.part(previous)) && !beside_item {
        let message = format!(
            "`{}` is nested below `{item}`, which already has a value",
            stop.part(key.clone())
        );
        return stop
            .error(key, message)
            .help("give both lines the same indentation, or remove the value above");
    }
    let start = above.end - item.len();
    no_colon(stop, start..above.end)
}

/// A line whose indentation matches no line above it, or an entry of another kind than its neighbours.
pub(super) fn out_of_place(stop: &Stop, kind: &ErrorKind) -> Diagnostic {
    let line = stop.line();
    let content = content_of(stop.text, line.clone());
    let before = stop.part(content.start.min(stop.offset)..stop.offset);
    let stop = if before.trim_matches(['-', ' ']).is_empty() {
        &Stop {
            offset: content.start.min(stop.offset),
            ..*stop
        }
    } else {
        stop
    };
    let here = stop.rest();
    if !stop.starts_line() {
        return stop
            .error(here, "text after the end of a value")
            .help("remove it, or quote the whole value if it is text");
    }
    let column = stop.offset - line.start;
    // The indentations that are open here: those of lines above that are smaller than all between.
    let mut open: Vec<usize> = Vec::new();
    for above in lines_before(stop.text, stop.offset) {
        let written = stop.part(above);
        if written.starts_with("---") {
            break;
        }
        let indent = indent_of(written);
        if open.last().is_none_or(|&least| indent < least) {
            open.push(indent);
        }
        if indent == 0 {
            break;
        }
    }
    if open.contains(&column) {
        return if *kind == ErrorKind::ExpectedBlockSequenceEntry {
            stop.error(here, "expected a list item, which starts with `- `")
                .help("put `- ` before it, or indent it as the item it belongs to")
        } else {
            stop.error(here, "expected `key: value`, found a list item")
                .help("put the list below a key of its own, such as `items:`")
        };
    }
    let less = open.iter().copied().filter(|&i| i < column).max();
    let more = open.iter().copied().filter(|&i| i > column).min();
    let error = stop.error(
        here,
        format!("an indentation of {} matches no line above", plural(column, "space")),
    );
    match (less, more) {
        (Some(less), Some(more)) => error.help(format!("indent it by {less} or {more} spaces")),
        (Some(n), None) | (None, Some(n)) => error.help(format!("indent it by {n} spaces")),
        (None, None) => error,
    }
}
