//! Reads YAML into a tree that knows its places, within limits.
//!
//! The text may be hostile, so the parser is a safe one and everything it yields is counted: depth,
//! documents and nodes, those of expanded aliases included. A syntax error ends its document; the next
//! document is read as if nothing had happened, so that one run shows the mistakes of all.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

use super::scalar::{self, Plain};
use super::syntax;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{Location, SourceFile};

/// How much of a file is read before it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Documents of one file.
    pub documents: usize,
    /// Lists and mappings inside each other.
    pub depth: usize,
    /// Nodes of one file, as written.
    pub nodes: usize,
    /// Nodes that the aliases of one file may expand to.
    pub alias_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 32 << 20,
            documents: 100_000,
            depth: 64,
            nodes: 2_000_000,
            alias_nodes: 100_000,
        }
    }
}

/// One document that holds something.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Index from 0 among the documents of its file that are not null; a broken one counts.
    pub index: usize,
    /// Its content.
    pub root: Node,
}

/// All that could be read of a file.
#[derive(Debug, Default)]
pub struct Stream {
    /// The documents that could be read.
    pub documents: Vec<Document>,
    /// Whether there is text that could not.
    pub broken: bool,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where; of an alias, where the value was defined.
    pub at: Location,
    /// What.
    pub value: Value,
}

/// The three kinds of YAML nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// A scalar as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, without quotes and with escapes undone.
    pub text: String,
    /// Whether it has a meaning beyond its text: written plain, or tagged as something else than a string.
    pub plain: bool,
}

impl Scalar {
    /// What it is to a reader of YAML 1.1, which Kuma is.
    #[must_use]
    pub fn plain_value(&self) -> Plain {
        if self.plain {
            scalar::resolve_1_1(&self.text)
        } else {
            Plain::String
        }
    }
}

/// A mapping whose keys are distinct, in the order they were written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Map {
    /// The entry with that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Scalar,
    /// Where the key stands.
    pub key_at: Location,
    /// The value.
    pub value: Node,
}

/// Reads all documents of a file; what is wrong with them goes to `diagnostics`.
///
/// Errors found here hold nothing yet: which meshes a broken file belongs to is for others to say.
pub fn read(file: &Arc<SourceFile>, limits: &Limits, diagnostics: &mut Diagnostics) -> Stream {
    let mut options = Options::default();
    // One more than ours, so that our message is the one people see.
    options.flow_nesting_limit = limits.depth + 1;
    options.block_nesting_limit = limits.depth + 1;
    let mut reader = Reader {
        file,
        limits,
        diagnostics,
        parser: Parser::new_from_str_with_options(&file.text, options.clone()),
        options,
        anchors: HashMap::new(),
        held: 0,
        nodes: 0,
        alias_nodes: 0,
        started: 0,
    };
    reader.stream()
}

/// Why a document, or everything after it, is not read.
enum Stop {
    /// This document cannot be read; the next one may be.
    Document(Box<Diagnostic>),
    /// A limit of the file is reached.
    File(Box<Diagnostic>),
    /// The stream ended inside a document, which the parser has said already.
    End,
}

impl Stop {
    fn document(diagnostic: Diagnostic) -> Self {
        Self::Document(Box::new(diagnostic))
    }

    fn file(diagnostic: Diagnostic) -> Self {
        Self::File(Box::new(diagnostic))
    }
}

/// What an alias stands for.
struct Anchored {
    /// `None` if it was too much to keep.
    node: Option<Node>,
    /// How many nodes it is made of.
    size: usize,
}

struct Reader<'a, 'd> {
    file: &'a Arc<SourceFile>,
    limits: &'a Limits,
    diagnostics: &'d mut Diagnostics,
    options: Options,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    /// Finished anchored nodes of the current document.
    anchors: HashMap<usize, Anchored>,
    /// Nodes that `anchors` holds.
    held: usize,
    /// Nodes so far, over all documents, those of aliases left out.
    nodes: usize,
    /// Nodes that came from aliases.
    alias_nodes: usize,
    /// Documents so far that are not null, broken ones included.
    started: usize,
}

