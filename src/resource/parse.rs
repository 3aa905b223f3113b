//! From a snapshot to resources: the documents of all files together, with the checks of their names.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, Place, ResourceId, Severity};
use crate::resource::complete::{Placed, complete};
use crate::resource::document::kustomization::Kustomizations;
use crate::resource::document::salvage;
use crate::resource::documents::{Documents, affected_meshes, downgrade_foreign};
use crate::resource::memory::{Memory, ParseOptions};
use crate::resource::resources::{Resources, covered};
use crate::source::{Snapshot, SourceFile, Unreadable, UnreadableReason};

/// Decodes all documents of a snapshot, except those of files that `memory` has.
///
/// Never fails: an invalid document is left out and explained in `diagnostics`. What is in `memory` changes the cost
/// and not the result.
pub fn parse(
    snapshot: &Snapshot,
    options: &ParseOptions,
    memory: &mut Memory,
    diagnostics: &mut Diagnostics,
) -> Resources {
    let kustomizations = Kustomizations::find(snapshot, options.limits);
    let (mut files, mut parts) = (Vec::new(), BTreeMap::<&str, Vec<&SourceFile>>::new());
    for file in &snapshot.files {
        match kustomizations.around(&file.path) {
            None => files.push(file),
            Some(directory) => parts.entry(directory).or_default().push(file),
        }
    }
    let decoded = memory.documents(&files, options);
    let mut collected = Collected::new(options);
    for (file, documents) in files.iter().zip(&*decoded.documents) {
        collected.add(&file.path, documents);
    }
    for (directory, error) in kustomizations.errors() {
        collected.kustomization(parts.get(directory).map_or(&[], Vec::as_slice), error);
    }
    for unreadable in &snapshot.unreadable {
        collected.unreadable(unreadable);
    }
    collected.finish(diagnostics)
}

/// The documents of all files so far.
struct Collected<'a> {
    options: &'a ParseOptions<'a>,
    resources: Resources,
    /// The resources with a name, in the order of the files.
    placed: Vec<(&'a ResourceId, &'a Placed)>,
    diagnostics: Diagnostics,
}

impl<'a> Collected<'a> {
    fn new(options: &'a ParseOptions<'a>) -> Self {
        Self {
            options,
            resources: Resources::default(),
            placed: Vec::new(),
            diagnostics: Diagnostics::default(),
        }
    }

    fn add(&mut self, path: &str, documents: &'a Documents) {
        let resources = &mut self.resources;
        documents
            .resources
            .iter()
            .cloned()
            .for_each(|resource| resources.add(resource));
        if !documents.meshes.is_empty() {
            resources
                .contributions
                .insert(path.to_owned(), documents.meshes.clone());
        }
        resources.unavailable.extend(documents.unavailable.iter().cloned());
        resources.gaps.add(&documents.gaps);
        resources.seen += documents.seen;
        for (kind, n) in &documents.passed_over {
            *resources.passed_over.entry(kind).or_default() += n;
        }
        self.placed
            .extend(documents.placed.iter().map(|(id, placed)| (&**id, placed)));
        self.diagnostics.append(documents.findings.clone());
    }

    /// Reports a kustomization whose files are not decoded. It holds the meshes that they had before or mention now.
    fn kustomization(&mut self, files: &[&SourceFile], error: Diagnostic) {
        let mut meshes = BTreeSet::new();
        let mut is_ours = false;
        for file in files {
            match self.affected_meshes(file) {
                Some(Holds::Meshes(of_file)) => meshes.extend(of_file),
                Some(Holds::All) => is_ours = true,
                Some(Holds::Nothing | Holds::Proxies(_)) | None => {}
            }
        }
        if meshes.is_empty() && !is_ours {
            return;
        }
        self.resources.seen += 1;
        let error = error.holds(if is_ours { Holds::All } else { Holds::Meshes(meshes) });
        self.resources.gaps.note(&error);
        self.diagnostics.push(error);
    }

    fn affected_meshes(&mut self, file: &SourceFile) -> Option<Holds> {
        let known = self.options.known.get(&file.path);
        let mut meshes = BTreeSet::new();
        let holds = affected_meshes(&file.text, known, &mut meshes, &mut self.resources.unavailable);
        if known.is_some() {
            self.resources.contributions.insert(file.path.clone(), meshes);
        }
        holds
    }

    fn unreadable(&mut self, unreadable: &Unreadable) {
        let mut was_about = BTreeSet::new();
        for (path, meshes) in covered(self.options.known, unreadable) {
            // The files keep their meshes until they can be read again.
            let contribution = self.resources.contributions.entry(path.clone()).or_default();
            contribution.extend(meshes.iter().cloned());
            was_about.extend(meshes.iter().cloned());
        }
        let now = unreadable.beginning.as_deref().and_then(salvage::affected_meshes);
        self.resources.unavailable.extend(was_about.iter().cloned());
        let holds = match (now, was_about.is_empty()) {
            (Some(Holds::All), _) => Some(Holds::All),
            (_, false) => Some(Holds::Meshes(was_about)),
            (now, true) if unreadable.beginning.is_some() => now,
            (_, true) => unreadable.may_be_about_anything().then_some(Holds::All),
        };
        // An empty file that never had a resource is no error.
        if holds.is_none() && unreadable.reason == UnreadableReason::Empty {
            return;
        }
        let place = Place::File(unreadable.path.clone());
        let message = unreadable.reason.to_string();
        let diagnostic = Diagnostic::new(Severity::Error, Code::UnreadableFile, place, message);
        let diagnostic = diagnostic.help(unreadable.reason.help());
        let diagnostic = match holds {
            Some(holds) => diagnostic.holds(holds),
            None if unreadable.beginning.is_some() => downgrade_foreign(diagnostic),
            None => Diagnostic {
                severity: Severity::Warning,
                ..diagnostic
            },
        };
        self.resources.gaps.note(&diagnostic);
        self.diagnostics.push(diagnostic);
    }

    fn finish(self, diagnostics: &mut Diagnostics) -> Resources {
        diagnostics.append(self.diagnostics);
        let places = distinct(self.placed, diagnostics);
        complete(self.resources, &places, self.options.kuma, diagnostics)
    }
}

/// The first place of each resource; a second resource with the same identity is an error.
fn distinct<'a>(
    placed: Vec<(&'a ResourceId, &'a Placed)>,
    diagnostics: &mut Diagnostics,
) -> HashMap<&'a ResourceId, &'a Placed> {
    let mut places: HashMap<&ResourceId, &Placed> = HashMap::with_capacity(placed.len());
    for (id, placed) in placed {
        let first = match places.entry(id) {
            Entry::Occupied(first) => *first.get(),
            Entry::Vacant(new) => {
                new.insert(placed);
                continue;
            }
        };
        let message = format!("{id} already exists, at {}", first.name);
        let diagnostic = Diagnostic::error(Code::DuplicateResource, &placed.name, message).path("name");
        let help = "rename or remove one of them, or exclude one of the files with `exclude` in the settings";
        diagnostics.push(diagnostic.resource(placed.document, id.clone()).help(help));
    }
    places
}
