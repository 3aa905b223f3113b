//! The result of the last run, on disk, from which the next process starts if nothing has changed since.
//!
//! It is disposable: one that is damaged, of another program, of other settings, of other files of the policies or of
//! other published files is ignored. It has no texts of proxies: what is published is what the policies ask for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::overview::Overview;
use crate::apply::{Disposable, Lock, Target, inventory_seal, secrets_seal};
use crate::compile::Extent;
use crate::diag::{Code, Diagnostic, Place, ResourceId, Severity};
use crate::settings::Settings;
use crate::source::{self, Location, SourceFile};

/// The number of the format. A file with another number is ignored.
const FORMAT: u32 = 1;

/// The most bytes of policy texts that are kept for the places of findings.
const MOST_TEXTS: usize = 16 << 20;

/// All that the result of a run depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// The program, by the file that it is in.
    program: String,
    /// The hash of the settings.
    settings: String,
    /// The seal of the sources.
    sources: String,
    /// The seal of the inventory.
    inventory: String,
    /// The seal of the files with keys and certificates.
    secrets: String,
}

impl Key {
    /// The key of this moment; `None` if something cannot be told.
    pub(super) fn now(settings: &Settings, target: &Target, sources: &str) -> Option<Self> {
        Some(Self {
            program: program()?,
            settings: hash_of(settings)?,
            sources: sources.to_owned(),
            inventory: inventory_seal(&target.out).ok()??,
            secrets: secrets_seal(&target.out).ok()??,
        })
    }
}

/// The file of this program, which another version does not have.
fn program() -> Option<String> {
    let metadata = std::env::current_exe().and_then(std::fs::metadata).ok()?;
    let (device, inode, size) = (metadata.dev(), metadata.ino(), metadata.size());
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    let version = env!("CARGO_PKG_VERSION");
    Some(format!("{version} {device} {inode} {size} {seconds} {nanoseconds}"))
}

/// The hash of the settings, with what they mean on this machine.
fn hash_of(settings: &Settings) -> Option<String> {
    let written = serde_json::to_string(settings).ok()?;
    let meant = settings.options(Arc::default(), Extent::Files).ok()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{written}\n{meant:?}").as_bytes());
    for key in meant.collectors.machine.environment.values() {
        hasher.update(key.expose().as_bytes());
    }
    Some(hasher.finalize().to_hex().to_string())
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    key: Key,
    overview: Overview,
    warnings: Vec<Warning>,
    /// The texts of files, by path, for the places of warnings.
    texts: BTreeMap<String, String>,
}

/// A finding that holds nothing.
#[derive(Serialize, Deserialize)]
struct Warning {
    code: String,
    /// The path of the file; `None` for a finding about no file.
    file: Option<String>,
    /// The range of bytes; `None` for a whole file.
    bytes: Option<(usize, usize)>,
    document: Option<usize>,
    resource: Option<ResourceId>,
    path: String,
    message: String,
    help: Option<String>,
}

/// The overview of the last run with its key, if nothing that it depends on has changed.
pub(super) fn load(settings: &Settings, target: &Target) -> Option<(Key, Overview)> {
    let text = Disposable::LastRun.load(&target.out).ok()??;
    let (hash, text) = text.split_once('\n')?;
    if blake3::hash(text.as_bytes()).to_hex().as_str() != hash {
        return None;
    }
    let record: Record = serde_json::from_str(text)
        .ok()
        .filter(|record: &Record| record.format == FORMAT)?;
    let sources = source::look(&settings.sources()).ok()??;
    if Key::now(settings, target, &sources)? != record.key {
        return None;
    }
    let texts = record.texts.into_iter();
    let files: BTreeMap<String, Arc<SourceFile>> = texts
        .map(|(path, text)| (path.clone(), SourceFile::new(path, text)))
        .collect();
    let findings = record
        .warnings
        .into_iter()
        .map(|warning| warning.finding(&files).map(Arc::new));
    let overview = Overview {
        findings: findings.collect::<Option<_>>()?,
        ..record.overview
    };
    Some((record.key, overview))
}

/// Saves the overview of a run that left nothing to do.
pub(super) fn save(key: &Key, overview: &Overview, target: &Target, lock: &Lock) -> Option<()> {
    let mut texts = BTreeMap::new();
    for finding in &overview.findings {
        if let Place::In(at) = &finding.place {
            texts
                .entry(String::from(&at.file.path))
                .or_insert_with(|| at.file.text().into_owned());
        }
    }
    if texts.values().map(String::len).sum::<usize>() > MOST_TEXTS {
        return None;
    }
    let record = Record {
        format: FORMAT,
        key: key.clone(),
        overview: overview.clone(),
        warnings: overview
            .findings
            .iter()
            .map(|finding| Warning::of(finding))
            .collect::<Option<_>>()?,
        texts,
    };
    let text = serde_json::to_string(&record).ok()?;
    let hash = blake3::hash(text.as_bytes()).to_hex();
    Disposable::LastRun
        .save(&format!("{hash}\n{text}"), &target.out, lock)
        .ok()
}

impl Warning {
    /// A finding as it is written; `None` for an error.
    fn of(finding: &Diagnostic) -> Option<Self> {
        let (file, bytes) = match &finding.place {
            Place::In(at) => (Some((&at.file.path).into()), Some((at.bytes().start, at.bytes().end))),
            Place::File(path) => (Some(path.clone()), None),
            Place::Nowhere => (None, None),
        };
        (finding.severity == Severity::Warning).then(|| Self {
            code: finding.code.as_str().to_owned(),
            file,
            bytes,
            document: finding.document,
            resource: finding.resource.as_deref().cloned(),
            path: finding.path.clone(),
            message: finding.message.clone(),
            help: finding.help.as_deref().map(str::to_owned),
        })
    }

    /// The finding with its place in the files; `None` if it is not understood.
    fn finding(self, files: &BTreeMap<String, Arc<SourceFile>>) -> Option<Diagnostic> {
        let code = Code::ALL.iter().find(|code| code.as_str() == self.code)?;
        let place = match (self.file, self.bytes) {
            (Some(file), Some((start, end))) => Place::In(Location::new(files.get(&file)?, start..end)),
            (Some(file), None) => Place::File(file),
            (None, _) => Place::Nowhere,
        };
        Some(Diagnostic {
            document: self.document,
            resource: self.resource.map(Arc::new),
            path: self.path,
            help: self.help.map(Cow::Owned),
            ..Diagnostic::new(Severity::Warning, *code, place, self.message)
        })
    }
}
