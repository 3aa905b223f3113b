//! Edits of a document that change no other byte of it.
//!
//! Each edit becomes a patch of the text: in block style where the text is indented, in brackets where it has brackets. The
//! patched text is read again, and refused unless it means what the edited document means, so that no layout of a document,
//! however odd, is changed by mistake.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde_json::{Value, json};
use thiserror::Error;

use super::layout::{Patch, above_comments, indented, inner, line_end, line_of};
use super::meaning::{Edits, Meaning, Quotes, TooLarge, place_of_new};
use super::removal;
use super::tree::Limits;
use super::write;
use super::written::{Entry, Form, NodeId, Spot, Style, Way, Written};
use crate::source::{Opened, SourceFile};

pub use super::meaning::Edit;

/// The reason why a document cannot be edited.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EditError {
    /// The aliases of the document repeat more values than the limits allow.
    #[error("its aliases repeat more values than `limits.alias_nodes` allows")]
    TooLarge,
    /// The document is written in a way that no patch suits.
    #[error("it is written in a way that cannot be edited")]
    Layout,
}

impl From<TooLarge> for EditError {
    fn from(TooLarge: TooLarge) -> Self {
        Self::TooLarge
    }
}

/// The text of a document with edits. Aliases of what is edited in one place only are written out.
///
/// The cost grows with the size of the document, aliases written out, and with the edits.
///
/// # Errors
/// When the document cannot be edited.
pub fn apply(written: &Written, edits: &[(Way, Edit)], limits: &Limits) -> Result<String, EditError> {
    let all: Edits = edits.iter().map(|(way, edit)| (way.as_slice(), edit)).collect();
    let (mut direct, mut copied) = (Vec::new(), BTreeMap::<NodeId, Edits>::new());
    for (way, edit) in &all {
        match way.iter().position(|id| is_alias(written, *id)) {
            Some(first) => copied.entry(way[first]).or_default().push((&way[first..], edit)),
            None => direct.push((*way.last().ok_or(EditError::Layout)?, *edit)),
        }
    }
    let mut patches = Vec::new();
    for (node, edit) in &direct {
        patches.extend(patches_of(written, *node, edit)?);
    }
    // What an edit replaces is no place for other patches, and the aliases of what stood there have nothing to repeat.
    let replaced = replaced_by(&patches);
    let is_gone = |id: NodeId| {
        let bytes = &written.node(id).bytes;
        let before = replaced.partition_point(|range| range.start <= bytes.start);
        before > 0 && bytes.end <= replaced[before - 1].end
    };
    let orphans = (written.all()).filter_map(|(id, node)| match node.form {
        Form::Alias(repeated) if is_gone(repeated) => Some(id),
        _ => None,
    });
    let changed = direct.iter().map(|(node, _)| *node);
    let mut written_out = aliases_to_write(written, changed, copied.keys().copied().chain(orphans));
    written_out.retain(|alias| !is_gone(*alias));
    let columns = columns_of(written, &written_out);
    for alias in written_out {
        let inside = copied.remove(&alias).unwrap_or_default();
        let meaning = Meaning::of(written, alias, &inside, &mut budget(limits))?;
        patches.push(in_place_of(written, alias, &meaning, columns.get(&alias).copied()));
    }
    let text = patched(written.text(), patches);
    let expected = Meaning::of(written, written.root, &all, &mut budget(limits))?;
    faithful(text, expected, limits)
}

