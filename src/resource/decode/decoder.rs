//! The findings about one document, in the order in which a control plane validates.
//!
//! A control plane stops after the first phase that finds an error, and people want to know every error at once. Errors
//! of later phases are errors too where the documentation is followed, and warnings where a control plane is followed
//! exactly.

use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, ResourceId, Severity};
use crate::kuma::Fidelity;
use crate::resource::decode::context::Context;
use crate::resource::decode::origin::{Located, Origin};
use crate::source::Location;

/// The phases in which a control plane validates a document, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::resource) enum Phase {
    /// Whether it can be decoded; of the newer kinds, whether it fits their schema.
    Schema,
    /// The meaning of the fields.
    Semantics,
    /// The name, the mesh and the labels.
    Metadata,
    /// Values that Envoy would reject, and that a control plane does not check.
    Envoy,
}

/// The collector of findings about one document.
pub(in crate::resource) struct Decoder {
    pub(in crate::resource) resource: Arc<ResourceId>,
    pub(in crate::resource) document: usize,
    /// The place of the name, for findings about the whole document.
    pub(in crate::resource) place: Location,
    /// The phase that findings belong to now.
    pub(in crate::resource) phase: Phase,
    /// Whether a schema checks the kind: null is no absence then, and text no number.
    pub(in crate::resource) is_strict: bool,
    /// Whether a control plane is followed exactly.
    exact: bool,
    found: Vec<Found>,
}

struct Found {
    phase: Phase,
    diagnostic: Diagnostic,
    /// Whether the value could not be decoded, so that nothing is said of what is in it.
    undecodable: bool,
}

impl Found {
    fn is_error(&self) -> bool {
        self.diagnostic.severity == Severity::Error
    }
}

impl Decoder {
    pub(in crate::resource) fn new(
        resource: ResourceId,
        document: usize,
        place: Location,
        is_strict: bool,
        context: &Context,
    ) -> Self {
        Self {
            resource: Arc::new(resource),
            document,
            place,
            phase: Phase::Semantics,
            is_strict,
            exact: context.kuma.fidelity == Fidelity::Exact,
            found: Vec::new(),
        }
    }

    /// Whether an error was found so far.
    pub(in crate::resource) fn failed(&self) -> bool {
        self.found.iter().any(Found::is_error)
    }

    /// Whether an error was found so far in that phase.
    pub(in crate::resource) fn failed_at(&self, phase: Phase) -> bool {
        self.found.iter().any(|found| found.is_error() && found.phase == phase)
    }

    /// A decoder of the same document whose findings nobody sees.
    pub(in crate::resource) fn silent(&self) -> Self {
        Self {
            resource: Arc::clone(&self.resource),
            place: self.place.clone(),
            found: Vec::new(),
            ..*self
        }
    }

    /// The number of errors that were found so far.
    pub(in crate::resource) fn errors(&self) -> usize {
        self.found.iter().filter(|found| found.is_error()).count()
    }

    /// Adds a finding about this document.
    pub(in crate::resource) fn report(&mut self, diagnostic: Diagnostic) {
        self.add(self.phase, diagnostic, false);
    }

    pub(in crate::resource) fn error(&mut self, code: Code, at: &Location, path: &str, message: impl Into<String>) {
        self.report(Diagnostic::error(code, at, message).path(path));
    }

    pub(in crate::resource) fn error_help(
        &mut self,
        code: Code,
        at: &Location,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Diagnostic::error(code, at, message).path(path).help(help));
    }

    /// Adds a finding that is new, or that repeats another one where a control plane is followed exactly, since that reports both.
    pub(in crate::resource) fn report_if(&mut self, is_new: bool, diagnostic: Diagnostic) {
        if is_new || self.exact {
            self.report(diagnostic);
        }
    }

    /// Adds an error about a value that cannot be decoded.
    pub(in crate::resource) fn undecodable(&mut self, diagnostic: Diagnostic) {
        let is_conf = !self.is_strict && conf_of(&diagnostic.path).is_some();
        let phase = if is_conf { Phase::Semantics } else { Phase::Schema };
        self.add(phase, diagnostic, true);
    }

    /// Adds an error about a value that Envoy rejects, and a control plane accepts.
    pub(in crate::resource) fn rejected_by_envoy(&mut self, diagnostic: Diagnostic) {
        self.add(Phase::Envoy, diagnostic, false);
    }

    fn add(&mut self, phase: Phase, diagnostic: Diagnostic, undecodable: bool) {
        self.found.push(Found {
            phase,
            diagnostic: diagnostic.resource(self.document, (*self.resource).clone()),
            undecodable,
        });
    }

    pub(in crate::resource) fn located<T>(&self, value: T, path: impl Into<String>, at: &Location) -> Located<T> {
        let origin = Origin {
            resource: Arc::clone(&self.resource),
            path: path.into(),
            at: at.clone(),
        };
        Located { value, origin }
    }

    /// Hands over the findings.
    pub(in crate::resource) fn finish(mut self, diagnostics: &mut Diagnostics) {
        self.drop_consequences();
        if self.exact {
            self.answer_as_a_control_plane();
        }
        for found in self.found {
            diagnostics.push(found.diagnostic);
        }
    }

    /// Drops the other findings about a value that cannot be decoded, or about a part of it.
    fn drop_consequences(&mut self) {
        let undecodable = self.found.iter().filter(|found| found.undecodable);
        let paths: Vec<String> = undecodable.map(|found| found.diagnostic.path.clone()).collect();
        let is_within = |path: &str, value: &str| {
            path.strip_prefix(value)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.found.retain(|found| {
            let path = &found.diagnostic.path;
            found.undecodable || !found.is_error() || !paths.iter().any(|value| is_within(path, value))
        });
    }

    fn answer_as_a_control_plane(&mut self) {
        let errors = self.found.iter().filter(|found| found.is_error());
        let Some(first) = errors.map(|found| found.phase).min() else {
            return;
        };
        // A document that cannot be decoded gives one answer, and no path.
        let gives_one = !self.is_strict && first == Phase::Schema;
        let mut is_answered = false;
        for found in self.found.iter_mut().filter(|found| found.is_error()) {
            if found.phase > first || (gives_one && is_answered) {
                found.diagnostic.severity = Severity::Warning;
                found.diagnostic.holds = Holds::Nothing;
            }
            is_answered |= found.phase == first;
            if found.undecodable {
                let path = &mut found.diagnostic.path;
                *path = match conf_of(path) {
                    Some(conf) if !self.is_strict => conf.to_owned(),
                    _ if path.starts_with("spec.") => path.clone(),
                    _ => String::new(),
                };
            }
        }
    }
}

/// The `conf` of a backend that a path leads into; a control plane decodes it by itself.
fn conf_of(path: &str) -> Option<&str> {
    const CONF: &str = ".conf";
    path.find(".conf.").map(|i| &path[..i + CONF.len()])
}
