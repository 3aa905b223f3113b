//! One finding as data, and the findings of a run.

use std::collections::BTreeSet;
use std::fmt;

use super::Code;
use crate::source::Location;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Works, and probably not as meant.
    Warning,
    /// Cannot be compiled; the mesh it belongs to keeps what is published.
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

/// The resource a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// Kuma's type, such as `TrafficTrace`.
    pub kind: String,
    /// The mesh it belongs to; of a `Mesh`, its own name.
    pub mesh: String,
    /// Its name.
    pub name: String,
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

/// Which meshes must not be published because of an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Holds {
    /// None; every warning has this.
    #[default]
    Nothing,
    /// Those that are named.
    Meshes(BTreeSet<String>),
    /// All: the mesh of the mistake cannot be known.
    All,
}

impl Holds {
    /// Whether that mesh must not be published.
    #[must_use]
    pub fn contains(&self, mesh: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Meshes(meshes) => meshes.contains(mesh),
            Self::All => true,
        }
    }

    /// One mesh.
    #[must_use]
    pub fn mesh(name: &str) -> Self {
        Self::Meshes(BTreeSet::from([name.to_owned()]))
    }
}

/// Where a finding is, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the text of a file.
    In(Location),
    /// A file as a whole; its path below the source root.
    File(String),
    /// No file: settings, or the source as a whole.
    Nowhere,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Which rule found it.
    pub code: Code,
    /// Where it is.
    pub place: Place,
    /// Index from 0 of the document among the non-empty ones of its file.
    pub document: Option<usize>,
    /// The resource it is about.
    pub resource: Option<ResourceId>,
    /// Path of the field, such as `tracing.backends[0].sampling`; empty for a whole document.
    pub path: String,
    /// What was found and what was expected, in the words of the file.
    pub message: String,
    /// What to type.
    pub help: Option<String>,
    /// What it keeps from being published.
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

    /// An error at a place in a file.
    pub fn error(code: Code, at: &Location, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, Place::In(at.clone()), message)
    }

    /// A warning at a place in a file.
    pub fn warning(code: Code, at: &Location, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, Place::In(at.clone()), message)
    }

    /// A finding at any place.
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

    /// Says what to type.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says which field it is about.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Says which resource it is about; an error then holds the mesh of that resource.
    #[must_use]
    pub fn resource(mut self, document: usize, resource: ResourceId) -> Self {
        if self.severity == Severity::Error {
            self.holds = Holds::mesh(&resource.mesh);
        }
        self.document = Some(document);
        self.resource = Some(resource);
        self
    }

    /// Says what it keeps from being published.
    #[must_use]
    pub fn holds(mut self, holds: Holds) -> Self {
        self.holds = holds;
        self
    }

    /// The path of the file it is in, below the source root.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match &self.place {
            Place::In(at) => Some(&at.file.path),
            Place::File(path) => Some(path),
            Place::Nowhere => None,
        }
    }

    /// Findings are shown by file, then by place, then errors first.
    fn order(&self) -> impl Ord + '_ {
        let offset = match &self.place {
            Place::In(at) => at.bytes.start,
            Place::File(_) | Place::Nowhere => 0,
        };
        let severity = std::cmp::Reverse(self.severity);
        (self.file(), offset, severity, self.code, &self.path, &self.message)
    }
}

/// All findings of a run.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Whether there is an error among the findings.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The findings, sorted by file and place and each said once.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| a.order().cmp(&b.order()));
        self.found.dedup();
        self.found
    }
}