/// The text of a document as the value of a key, behind another entry; or as the last item of a list there, behind others.
///
/// # Errors
/// When the document is written in such a way that it cannot be a part of another one.
pub fn within(
    written: &Written,
    (first, value): (&str, &str),
    key: &str,
    items: Option<&[Value]>,
    limits: &Limits,
) -> Result<String, EditError> {
    let text = written.text();
    let top = written.node(written.root);
    let style = match &top.form {
        Form::List { style, .. } | Form::Map { style, .. } => *style,
        Form::Scalar { .. } | Form::Alias(_) => return Err(EditError::Layout),
    };
    let end = line_end(text);
    // A marker at the begin of the document would end the other one.
    let head = &text[..top.bytes.start];
    let marker = head
        .rfind("\n---")
        .map(|end| end + 1)
        .or(head.starts_with("---").then_some(0));
    let begin = marker.map_or(0, |marker| marker + 3);
    let body = text[begin..].trim_matches(['\r', '\n', '\u{feff}']);
    let before = items.unwrap_or_default();
    let whole = match (style, items) {
        (Style::Flow, None) => format!("{{\"{first}\": \"{value}\", \"{key}\":{end}{body}{end}}}{end}"),
        (Style::Flow, Some(_)) => {
            let before: Vec<String> = before.iter().map(|item| format!("{},{end}", flow(item))).collect();
            format!(
                "{{\"{first}\": \"{value}\", \"{key}\": [{end}{}{body}{end}]}}{end}",
                before.concat()
            )
        }
        (Style::Block, None) => format!("{first}: {value}{end}{key}:{end}{body}{end}"),
        (Style::Block, Some(_)) => {
            let before = if before.is_empty() {
                String::new()
            } else {
                indented(text, &write::write(before), "")
            };
            format!(
                "{first}: {value}{end}{key}:{end}{before}-{end}{}",
                indented(text, body, "  ")
            )
        }
    };
    let own = Meaning::of(written, written.root, &Edits::new(), &mut budget(limits))?;
    let own = match items {
        None => own,
        Some(items) => Meaning::List(items.iter().map(Meaning::from).chain([own]).collect()),
    };
    let expected = [(first, Meaning::Text(value.to_owned())), (key, own)];
    let expected = Meaning::Map(expected.map(|(key, value)| (key.to_owned(), value)).into());
    faithful(whole, expected, limits)
}

/// Whether a node means a value, whatever the order of keys.
#[must_use]
pub fn means(spot: &Spot, value: &Value, limits: &Limits) -> bool {
    let mut budget = limits.nodes.get();
    let meaning = spot
        .way()
        .last()
        .map(|id| Meaning::of(spot.written(), *id, &Edits::new(), &mut budget));
    meaning
        .and_then(Result::ok)
        .is_some_and(|meaning| meaning.sorted() == Meaning::from(value).sorted())
}

/// The value that a node means; `None` if JSON has no such value, or its aliases repeat too much.
#[must_use]
pub fn value(spot: &Spot, limits: &Limits) -> Option<Value> {
    let id = *spot.way().last()?;
    let mut budget = limits.nodes.get();
    let meaning = Meaning::of(spot.written(), id, &Edits::new(), &mut budget).ok()?;
    meaning.into_json()
}

fn flow(value: &Value) -> String {
    let mut text = String::new();
    Meaning::from(value).append_flow(&mut text, None, Quotes::Always);
    text
}

/// The text, if it means what is expected.
fn faithful(text: String, expected: Meaning, limits: &Limits) -> Result<String, EditError> {
    let file = SourceFile::new("", text);
    let file = Opened::from(&file);
    let again = Written::read(&file, limits).map_err(|_| EditError::Layout)?;
    // The order of keys has no meaning, and several new ones may stand at one place.
    let meaning = Meaning::of(&again, again.root, &Edits::new(), &mut budget(limits))?;
    let is_faithful = meaning.sorted() == expected.sorted();
    if is_faithful {
        Ok(file.text().to_owned())
    } else {
        Err(EditError::Layout)
    }
}

/// The most nodes of a document with its aliases written out.
fn budget(limits: &Limits) -> usize {
    limits.nodes.get().saturating_add(limits.alias_nodes.get())
}

fn is_alias(written: &Written, id: NodeId) -> bool {
    matches!(written.node(id).form, Form::Alias(_))
}

