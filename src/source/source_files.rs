//! The files of a snapshot.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::file::SourceFile;
use crate::system::parallel;

/// Source files, sorted by path. Copies share the list until one of them changes.
#[derive(Debug, Clone, Default)]
pub struct SourceFiles(Arc<Listed>);

#[derive(Debug, Clone, Default)]
struct Listed {
    files: Vec<Arc<SourceFile>>,
    /// The sum of the digests, once it was asked for. A change costs what changes.
    sum: OnceLock<u128>,
}

/// The number of files that are hashed at a time.
const PART: usize = 256;

impl SourceFiles {
    /// A hash of all paths and texts, which does not depend on the order in which they came.
    pub(super) fn digest(&self) -> [u8; 16] {
        let sum = self.0.sum.get_or_init(|| {
            let parts: Vec<&[Arc<SourceFile>]> = self.chunks(PART).collect();
            let sum = |files: &&[Arc<SourceFile>]| files.iter().map(|file| digest(file)).fold(0, u128::wrapping_add);
            let sums = parallel::map("hashing files", &parts, parallel::threads_for(self.len()), sum);
            sums.into_iter().fold(0, u128::wrapping_add)
        });
        sum.to_le_bytes()
    }

    /// The position of the file at a path, or that where it would be.
    pub(super) fn position(&self, path: &str) -> Result<usize, usize> {
        self.binary_search_by(|file| file.path.as_str().cmp(path))
    }

    /// Puts a file in its place, for that with the same path if there is one.
    pub(super) fn put(&mut self, file: Arc<SourceFile>) {
        let position = self.position(&file.path);
        let Listed { files, sum } = Arc::make_mut(&mut self.0);
        if let Some(sum) = sum.get_mut() {
            let before = position.map_or(0, |position| digest(&files[position]));
            *sum = sum.wrapping_sub(before).wrapping_add(digest(&file));
        }
        match position {
            Ok(position) => files[position] = file,
            Err(position) => files.insert(position, file),
        }
    }

    /// Removes the file at a path, if there is one.
    pub(super) fn remove(&mut self, path: &str) {
        let Ok(position) = self.position(path) else { return };
        let Listed { files, sum } = Arc::make_mut(&mut self.0);
        let gone = files.remove(position);
        if let Some(sum) = sum.get_mut() {
            *sum = sum.wrapping_sub(digest(&gone));
        }
    }

    /// Adds files at other paths.
    pub(super) fn extend(&mut self, others: Vec<Arc<SourceFile>>) {
        let Listed { files, sum } = Arc::make_mut(&mut self.0);
        files.extend(others);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        *sum = OnceLock::new();
    }
}

/// The digest of a file as a number.
fn digest(file: &SourceFile) -> u128 {
    u128::from_be_bytes(*file.digest().as_bytes())
}

impl Deref for SourceFiles {
    type Target = [Arc<SourceFile>];

    fn deref(&self) -> &Self::Target {
        &self.0.files
    }
}

impl<'f> IntoIterator for &'f SourceFiles {
    type Item = &'f Arc<SourceFile>;
    type IntoIter = std::slice::Iter<'f, Arc<SourceFile>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Arc<SourceFile>> for SourceFiles {
    /// Files at different paths, in any order.
    fn from_iter<I: IntoIterator<Item = Arc<SourceFile>>>(files: I) -> Self {
        let mut all = Self::default();
        all.extend(files.into_iter().collect());
        all
    }
}

impl PartialEq for SourceFiles {
    fn eq(&self, other: &Self) -> bool {
        self.0.files == other.0.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_gives_the_digest_of_the_files_after_it() {
        let files = |texts: &[(&str, &str)]| -> SourceFiles {
            texts.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect()
        };
        let mut changing = files(&[("b", "1"), ("a", "2")]);
        let copy = changing.clone();
        let (before, mut seen) = (changing.digest(), vec![changing.digest()]);
        for (path, text, expected) in [
            ("c", Some("3"), files(&[("a", "2"), ("b", "1"), ("c", "3")])),
            ("a", Some("4"), files(&[("a", "4"), ("b", "1"), ("c", "3")])),
            ("b", None, files(&[("a", "4"), ("c", "3")])),
            ("x", None, files(&[("a", "4"), ("c", "3")])),
        ] {
            match text {
                Some(text) => changing.put(SourceFile::new(path, text)),
                None => changing.remove(path),
            }
            assert!(changing == expected, "{changing:?}");
            assert_eq!(changing.digest(), expected.digest());
            seen.push(changing.digest());
        }
        seen.dedup();
        assert_eq!((seen.len(), copy.digest()), (4, before));
    }
}
