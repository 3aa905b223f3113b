//! Plain files of what would be published, for people who keep them in a repository of their own.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::context::Failure;
use crate::apply;
use crate::envoy::artifact::{Artifact, Fragments, ProxyKey, TRACING};
use crate::envoy::effective::EffectiveTracing;
use crate::words::plural;

/// The numbers of files and proxies that were written or removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    files: usize,
    changed: usize,
    removed: usize,
}

impl Written {
    /// The numbers in words: `55 files, 3 of them new or changed, 1 proxy removed`.
    pub(super) fn describe(&self) -> String {
        let mut said = format!(
            "{}, {} of them new or changed",
            plural(self.files, "file"),
            self.changed
        );
        if self.removed > 0 {
            said.push_str(&format!(", {} removed", plural(self.removed, "proxy")));
        }
        said
    }
}

/// Writes the files of all proxies below a directory, and removes those of proxies that were written there before. Other files
/// stay, and equal ones are not written again.
///
/// # Errors
/// When the directory is one that `run` publishes to, or the disk fails.
pub(super) fn write(fragments: &Fragments, root: &Path) -> Result<Written, Failure> {
    if apply::is_output(root) {
        return Err(format!(
            "{} is the output directory of `meshtraced run`; choose another one",
            root.display()
        )
        .into());
    }
    let mut written = Written::default();
    for proxy in strays(fragments, root) {
        remove(&proxy, root).map_err(at(&root.join(proxy.directory())))?;
        written.removed += 1;
    }
    for (proxy, files) in fragments {
        let directory = root.join(proxy.directory());
        for (artifact, text) in files {
            let path = directory.join(&*artifact.path());
            written.files += 1;
            if fs::read(&path).is_ok_and(|known| known == text.text().as_bytes()) {
                continue;
            }
            written.changed += 1;
            let parent = path.parent().unwrap_or(&directory);
            fs::create_dir_all(parent).map_err(at(parent))?;
            fs::write(&path, text.text().as_bytes()).map_err(at(&path))?;
        }
    }
    Ok(written)
}

fn at(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| format!("cannot write {}: {error}", path.display()).into()
}

/// The proxies that have files below the directory, and shall not: their `effective.yaml` says who they are.
fn strays(fragments: &Fragments, root: &Path) -> Vec<ProxyKey> {
    let files = WalkDir::new(root)
        .min_depth(3)
        .max_depth(3)
        .into_iter()
        .filter_map(Result::ok);
    let key = |path: &Path| {
        let tracing = EffectiveTracing::read(&fs::read_to_string(path).ok()?)?;
        let key = ProxyKey::new(tracing.mesh, tracing.dataplane);
        let is_own = path == root.join(key.directory()).join(&*Artifact::Effective.path());
        is_own.then_some(key)
    };
    let named = files.filter(|file| file.file_name() == &*Artifact::Effective.path());
    let found: BTreeSet<ProxyKey> = named.filter_map(|file| key(file.path())).collect();
    found.into_iter().filter(|key| !fragments.contains_key(key)).collect()
}

/// Removes the files of a proxy, and the directories that are empty then.
fn remove(proxy: &ProxyKey, root: &Path) -> io::Result<()> {
    let directory = root.join(proxy.directory());
    let mut parents: Vec<PathBuf> = Vec::new();
    let blocks = WalkDir::new(directory.join(TRACING))
        .max_depth(1)
        .into_iter()
        .filter_map(Result::ok);
    let blocks = blocks.filter_map(|file| Artifact::at(&format!("{TRACING}/{}", file.file_name().to_str()?)));
    for artifact in Artifact::SINGLE.into_iter().chain(blocks) {
        let path = directory.join(&*artifact.path());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => parents.extend(path.parent().map(Path::to_owned)),
        }
    }
    parents.sort();
    parents.dedup();
    // The innermost first; one with other files stays.
    for parent in parents.iter().rev() {
        drop(fs::remove_dir(parent));
    }
    drop(directory.parent().map(fs::remove_dir));
    Ok(())
}
