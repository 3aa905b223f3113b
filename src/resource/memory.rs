//! The documents of the last snapshot, which are decoded once for each content of a file.

use std::sync::Arc;

use crate::kuma::Kuma;
use crate::resource::decode::context::Context;
use crate::resource::documents::Documents;
use crate::resource::resources::Contributions;
use crate::resource::text::Texts;
use crate::source::SourceFile;
use crate::system::parallel;
use crate::yaml::Limits;

/// The options of decoding.
#[derive(Debug)]
pub struct ParseOptions<'a> {
    /// The control plane whose behaviour is compiled.
    pub kuma: &'a Kuma,
    /// The limits of the reader.
    pub limits: &'a Limits,
    /// The meshes of each file when it could be read last.
    pub known: &'a Contributions,
}

/// The documents of the files of the last snapshot.
///
/// It grows with the files of one snapshot: what the next one does not have is forgotten.
#[derive(Debug, Default)]
pub struct Memory {
    /// The options with which the files were decoded.
    decoded_with: Option<(Kuma, Limits)>,
    /// The files, sorted by path, with their documents.
    files: Vec<(Arc<SourceFile>, Arc<Documents>)>,
}

/// The documents of files.
pub(super) struct Decoded {
    /// The documents of each file, in the order of the files.
    pub(super) documents: Vec<Arc<Documents>>,
    /// The number of files that had to be decoded.
    pub(super) decoded: usize,
}

/// The number of files that are decoded at a time.
const PORTION: usize = 32;

impl Memory {
    /// The documents of all files of a snapshot, which are sorted by path.
    pub(super) fn documents(&mut self, files: &[&Arc<SourceFile>], options: &ParseOptions) -> Decoded {
        let decoded_with = Some((options.kuma.clone(), options.limits.clone()));
        if self.decoded_with != decoded_with {
            *self = Self {
                decoded_with,
                files: Vec::new(),
            };
        }
        let mut found = self.known(files);
        let missing: Vec<usize> = (0..files.len()).filter(|i| found[*i].is_none()).collect();
        let portions: Vec<&[usize]> = missing.chunks(PORTION).collect();
        let decoded = parallel::map_with(&portions, parallel::cpu_count(), Texts::default, |texts, portion| {
            let context = Context {
                kuma: options.kuma,
                texts,
            };
            let documents = portion.iter().map(|i| {
                let file = files[*i];
                Arc::new(Documents::of(
                    file,
                    &context,
                    options.limits,
                    options.known.get(&file.path),
                ))
            });
            documents.collect::<Vec<_>>()
        });
        for (i, documents) in missing.iter().zip(decoded.into_iter().flatten()) {
            found[*i] = Some(documents);
        }
        let documents: Vec<Arc<Documents>> = found.into_iter().flatten().collect();
        let repeatable = files
            .iter()
            .zip(&documents)
            .filter(|(_, documents)| !documents.depends_on_past);
        self.files = repeatable
            .map(|(file, documents)| (Arc::clone(file), Arc::clone(documents)))
            .collect();
        Decoded {
            documents,
            decoded: missing.len(),
        }
    }

    /// The documents of those files that are as they were.
    fn known(&self, files: &[&Arc<SourceFile>]) -> Vec<Option<Arc<Documents>>> {
        let mut before = self.files.iter().peekable();
        let known = files.iter().map(|file| {
            while before
                .next_if(|(before, _)| !Arc::ptr_eq(before, file) && before.path < file.path)
                .is_some()
            {}
            let same = before.next_if(|(before, _)| Arc::ptr_eq(before, file) || before == *file);
            same.map(|(_, documents)| Arc::clone(documents))
        });
        known.collect()
    }
}
