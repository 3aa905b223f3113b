//! Writing edited policies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::context::Failure;
use crate::migrate::FileEdit;
use crate::settings::Settings;
use crate::source;
use crate::words::{below, few, plural};

/// A file to write.
struct Target<'e> {
    edit: &'e FileEdit,
    /// The real path.
    path: PathBuf,
    /// The path of the new text beside it, until all new texts are there.
    aside: PathBuf,
}

/// Edits the files. Before the first one changes, all are looked at: each must be as it was read, writable, and without changes that
/// no commit has, unless `is_forced`. All new texts are on disk before the first takes its place.
///
/// # Errors
/// When a file cannot be written, with its name. No file is edited then, unless the disk fails between two renames.
pub(super) fn files(settings: &Settings, edits: &[FileEdit], is_forced: bool) -> Result<(), Failure> {
    let prefix = settings.sources().prefix();
    let targets = edits.iter().map(|edit| target(edit, &prefix));
    let targets = targets.collect::<Result<Vec<Target>, _>>()?;
    let old = targets.iter().filter(|target| target.edit.before.is_some());
    let paths: Vec<&Path> = old.map(|target| target.path.as_path()).collect();
    let modified = if is_forced {
        Vec::new()
    } else {
        source::uncommitted(&paths)?
    };
    if !modified.is_empty() {
        let names: Vec<String> = modified.iter().map(|path| path.display().to_string()).collect();
        let count = plural(modified.len(), "file");
        let names = few(&names);
        let message = format!(
            "{count} would be edited that have changes without a commit: {names}; commit them, or use `--force`"
        );
        return Err(message.into());
    }
    if let Err(failure) = targets.iter().try_for_each(Target::stage) {
        for target in &targets {
            let _ = fs::remove_file(&target.aside);
        }
        return Err(failure);
    }
    targets.iter().try_for_each(Target::finish)
}

fn target<'e>(edit: &'e FileEdit, prefix: &str) -> Result<Target<'e>, Failure> {
    let named = PathBuf::from(below(prefix, &edit.path));
    let path = match &edit.before {
        // A link stays, and what it leads to is edited.
        Some(before) => existing(&named, &before.text())?,
        None if named.symlink_metadata().is_ok() => {
            return Err(format!("{} is there already, and no policy", named.display()).into());
        }
        None => named,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.meshtraced"));
    Ok(Target { edit, path, aside })
}

/// The real path of a file, which must be as it was read, and writable.
fn existing(named: &Path, text: &str) -> Result<PathBuf, Failure> {
    let failure = |error: io::Error| format!("cannot edit {}: {error}", named.display());
    let path = fs::canonicalize(named).map_err(failure)?;
    if fs::read(&path).map_err(failure)? != text.as_bytes() {
        let why = "it changed meanwhile, or the policies are read from Git's objects rather than from files";
        return Err(format!("{} is not as it was read: {why}", named.display()).into());
    }
    OpenOptions::new().append(true).open(&path).map_err(failure)?;
    Ok(path)
}

impl Target<'_> {
    /// Writes the new text aside, with the permissions of the file.
    fn stage(&self) -> Result<(), Failure> {
        let Some(text) = &self.edit.after else { return Ok(()) };
        let written = (|| {
            let mut file = File::create(&self.aside)?;
            file.write_all(text.as_bytes())?;
            if let Ok(metadata) = fs::metadata(&self.path) {
                file.set_permissions(metadata.permissions())?;
            }
            file.sync_all()
        })();
        written.map_err(|error| format!("cannot edit {}: {error}", self.path.display()).into())
    }

    fn finish(&self) -> Result<(), Failure> {
        let done = match &self.edit.after {
            Some(_) => fs::rename(&self.aside, &self.path),
            None => fs::remove_file(&self.path),
        };
        done.map_err(|error| format!("cannot edit {}: {error}", self.path.display()).into())
    }
}
