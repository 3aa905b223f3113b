//! The reader of YAML: text to a tree with locations, within limits.
//!
//! The text may be hostile, so the parser has no unsafe code and everything it yields is counted: depth, documents
//! and nodes, those of expanded aliases included. A syntax error ends its document only; the next document is read as
//! usual, so that one run shows the mistakes of all documents.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

use super::entries::{Entries, KeyOrigin};
use super::tree::{Document, Entry, Limits, Map, Node, Scalar, Stream, Value};
use super::{syntax, template};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{Location, Opened, SourceFile};

/// A file whose variables are covered, so that it can be read.
pub struct Prepared<'f> {
    file: Opened<'f>,
    /// The text that the parser reads in place of a file with variables, or the mistakes in these.
    covered: Result<Option<template::Covered>, Vec<Diagnostic>>,
}

impl<'f> Prepared<'f> {
    /// Prepares a file.
    #[must_use]
    pub fn new(file: &'f Arc<SourceFile>) -> Self {
        let file = Opened::from(file);
        let vars = file.file.vars.as_ref();
        let covered = vars.map(|vars| template::cover(&file, vars)).transpose();
        Self { file, covered }
    }

    /// The text of the file, with its variables.
    #[must_use]
    pub fn text(&self) -> &str {
        self.file.text()
    }

    /// Reads all documents of the file and adds the mistakes to `diagnostics`.
    ///
    /// Errors found here hold no mesh: which meshes a broken file belongs to is decided by [`resource`](crate::resource).
    pub fn read<'s>(&'s self, limits: &'s Limits, diagnostics: &mut Diagnostics) -> Stream<'s> {
        let covered = match &self.covered {
            Ok(covered) => covered.as_ref(),
            Err(findings) => {
                findings.iter().for_each(|finding| diagnostics.push(finding.clone()));
                return Stream {
                    broken: true,
                    ..Stream::default()
                };
            }
        };
        let options = options(limits);
        let text = covered.map_or(self.file.text(), |covered| &covered.text);
        let mut reader = Reader {
            file: &self.file,
            limits,
            diagnostics,
            parser: Parser::new_from_str_with_options(text, options.clone()),
            covered,
            options,
            anchors: HashMap::new(),
            held: 0,
            nodes: 0,
            alias_nodes: 0,
            started: 0,
        };
        reader.stream()
    }
}

/// The reason why a document, or the rest of its file, is not read.
enum Broken {
    /// This document cannot be read; the next one may be.
    Document(Box<Diagnostic>),
    /// A limit of the file is reached.
    File(Box<Diagnostic>),
    /// The stream ended inside a document; the parser has reported it.
    End,
}

impl Broken {
    fn document(diagnostic: Diagnostic) -> Self {
        Self::Document(Box::new(diagnostic))
    }

    fn file(diagnostic: Diagnostic) -> Self {
        Self::File(Box::new(diagnostic))
    }
}

/// An anchored node, which aliases repeat.
struct Anchored<'t> {
    /// `None` if the node was too large to keep.
    node: Option<Node<'t>>,
    /// The number of nodes in it, itself included.
    size: usize,
}

struct Reader<'a, 'd> {
    file: &'a Opened<'a>,
    limits: &'a Limits,
    diagnostics: &'d mut Diagnostics,
    options: Options,
    /// The text that the parser reads in place of a file with variables.
    covered: Option<&'a template::Covered>,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    /// Finished anchored nodes of the current document.
    anchors: HashMap<usize, Anchored<'a>>,
    /// Number of nodes in `anchors`.
    held: usize,
    /// Number of nodes so far in all documents, without those of aliases.
    nodes: usize,
    /// Number of nodes so far that came from aliases.
    alias_nodes: usize,
    /// Number of documents so far that are not null, broken ones included.
    started: usize,
}

