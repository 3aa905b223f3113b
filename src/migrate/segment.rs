//! A file as its documents are written, each a text of its own, so that edits of one touch no byte of another.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Value, json};
use thiserror::Error;

use crate::source::{Opened, SourceFile};
use crate::yaml::edit::{self, Edit, EditError};
use crate::yaml::written::{Spot, Way, Written};
use crate::yaml::{Limits, line_end, write};

/// The change of a resource, and new ones behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct ResourceChange {
    /// Whether the resource goes.
    pub(super) is_removed: bool,
    /// Edits, each with the keys and indexes that lead to its node.
    pub(super) edits: Vec<(Vec<String>, Edit)>,
    /// Mappings, each by the keys that lead to it, that lose the entries with certain keys; those without another entry go.
    pub(super) stripped: Vec<Stripped>,
    pub(super) labels: LabelChange,
    /// New resources behind it; none behind one that goes.
    pub(super) added: Vec<Value>,
}

/// The keys that lead to a mapping, and whether one of its entries goes, by its key.
pub(super) type Stripped = (Vec<&'static str>, fn(&str) -> bool);

/// The change of the labels of a resource.
#[derive(Debug, Clone, Default)]
pub(super) struct LabelChange {
    /// Whether a label goes; without it, none does.
    pub(super) goes: Option<fn(&str) -> bool>,
    /// The labels that the resource gets.
    pub(super) added: BTreeMap<String, String>,
}

/// The changes of a file, by the offset of something in each resource.
pub(super) type FileChanges = BTreeMap<usize, ResourceChange>;

/// The reason why a file cannot be changed.
#[derive(Debug, Error)]
pub(super) enum RewriteError {
    /// The text of a document cannot be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A resource is not where it was read.
    #[error("it is a template, or the resource is not in its own text")]
    Unknown,
}

/// The result of the changes of a file.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// The text; `None` if nothing is left but comments.
    pub(super) text: Option<String>,
    /// New resources that the file, which is JSON, has no place for.
    pub(super) elsewhere: Vec<Value>,
}

/// The text of a file with changes.
///
/// # Errors
/// When a document cannot be edited.
pub(super) fn rewrite(file: &SourceFile, changes: &FileChanges, limits: &Limits) -> Result<Rewritten, RewriteError> {
    if file.vars.is_some() {
        return Err(RewriteError::Unknown);
    }
    let whole = file.text();
    let segments = segments(&whole);
    let mut rewritten = Rewritten::default();
    let (mut text, mut is_anything_left) = (String::with_capacity(whole.len()), false);
    // The first document of a file may have no marker; without it, the next one needs none.
    let mut lost_first = false;
    for segment in segments {
        let body = &whole[segment.clone()];
        let own: BTreeMap<usize, &ResourceChange> = (changes.range(segment.clone()))
            .map(|(at, change)| (at - segment.start, change))
            .collect();
        if own.is_empty() {
            is_anything_left |= has_content(body);
            text.push_str(body);
            continue;
        }
        let parsed = SourceFile::new("", body);
        let parsed = Opened::from(&parsed);
        let written = Written::read(&parsed, limits).map_err(|_| RewriteError::Unknown)?;
        let document = Document::of(&written, &own)?;
        if document.goes {
            lost_first |= text.is_empty() && !body.starts_with("---");
            continue;
        }
        is_anything_left = true;
        text.push_str(&edit::apply(&written, &document.edits, limits)?);
        match is_json(body) {
            true => rewritten.elsewhere.extend(document.added.into_iter().cloned()),
            false => push_documents(&mut text, line_end(body), &document.added),
        }
    }
    if lost_first && text.lines().next().is_some_and(|line| line.trim_end() == "---") {
        text = text
            .split_once('\n')
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_default();
    }
    rewritten.text = is_anything_left.then_some(text);
    Ok(rewritten)
}

/// Adds documents behind another one.
fn push_documents(text: &mut String, end: &str, added: &[&Value]) {
    for value in added {
        if !text.ends_with('\n') {
            text.push_str(end);
        }
        text.push_str("---");
        text.push_str(end);
        text.push_str(&write::write(value).replace('\n', end));
    }
}

/// Whether a text has more than comments and markers.
fn has_content(text: &str) -> bool {
    let mut lines = text.lines().map(|line| line.trim_start_matches('\u{feff}').trim());
    lines.any(|line| !line.is_empty() && !line.starts_with('#') && line != "---" && line != "...")
}

fn is_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
}

/// The documents of a text, each with the marker before it. A marker stands at the begin of a line and never inside of a value.
fn segments(text: &str) -> Vec<Range<usize>> {
    let is_marker = |line: &str| {
        line.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if at > 0 && is_marker(line) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts[1..].iter().copied().chain([text.len()]);
    starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| start..end)
        .collect()
}

/// The edits of one document.
#[derive(Default)]
struct Document<'c> {
    edits: Vec<(Way, Edit)>,
    /// Whether the whole document is one resource that goes, or a list of such.
    goes: bool,
    added: Vec<&'c Value>,
}

