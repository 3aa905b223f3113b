//! The published files, read back from the disk.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dir::{Content, Dir};
use super::files::{PlacedFiles, Places};
use super::inventory::{Entry, Inventory};
use super::known::Known;
use super::output::{OutputDir, undo, undo_name};
use super::shard::Shards;
use crate::apply::error::{ApplyError, Result};
use crate::envoy::FileText;
use crate::envoy::artifact::{Artifact, Elsewhere, FEW_PROXIES, Files, ProxyKey};
use crate::plan::Observed;
use crate::plan::drift::{Drift, DriftKind};
use crate::system::parallel;

/// Reads back the published files, and compares them with the inventory.
///
/// # Errors
/// When the inventory cannot be understood, or this process lacks descriptors or memory to open directories and files.
pub fn observe(out: &OutputDir) -> Result<Observed> {
    observe_those(out, None, None)
}

/// Reads back the published files of some proxies; `None` means all. Files that do not belong where they are count as
/// not published, so that they are published anew.
///
/// # Errors
/// As for [`observe`].
pub fn observe_those(
    out: &OutputDir,
    places: Option<Places>,
    proxies: Option<&BTreeSet<ProxyKey>>,
) -> Result<Observed> {
    let mut observed = Observed::default();
    let Some((root, meta)) = out.open()? else {
        return Ok(observed);
    };
    let undo = undo(&meta)?;
    let shards = proxies.map_or(Shards::All, |proxies| Shards::of(proxies.iter()));
    let is_meant = |proxy: &ProxyKey| proxies.is_none_or(|proxies| proxies.contains(proxy));
    let listed = Inventory::read(&meta, shards)?.proxies.into_iter();
    let entries: Vec<(ProxyKey, Entry)> = listed.filter(|(proxy, _)| is_meant(proxy)).collect();
    let mut observer = Observer {
        root: &root,
        undo: undo.as_ref(),
        places,
        sample: None,
    };
    if let Some((proxy, entry)) = entries.first().filter(|_| entries.len() > FEW_PROXIES) {
        observer.sample = observer.observe(proxy, entry)?.map(|(files, _)| files.sample());
    }
    let threads = parallel::cpu_count();
    let found = parallel::map("reading published files", &entries, threads, |(proxy, entry)| {
        observer.observe(proxy, entry)
    });
    for ((proxy, _), found) in entries.iter().zip(found) {
        if let Some((files, drift)) = found? {
            observed.applied.insert(proxy.clone(), files);
            observed.drift.extend(drift);
        }
    }
    Ok(observed)
}

/// A look at the published files of one proxy after the other.
struct Observer<'o> {
    root: &'o Dir,
    undo: Option<&'o Dir>,
    places: Option<Places<'o>>,
    /// The text that those of the proxies are like, if they are many.
    sample: Option<Arc<str>>,
}

impl Observer<'_> {
    /// The published files of one proxy, and its drift; `None` if it has no files.
    fn observe(&self, proxy: &ProxyKey, entry: &Entry) -> Result<Option<(Files, Vec<Drift>)>> {
        if entry.files.is_empty() {
            return Ok(None);
        }
        let wanted = self.places.and_then(|places| places.of(proxy));
        let desired = self.places.and_then(|places| places.desired.get(proxy));
        let place = Place::of(self.root, proxy, &entry.elsewhere)?;
        let is_judged = match self.undo {
            Some(undo) => !undo.exists(&undo_name(proxy)).unwrap_or(true),
            None => true,
        };
        let (mut files, mut drifted) = (Files::new(), Vec::new());
        for (artifact, known) in &entry.files {
            let is_elsewhere = |wanted: &Elsewhere| wanted.get(artifact) != entry.elsewhere.get(artifact);
            if wanted.is_some_and(is_elsewhere) || (*artifact == Artifact::Lds && !is_judged) {
                continue;
            }
            let content = match place.read(*artifact)? {
                Content::Text(text) => Ok(self.text(text, desired.and_then(|files| files.get(artifact)))),
                other => Err(other),
            };
            drifted.extend(drift(&content, known).map(|kind| Drift {
                proxy: proxy.clone(),
                artifact: *artifact,
                kind,
                published: known.all().iter().flatten().copied().collect(),
            }));
            files.extend(content.ok().map(|text| (*artifact, text)));
        }
        Ok(Some((files, drifted)))
    }

    /// The text of a file; a copy of the desired one if it is the same.
    fn text(&self, text: String, desired: Option<&FileText>) -> FileText {
        let found = FileText::from(text);
        match (
            desired.filter(|desired| desired.digest() == found.digest()),
            &self.sample,
        ) {
            (Some(desired), _) => desired.clone(),
            (None, Some(sample)) => found.like(sample),
            (None, None) => found,
        }
    }
}

/// The files of a proxy, as far as there is a place for them.
enum Place<'e> {
    There(PlacedFiles<'e>),
    /// A link, behind which nothing is ours. A publication to it fails and says so.
    Other,
}

impl<'e> Place<'e> {
    fn of(root: &Dir, proxy: &ProxyKey, elsewhere: &'e Elsewhere) -> Result<Self> {
        let files = look(|| PlacedFiles::of(root, proxy, elsewhere))?;
        Ok(files.map_or(Self::Other, Self::There))
    }

    /// The content at the place of a file. An entry that cannot be read counts as something else than a file.
    fn read(&self, artifact: Artifact) -> Result<Content> {
        match self {
            Self::There(files) => Ok(look(|| files.read(artifact))?.unwrap_or(Content::Other)),
            Self::Other => Ok(Content::Other),
        }
    }
}

/// The result of a read that is tried twice; `None` if both fail for another reason than a shortage of this process.
///
/// A single failure may pass, and then an Envoy reads files that we take for gone: its listeners would lose clusters
/// that the plan does not know. After a second failure an Envoy that starts there finds as little as we do.
fn look<T>(made: impl Fn() -> Result<T>) -> Result<Option<T>> {
    let found = match made() {
        Err(error) if !error.is_shortage() => made(),
        found => found,
    };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_shortage() => Err(error),
        Err(_) => Ok(None),
    }
}

/// The kind of drift of a file with a text or another content; `None` for a file that is as it was published.
fn drift(content: &std::result::Result<FileText, Content>, known: &Known) -> Option<DriftKind> {
    match content {
        Ok(text) if known.contains(Some(text.digest())) => None,
        Err(Content::Missing) if known.contains(None) => None,
        Ok(_) | Err(Content::Text(_) | Content::Binary) => Some(DriftKind::Edited),
        Err(Content::Missing) => Some(DriftKind::Missing),
        Err(Content::Other) => Some(DriftKind::Replaced),
    }
}

impl ApplyError {
    /// Whether this process has too few descriptors or too little memory, so that the error says nothing about the
    /// file.
    fn is_shortage(&self) -> bool {
        use rustix::io::Errno;
        let (Self::Failed { source, .. } | Self::Denied { source, .. } | Self::NoSpace { source, .. }) = self else {
            return false;
        };
        let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
        shortages
            .iter()
            .any(|errno| source.raw_os_error() == Some(errno.raw_os_error()))
    }
}
