//! Writing edited policies.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::context::Failure;
use crate::migrate::FileEdit;
use crate::settings::Settings;
use crate::source;
use crate::words::{below, few, plural};

/// A file to write, with its real path.
struct Target<'e> {
    edit: &'e FileEdit,
    path: PathBuf,
}

/// Edits the files. Before the first is touched, all are looked at: each must be as it was read, writable, in no other repository and
/// without changes that no commit has, unless `is_forced`.
///
/// # Errors
/// When a file cannot be written, with its name. No file is edited then, unless the disk failed midway.
pub(super) fn files(settings: &Settings, edits: &[FileEdit], is_forced: bool) -> Result<(), Failure> {
    let prefix = settings.sources().prefix();
    let targets = edits
        .iter()
        .map(|edit| target(edit, &prefix))
        .collect::<Result<Vec<_>, _>>()?;
    let paths: Vec<&Path> = targets
        .iter()
        .filter(|target| target.edit.before.is_some())
        .map(|target| target.path.as_path())
        .collect();
    let modified = if is_forced {
        Vec::new()
    } else {
        source::uncommitted(&paths)?
    };
    if !modified.is_empty() {
        let names: Vec<String> = modified.iter().map(|path| path.display().to_string()).collect();
        let count = plural(modified.len(), "file");
        return Err(format!(
            "{count} would be edited that have changes without a commit: {}; commit them, or use `--force`",
            few(&names)
        )
        .into());
    }
    for Target { edit, path } in &targets {
        let done = match &edit.after {
            Some(text) => replace(path, text),
            None => fs::remove_file(path),
        };
        done.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

fn target<'e>(edit: &'e FileEdit, prefix: &str) -> Result<Target<'e>, Failure> {
    let named = PathBuf::from(below(prefix, &edit.path));
    let Some(before) = &edit.before else {
        return Ok(Target { edit, path: named });
    };
    // A link stays, and what it leads to is edited.
    let path = fs::canonicalize(&named).map_err(|error| {
        format!(
            "{} is no file that can be edited: {error}; policies that are read from Git's objects need a work tree",
            named.display()
        )
    })?;
    let text = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if text != before.text.as_bytes() {
        return Err(format!("{} changed while it was read; try again", path.display()).into());
    }
    let opened = OpenOptions::new().append(true).open(&path);
    opened.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(Target { edit, path })
}

/// Puts a text in the place of a file, with the same permissions.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.meshtraced"));
    let written = (|| {
        let mut file = fs::File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        if let Ok(metadata) = fs::metadata(path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&aside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}
