//! The edited files of a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::report::Unmigrated;
use super::segment::{FileChanges, ResourceChange, rewrite};
use crate::resource::Header;
use crate::source::{Snapshot, SourceFile};
use crate::system::parallel;
use crate::yaml::Limits;

/// A file that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// The path, as that of the files of the snapshot.
    pub path: String,
    /// The file before; `None` for a new one.
    pub before: Option<Arc<SourceFile>>,
    /// The text after; `None` for a file that goes.
    pub after: Option<String>,
}

/// The changes of resources, by file.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes(BTreeMap<String, FileChanges>);

impl Changes {
    /// The change of a resource, to add to.
    pub(super) fn of(&mut self, header: &Header) -> &mut ResourceChange {
        self.at(&header.at.file.path, header.at.bytes().start)
    }

    /// The change of the resource at an offset of a file.
    pub(super) fn at(&mut self, path: &str, offset: usize) -> &mut ResourceChange {
        let of_file = self.0.entry(path.to_owned()).or_default();
        of_file.entry(offset).or_default()
    }
}

/// The snapshot with the changes. What cannot be written is added to `unmigrated`, and its file stays.
pub(super) fn edited(
    snapshot: &Snapshot,
    changes: &Changes,
    limits: &Limits,
    unmigrated: &mut Vec<Unmigrated>,
) -> Snapshot {
    // The files of a snapshot are sorted by path.
    let place = |path: &String| {
        snapshot
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path))
            .ok()
    };
    let changed = (changes.0.iter()).filter_map(|(path, changes)| Some((place(path)?, changes)));
    let changed: Vec<(usize, &FileChanges)> = changed.collect();
    let rewritten = parallel::map("editing files", &changed, parallel::cpu_count(), |(place, changes)| {
        rewrite(&snapshot.files[*place], changes, limits)
    });
    let mut taken: BTreeSet<String> = snapshot.files.iter().map(|file| (&file.path).into()).collect();
    let mut files: Vec<Option<Arc<SourceFile>>> = snapshot.files.iter().cloned().map(Some).collect();
    for ((place, _), rewritten) in changed.into_iter().zip(rewritten) {
        let file = &snapshot.files[place];
        match rewritten {
            Ok(rewritten) => {
                match rewritten.text {
                    // What is the same stays the very same, so that it is not decoded again.
                    Some(text) if text == file.text() => {}
                    text => files[place] = text.map(|text| SourceFile::new(file.path.clone(), text)),
                }
                let new = rewritten.elsewhere.iter();
                files.extend(new.map(|value| Some(new_file(&file.path, value, &mut taken))));
            }
            Err(error) => unmigrated.push(Unmigrated {
                kind: "file".to_owned(),
                mesh: String::new(),
                name: (&file.path).into(),
                file: (&file.path).into(),
                line: 1,
                reason: format!("the file stays as it is: {error}"),
            }),
        }
    }
    Snapshot {
        files: files.into_iter().flatten().collect(),
        ..snapshot.clone()
    }
}

/// A JSON file for a resource, beside another one.
fn new_file(beside: &str, value: &Value, taken: &mut BTreeSet<String>) -> Arc<SourceFile> {
    let name = value
        .get("name")
        .or_else(|| value.get("metadata")?.get("name"))
        .and_then(Value::as_str);
    let directory = beside.rfind('/').map_or("", |slash| &beside[..=slash]);
    let name = name.unwrap_or("mesh-trace");
    let numbered = (2..).map(|number| format!("{directory}{name}-{number}.json"));
    let mut paths = std::iter::once(format!("{directory}{name}.json")).chain(numbered);
    let path = paths.find(|path| !taken.contains(path)).unwrap_or_default();
    taken.insert(path.clone());
    SourceFile::new(path, serde_json::to_string_pretty(value).unwrap_or_default() + "\n")
}

/// The files in which two snapshots differ.
pub(super) fn between(before: &Snapshot, after: &Snapshot) -> Vec<FileEdit> {
    let (old, new) = (by_path(before), by_path(after));
    let paths: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let text = |file: Option<&&Arc<SourceFile>>| file.map(|file| file.text().into_owned());
    let is_same = |path: &&str| match (old.get(path), new.get(path)) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old.text() == new.text(),
        (old, new) => old.is_none() && new.is_none(),
    };
    let changed = paths.into_iter().filter(|path| !is_same(path));
    changed
        .map(|path| FileEdit {
            path: path.to_owned(),
            before: old.get(path).map(|file| Arc::clone(file)),
            after: text(new.get(path)),
        })
        .collect()
}

fn by_path(snapshot: &Snapshot) -> BTreeMap<&str, &Arc<SourceFile>> {
    snapshot.files.iter().map(|file| (file.path.as_str(), file)).collect()
}
