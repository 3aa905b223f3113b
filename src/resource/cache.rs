//! The documents of the last snapshot, which are decoded once for each content of a file, and the resources in them.

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::diag::ResourceId;
use crate::keep::{Text, Texts, carry};
use crate::kuma::Kuma;
use crate::resource::decode::context::Context;
use crate::resource::document::kustomization::{self, Kustomizations};
use crate::resource::documents::{Documents, Notes, Placed};
use crate::resource::resources::{Contributions, ListChange, Resources};
use crate::source::{Snapshot, SourceFile};
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

/// The files and resources of the last snapshot.
///
/// It grows with the files of one snapshot: what the next one does not have is forgotten.
#[derive(Debug, Default)]
pub struct Cache {
    /// The options with which the files were decoded.
    decoded_with: Option<(Kuma, Limits)>,
    /// The directories of the snapshot whose files are not decoded.
    kustomizations: Kustomizations,
    /// The other files, sorted by path, with their documents.
    files: Vec<File>,
    /// The number of those whose documents depend on what was read before.
    on_past: usize,
    merged: Merged,
    /// The texts of the files that were decoded a few at a time, so that they share what repeats.
    texts: Texts,
    decoded: usize,
}

/// A file with its documents.
#[derive(Debug)]
pub(super) struct File {
    pub(super) file: Arc<SourceFile>,
    pub(super) documents: Arc<Documents>,
}

/// The number of documents up to which lists are changed rather than made anew: each change moves what comes after it.
const FEW: usize = 256;

/// The number of files up to which they are decoded one after the other.
const FEW_FILES: usize = 4;

impl Cache {
    /// The number of files of the last snapshot that had to be decoded.
    #[must_use]
    pub fn decoded(&self) -> usize {
        self.decoded
    }

    /// Reads the documents of all files of a snapshot but parts of a kustomization, and merges them.
    pub(super) fn update(&mut self, snapshot: &Snapshot, options: &ParseOptions) {
        let decoded_with = Some((options.kuma.clone(), options.limits.clone()));
        if self.decoded_with != decoded_with {
            *self = Self {
                decoded_with,
                ..Self::default()
            };
        }
        let mut files = Cow::Borrowed(&*snapshot.files);
        let (mut old, mut next) = self.window(&files);
        if self.find_kustomizations(snapshot, &snapshot.files[next.clone()], options.limits) {
            files = self.without_parts(snapshot);
            (old, next) = self.window(&files);
        }
        let (start, files) = (old.start, &files[next]);
        let Compared { mut found, gone } = compare(self.files.drain(old).collect(), files);
        let new: Vec<usize> = (0..files.len()).filter(|i| found[*i].is_none()).collect();
        let to_decode: Vec<_> = new.iter().map(|i| &files[*i]).collect();
        let added = if to_decode.len() <= FEW_FILES {
            decode_few(&to_decode, options, &self.texts)
        } else {
            decode(&to_decode, options)
        };
        self.decoded = added.len();
        let documents = added.iter().chain(gone.iter().map(|file| &file.documents));
        let is_small = documents.map(|documents| documents.len()).sum::<usize>() <= FEW;
        for (i, documents) in new.iter().zip(added) {
            let file = Arc::clone(&files[*i]);
            found[*i] = Some(File { file, documents });
        }
        self.files.splice(start..start, found.into_iter().flatten());
        let on_past = |file: &&File| file.documents.depends_on_past();
        self.on_past -= gone.iter().filter(on_past).count();
        let new = new.iter().map(|i| &self.files[start + *i]);
        self.on_past += new.clone().filter(on_past).count();
        if is_small && self.merged.are_distinct() {
            gone.iter().for_each(|file| self.merged.remove(file));
            for file in new.clone() {
                self.merged.add(file, ListChange::Insert);
                self.merged.contribute(file);
            }
            let there: HashSet<&str> = new.map(|file| file.file.path.as_str()).collect();
            let gone = gone.iter().map(|file| file.file.path.as_str());
            gone.filter(|path| !there.contains(path))
                .for_each(|path| self.merged.forget(path));
        }
        if !is_small || !self.merged.are_distinct() {
            self.merged = Merged::of(&self.files);
        }
        // Those of files that are gone.
        drop(gone);
        self.texts.forget_unused();
    }