impl<'a> Reader<'a, '_> {
    fn stream(&mut self) -> Stream {
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
                        Stop::Document(diagnostic) => (Some(diagnostic), true),
                        Stop::File(diagnostic) => (Some(diagnostic), false),
                        Stop::End => (None, false),
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
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        self.anchors.clear();
        self.held = 0;
        loop {
            match self.next()? {
                Some((Event::StreamStart, _)) => {}
                Some((Event::DocumentStart(..), span)) => {
                    if self.started >= self.limits.documents {
                        let message =
                            format!("more than {} documents in one file", self.limits.documents);
                        return Err(Stop::file(self.limit(span, message)));
                    }
                    let root = self.node(0)?;
                    return match self.next()? {
                        Some((Event::DocumentEnd, _)) => Ok(Some(root)),
                        _ => Err(Stop::End),
                    };
                }
                Some((Event::StreamEnd, _)) | None => return Ok(None),
                Some(_) => return Err(Stop::End),
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Stop> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(Stop::document(syntax::explain(
                self.file,
                &error,
                &self.options,
            ))),
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node, Stop> {
        match self.next()? {
            Some((event, span)) => self.node_of(event, span, depth),
            None => Err(Stop::End),
        }
    }

    fn node_of(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        if let Event::Alias(anchor) = event {
            return self.alias(anchor, span);
        }
        let before = self.nodes + self.alias_nodes;
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let message = format!("more than {} values in one file", self.limits.nodes);
            return Err(Stop::file(self.limit(span, message)));
        }
        if depth > self.limits.depth {
            return Err(Stop::document(syntax::too_deep(
                self.file,
                self.at(span).bytes.start,
            )));
        }
        let (anchor, at, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = match tag {
                    Some(tag) => has_meaning(&tag),
                    None => style == ScalarStyle::Plain,
                };
                let text = text.into_owned();
                (anchor, self.at(span), Value::Scalar(Scalar { text, plain }))
            }
            Event::SequenceStart(_, anchor, _) => {
                let (items, end) = self.list(depth)?;
                let last = items.last().map(|node| &node.at);
                (anchor, self.around(span, end, last), Value::List(items))
            }
            Event::MappingStart(_, anchor, _) => {
                let (map, last, end) = self.map(depth)?;
                (
                    anchor,
                    self.around(span, end, last.as_ref()),
                    Value::Map(map),
                )
            }
            _ => return Err(Stop::End),
        };
        let node = Node { at, value };
        if anchor != 0 {
            let size = self.nodes + self.alias_nodes - before;
            self.keep(anchor, &node, size);
        }
        Ok(node)
    }

    /// Remembers an anchored node for its aliases.
    ///
    /// Anchors inside each other would be copied once for each level, so the copies have a limit too: what is
    /// beyond it no alias could stand for, or nobody would write.
    fn keep(&mut self, anchor: usize, node: &Node, size: usize) {
        self.held = self.held.saturating_add(size);
        let node = (self.held <= self.limits.alias_nodes).then(|| node.clone());
        self.anchors.insert(anchor, Anchored { node, size });
    }

    fn list(&mut self, depth: usize) -> Result<(Vec<Node>, Span), Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, end)) => return Ok((items, end)),
                Some((event, span)) => items.push(self.node_of(event, span, depth + 1)?),
                None => return Err(Stop::End),
            }
        }
    }

    /// The value an alias stands for; its nodes are counted again.
    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Stop> {
        let Some(Anchored { node, size }) = self.anchors.get(&anchor) else {
            let at = self.at(span);
            let message = format!("`{}` stands inside the value that it names", at.text());
            return Err(Stop::document(
                Diagnostic::error(Code::SyntaxError, &at, message)
                    .help("write the value out, or name another one"),
            ));
        };
        let expanded = self.alias_nodes.saturating_add(*size);
        match node {
            Some(node) if expanded <= self.limits.alias_nodes => {
                let node = node.clone();
                self.alias_nodes = expanded;
                Ok(node)
            }
            _ => {
                let message = format!(
                    "the aliases of this file stand for more than {} values",
                    self.limits.alias_nodes
                );
                Err(Stop::file(self.limit(span, message)))
            }
        }
    }

    /// The entries of a mapping, where its last value stands in the text, and its end.
    ///
    /// As go-yaml does, and Kuma with it, entries count in the order they stand in, those of merge keys included:
    /// the last one with a key wins. Other readers let a written key win over a merge key behind it, so there is
    /// a warning.
    fn map(&mut self, depth: usize) -> Result<(Map, Option<Location>, Span), Stop> {
        let mut entries = Entries::default();
        let mut last = None;
        loop {
            let (key, at) = match self.next()? {
                Some((Event::MappingEnd, end)) => {
                    return Ok((
                        Map {
                            entries: entries.list,
                        },
                        last,
                        end,
                    ));
                }
                Some((event, span)) => {
                    let is_merge = is_merge_key(&event);
                    let key = self.node_of(event, span, depth + 1)?;
                    let key_at = self.at(span);
                    let Value::Scalar(scalar) = key.value else {
                        return Err(Stop::document(self.key_is_no_word(&key.at)));
                    };
                    ((!is_merge).then_some(scalar), key_at)
                }
                None => return Err(Stop::End),
            };
            let (event, span) = self.next()?.ok_or(Stop::End)?;
            let is_alias = matches!(event, Event::Alias(_));
            let value = self.node_of(event, span, depth + 1)?;
            last = Some(if is_alias {
                self.at(span)
            } else {
                value.at.clone()
            });
            match key {
                Some(key) => {
                    let entry = Entry {
                        key,
                        key_at: at,
                        value,
                    };
                    if let Some((i, Origin::Written)) = entries.set(entry, Origin::Written) {
                        self.duplicate_key(&entries.list[i]);
                    }
                }
                None => {
                    for entry in self.merge(value)? {
                        if let Some((i, _)) = entries.set(entry, Origin::Merged) {
                            self.merged_over(&at, &entries.list[i].key.text);
                        }
                    }
                }
            }
        }
    }

    fn key_is_no_word(&self, at: &Location) -> Diagnostic {
        syntax::template(self.file, at.bytes.start).unwrap_or_else(|| {
            Diagnostic::error(
                Code::SyntaxError,
                at,
                "a key must be a word, not a list or mapping",
            )
            .help("quote the key if it is text")
        })
    }

    /// The entries that a merge key (`<<`) brings: of a mapping, or of a list of mappings, the first one first.
    fn merge(&self, value: Node) -> Result<Vec<Entry>, Stop> {
        let refuse = |at: &Location| {
            let message = "a merge key (`<<`) takes a mapping or a list of mappings";
            Stop::document(Diagnostic::error(Code::SyntaxError, at, message))
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
                    entries.set(entry, Origin::Merged);
                }
            }
        }
        Ok(entries.list)
    }

    fn merged_over(&mut self, at: &Location, key: &str) {
        let message = format!("this merge key replaces `{key}`, which stands before it");
        let diagnostic = Diagnostic::warning(Code::DuplicateKey, at, message)
            .help("put `<<` before the keys that shall win: not every reader of YAML does as Kuma");
        self.diagnostics.push(diagnostic);
    }

    fn duplicate_key(&mut self, entry: &Entry) {
        let message = format!(
            "`{}` stands twice in this mapping; the last one counts",
            entry.key.text
        );
        let diagnostic = Diagnostic::warning(Code::DuplicateKey, &entry.key_at, message);
        self.diagnostics.push(diagnostic.help("remove one of them"));
    }

    fn limit(&self, span: Span, message: String) -> Diagnostic {
        Diagnostic::error(Code::LimitExceeded, &self.at(span), message)
            .help("split the file, or remove what is not a resource from the policies")
    }

    fn at(&self, span: Span) -> Location {
        let range = span.byte_range().unwrap_or(0..0);
        Location::new(self.file, range)
    }

    /// From where a list or mapping starts to where its last value, or its closing bracket, ends.
    fn around(&self, start: Span, end: Span, last: Option<&Location>) -> Location {
        let start = start.byte_range().unwrap_or(0..0);
        let end = end.byte_range().unwrap_or(0..0);
        let closed = end.end > end.start;
        let end = match last {
            Some(last) if !closed && last.bytes.end >= start.start => last.bytes.end,
            _ => end.end.max(start.end),
        };
        Location::new(self.file, start.start..end)
    }
}

