//! One finding as data, and the findings of a run.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Code;
use crate::keep::{self, Text};
use crate::source::Location;

/// The weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Compiles, but probably does something other than intended.
    Warning,
    /// Cannot be compiled; the mesh of the resource keeps what is published.
    Error,
}

impl Severity {
    /// `warning` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The resource that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceId {
    /// Kuma's type, such as `TrafficTrace`.
    pub kind: Text,
    /// The mesh of the resource; for a `Mesh`, its own name.
    pub mesh: Text,
    /// The name of the resource, unique within its kind and mesh.
    pub name: Text,
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == "Mesh" {
            write!(f, "Mesh {}", self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.mesh, self.name)
        }
    }
}

/// The meshes or proxies that an error keeps from being published.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Holds {
    /// No mesh; so every warning.
    #[default]
    Nothing,
    /// The proxies of the named dataplanes, each with its mesh and its name.
    Proxies(Arc<BTreeSet<(String, String)>>),
    /// The named meshes.
    Meshes(BTreeSet<String>),
    /// All meshes: the mesh of the mistake cannot be known.
    All,
}

impl Holds {
    /// Whether the whole mesh is held.
    #[must_use]
    pub fn contains(&self, mesh: &str) -> bool {
        match self {
            Self::Nothing | Self::Proxies(_) => false,
            Self::Meshes(meshes) => meshes.contains(mesh),
            Self::All => true,
        }
    }

    /// Whether a proxy of the mesh is held by its own name.
    #[must_use]
    pub fn has_proxies_of(&self, mesh: &str) -> bool {
        match self {
            Self::Proxies(proxies) => proxies.iter().any(|(of, _)| of == mesh),
            Self::Nothing | Self::Meshes(_) | Self::All => false,
        }
    }

    /// A hold on one mesh.
    #[must_use]
    pub fn mesh(name: &str) -> Self {
        Self::Meshes(BTreeSet::from([name.to_owned()]))
    }
}

/// The place of a finding, as precise as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A range in the text of a file.
    In(Location),
    /// A whole file, by its path below the source root.
    File(String),
    /// No file: the settings, or the source as a whole.
    Nowhere,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// The weight of the finding: whether it holds a mesh.
    pub severity: Severity,
    /// The rule that the finding comes from.
    pub code: Code,
    /// The place to look at.
    pub place: Place,
    /// Index from 0 of the document among the non-empty ones of its file.
    pub document: Option<usize>,
    /// The resource that the finding is about; `None` if it is about a file or the settings.
    pub resource: Option<Arc<ResourceId>>,
    /// Path of the field, such as `tracing.backends[0].sampling`; empty for a whole document.
    pub path: String,
    /// The message: what was found and what was expected, in the words of the file.
    pub message: String,
    /// Advice on what to type.
    pub help: Option<Cow<'static, str>>,
    /// The meshes or proxies that the finding keeps from being published.
    pub holds: Holds,
}

impl Diagnostic {
    /// The message and its place: `sampling is 250, outside 0..=100 (mesh.yaml:9:17)`.
    #[must_use]
    pub fn one_line(&self) -> String {
        match &self.place {
            Place::In(location) => format!("{} ({location})", self.message),
            Place::File(path) => format!("{} ({path})", self.message),
            Place::Nowhere => self.message.clone(),
        }
    }

    /// An error at a location.
    pub fn error(code: Code, at: &Location, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, Place::In(at.clone()), message)
    }

    /// A warning at a location.
    pub fn warning(code: Code, at: &Location, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, Place::In(at.clone()), message)
    }

    /// A finding of any severity at any place.
    pub fn new(severity: Severity, code: Code, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            place,
            document: None,
            resource: None,
            path: String::new(),
            message: message.into(),
            help: None,
            holds: Holds::Nothing,
        }
    }

    /// Adds advice on what to type.
    #[must_use]
    pub fn help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the path of the field.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds the resource and the index of its document; an error then holds the mesh of that resource.
    #[must_use]
    pub fn resource(mut self, document: usize, resource: &Arc<ResourceId>) -> Self {
        if self.severity == Severity::Error {
            self.holds = Holds::mesh(&resource.mesh);
        }
        self.document = Some(document);
        self.resource = Some(Arc::clone(resource));
        self
    }

    /// Sets the meshes or proxies that the finding keeps from being published.
    #[must_use]
    pub fn holds(mut self, holds: Holds) -> Self {
        self.holds = holds;
        self
    }

    /// The path of the file, below the source root.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match &self.place {
            Place::In(at) => Some(&at.file.path),
            Place::File(path) => Some(path),
            Place::Nowhere => None,
        }
    }

    /// The order in which findings are shown: by file, then by place, then errors first.
    fn order(&self) -> impl Ord + '_ {
        let offset = match &self.place {
            Place::In(at) => at.bytes().start,
            Place::File(_) | Place::Nowhere => 0,
        };
        let severity = std::cmp::Reverse(self.severity);
        (self.file(), offset, severity, self.code, &self.path, &self.message)
    }
}

/// The findings of one run, in the order in which they were found. A copy shares them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics {
    found: Vec<Arc<Diagnostic>>,
}

impl From<Vec<Arc<Diagnostic>>> for Diagnostics {
    fn from(found: Vec<Arc<Diagnostic>>) -> Self {
        Self { found }
    }
}

impl Diagnostics {
    /// Adds one finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(Arc::new(diagnostic));
    }

    /// Appends the findings of a later part of the run.
    pub fn append(&mut self, later: &Self) {
        self.found.extend_from_slice(&later.found);
    }

    /// Removes the findings of a code at the given places.
    pub fn remove(&mut self, code: Code, places: &BTreeSet<&Location>) {
        self.found.retain(|finding| {
            let is_there = matches!(&finding.place, Place::In(at) if places.contains(at));
            finding.code != code || !is_there
        });
    }

    /// Whether a finding is about the resource.
    #[must_use]
    pub fn are_about(&self, resource: &ResourceId) -> bool {
        let mut resources = self.found.iter().filter_map(|finding| finding.resource.as_deref());
        resources.any(|of| of == resource)
    }

    /// Whether there is no finding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether there is an error among the findings.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The findings, sorted by file and place, without duplicates.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Arc<Diagnostic>> {
        self.found.sort_by(|a, b| a.order().cmp(&b.order()));
        self.found.dedup();
        self.found
    }
}

/// The findings of one run after another, which are not sorted again while they are the very same.
#[derive(Debug, Default)]
pub struct Sorter {
    last: Diagnostics,
    sorted: Vec<Arc<Diagnostic>>,
}

impl Sorter {
    /// The findings as [`Diagnostics::into_sorted`] gives them.
    pub fn sort(&mut self, found: Diagnostics) -> Vec<Arc<Diagnostic>> {
        if !keep::are_same(&found.found, &self.last.found) {
            self.sorted = found.clone().into_sorted();
            self.last = found;
        }
        self.sorted.clone()
    }
}
