//! A document as it is written: every node with its place in the text, anchors and aliases as such.
//!
//! [`read`] is for what a document means; this is for changing its text and nothing else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, StructureStyle};

use super::read::{self, has_meaning};
use super::scalar::{self, Plain};
use super::syntax;
use super::tree::Limits;
use crate::diag::{Code, Diagnostic};
use crate::source::{Location, Opened};

/// The only document of a file, as it is written.
#[derive(Debug)]
pub struct Written<'t> {
    pub(super) file: &'t Opened<'t>,
    pub(super) nodes: Vec<WrittenNode<'t>>,
    pub(super) root: NodeId,
    /// The comments, in their order.
    pub(super) comments: Vec<Range<usize>>,
}

/// A node of a document, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// A node as it is written.
#[derive(Debug)]
pub(super) struct WrittenNode<'t> {
    pub(super) form: Form<'t>,
    /// The bytes from its first anchor, tag, dash, bracket or character to its last character.
    pub(super) bytes: Range<usize>,
}

/// The form of a node.
#[derive(Debug)]
pub(super) enum Form<'t> {
    Scalar {
        text: Cow<'t, str>,
        /// Whether it may be more than its text, by its style and tag.
        is_plain: bool,
    },
    List {
        items: Vec<NodeId>,
        style: Style,
        /// The offset of its first dash, or of its bracket.
        start: usize,
    },
    Map {
        /// Keys, each with its text, and values.
        entries: Vec<Entry<'t>>,
        style: Style,
    },
    /// The node that is repeated.
    Alias(NodeId),
}

/// An entry of a mapping.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    /// The bytes of the key, with its question mark, anchor and tag.
    pub(super) key_bytes: Range<usize>,
    pub(super) value: NodeId,
}

/// The style of a list or a mapping: by indentation, or in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Block,
    Flow,
}

impl<'t> Written<'t> {
    /// Reads a file with one document.
    ///
    /// # Errors
    /// When the file is no YAML, has another number of documents, or is larger than the limits.
    pub fn read(file: &'t Opened, limits: &'t Limits) -> Result<Self, Box<Diagnostic>> {
        let mut options = read::options(limits);
        options.emit_anchor_events = true;
        options.emit_comments = true;
        options.max_buffered_comment_events = limits.nodes.get();
        let parser = Parser::new_from_str_with_options(file.text(), options.clone());
        let mut reader = Reader {
            file,
            limits,
            options,
            parser,
            next: None,
            anchors: HashMap::new(),
            nodes: Vec::new(),
            comments: Vec::new(),
        };
        let root = reader.document()?;
        Ok(Self {
            file,
            nodes: reader.nodes,
            root,
            comments: reader.comments,
        })
    }

    /// The node at the top.
    #[must_use]
    pub fn top(&self) -> Spot<'_, 't> {
        Spot {
            written: self,
            way: vec![self.root],
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &WrittenNode<'t> {
        &self.nodes[id.0]
    }

    pub(super) fn text(&self) -> &'t str {
        self.file.text()
    }

    /// The offset of the dash before an item in block style.
    pub(super) fn dash_of(&self, item: usize) -> usize {
        dash_before(self.text(), &self.comments, item)
    }

    /// All nodes, each with its number.
    pub(super) fn all(&self) -> impl Iterator<Item = (NodeId, &WrittenNode<'t>)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i), node))
    }
}

/// The way to a node from the top: the numbers of all nodes on it, an alias before the node that it repeats.
pub type Way = Vec<NodeId>;

/// A node with the way to it, by which a node that aliases repeat is told from its copies.
#[derive(Debug, Clone)]
pub struct Spot<'w, 't> {
    written: &'w Written<'t>,
    way: Way,
}

impl<'w, 't> Spot<'w, 't> {
    pub(super) fn written(&self) -> &'w Written<'t> {
        self.written
    }

    /// The way from the top.
    #[must_use]
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// The place in the text; for a copy, that of the alias.
    #[must_use]
    pub fn at(&self) -> Location {
        let is_alias = |id: &&NodeId| matches!(self.written.node(**id).form, Form::Alias(_));
        let own = self.way.iter().find(is_alias).or(self.way.last());
        let bytes = own.map_or(0..0, |id| self.written.node(*id).bytes.clone());
        self.written.file.at(bytes)
    }