/// Where an entry of a mapping comes from.
#[derive(Clone, Copy)]
enum Origin {
    Written,
    Merged,
}

/// Entries of a mapping as they gather; a later one takes the place of an earlier one with its key.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    origins: Vec<Origin>,
    /// Indices by key, once there are too many to look at one after the other.
    index: HashMap<String, usize>,
}

impl Entries {
    const LOOKED_AT: usize = 16;

    /// Sets an entry; its index and where the one it replaces came from, if it replaces one.
    fn set(&mut self, entry: Entry, origin: Origin) -> Option<(usize, Origin)> {
        match self.find(&entry.key.text) {
            Some(i) => {
                self.list[i] = entry;
                Some((i, std::mem::replace(&mut self.origins[i], origin)))
            }
            None => {
                if self.list.len() >= Self::LOOKED_AT {
                    self.index.insert(entry.key.text.clone(), self.list.len());
                }
                self.list.push(entry);
                self.origins.push(origin);
                None
            }
        }
    }

    fn find(&self, key: &str) -> Option<usize> {
        (self.list.iter().take(Self::LOOKED_AT))
            .position(|entry| entry.key.text == key)
            .or_else(|| self.index.get(key).copied())
    }
}

/// Whether it is the key `<<`, which brings in the entries of another mapping. Between quotes it is text.
fn is_merge_key(event: &Event) -> bool {
    match event {
        Event::Scalar(text, style, _, None) => *style == ScalarStyle::Plain && text == "<<",
        Event::Scalar(text, _, _, Some(tag)) => {
            tag.is_yaml_core_schema_tag("merge") && text == "<<"
        }
        _ => false,
    }
}

/// Whether a scalar of that tag is more than its text; of a tag it does not know, go-yaml takes the text.
fn has_meaning(tag: &Tag) -> bool {
    ["bool", "int", "float", "null", "timestamp"]
        .iter()
        .any(|name| tag.is_yaml_core_schema_tag(name))
}

fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.plain_value() == Plain::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Stream, Vec<Diagnostic>) {
        let mut diagnostics = Diagnostics::default();
        let stream = read(
            &SourceFile::new("a.yaml", text),
            &Limits::default(),
            &mut diagnostics,
        );
        (stream, diagnostics.into_sorted())
    }

    #[test]
    fn every_node_knows_its_place() {
        let (stream, found) = read_text("a: 1\nb:\n  - x\n  - {c: \"d e\"}\n");
        assert!(found.is_empty(), "{found:?}");
        let Value::Map(map) = &stream.documents[0].root.value else {
            panic!("a mapping")
        };
        let b = map.get("b").expect("b");
        assert_eq!(b.key_at.text(), "b");
        let Value::List(items) = &b.value.value else {
            panic!("a list")
        };
        assert_eq!(items[0].at.text(), "x");
        assert_eq!(items[1].at.text(), "{c: \"d e\"}");
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
}
