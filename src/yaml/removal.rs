//! Patches that take entries out of mappings, and items out of lists.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Value, json};

use super::layout::{Patch, above_comments, indented, inner, line_end, line_of};
use super::meaning::{Meaning, Quotes};
use super::write;
use super::written::{Entry, NodeId, Style, Written};

/// The patch that removes an entry, with the comments directly above it.
pub(super) fn of_entry(written: &Written, entries: &[Entry], index: usize, style: Style) -> Patch {
    let parts: Vec<Range<usize>> = entries.iter().map(|entry| bytes_of(written, entry)).collect();
    (of_part(written, &parts, index, style), String::new())
}

/// The patches that put one entry in the place of others. In block style, it stands below all comments of those. `None` without
/// any of the others.
pub(super) fn in_place_of(
    written: &Written,
    (entries, style): (&[Entry], Style),
    gone: &[usize],
    (key, value): (&str, &Value),
) -> Option<Vec<Patch>> {
    let text = written.text();
    let (first, others) = gone.split_first()?;
    let bytes = bytes_of(written, &entries[*first]);
    let parts: Vec<Range<usize>> = entries.iter().map(|entry| bytes_of(written, entry)).collect();
    let removed = others.iter().map(|index| of_part(written, &parts, *index, style));
    let removed: Vec<Range<usize>> = removed.collect();
    let (_, indent) = line_of(text, bytes.start);
    let new = match style {
        Style::Block => {
            // A comment behind the value goes with it.
            let end = line_rest(text, bytes.end);
            let all = std::iter::once(bytes.start..end).chain(removed.iter().cloned());
            let comments: String = all.flat_map(|range| comments_in(written, range)).collect();
            let lines = format!("{comments}{}", write::write(&json!({ key: value })));
            (bytes.start..end, indented(text, &lines, &indent).trim().to_owned())
        }
        Style::Flow => {
            let is_open = text[bytes.clone()].contains('\n').then_some(indent.len());
            let entry = Meaning::Map(vec![(key.to_owned(), value.into())]);
            let lines = inner(&entry, is_open, Quotes::at(text, bytes.start));
            (bytes, lines.replace('\n', line_end(text)))
        }
    };
    let removed = removed.into_iter().map(|range| (range, String::new()));
    Some(std::iter::once(new).chain(removed).collect())
}

/// The patches that remove items of a list, and add others behind some.
pub(super) fn of_items(
    written: &Written,
    (items, style): (&[NodeId], Style),
    removed: &BTreeSet<usize>,
    added: &BTreeMap<usize, Vec<Value>>,
) -> Vec<Patch> {
    let text = written.text();
    let part = |id: &NodeId| {
        let bytes = written.node(*id).bytes.clone();
        let end = bytes.start + text[bytes.clone()].trim_end().len();
        match style {
            Style::Block => written.dash_of(bytes.start)..end,
            Style::Flow => bytes.start..end,
        }
    };
    let parts: Vec<Range<usize>> = items.iter().map(part).collect();
    let removed = (removed.iter()).map(|index| (of_part(written, &parts, *index, style), String::new()));
    let added = added.iter().map(|(index, new)| {
        let part = &parts[*index];
        let (is_first, indent) = line_of(text, part.start);
        match style {
            Style::Block => {
                let end = line_rest(text, part.end);
                let lines = indented(text, &write::write(new), &indent);
                (end..end, format!("{}{}", line_end(text), lines.trim_end()))
            }
            Style::Flow => {
                let list = Meaning::List(new.iter().map(Meaning::from).collect());
                let lines = inner(&list, is_first.then_some(indent.len()), Quotes::at(text, part.start));
                let space = match is_first {
                    true => format!("{}{indent}", line_end(text)),
                    false => " ".to_owned(),
                };
                let lines = format!(",{space}{}", lines.replace('\n', line_end(text)));
                (part.end..part.end, lines)
            }
        }
    });
    removed.chain(added).collect()
}

/// The bytes of an entry, without what stands behind its value.
pub(super) fn bytes_of(written: &Written, entry: &Entry) -> Range<usize> {
    let text = written.text();
    let value = &written.node(entry.value).bytes;
    // A value that is not written ends with the colon.
    let end = match value.is_empty() {
        true => entry.key_bytes.end + text[entry.key_bytes.end..].find(':').map_or(0, |colon| colon + 1),
        false => value.start + text[value.clone()].trim_end().len(),
    };
    entry.key_bytes.start..end
}

/// The bytes of one of the parts of a mapping or a list, with what separates it from the others: in block style, its lines and
/// the comments above them.
fn of_part(written: &Written, parts: &[Range<usize>], index: usize, style: Style) -> Range<usize> {
    let text = written.text();
    let own = &parts[index];
    let before = index.checked_sub(1).and_then(|before| parts.get(before));
    let next = parts.get(index + 1);
    match (style, line_of(text, own.start)) {
        (Style::Block, (true, indent)) => {
            let start = above_comments(written, own.start - indent.len(), &indent);
            let end = line_rest(text, own.end);
            let after = text[end..].find('\n').map(|line| end + line + 1);
            start..after.unwrap_or(text.len())
        }
        // Behind a dash, the next entry takes the place.
        (Style::Block, (false, _)) => own.start..next.map_or(own.end, |next| next.start),
        (Style::Flow, _) => match (next, before) {
            (Some(next), _) => own.start..next.start,
            (None, Some(before)) => before.end..own.end,
            (None, None) => own.clone(),
        },
    }
}

/// The end of the line on which a value ends, if nothing but a comment stands behind the value; else the end of the value.
fn line_rest(text: &str, end: usize) -> usize {
    let rest = text[end..].lines().next().unwrap_or_default();
    let is_comment = rest.trim_start_matches([' ', '\t']).starts_with('#') || rest.trim().is_empty();
    if is_comment { end + rest.len() } else { end }
}

/// The comments in some bytes, each as a line.
fn comments_in(written: &Written, bytes: Range<usize>) -> Vec<String> {
    let first = written.comments.partition_point(|comment| comment.start < bytes.start);
    let inside = written.comments[first..]
        .iter()
        .take_while(|comment| comment.start < bytes.end);
    inside
        .map(|comment| format!("{}\n", written.text()[comment.clone()].trim_end()))
        .collect()
}