/// The aliases that no longer repeat what they stand for: those on the way of an edit, and those of a node in which something
/// changes.
fn aliases_to_write(
    written: &Written,
    changed: impl Iterator<Item = NodeId>,
    on_a_way: impl Iterator<Item = NodeId>,
) -> Vec<NodeId> {
    let aliases: Vec<(NodeId, NodeId)> = (written.all())
        .filter_map(|(id, node)| match node.form {
            Form::Alias(repeated) => Some((id, repeated)),
            _ => None,
        })
        .collect();
    let mut found: Vec<NodeId> = on_a_way.collect();
    let start = |id: NodeId| written.node(id).bytes.start;
    let mut changes: Vec<usize> = changed.map(start).collect();
    loop {
        changes.extend(found.iter().copied().map(start));
        changes.sort_unstable();
        found.sort_unstable();
        found.dedup();
        let has_change = |id: NodeId| {
            let bytes = &written.node(id).bytes;
            let next = changes.get(changes.partition_point(|change| *change < bytes.start));
            next.is_some_and(|change| *change < bytes.end)
        };
        let more = aliases
            .iter()
            .filter(|(id, of)| has_change(*of) && found.binary_search(id).is_err());
        let more: Vec<NodeId> = more.map(|(id, _)| *id).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// The columns of the entries of which aliases are values, and of the dashes of which they are items, in block style.
fn columns_of(written: &Written, aliases: &[NodeId]) -> HashMap<NodeId, usize> {
    let is_wanted = |id: &NodeId| aliases.binary_search(id).is_ok();
    let column = |at: usize| line_of(written.text(), at).1.len();
    let mut columns = HashMap::new();
    for (_, node) in written.all() {
        match &node.form {
            Form::Map {
                entries,
                style: Style::Block,
            } => {
                let entries = entries.iter().filter(|entry| is_wanted(&entry.value));
                columns.extend(entries.map(|entry| (entry.value, column(entry.key_bytes.start))));
            }
            Form::List {
                items,
                style: Style::Block,
                start,
            } => {
                columns.extend(items.iter().filter(|id| is_wanted(id)).map(|id| (*id, column(*start))));
            }
            _ => {}
        }
    }
    columns
}

/// The patch that puts a value in the place of an alias: as lines below the column of its entry, if it has one.
fn in_place_of(written: &Written, alias: NodeId, meaning: &Meaning, column: Option<usize>) -> Patch {
    let (text, bytes) = (written.text(), written.node(alias).bytes.clone());
    let mut new = String::new();
    match (column, meaning) {
        (Some(column), Meaning::Map(_) | Meaning::List(_)) => {
            meaning.append_block(&mut new, column + 2);
            let new = new.trim_end().replace('\n', line_end(text));
            let before = text[..bytes.start].trim_end_matches(' ');
            match before.ends_with('-') {
                true => (bytes, new.trim_start().to_owned()),
                false => (before.len()..bytes.end, format!("{}{new}", line_end(text))),
            }
        }
        _ => {
            meaning.append_flow(&mut new, None, Quotes::at(text, bytes.start));
            (bytes, new)
        }
    }
}

/// The bytes that patches replace, sorted, those that touch as one.
fn replaced_by(patches: &[Patch]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = patches.iter().map(|(bytes, _)| bytes.clone()).collect();
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        let touches = next.start <= range.end;
        if touches {
            range.end = range.end.max(next.end);
        }
        touches
    });
    ranges
}

fn patches_of(written: &Written, node: NodeId, edit: &Edit) -> Result<Vec<Patch>, EditError> {
    match (&written.node(node).form, edit) {
        (Form::Map { entries, style }, Edit::Remove(key)) => {
            let gone = (0..entries.len()).filter(|i| entries[*i].key == *key);
            Ok(gone.map(|i| removal::of_entry(written, entries, i, *style)).collect())
        }
        (Form::Map { entries, style }, Edit::Replace { keys, with, value }) => {
            let gone: Vec<usize> = (0..entries.len())
                .filter(|i| keys.contains(&&*entries[*i].key))
                .collect();
            removal::in_place_of(written, (entries, *style), &gone, (with, value)).ok_or(EditError::Layout)
        }
        (Form::List { items, style, .. }, Edit::Items { removed, added }) => {
            Ok(removal::of_items(written, (items, *style), removed, added))
        }
        _ => Ok(vec![patch(written, node, edit)?]),
    }
}

fn patch(written: &Written, node: NodeId, edit: &Edit) -> Result<Patch, EditError> {
    let text = written.text();
    let node = written.node(node);
    let patch = match (&node.form, edit) {
        (Form::Map { entries, style }, Edit::Set { key, value, after }) => {
            if let Some(entry) = entries.iter().rfind(|entry| entry.key == *key) {
                return Ok(replacement(written, entry, *style, value));
            }
            let of_key = Meaning::Map(vec![(key.clone(), value.into())]);
            let place = place_of_new(entries.iter().map(|entry| &*entry.key), after);
            match (style, entries.get(place)) {
                (Style::Block, Some(next)) => {
                    insert_block(written, next.key_bytes.start, &write::write(&json!({ key: value })))
                }
                (Style::Flow, Some(next)) => insert_flow(text, next.key_bytes.start, &of_key),
                (_, None) => (
                    node.bytes.end - 1..node.bytes.end - 1,
                    inner(&of_key, None, Quotes::Always),
                ),
            }
        }
        (Form::List { items, style, start }, Edit::Prepend(new)) => {
            let of_items = Meaning::List(new.iter().map(Meaning::from).collect());
            match (style, items.first()) {
                (Style::Block, Some(_)) => insert_block(written, *start, &write::write(new)),
                (Style::Flow, Some(first)) => insert_flow(text, written.node(*first).bytes.start, &of_items),
                (_, None) => (
                    node.bytes.end - 1..node.bytes.end - 1,
                    inner(&of_items, None, Quotes::Always),
                ),
            }
        }
        _ => return Err(EditError::Layout),
    };
    Ok(patch)
}