    /// The parts in which the files of the last snapshot differ from the next ones, with those that are decoded anew in any case.
    fn window(&self, next: &[Arc<SourceFile>]) -> (Range<usize>, Range<usize>) {
        let stays = |known: &File| self.on_past == 0 || !known.documents.depends_on_past();
        carry::window(&self.files, next, |known, file| {
            Arc::ptr_eq(&known.file, file) && stays(known)
        })
    }

    /// Finds the kustomizations of a snapshot, of which the `new` files were not in the last one; `false` if there is none.
    fn find_kustomizations(&mut self, snapshot: &Snapshot, new: &[Arc<SourceFile>], limits: &Limits) -> bool {
        if !self.kustomizations.is_empty() || new.iter().any(|file| kustomization::is_one(&file.path)) {
            self.kustomizations = Kustomizations::find(snapshot, limits);
        }
        !self.kustomizations.is_empty()
    }

    /// The files of a snapshot that are no parts of a kustomization.
    fn without_parts<'s>(&self, snapshot: &'s Snapshot) -> Cow<'s, [Arc<SourceFile>]> {
        let is_part = |file: &&Arc<SourceFile>| self.kustomizations.around(&file.path).is_some();
        snapshot.files.iter().filter(|file| !is_part(file)).cloned().collect()
    }

    /// The directories of the snapshot whose files are parts of a kustomization.
    pub(super) fn kustomizations(&self) -> &Kustomizations {
        &self.kustomizations
    }

    /// The files with their documents, sorted by path.
    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    /// The content of all files together.
    pub(super) fn merged(&self) -> &Merged {
        &self.merged
    }
}

/// The files of the last snapshot compared with those of the next.
struct Compared {
    /// Each of the next files with its documents, as far as they are known.
    found: Vec<Option<File>>,
    /// The last files that are not among the next.
    gone: Vec<File>,
}

fn compare(last: Vec<File>, files: &[Arc<SourceFile>]) -> Compared {
    let mut last = last.into_iter().peekable();
    let mut gone = Vec::new();
    let mut compare = |file: &Arc<SourceFile>| {
        let is_it = |last: &File| Arc::ptr_eq(&last.file, file);
        while let Some(before) = last.next_if(|last| !is_it(last) && last.file.path < file.path) {
            gone.push(before);
        }
        let mut known = last.next_if(|last| is_it(last) || last.file.path == file.path)?;
        let is_same = is_it(&known) || known.file == *file;
        if !is_same || known.documents.depends_on_past() {
            gone.push(known);
            return None;
        }
        if !is_it(&known) {
            known.file = Arc::clone(file);
        }
        Some(known)
    };
    let found = files.iter().map(&mut compare).collect();
    gone.extend(last);
    Compared { found, gone }
}

/// The documents of each file, whose texts are shared with those that were met before.
fn decode_few(files: &[&Arc<SourceFile>], options: &ParseOptions, texts: &Texts) -> Vec<Arc<Documents>> {
    files.iter().map(|file| decode_one(file, options, texts)).collect()
}

/// The documents of each file, decoded on all processors.
fn decode(files: &[&Arc<SourceFile>], options: &ParseOptions) -> Vec<Arc<Documents>> {
    let threads = parallel::cpu_count();
    parallel::map_with("parsing files", files, threads, Texts::default, |texts, file| {
        decode_one(file, options, texts)
    })
}

fn decode_one(file: &Arc<SourceFile>, options: &ParseOptions, texts: &Texts) -> Arc<Documents> {
    let context = Context {
        kuma: options.kuma,
        texts,
    };
    let known = options.known.get(&file.path);
    Arc::new(Documents::of(file, &context, options.limits, known.map(Arc::as_ref)))
}

/// The content of all files together.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// The resources, sorted by mesh and name; those with one name in the order of the files. Without services that a
    /// control plane synthesizes, and without what [`notable`](Self::notable) has.
    pub(super) resources: Resources,
    /// The content beside valid resources of each file that has some, by path.
    pub(super) notable: BTreeMap<Text, Arc<Notes>>,
    /// The number of documents with each identity.
    ids: HashMap<Arc<ResourceId>, usize>,
    /// The number of documents of each mesh.
    meshes: BTreeMap<Text, usize>,
    /// The number of documents whose identity another one has already.
    repeated: usize,
}