    /// The value of a key, whose last entry counts; `None` for what is no mapping, or has no such key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        let Form::Map { entries, .. } = &self.last()?.form else {
            return None;
        };
        let entry = entries.iter().rfind(|entry| entry.key == key)?;
        Some(self.step(entry.value))
    }

    /// The keys with their values; none for what is no mapping.
    pub fn entries(&self) -> impl Iterator<Item = (&'w str, Self)> + use<'w, 't, '_> {
        let entries = match self.last().map(|node| &node.form) {
            Some(Form::Map { entries, .. }) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|entry| (&*entry.key, self.step(entry.value)))
    }

    /// The items of a list; `None` for what is no list.
    #[must_use]
    pub fn items(&self) -> Option<Vec<Self>> {
        match &self.last()?.form {
            Form::List { items, .. } => Some(items.iter().map(|item| self.step(*item)).collect()),
            _ => None,
        }
    }

    /// Whether the node is a mapping.
    #[must_use]
    pub fn is_map(&self) -> bool {
        matches!(self.last().map(|node| &node.form), Some(Form::Map { .. }))
    }

    /// The text of a scalar that is not null.
    #[must_use]
    pub fn text(&self) -> Option<&'w str> {
        match &self.last()?.form {
            Form::Scalar { text, is_plain } if !(*is_plain && scalar::is_null(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the node is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        let Some(node) = self.last() else { return true };
        matches!(&node.form, Form::Scalar { text, is_plain: true } if scalar::resolve_1_1(text) == Plain::Null)
    }

    fn last(&self) -> Option<&'w WrittenNode<'t>> {
        self.way.last().map(|id| self.written.node(*id))
    }

    fn step(&self, id: NodeId) -> Self {
        let mut way = self.way.clone();
        way.push(id);
        if let Form::Alias(repeated) = self.written.node(id).form {
            way.push(repeated);
        }
        let written = self.written;
        Self { written, way }
    }
}

type Result<T, E = Box<Diagnostic>> = std::result::Result<T, E>;

struct Reader<'t> {
    file: &'t Opened<'t>,
    limits: &'t Limits,
    options: Options,
    parser: Parser<'t, StrInput<'t>>,
    /// An event that was looked at and belongs to the next node.
    next: Option<(Event<'t>, Span)>,
    anchors: HashMap<usize, NodeId>,
    nodes: Vec<WrittenNode<'t>>,
    comments: Vec<Range<usize>>,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<NodeId> {
        let mut root = None;
        loop {
            match self.event()? {
                (Event::StreamStart | Event::DocumentEnd, _) => {}
                (Event::DocumentStart(..), span) if root.is_some() => {
                    let message = "a second document begins here, which Envoy would not read";
                    return Err(self.refuse(&range(span), message));
                }
                (Event::DocumentStart(..), _) => root = Some(self.node(0)?),
                (_, _) => {
                    let whole = 0..self.file.text().len();
                    return root.ok_or_else(|| self.refuse(&whole, "the file has no document"));
                }
            }
        }
    }

    /// The next event that is no comment.
    fn event(&mut self) -> Result<(Event<'t>, Span)> {
        if let Some(next) = self.next.take() {
            return Ok(next);
        }
        loop {
            match self.parser.next_event() {
                None => return Ok((Event::StreamEnd, Span::default())),
                Some(Ok((Event::Comment(..), span))) => self.comments.push(range(span)),
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(Box::new(syntax::explain(self.file, &error, &self.options))),
            }
        }
    }

    fn node(&mut self, depth: usize) -> Result<NodeId> {
        let (event, span) = self.event()?;
        self.node_of(event, span, depth)
    }

    fn node_of(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<NodeId> {
        let own = range(span);
        if self.nodes.len() > self.limits.nodes.get() || depth > self.limits.depth.get() {
            return Err(self.refuse(&own, "the file is larger, or nested more deeply, than `limits` allow"));
        }
        let mut start = span.tag_start.and_then(|mark| mark.byte_offset()).unwrap_or(own.start);
        let anchor = match self.event()? {
            (Event::Anchor(anchor, _), span) => {
                start = start.min(range(span).start);
                Some(anchor)
            }
            other => {
                self.next = Some(other);
                None
            }
        };
        let (form, content) = match event {
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(target) => (Form::Alias(*target), own),
                None => return Err(self.refuse(&own, "the alias is inside of the value that it repeats")),
            },
            Event::Scalar(text, style, _, tag) => {
                let nothing = style == ScalarStyle::Plain && own.is_empty();
                let text = if nothing { Cow::default() } else { text };
                let is_plain = tag.map_or(style == ScalarStyle::Plain, |tag| has_meaning(&tag));
                (Form::Scalar { text, is_plain }, own)
            }
            Event::SequenceStart(style, ..) => self.list(own, style_of(style), depth)?,
            Event::MappingStart(style, ..) => self.map(own, style_of(style), depth)?,
            _ => return Err(self.refuse(&own, "this is no value")),
        };
        let bytes = start.min(content.start)..content.end;
        let id = NodeId(self.nodes.len());
        self.nodes.push(WrittenNode { form, bytes });
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, id);
        }
        Ok(id)
    }

    fn list(&mut self, own: Range<usize>, style: Style, depth: usize) -> Result<(Form<'t>, Range<usize>)> {
        let mut items = Vec::new();
        let end = loop {
            match self.event()? {
                (Event::SequenceEnd, end) => break range(end),
                (event, span) => items.push(self.node_of(event, span, depth + 1)?),
            }
        };
        let (first, last) = (items.first().copied(), items.last().copied());
        let bytes = match (style, first, last) {
            // The events of a list by indentation may begin after its first dash, and end on a later line.
            (Style::Block, Some(first), Some(last)) => {
                let start = dash_before(self.file.text(), &self.comments, self.nodes[first.0].bytes.start);
                start..self.nodes[last.0].bytes.end
            }
            _ => own.start..end.end,
        };
        let start = bytes.start;
        Ok((Form::List { items, style, start }, bytes))
    }

    fn map(&mut self, own: Range<usize>, style: Style, depth: usize) -> Result<(Form<'t>, Range<usize>)> {
        let mut entries = Vec::new();
        let end = loop {
            let key = match self.event()? {
                (Event::MappingEnd, end) => break range(end),
                (event, span) => self.node_of(event, span, depth + 1)?,
            };
            let before = entries
                .last()
                .map_or(0, |entry: &Entry| self.nodes[entry.value.0].bytes.end);
            let key_bytes = self.with_mark(self.nodes[key.0].bytes.clone(), before);
            let Form::Scalar { text, .. } = &self.nodes[key.0].form else {
                return Err(self.refuse(&key_bytes, "a key must be a scalar"));
            };
            let key = text.clone();
            let value = self.node(depth + 1)?;
            entries.push(Entry { key, key_bytes, value });
        };
        let bytes = match (style, entries.first(), entries.last()) {
            (Style::Block, Some(first), Some(last)) => {
                first.key_bytes.start..self.nodes[last.value.0].bytes.end.max(last.key_bytes.end)
            }
            _ => own.start..end.end,
        };
        Ok((Form::Map { entries, style }, bytes))
    }

    /// The bytes of a key with the question mark of an explicit one, unless that belongs to what ends `before`.
    fn with_mark(&self, key: Range<usize>, before: usize) -> Range<usize> {
        let head = self.file.text()[..key.start].trim_end();
        match head.ends_with('?') && head.len() > before {
            true => head.len() - 1..key.end,
            false => key,
        }
    }

    fn refuse(&self, bytes: &Range<usize>, message: &str) -> Box<Diagnostic> {
        let at = self.file.at(bytes.clone());
        Box::new(Diagnostic::error(Code::SyntaxError, &at, message))
    }
}

/// The dash before an item, from which only blanks and comments part it.
fn dash_before(text: &str, comments: &[Range<usize>], item: usize) -> usize {
    let mut end = item;
    loop {
        end = text[..end].trim_end().len();
        let found = comments.partition_point(|comment| comment.end < end);
        match comments.get(found).filter(|comment| comment.end == end) {
            Some(comment) => end = comment.start,
            None => return end.saturating_sub(1),
        }
    }
}

fn range(span: Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

fn style_of(style: StructureStyle) -> Style {
    match style {
        StructureStyle::Flow => Style::Flow,
        StructureStyle::Block => Style::Block,
    }
}