/// The patch that gives an entry another value.
fn replacement(written: &Written, entry: &Entry, style: Style, value: &Value) -> Patch {
    let text = written.text();
    let old = &written.node(entry.value).bytes;
    let meaning = Meaning::from(value);
    let quotes = Quotes::at(text, entry.key_bytes.start);
    if style == Style::Flow && !old.is_empty() {
        let (line, indent) = line_of(text, entry.key_bytes.start);
        let is_open = text[old.clone()].contains('\n') && line;
        let mut flow = String::new();
        meaning.append_flow(&mut flow, is_open.then_some(indent.len()), quotes);
        return (old.clone(), flow);
    }
    let bytes = removal::bytes_of(written, entry);
    match style {
        Style::Flow => (
            bytes,
            inner(&Meaning::Map(vec![(entry.key.to_string(), meaning)]), None, quotes),
        ),
        Style::Block => {
            let (_, indent) = line_of(text, bytes.start);
            let block = write::write(&json!({ &*entry.key: value }));
            let block = indented(text, &block, &indent);
            (bytes, block.trim().to_owned())
        }
    }
}

/// The patch that inserts lines before what begins at an offset, and before the comments above it.
fn insert_block(written: &Written, at: usize, block: &str) -> Patch {
    let text = written.text();
    let (is_first, indent) = line_of(text, at);
    let lines = indented(text, block, &indent);
    if is_first {
        let at = above_comments(written, at - indent.len(), &indent);
        return (at..at, lines);
    }
    // Behind a dash, the rest of what begins here goes to a line of its own.
    (at..at, format!("{}{indent}", lines.trim_start()))
}

/// The patch that inserts the parts of a value in brackets before what begins at an offset.
fn insert_flow(text: &str, at: usize, parts: &Meaning) -> Patch {
    let (is_first, indent) = line_of(text, at);
    let (end, quotes) = (line_end(text), Quotes::at(text, at));
    let new = match is_first {
        true => format!(
            "{},{end}{indent}",
            inner(parts, Some(indent.len()), quotes).replace('\n', end)
        ),
        false => format!("{}, ", inner(parts, None, quotes)),
    };
    (at..at, new)
}