impl Merged {
    fn of(files: &[File]) -> Self {
        let mut merged = Self::default();
        let ids = files.iter().map(|file| file.documents.placed.len()).sum();
        merged.ids.reserve(ids);
        files.iter().for_each(|file| merged.add(file, ListChange::Push));
        merged.resources.sort();
        let contributions = files.iter().filter(|file| !file.documents.meshes.is_empty());
        let contributions = contributions.map(|file| (file.file.path.clone(), Arc::clone(&file.documents.meshes)));
        merged.resources.contributions = Arc::new(contributions.collect());
        merged
    }

    /// Whether no two documents have the same identity.
    pub(super) fn are_distinct(&self) -> bool {
        self.repeated == 0
    }

    /// The names of the meshes of all documents with a name.
    pub(super) fn meshes(&self) -> impl Iterator<Item = &str> {
        self.meshes.keys().map(Text::as_str)
    }

    /// The names of all meshes that are declared, validly or not, and of the mesh `default`.
    pub(super) fn declared(&self) -> BTreeSet<String> {
        let is_declared = |mesh: &&Text| {
            let id = ResourceId {
                kind: "Mesh".into(),
                mesh: Text::clone(mesh),
                name: Text::clone(mesh),
            };
            self.ids.contains_key(&id)
        };
        let declared = self.meshes.keys().filter(is_declared).map(String::from);
        declared.chain(["default".to_owned()]).collect()
    }

    /// Adds the content of a file, except for its meshes.
    fn add(&mut self, file: &File, change: ListChange) {
        let documents = &file.documents;
        for resource in &documents.resources {
            self.resources.change(change, resource);
        }
        for id in documents.ids() {
            let count = self.ids.entry(Arc::clone(id)).or_default();
            *count += 1;
            self.repeated += usize::from(*count > 1);
        }
        for Placed { id, .. } in &documents.placed {
            match self.meshes.get_mut(&id.mesh) {
                Some(count) => *count += 1,
                None => drop(self.meshes.insert(id.mesh.clone(), 1)),
            }
        }
        self.resources.seen += documents.seen;
        if let Some(notes) = &documents.notes {
            self.notable.insert(file.file.path.clone(), Arc::clone(notes));
            for (kind, n) in &notes.passed_over {
                *self.resources.passed_over.entry(kind).or_default() += n;
            }
        }
    }

    /// Takes note of the meshes of a file.
    fn contribute(&mut self, file: &File) {
        let (path, meshes) = (&file.file.path, &file.documents.meshes);
        let known = self.resources.contributions.get(path);
        // Others hold the map too, and a change copies it.
        if meshes.is_empty() && known.is_some() {
            Arc::make_mut(&mut self.resources.contributions).remove(path);
        } else if !meshes.is_empty() && known != Some(meshes) {
            Arc::make_mut(&mut self.resources.contributions).insert(path.clone(), Arc::clone(meshes));
        }
    }

    /// Removes the meshes of a file that is gone.
    fn forget(&mut self, path: &str) {
        if self.resources.contributions.contains_key(path) {
            Arc::make_mut(&mut self.resources.contributions).remove(path);
        }
    }

    /// Removes the content of a file, except for its meshes. No identity must be repeated.
    fn remove(&mut self, file: &File) {
        let documents = &file.documents;
        for resource in &documents.resources {
            self.resources.change(ListChange::Remove, resource);
        }
        for id in documents.ids() {
            self.ids.remove(id);
        }
        for Placed { id, .. } in &documents.placed {
            count_down(&mut self.meshes, &id.mesh, 1);
        }
        self.notable.remove(&file.file.path);
        self.resources.seen -= documents.seen;
        for (kind, n) in documents.notes.iter().flat_map(|notes| &notes.passed_over) {
            count_down(&mut self.resources.passed_over, kind, *n);
        }
    }
}

/// Subtracts from a count, which is removed at zero.
fn count_down<K: Ord + Borrow<str>>(counts: &mut BTreeMap<K, usize>, key: &str, n: usize) {
    let Some(count) = counts.get_mut(key) else { return };
    *count = count.saturating_sub(n);
    if *count == 0 {
        counts.remove(key);
    }
}
