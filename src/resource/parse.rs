//! From a snapshot to resources: the documents of all files together, with the checks of their names.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, Place, ResourceId, Severity};
use crate::resource::cache::{Cache, File, Merged, ParseOptions};
use crate::resource::complete::complete;
use crate::resource::document::kustomization::Kustomizations;
use crate::resource::document::salvage;
use crate::resource::documents::{Placed, affected_meshes, downgrade_foreign};
use crate::resource::resources::{Resources, covered};
use crate::resource::value::names::is_mesh_name;
use crate::source::{Location, Snapshot, SourceFile, Unreadable, UnreadableReason};
use crate::words::closest;

/// Decodes all documents of a snapshot, except those of files that `cache` has.
///
/// Never fails: an invalid document is left out and explained in `diagnostics`. What is in `cache` changes the cost
/// and not the result.
pub fn parse(
    snapshot: &Snapshot,
    options: &ParseOptions,
    cache: &mut Cache,
    diagnostics: &mut Diagnostics,
) -> Resources {
    cache.update(snapshot, options);
    let mut collected = Collected::of(cache.merged(), options, diagnostics);
    let parts = parts(snapshot, cache.kustomizations());
    for (directory, error) in cache.kustomizations().errors() {
        collected.kustomization(parts.get(directory).map_or(&[], Vec::as_slice), error);
    }
    for unreadable in &snapshot.unreadable {
        collected.unreadable(unreadable);
    }
    let mut resources = collected.resources;
    resources.declared = cache.merged().declared();
    let unknown = unknown_meshes(cache.merged(), &resources);
    if !cache.merged().are_distinct() || !unknown.is_empty() {
        let places = distinct(cache.files(), diagnostics);
        report_unknown(&places, &unknown, &resources.declared, diagnostics);
        resources.retain_first(|mesh| !unknown.contains(mesh));
    }
    complete(resources, options.kuma)
}

/// The files of kustomizations, by their directory.
fn parts<'s>(snapshot: &'s Snapshot, kustomizations: &'s Kustomizations) -> BTreeMap<&'s str, Vec<&'s SourceFile>> {
    let mut parts = BTreeMap::<&str, Vec<&SourceFile>>::new();
    if kustomizations.is_empty() {
        return parts;
    }
    for file in &snapshot.files {
        if let Some(directory) = kustomizations.around(&file.path) {
            parts.entry(directory).or_default().push(file);
        }
    }
    parts
}

/// The resources of all files, and what is to be said about them.
struct Collected<'a> {
    options: &'a ParseOptions<'a>,
    resources: Resources,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Collected<'a> {
    fn of(merged: &Merged, options: &'a ParseOptions<'a>, diagnostics: &'a mut Diagnostics) -> Self {
        let mut resources = merged.resources.clone();
        for notes in merged.notable.values() {
            resources.unavailable.extend(notes.unavailable.iter().cloned());
            resources.gaps.add(&notes.gaps);
            diagnostics.append(&notes.findings);
        }
        Self {
            options,
            resources,
            diagnostics,
        }
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
        let holds = affected_meshes(
            &file.text(),
            known.map(Arc::as_ref),
            &mut meshes,
            &mut self.resources.unavailable,
        );
        if known.is_some() {
            Arc::make_mut(&mut self.resources.contributions).insert(file.path.clone(), meshes.into());
        }
        holds
    }

    fn unreadable(&mut self, unreadable: &Unreadable) {
        let mut was_about = BTreeSet::new();
        for (path, meshes) in covered(self.options.known, unreadable) {
            // The files keep their meshes until they can be read again.
            let contribution = Arc::make_mut(&mut self.resources.contributions)
                .entry(path.clone())
                .or_default();
            Arc::make_mut(contribution).extend(meshes.iter().cloned());
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
}

/// Resources with their files and their places in them.
type Places<'a> = HashMap<&'a Arc<ResourceId>, (&'a Arc<SourceFile>, &'a Placed)>;

/// The first place of each resource; a second resource with the same identity is an error.
fn distinct<'a>(files: &'a [File], diagnostics: &mut Diagnostics) -> Places<'a> {
    let mut places = Places::default();
    let all = (files.iter()).flat_map(|file| file.documents.placed.iter().map(move |placed| (&file.file, placed)));
    for (file, placed) in all {
        let id = &placed.id;
        let (first_file, first) = match places.entry(id) {
            Entry::Occupied(first) => *first.get(),
            Entry::Vacant(new) => {
                new.insert((file, placed));
                continue;
            }
        };
        let message = format!("{id} already exists, at {}", Location::within(first_file, first.name));
        let at = Location::within(file, placed.name);
        let diagnostic = Diagnostic::error(Code::DuplicateResource, &at, message).path("name");
        let help = "rename or remove one of them, or exclude one of the files with `exclude` in the settings";
        diagnostics.push(diagnostic.resource(placed.document, id).help(help));
    }
    places
}

/// The meshes of documents that do not exist. A mesh with an invalid document exists.
fn unknown_meshes(merged: &Merged, resources: &Resources) -> BTreeSet<String> {
    let Resources { declared, gaps, .. } = resources;
    let exists = |mesh: &str| declared.contains(mesh) || !gaps.has_all_documents(mesh);
    let unknown = merged.meshes().filter(|mesh| !exists(mesh));
    unknown.map(str::to_owned).collect()
}

/// Reports the resources of meshes that do not exist.
fn report_unknown(
    places: &Places,
    unknown: &BTreeSet<String>,
    declared: &BTreeSet<String>,
    diagnostics: &mut Diagnostics,
) {
    // An invalid name has a finding already.
    let of_unknown = places
        .iter()
        .filter(|(id, _)| unknown.contains(id.mesh.as_str()) && is_mesh_name(&id.mesh));
    for (id, (file, placed)) in of_unknown {
        let message = format!("`{}` is in the mesh `{}`, which does not exist", id.name, id.mesh);
        let help = match closest(&id.mesh, declared.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("declare it: `type: Mesh` with `name: {}`", id.mesh),
        };
        let at = Location::within(file, placed.mesh);
        let diagnostic = Diagnostic::error(Code::UnknownMesh, &at, message).path("mesh");
        diagnostics.push(diagnostic.help(help).resource(placed.document, id));
    }
}