fn patched(text: &str, mut patches: Vec<Patch>) -> String {
    patches.sort_by_key(|(bytes, _)| bytes.start);
    let mut out = String::with_capacity(text.len() + patches.iter().map(|(_, new)| new.len()).sum::<usize>());
    let mut done = 0;
    for (bytes, new) in &patches {
        out.push_str(text.get(done..bytes.start).unwrap_or_default());
        out.push_str(new);
        done = done.max(bytes.end);
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edited text; a step of the way is a key, or the index of an item.
    fn edited(text: &str, edits: &[(&str, Edit)]) -> Result<String, EditError> {
        let limits = Limits::default();
        let file = SourceFile::new("base.yaml", text);
        let file = Opened::from(&file);
        let written = Written::read(&file, &limits).expect("YAML");
        let way = |path: &str| {
            let steps = path.split('/').filter(|step| !step.is_empty());
            let spot = steps.fold(written.top(), |spot, step| match step.parse::<usize>() {
                Ok(index) => spot.items().expect("a list")[index].clone(),
                Err(_) => spot.get(step).expect("a key"),
            });
            spot.way().clone()
        };
        let edits: Vec<(Way, Edit)> = edits.iter().map(|(path, edit)| (way(path), edit.clone())).collect();
        apply(&written, &edits, &limits)
    }

    fn set(key: &str, value: Value) -> Edit {
        Edit::Set {
            key: key.to_owned(),
            value,
            after: "name",
        }
    }

    fn check(text: &str, path: &str, edit: Edit, expected: &str) {
        assert_eq!(edited(text, &[(path, edit)]).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn an_entry_is_put_where_people_would_put_it() {
        let new = || set("tracing", json!({"on": "yes", "num": 1}));
        let block = "# a\nlist:\n  - name: x   # own\n\n    # of z\n    z: |\n      text\n    last: 1\n";
        let expected = "# a\nlist:\n  - name: x   # own\n\n    tracing:\n      \"on\": \"yes\"\n      num: 1\n    # of z\n    z: |\n      text\n    last: 1\n";
        check(block, "list/0", new(), expected);
        // Where there is one entry, the new one comes before it, behind a dash too.
        check(
            "- a: 1\n",
            "0",
            new(),
            "- tracing:\n    \"on\": \"yes\"\n    num: 1\n  a: 1\n",
        );
        let flow = |text, expected| check(text, "a", new(), expected);
        flow(
            "a: {name: 0x1F, z: 1e3}\n",
            "a: {name: 0x1F, tracing: {\"on\": \"yes\", num: 1}, z: 1e3}\n",
        );
        flow("a: {}\n", "a: {\"tracing\": {\"on\": \"yes\", \"num\": 1}}\n");
        let json = "{\n  \"a\": {\n    \"name\": \"x\",\n    \"z\": 1\n  }\n}\n";
        let expected = "{\n  \"a\": {\n    \"name\": \"x\",\n    \"tracing\": {\n      \"on\": \"yes\",\n      \"num\": 1\n    },\n    \"z\": 1\n  }\n}\n";
        check(json, "a", new(), expected);
        check("a: 1\r\nb: 2\r\n", "", set("c", json!(3)), "a: 1\r\nc: 3\r\nb: 2\r\n");
    }

    #[test]
    fn an_entry_gets_another_value() {
        let new = || set("t", json!({"num": 1}));
        check(
            "a: 1\nt:\n  x:\n  - 2 # two\nz: 3\n",
            "",
            new(),
            "a: 1\nt:\n  num: 1 # two\nz: 3\n",
        );
        check(
            "a: 1\nt: |\n  text\n\nz: 3\n",
            "",
            new(),
            "a: 1\nt:\n  num: 1\n\nz: 3\n",
        );
        check("- t:\n  z: 3\n", "0", new(), "- t:\n    num: 1\n  z: 3\n");
        check("{a: 1, t: [2, 3], z: 4}", "", new(), "{a: 1, t: {num: 1}, z: 4}");
        check("{a: 1, t: , z: 4}", "", new(), "{a: 1, t: {num: 1} , z: 4}");
    }

    #[test]
    fn a_list_gets_items_at_its_begin() {
        let new = || Edit::Prepend(vec![json!({"name": "c", "type": "D"}), json!("e")]);
        check(
            "l:\n# first\n- 1\n- 2\n",
            "l",
            new(),
            "l:\n- name: c\n  type: D\n- e\n# first\n- 1\n- 2\n",
        );
        check(
            "l:\n  - 1\n",
            "l",
            new(),
            "l:\n  - name: c\n    type: D\n  - e\n  - 1\n",
        );
        check("- - 1\n", "0", new(), "- - name: c\n    type: D\n  - e\n  - 1\n");
        check("l: [1]", "l", new(), "l: [{name: c, type: D}, e, 1]");
        check("l: []", "l", new(), "l: [{\"name\": \"c\", \"type\": \"D\"}, \"e\"]");
        check(
            "l: &l\n  # c\n  -   # of the item\n    a: 1\n",
            "l",
            new(),
            "l: &l\n  - name: c\n    type: D\n  - e\n  # c\n  -   # of the item\n    a: 1\n",
        );
    }

    #[test]
    fn an_alias_is_written_out_where_it_is_no_longer_the_same() {
        let text = "a: &x {n: &n 007, m: 'q, r'}\nb: *x\nc: *n\nd: [*x]\n";
        check(
            text,
            "b",
            set("k", json!(1)),
            "a: &x {n: &n 007, m: 'q, r'}\nb:\n  \"n\": 007\n  k: 1\n  m: \"q, r\"\nc: *n\nd: [*x]\n",
        );
        check(
            text,
            "a",
            set("k", json!(1)),
            "a: &x {n: &n 007, k: 1, m: 'q, r'}\nb:\n  \"n\": 007\n  m: \"q, r\"\nc: *n\nd: [{\"n\": 007, m: \"q, r\"}]\n",
        );
        check(
            "a: &x\n- n: [1, {o: 0x1F}]\nl:\n- 1\n- *x   # again\n",
            "l/1/0",
            set("k", json!("v")),
            "a: &x\n- n: [1, {o: 0x1F}]\nl:\n- 1\n- - k: v\n    \"n\":\n    - 1\n    - o: 0x1F   # again\n",
        );
        // Both, and an alias in an anchored value.
        let text = "a: &x {n: 1}\nb: &y\n  c: *x\nd: *y\n";
        let both = edited(text, &[("b/c", set("k", json!(1))), ("a", set("k", json!(2)))]);
        let expected = "a: &x {k: 2, n: 1}\nb: &y\n  c:\n    k: 1\n    \"n\": 1\nd:\n  c:\n    \"n\": 1\n";
        assert_eq!(both.as_deref(), Ok(expected));
    }

    #[test]
    fn an_entry_goes_with_its_comments() {
        let remove = || Edit::Remove("t".to_owned());
        check(
            "a: 1\n# of t\nt:\n- 1 # one\n- 2 # two\n# of b\nb: 2\n",
            "",
            remove(),
            "a: 1\n# of b\nb: 2\n",
        );
        check("a: 1\nt: |\n  x\n\n  y\n", "", remove(), "a: 1\n");
        check("a: 1\nt:\nb: 2", "", remove(), "a: 1\nb: 2");
        check("- t: 1\n  b: 2\n", "0", remove(), "- b: 2\n");
        check("{a: 1, t: [1], b: 2}", "", remove(), "{a: 1, b: 2}");
        check("{\n  \"a\": 1,\n  \"t\": {}\n}\n", "", remove(), "{\n  \"a\": 1\n}\n");
        check(
            "a: &a {t: &t [1], b: *t}\nc: *a\n",
            "a",
            remove(),
            "a: &a {b: [1]}\nc:\n  t:\n  - 1\n  b:\n  - 1\n",
        );
    }

    #[test]
    fn one_entry_stands_in_the_place_of_others() {
        let replace = || Edit::Replace {
            keys: vec!["t", "u"],
            with: "s".to_owned(),
            value: json!({"k": ["v"]}),
        };
        check(
            "a: 1\r\n# above\r\nt:\r\n- 1 # one\r\n# of u\r\nu: 2 # two\r\nb: 3\r\n",
            "",
            replace(),
            "a: 1\r\n# above\r\n# one\r\n# of u\r\n# two\r\ns:\r\n  k:\r\n  - v\r\nb: 3\r\n",
        );
        check("- u: 1\n  b: 2\n", "0", replace(), "- s:\n    k:\n    - v\n  b: 2\n");
        check("{u: 1, t: 2}", "", replace(), "{s: {k: [v]}}");
        check(
            "{\n  \"u\": {\n    \"x\": 1\n  },\n  \"b\": 1\n}\n",
            "",
            replace(),
            "{\n  \"s\": {\n    \"k\": [\n      \"v\"\n    ]\n  },\n  \"b\": 1\n}\n",
        );
        check("u: &u {x: 1}\nb: *u\n", "", replace(), "s:\n  k:\n  - v\nb:\n  x: 1\n");
    }

    #[test]
    fn items_go_and_others_come() {
        let items = |removed: &[usize], after: usize| Edit::Items {
            removed: removed.iter().copied().collect(),
            added: BTreeMap::from([(after, vec![json!({"n": 1})])]),
        };
        check(
            "l:\n# zero\n- 0\n# one\n- 1 # 1\n# two\n- a: 2\n",
            "l",
            items(&[1], 0),
            "l:\n# zero\n- 0\n- \"n\": 1\n# two\n- a: 2\n",
        );
        check(
            "l:\n  - 0\n  - a: |\n      x\nz: 1\n",
            "l",
            items(&[0], 1),
            "l:\n  - a: |\n      x\n  - \"n\": 1\nz: 1\n",
        );
        check("[0, 1]", "", items(&[0], 1), "[1, {\"n\": 1}]");
        check(
            "[\n  0,\n  1\n]\n",
            "",
            items(&[1], 0),
            "[\n  0,\n  {\n    \"n\": 1\n  }\n]\n",
        );
    }

    #[test]
    fn an_explicit_key_is_a_place_for_a_patch() {
        let edit = || set("t", json!(2));
        check("? t\n: 1\n", "", edit(), "t: 2\n");
        check("a: what?\nt: 1\n", "", edit(), "a: what?\nt: 2\n");
        check("- ? k\n  : 1\n", "0", edit(), "- t: 2\n  ? k\n  : 1\n");
    }
}
