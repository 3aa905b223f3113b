//! The edited files of a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::report::Unmigrated;
use super::segment::{FileChanges, ResourceChange, rewrite, with_text};
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

/// The files with the changes. What cannot be written is added to `unmigrated`, and its file stays.
pub(super) fn apply(
    snapshot: &Snapshot,
    changes: &Changes,
    limits: &Limits,
    unmigrated: &mut Vec<Unmigrated>,
) -> Vec<FileEdit> {
    let mut taken: BTreeSet<String> = snapshot.files.iter().map(|file| file.path.clone()).collect();
    // The files of a snapshot are sorted by path.
    let place = |path: &String| snapshot.files.binary_search_by(|file| file.path.cmp(path)).ok();
    let files = changes
        .0
        .iter()
        .filter_map(|(path, changes)| Some((&snapshot.files[place(path)?], changes)));
    let files: Vec<(&Arc<SourceFile>, &FileChanges)> = files.collect();
    let rewritten = parallel::map("editing files", &files, parallel::cpu_count(), |(file, changes)| {
        rewrite(file, changes, limits)
    });
    let mut edits = Vec::new();
    for ((file, _), rewritten) in files.into_iter().zip(rewritten) {
        let path = &file.path;
        match rewritten {
            Ok(rewritten) if rewritten.text.as_ref() == Some(&file.text) => {}
            Ok(rewritten) => {
                edits.push(FileEdit {
                    path: path.clone(),
                    before: Some(Arc::clone(file)),
                    after: rewritten.text,
                });
                edits.extend(
                    rewritten
                        .elsewhere
                        .iter()
                        .map(|value| new_file(path, value, &mut taken)),
                );
            }
            Err(error) => unmigrated.push(Unmigrated {
                kind: "file".to_owned(),
                mesh: String::new(),
                name: path.clone(),
                file: path.clone(),
                line: 1,
                reason: format!("the file stays as it is: {error}"),
            }),
        }
    }
    edits.sort_by(|a, b| a.path.cmp(&b.path));
    edits
}

/// A JSON file for a resource, beside another one.
fn new_file(beside: &str, value: &Value, taken: &mut BTreeSet<String>) -> FileEdit {
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
    FileEdit {
        path,
        before: None,
        after: Some(serde_json::to_string_pretty(value).unwrap_or_default() + "\n"),
    }
}

/// The files in which two snapshots differ.
pub(super) fn between(before: &Snapshot, after: &Snapshot) -> Vec<FileEdit> {
    let by_path = |snapshot: &Snapshot| -> BTreeMap<String, Arc<SourceFile>> {
        let files = snapshot.files.iter();
        files.map(|file| (file.path.clone(), Arc::clone(file))).collect()
    };
    let (old, new) = (by_path(before), by_path(after));
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = paths
        .into_iter()
        .filter(|path| old.get(*path).map(|file| &file.text) != new.get(*path).map(|file| &file.text));
    changed
        .map(|path| FileEdit {
            path: path.clone(),
            before: old.get(path).cloned(),
            after: new.get(path).map(|file| file.text.clone()),
        })
        .collect()
}

/// The snapshot with the edited files.
pub(super) fn edited(snapshot: &Snapshot, edits: &[FileEdit]) -> Snapshot {
    let by_path: BTreeMap<&str, &FileEdit> = edits.iter().map(|edit| (edit.path.as_str(), edit)).collect();
    let mut edited = snapshot.clone();
    edited.files.retain_mut(|file| match by_path.get(file.path.as_str()) {
        None => true,
        Some(edit) => match &edit.after {
            Some(text) => {
                *file = with_text(file, text.clone());
                true
            }
            None => false,
        },
    });
    let new = edits.iter().filter(|edit| edit.before.is_none());
    let new = new.filter_map(|edit| Some(SourceFile::new(edit.path.clone(), edit.after.clone()?)));
    edited.files.extend(new);
    edited.sort();
    edited
}