impl<'a> Reader<'a, '_> {
    fn stream(&mut self) -> Stream<'a> {
        let mut stream = Stream::default();
        loop {
            match self.document() {
                Ok(Some(root)) => {
                    if !is_null(&root) {
                        stream.documents.push(Document {
                            index: self.started,
                            root,
                        });
                        self.started += 1;
                    }
                }
                Ok(None) => return stream,
                Err(stop) => {
                    stream.broken = true;
                    let index = self.started;
                    self.started += 1;
                    let (diagnostic, go_on) = match stop {
                        Broken::Document(diagnostic) => (Some(diagnostic), true),
                        Broken::File(diagnostic) => (Some(diagnostic), false),
                        Broken::End => (None, false),
                    };
                    if let Some(mut diagnostic) = diagnostic {
                        diagnostic.document = Some(index);
                        self.diagnostics.push(*diagnostic);
                    }
                    if !go_on || !matches!(self.parser.proceed_next_document(), Ok(true)) {
                        return stream;
                    }
                }
            }
        }
    }

    /// The next document; `None` at the end of the stream.
    fn document(&mut self) -> Result<Option<Node<'a>>, Broken> {
        self.anchors.clear();
        self.held = 0;
        loop {
            match self.next()? {
                Some((Event::StreamStart, _)) => {}
                Some((Event::DocumentStart(..), span)) => {
                    if self.started >= self.limits.documents.get() {
                        let message = format!("more than {} documents in one file", self.limits.documents.get());
                        return Err(Broken::file(self.limit(span, "documents", message)));
                    }
                    let root = self.node(0)?;
                    return match self.next()? {
                        Some((Event::DocumentEnd, _)) => Ok(Some(root)),
                        _ => Err(Broken::End),
                    };
                }
                Some((Event::StreamEnd, _)) | None => return Ok(None),
                Some(_) => return Err(Broken::End),
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Broken> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(Broken::document(syntax::explain(self.file, &error, &self.options))),
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node<'a>, Broken> {
        match self.next()? {
            Some((event, span)) => self.node_of(event, span, depth),
            None => Err(Broken::End),
        }
    }

    fn node_of(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node<'a>, Broken> {
        if let Event::Alias(anchor) = event {
            return self.alias(anchor, span);
        }
        let before = self.nodes + self.alias_nodes;
        self.nodes += 1;
        if self.nodes > self.limits.nodes.get() {
            let message = format!("more than {} values in one file", self.limits.nodes.get());
            return Err(Broken::file(self.limit(span, "nodes", message)));
        }
        if depth > self.limits.depth.get() {
            return Err(Broken::document(syntax::too_deep(
                self.file,
                self.at(span).bytes().start,
            )));
        }
        let (anchor, at, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = match tag {
                    Some(tag) => has_meaning(&tag),
                    None => style == ScalarStyle::Plain,
                };
                let at = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => self.at_block(span),
                    _ => self.at(span),
                };
                // For an empty value the parser yields `~`.
                let nothing = style == ScalarStyle::Plain && at.bytes().is_empty();
                let text = if nothing { Cow::default() } else { text };
                let text = match self.covered {
                    Some(covered) => covered.fill(text.into_owned(), &self.at(span).bytes()).into(),
                    None => text,
                };
                (anchor, at, Value::Scalar(Scalar { text, plain }))
            }
            Event::SequenceStart(_, anchor, _) => {
                let (items, end) = self.list(depth)?;
                let last = items.last().map(|node| &node.at);
                (anchor, self.around(span, end, last), Value::List(items))
            }
            Event::MappingStart(_, anchor, _) => {
                let (map, last, end) = self.map(depth)?;
                (anchor, self.around(span, end, last.as_ref()), Value::Map(map))
            }
            _ => return Err(Broken::End),
        };
        let node = Node { at, value };
        if anchor != 0 {
            let size = self.nodes + self.alias_nodes - before;
            self.keep(anchor, &node, size);
        }
        Ok(node)
    }

    /// Keeps an anchored node for its aliases.
    ///
    /// Nested anchors are copied once for each level, so the copies have the limit of the aliases: a node beyond it
    /// could not be repeated anyway.
    fn keep(&mut self, anchor: usize, node: &Node<'a>, size: usize) {
        self.held = self.held.saturating_add(size);
        let node = (self.held <= self.limits.alias_nodes.get()).then(|| node.clone());
        self.anchors.insert(anchor, Anchored { node, size });
    }

    fn list(&mut self, depth: usize) -> Result<(Vec<Node<'a>>, Span), Broken> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, end)) => return Ok((items, end)),
                Some((event, span)) => items.push(self.node_of(event, span, depth + 1)?),
                None => return Err(Broken::End),
            }
        }
    }

    /// A copy of the node that an alias repeats; its nodes are counted again.
    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node<'a>, Broken> {
        let Some(Anchored { node, size }) = self.anchors.get(&anchor) else {
            let at = self.at(span);
            let message = format!("`{}` is used inside the value that it names", at.text());
            return Err(Broken::document(
                Diagnostic::error(Code::SyntaxError, &at, message).help("write the value out, or name another one"),
            ));
        };
        let expanded = self.alias_nodes.saturating_add(*size);
        match node {
            Some(node) if expanded <= self.limits.alias_nodes.get() => {
                let node = node.clone();
                self.alias_nodes = expanded;
                Ok(node)
            }
            _ => {
                let message = format!(
                    "the aliases of this file expand to more than {} values",
                    self.limits.alias_nodes.get()
                );
                Err(Broken::file(self.limit(span, "alias_nodes", message)))
            }
        }
    }

    /// The entries of a mapping, the location of its last value, and the span of its end.
    ///
    /// As in go-yaml, and so in Kuma, the last entry with a key wins, entries of merge keys included. Other readers
    /// prefer a written key to a merge key after it, so that case is a warning.
    fn map(&mut self, depth: usize) -> Result<(Map<'a>, Option<Location>, Span), Broken> {
        let mut entries = Entries::default();
        let mut repeated = Vec::new();
        let mut last = None;
        loop {
            let (key, at) = match self.next()? {
                Some((Event::MappingEnd, end)) => {
                    let entries = entries.list;
                    return Ok((Map { entries, repeated }, last, end));
                }
                Some((event, span)) => {
                    let is_merge = is_merge_key(&event);
                    let key = self.node_of(event, span, depth + 1)?;
                    let key_at = self.at(span);
                    let Value::Scalar(scalar) = key.value else {
                        return Err(Broken::document(self.key_is_no_scalar(&key.at)));
                    };
                    ((!is_merge).then_some(scalar), key_at)
                }
                None => return Err(Broken::End),
            };
            let (event, span) = self.next()?.ok_or(Broken::End)?;
            let is_alias = matches!(event, Event::Alias(_));
            let value = self.node_of(event, span, depth + 1)?;
            last = Some(if is_alias { self.at(span) } else { value.at.clone() });
            match key {
                Some(key) => {
                    let entry = Entry { key, key_at: at, value };
                    if let Some((i, KeyOrigin::Written)) = entries.set(entry, KeyOrigin::Written) {
                        self.duplicate_key(&entries.list[i]);
                        repeated.push(entries.list[i].key_at.clone());
                    }
                }
                None => {
                    for entry in self.merge(value)? {
                        if let Some((i, _)) = entries.set(entry, KeyOrigin::Merged) {
                            self.merged_over(&at, &entries.list[i].key.text);
                        }
                    }
                }
            }
        }
    }

    fn key_is_no_scalar(&self, at: &Location) -> Diagnostic {
        syntax::template_at(self.file, at.bytes().start).unwrap_or_else(|| {
            Diagnostic::error(Code::SyntaxError, at, "a key must be a scalar, not a list or mapping")
                .help("quote the key if it is text")
        })
    }

    /// The entries that a merge key (`<<`) brings in: those of one mapping, or of a list of mappings in which earlier
    /// ones win.
    fn merge(&self, value: Node<'a>) -> Result<Vec<Entry<'a>>, Broken> {
        let refuse = |at: &Location| {
            let message = "a merge key (`<<`) takes a mapping or a list of mappings";
            Broken::document(Diagnostic::error(Code::SyntaxError, at, message))
        };
        let mappings = match value.value {
            Value::Map(map) => return Ok(map.entries),
            Value::List(items) => items,
            Value::Scalar(_) => return Err(refuse(&value.at)),
        };
        let mut entries = Entries::default();
        for item in mappings {
            let Value::Map(map) = item.value else {
                return Err(refuse(&item.at));
            };
            for entry in map.entries {
                if entries.find(&entry.key.text).is_none() {
                    entries.set(entry, KeyOrigin::Merged);
                }
            }
        }
        Ok(entries.list)
    }

    fn merged_over(&mut self, at: &Location, key: &str) {
        let message = format!("this merge key replaces `{key}`, which is written before it");
        let diagnostic = Diagnostic::warning(Code::DuplicateKey, at, message)
            .help("put `<<` before the keys that should win: not every reader of YAML agrees with Kuma here");
        self.diagnostics.push(diagnostic);
    }

    fn duplicate_key(&mut self, entry: &Entry) {
        let message = format!(
            "`{}` appears twice in this mapping; the last one counts",
            entry.key.text
        );
        let diagnostic = Diagnostic::warning(Code::DuplicateKey, &entry.key_at, message);
        self.diagnostics.push(diagnostic.help("remove one of them"));
    }

    fn limit(&self, span: Span, setting: &str, message: String) -> Diagnostic {
        let help = format!("split the file, move it out of the policies, or raise `limits.{setting}` in the settings");
        Diagnostic::error(Code::LimitExceeded, &self.at(span), message).help(help)
    }

    fn at(&self, span: Span) -> Location {
        self.file.at(span.byte_range().unwrap_or(0..0))
    }

    /// The range from the `|` or `>` of a block scalar to the end of its last line that is not empty.
    fn at_block(&self, span: Span) -> Location {
        let content = self.at(span).bytes();
        let text = self.file.text();
        let header = text[..content.start].trim_end();
        let line = header.rfind(['\n', '\r']).map_or(0, |i| i + 1);
        let is_header = |rest: &str| {
            let rest = rest[1..].trim_start_matches(|c: char| c.is_ascii_digit() || "+-".contains(c));
            rest.is_empty() || rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')
        };
        let start = header[line..]
            .match_indices(['|', '>'])
            .map(|(i, _)| line + i)
            .find(|&i| (i == line || header[..i].ends_with([' ', '\t'])) && is_header(&header[i..]))
            .unwrap_or(content.start);
        let end = start + text[start..content.end].trim_end().len();
        self.file.at(start..end)
    }

    /// The range from the start of a list or mapping to the end of its last value or closing bracket.
    fn around(&self, start: Span, end: Span, last: Option<&Location>) -> Location {
        let start = start.byte_range().unwrap_or(0..0);
        let end = end.byte_range().unwrap_or(0..0);
        let closed = end.end > end.start;
        let end = match last {
            Some(last) if !closed && last.bytes().end >= start.start => last.bytes().end,
            _ => end.end.max(start.end),
        };
        self.file.at(start.start..end)
    }
}