impl<'c> Document<'c> {
    fn of(written: &Written, changes: &BTreeMap<usize, &'c ResourceChange>) -> Result<Self, RewriteError> {
        let mut document = Self::default();
        if changes
            .values()
            .any(|change| change.is_removed && !change.added.is_empty())
        {
            return Err(RewriteError::Unknown);
        }
        let top = written.top();
        let mut left: BTreeMap<usize, &ResourceChange> = changes.clone();
        if document.list(&top, &mut left)? {
            document.goes = true;
        } else if let Some((_, change)) = left.pop_first() {
            document.goes = change.is_removed;
            document.resource(&top, change)?;
            document.added.extend(&change.added);
        }
        match left.is_empty() {
            true => Ok(document),
            false => Err(RewriteError::Unknown),
        }
    }

    /// Changes the resources in a list, and in lists in it; takes the changes that are carried out. Whether no item is left.
    fn list(&mut self, spot: &Spot, changes: &mut BTreeMap<usize, &'c ResourceChange>) -> Result<bool, RewriteError> {
        let Some((list, items)) = spot.get("items").and_then(|list| Some((list.clone(), list.items()?))) else {
            return Ok(false);
        };
        let (mut removed, mut added) = (BTreeSet::new(), BTreeMap::new());
        for (i, item) in items.iter().enumerate() {
            if item.get("items").is_some() {
                if self.list(item, changes)? {
                    removed.insert(i);
                }
                continue;
            }
            let bytes = item.at().bytes();
            let Some(at) = changes.range(bytes).next().map(|(at, _)| *at) else {
                continue;
            };
            let Some(change) = changes.remove(&at) else { continue };
            if change.is_removed {
                removed.insert(i);
            } else {
                self.resource(item, change)?;
            }
            if !change.added.is_empty() {
                added.insert(i, change.added.clone());
            }
        }
        if removed.len() == items.len() && added.is_empty() && !items.is_empty() {
            return Ok(true);
        }
        if !removed.is_empty() || !added.is_empty() {
            self.edits.push((list.way().clone(), Edit::Items { removed, added }));
        }
        Ok(false)
    }

    fn resource(&mut self, spot: &Spot, change: &ResourceChange) -> Result<(), RewriteError> {
        for (path, edit) in &change.edits {
            let mut spot = spot.clone();
            for key in path {
                let index = key.parse::<usize>().ok();
                let item = index.and_then(|index| spot.items()?.into_iter().nth(index));
                spot = item.or_else(|| spot.get(key)).ok_or(RewriteError::Unknown)?;
            }
            self.edits.push((spot.way().clone(), edit.clone()));
        }
        for (path, goes) in &change.stripped {
            let Some((last, path)) = path.split_last() else {
                continue;
            };
            let parent = path.iter().try_fold(spot.clone(), |spot, key| spot.get(key));
            let Some((parent, map)) = parent.and_then(|parent| Some((parent.clone(), parent.get(last)?))) else {
                continue;
            };
            let keys: Vec<&str> = map.entries().map(|(key, _)| key).collect();
            let gone: Vec<&str> = keys.iter().copied().filter(|key| goes(key)).collect();
            match gone.len() == keys.len() {
                true => self
                    .edits
                    .push((parent.way().clone(), Edit::Remove((*last).to_owned()))),
                false => self.edits.extend(
                    gone.into_iter()
                        .map(|key| (map.way().clone(), Edit::Remove(key.to_owned()))),
                ),
            }
        }
        self.labels(spot, &change.labels);
        Ok(())
    }

    /// Changes the labels of a resource, at its top or in its `metadata`.
    fn labels(&mut self, spot: &Spot, change: &LabelChange) {
        let holder = spot.get("metadata").unwrap_or_else(|| spot.clone());
        let set = |key: &str, value: Value| Edit::set(key, value, "name");
        let labels = holder.get("labels");
        let old: Vec<&str> = labels
            .iter()
            .flat_map(|labels| labels.entries().map(|(key, _)| key))
            .collect();
        let gone: Vec<&str> = old
            .iter()
            .copied()
            .filter(|key| change.goes.is_some_and(|goes| goes(key)))
            .collect();
        let new = change.added.iter().map(|(key, value)| (key, json!(value)));
        match labels {
            Some(labels) if gone.len() < old.len() => {
                let way = labels.way();
                self.edits
                    .extend(gone.into_iter().map(|key| (way.clone(), Edit::Remove(key.to_owned()))));
                self.edits
                    .extend(new.map(|(key, value)| (way.clone(), set(key, value))));
            }
            _ if !change.added.is_empty() => self
                .edits
                .push((holder.way().clone(), set("labels", json!(change.added)))),
            Some(_) if !gone.is_empty() => self
                .edits
                .push((holder.way().clone(), Edit::Remove("labels".to_owned()))),
            _ => {}
        }
    }
}