/// Whether the event is the key `<<`, which brings in the entries of another mapping. A quoted `<<` is text.
fn is_merge_key(event: &Event) -> bool {
    match event {
        Event::Scalar(text, style, _, None) => *style == ScalarStyle::Plain && text == "<<",
        Event::Scalar(text, _, _, Some(tag)) => tag.is_yaml_core_schema_tag("merge") && text == "<<",
        _ => false,
    }
}

/// The options of the parser, without comments.
pub(super) fn options(limits: &Limits) -> Options {
    let mut options = Options::default();
    // One more than our limit, so that people see our message and not the parser's.
    options.flow_nesting_limit = limits.depth.get() + 1;
    options.block_nesting_limit = limits.depth.get() + 1;
    // As in go-yaml: a block scalar at the end of the file ends with a line feed only if the file does.
    options.block_scalar_eof_without_line_feed = true;
    options.emit_comments = false;
    options
}

/// Whether a scalar with the tag is more than its text; for an unknown tag go-yaml takes the text.
pub(super) fn has_meaning(tag: &Tag) -> bool {
    ["bool", "int", "float", "null", "timestamp"]
        .iter()
        .any(|name| tag.is_yaml_core_schema_tag(name))
}

fn is_null(node: &Node) -> bool {
    node.scalar().is_some_and(Scalar::is_null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Place, Severity};
    /// A stream borrows from its file, which stays until the end of the tests.
    fn read_within(text: &str, limits: &Limits, diagnostics: &mut Diagnostics) -> Stream<'static> {
        let file = Box::leak(Box::new(SourceFile::new("a.yaml", text)));
        let prepared = Box::leak(Box::new(Prepared::new(file)));
        prepared.read(Box::leak(Box::new(limits.clone())), diagnostics)
    }

    fn read_text(text: &str) -> (Stream<'static>, Vec<Arc<Diagnostic>>) {
        let mut diagnostics = Diagnostics::default();
        let stream = read_within(text, &Limits::default(), &mut diagnostics);
        (stream, diagnostics.into_sorted())
    }

    /// A node on one line: strings quoted, plain scalars as they are.
    fn show(node: &Node) -> String {
        let scalar = |s: &Scalar| match s.plain {
            true => s.text.to_string(),
            false => format!("{:?}", s.text),
        };
        match &node.value {
            Value::Scalar(s) => scalar(s),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(show).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Map(map) => {
                let entries = map
                    .entries
                    .iter()
                    .map(|e| format!("{}: {}", scalar(&e.key), show(&e.value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The documents and the messages of `text`.
    fn check(text: &str, documents: &[&str], messages: &[&str]) {
        let (stream, found) = read_text(text);
        let shown: Vec<String> = stream.documents.iter().map(|d| show(&d.root)).collect();
        assert_eq!(shown, documents, "{text:?}");
        let found: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(found, messages, "{text:?}");
    }

    /// The texts at all places of `text`, in the order of the tree, keys before values and parents first.
    fn check_places(text: &str, expected: &[&str]) {
        fn places(node: &Node, out: &mut Vec<String>) {
            out.push(node.at.text().into_owned());
            match &node.value {
                Value::Scalar(_) => {}
                Value::List(items) => items.iter().for_each(|item| places(item, out)),
                Value::Map(map) => map.entries.iter().for_each(|entry| {
                    out.push(entry.key_at.text().into_owned());
                    places(&entry.value, out);
                }),
            }
        }
        let (stream, found) = read_text(text);
        assert!(found.is_empty(), "{text:?}: {found:?}");
        let mut out = Vec::new();
        for document in &stream.documents {
            places(&document.root, &mut out);
        }
        assert_eq!(out, expected, "{text:?}");
    }

    /// Reads on the stack that a thread gets; the message of the first finding. Work beyond all proportion would not
    /// come to an end.
    fn check_hostile(text: String, expected: &str) {
        let reading = move || {
            let (stream, found) = read_text(&text);
            (stream.broken, found)
        };
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let (broken, found) = thread.spawn(reading).expect("a thread").join().expect("no panic");
        assert_eq!(found.first().map_or("", |d| d.message.as_str()), expected);
        assert_eq!(broken, !expected.is_empty());
    }

    #[test]
    fn places_of_values() {
        check_places(
            "a: 1\nb:\n  - x\n  - {c: \"d e\"}\n",
            &[
                "a: 1\nb:\n  - x\n  - {c: \"d e\"}",
                "a",
                "1",
                "b",
                "- x\n  - {c: \"d e\"}",
                "x",
                "{c: \"d e\"}",
                "c",
                "\"d e\"",
            ],
        );
        check_places("a: 'x''y' # c\n", &["a: 'x''y'", "a", "'x''y'"]);
        check_places("\u{feff}ä: ö\r\n", &["ä: ö", "ä", "ö"]);
        check_places(
            "- [a, [b]]\n- {}\n",
            &["- [a, [b]]\n- {}", "[a, [b]]", "a", "[b]", "b", "{}"],
        );
        check_places(
            "a: b\n  c\nd: \"e\n\n  f\"\n",
            &["a: b\n  c\nd: \"e\n\n  f\"", "a", "b\n  c", "d", "\"e\n\n  f\""],
        );
        check_places("- &k a\n- *k : 2\n", &["- &k a\n- *k : 2", "a", "*k : 2", "*k", "2"]);
        check_places("a: &x y\nb: [*x]\n", &["a: &x y\nb: [*x]", "a", "y", "b", "[*x]", "y"]);
        check_places("a:\nb: ~\n", &["a:\nb: ~", "a", "", "b", "~"]);
        check_places("- a\n-\n", &["- a\n-", "a", ""]);
    }

    #[test]
    fn places_of_block_scalars() {
        for (written, header) in [
            ("|\n  x\n\n  y", "a: "),
            (">-\n  z", "a: "),
            ("|+2 # b | c\n\n    x", "a: "),
            ("|", "a: "),
            ("|\n y", "- !t &x "),
        ] {
            let (stream, found) = read_text(&format!("{header}{written}\n\n"));
            assert!(found.is_empty(), "{written:?}: {found:?}");
            let at = match &stream.documents[0].root.value {
                Value::Map(map) => &map.entries[0].value.at,
                Value::List(items) => &items[0].at,
                Value::Scalar(_) => panic!("{written:?}"),
            };
            assert_eq!(at.text(), written);
        }
    }

    #[test]
    fn documents() {
        check("", &[], &[]);
        check("# nothing\n", &[], &[]);
        check("---\n---\n", &[], &[]);
        check("---\n# a\n---\na\n...\n---\nb\n...\n", &["a", "b"], &[]);
        check("~\n---\nnull\n---\n\"\"\n", &["\"\""], &[]);
        check("\u{feff}a: 1\r\nb:\r\n- 2\r\n", &["{a: 1, b: [2]}"], &[]);
        check("a: 1\rb: 2\r", &["{a: 1, b: 2}"], &[]);
        check("a:\t1\n", &["{a: 1}"], &[]);
        check("%YAML 1.1\n---\na: 1\n", &["{a: 1}"], &[]);
        check("{\"a\": [1, null]}", &["{\"a\": [1, null]}"], &[]);
    }

    #[test]
    fn a_syntax_error_ends_its_document_only() {
        let (stream, found) = read_text("a: 1\n---\nb: [\n---\nc: 2\n---\nd: ]\n");
        assert!(stream.broken);
        let indices: Vec<usize> = stream.documents.iter().map(|d| d.index).collect();
        assert_eq!(indices, [0, 2]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[1].document, Some(3));
    }

    #[test]
    fn scalars_keep_their_text_and_whether_it_means_more() {
        check("[1.10, '1', on, ~, 007]", &["[1.10, \"1\", on, ~, 007]"], &[]);
        check(
            "[!!str 1, !!int \"3\", !foo 1, !!binary aGk=, ! 1]",
            &["[\"1\", 3, \"1\", \"aGk=\", \"1\"]"],
            &[],
        );
        check("1: a\non: b\n~: c\n\"2\": d\n", &["{1: a, on: b, ~: c, \"2\": d}"], &[]);
        check("a: ${X}\nb: \"{{ x }}\"\n", &["{a: ${X}, b: \"{{ x }}\"}"], &[]);
        check("? long key\n: 1\n? a\n", &["{long key: 1, a: }"], &[]);
        check(
            "a: |\n  x\n   y\n\nb: >\n  x\n  y\nc: p\n  q\n",
            &["{a: \"x\\n y\\n\", b: \"x y\\n\", c: p q}"],
            &[],
        );
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let twice = "`a` appears twice in this mapping; the last one counts";
        check("a: 1\nb: 2\na: 3\n", &["{a: 3, b: 2}"], &[twice]);
        check("a: 1\n\"a\": 3\n", &["{\"a\": 3}"], &[twice]);
        let (_, found) = read_text("a: 1\nb: 2\na: 3\n");
        assert_eq!(found[0].severity, Severity::Warning);
        let file = SourceFile::new("a.yaml", "a: 1\nb: 2\na: 3\n");
        assert_eq!(found[0].place, Place::In(Location::new(&file, 10..11)));
        let many: String = (0..40).map(|i| format!("k{i}: 1\n")).collect();
        let (stream, found) = read_text(&format!("{many}k39: 2\nk3: 2\n"));
        assert_eq!(found.len(), 2);
        let Value::Map(map) = &stream.documents[0].root.value else {
            panic!("a mapping")
        };
        assert_eq!(map.entries.len(), 40);
        assert_eq!(map.get("k39").map(|e| show(&e.value)), Some("2".to_owned()));
    }

    /// As sigs.k8s.io/yaml 1.4.0 was seen to do.
    #[test]
    fn merge_keys() {
        let bases = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\n";
        let merged = |entry: &str, expected: &str, messages: &[&str]| {
            let documents = format!("{{x: {{a: 1, b: 1}}, y: {{b: 2, c: 2}}, z: {expected}}}");
            check(&format!("{bases}z:\n{entry}"), &[&documents], messages);
        };
        let replaces = "this merge key replaces `b`, which is written before it";
        merged("  <<: *x\n  b: 3\n", "{a: 1, b: 3}", &[]);
        merged("  <<: [*x, *y]\n", "{a: 1, b: 1, c: 2}", &[]);
        merged("  b: 3\n  <<: *x\n", "{b: 1, a: 1}", &[replaces]);
        merged("  <<: *x\n  <<: *y\n", "{a: 1, b: 2, c: 2}", &[replaces]);
        merged("  <<: {d: 4}\n", "{d: 4}", &[]);
        merged("  \"<<\": *x\n", "{\"<<\": {a: 1, b: 1}}", &[]);
        merged("  <<: []\n", "{}", &[]);
        let wrong = "a merge key (`<<`) takes a mapping or a list of mappings";
        for value in ["x", "", "[x]", "[[]]"] {
            check(&format!("<<: {value}\n"), &[], &[wrong]);
        }
    }

    #[test]
    fn aliases() {
        check("a: &x [1, 2]\nb: *x\n", &["{a: [1, 2], b: [1, 2]}"], &[]);
        check("a: &x 1\nb: &x 2\nc: *x\n", &["{a: 1, b: 2, c: 2}"], &[]);
        let unknown = "`*x` refers to a value named `&x`, and there is none before it";
        check("a: &x 1\n---\nb: *x\n", &["{a: 1}"], &[unknown]);
    }

    #[test]
    fn keys_are_scalars() {
        for text in ["? [a]\n: b\n", "{a: b}: c\n", "x: &x [a]\n*x : b\n"] {
            check(text, &[], &["a key must be a scalar, not a list or mapping"]);
        }
    }

    #[test]
    fn hostile_depth() {
        let deep = "lists and mappings are nested too deeply";
        check_hostile("[".repeat(60_000), deep);
        check_hostile("{".repeat(60_000), deep);
        check_hostile("{a: ".repeat(60_000), deep);
        check_hostile("- ".repeat(60_000), deep);
        check_hostile("? ".repeat(60_000), deep);
        let nested = |n: usize| (0..n).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<String>();
        check_hostile(nested(6_000), deep);
        check_hostile(nested(64), "");
        check_hostile(nested(66), deep);
        check_hostile(format!("{}{}", "[".repeat(65), "]".repeat(65)), "");
        check_hostile(format!("{}{}", "[".repeat(66), "]".repeat(66)), deep);
    }

    #[test]
    fn hostile_aliases() {
        let too_many = "the aliases of this file expand to more than 100000 values";
        let mut laughs = "a0: &a0 [lol, lol]\n".to_owned();
        for i in 1..40 {
            laughs += &format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}]\n", i - 1);
        }
        check_hostile(laughs, too_many);
        let anchors: String = (0..60).map(|i| format!("[&a{i} ")).collect();
        let wide = "1,".repeat(20_000);
        check_hostile(format!("{anchors}[{wide}]{}", "]".repeat(60)), "");
        check_hostile(format!("- {anchors}[{wide}]{}\n- *a0\n", "]".repeat(60)), too_many);
        check_hostile((0..50_000).map(|i| format!("- &a{i} x\n- *a{i}\n")).collect(), "");
    }

    #[test]
    fn hostile_numbers() {
        check_hostile("---\na\n".repeat(100_000), "");
        check_hostile("---\na\n".repeat(100_001), "more than 100000 documents in one file");
        check_hostile("---\n".repeat(1_000_000), "");
        check_hostile("---\na: [\n".repeat(20_000), "this `[` is not closed");
        check_hostile("a\n".repeat(200_000) + "b: 1\n", "expected `key: value`, found `a`");
        check_hostile(format!("a: \"{}\n", "x ".repeat(1_000_000)), "this quote is not closed");
        check_hostile((0..100_000).map(|i| format!("k{i}: 1\n")).collect(), "");
        check_hostile("\t".repeat(1_000_000), "");
    }

    #[test]
    fn the_number_of_values_has_a_limit() {
        let limits = Limits {
            nodes: crate::settings_value::Integer::new(4),
            ..Limits::default()
        };
        let mut found = Diagnostics::default();
        let stream = read_within("[1, 2, 3]\n---\n1\n---\n2\n", &limits, &mut found);
        assert_eq!(stream.documents.len(), 1);
        let found = found.into_sorted();
        assert_eq!(found[0].message, "more than 4 values in one file");
        assert_eq!(found[0].code, Code::LimitExceeded);
    }
}
