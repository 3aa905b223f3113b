//! The findings about one document, in the order in which a control plane validates.
//!
//! A control plane stops after the first phase that finds an error, whereas meshtraced reports every error at once.
//! Errors of later phases stay errors with `fidelity: documented`, and are warnings with
//! `fidelity: exact`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, ResourceId, Severity};
use crate::keep::{Text, Texts};
use crate::kuma::Fidelity;
use crate::resource::decode::context::Context;
use crate::resource::decode::origin::{Located, Origin};
use crate::source::Location;

/// The phases in which a control plane validates a document, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::resource) enum Phase {
    /// The document can be decoded and, for the newer kinds, matches their schema.
    Schema,
    /// The fields have valid values.
    Semantics,
    /// Name, mesh and labels are valid.
    Metadata,
    /// Envoy accepts the values, which a control plane does not check.
    Envoy,
}

/// The collector of findings about one document.
pub(in crate::resource) struct Decoder<'t> {
    /// The texts that repeat in documents.
    texts: &'t Texts,
    pub(in crate::resource) resource: Arc<ResourceId>,
    pub(in crate::resource) document: usize,
    /// The place of the name, for findings about the whole document.
    pub(in crate::resource) place: Location,
    /// The current phase, to which new findings belong.
    pub(in crate::resource) phase: Phase,
    /// Whether a schema checks the kind, so that null does not count as absent nor text as a number.
    pub(in crate::resource) is_strict: bool,
    /// Whether the setting is `fidelity: exact`.
    exact: bool,
    found: Vec<Found>,
    /// The number of errors in each phase.
    errors: [usize; 4],
}

struct Found {
    phase: Phase,
    diagnostic: Diagnostic,
    /// Whether the value could not be decoded, so that findings inside it are dropped.
    undecodable: bool,
}

impl Found {
    fn is_error(&self) -> bool {
        self.diagnostic.severity == Severity::Error
    }
}

impl<'t> Decoder<'t> {
    pub(in crate::resource) fn new(
        resource: Arc<ResourceId>,
        document: usize,
        place: Location,
        is_strict: bool,
        context: &Context<'t>,
    ) -> Self {
        Self {
            texts: context.texts,
            resource,
            document,
            place,
            phase: Phase::Semantics,
            is_strict,
            exact: context.kuma.fidelity == Fidelity::Exact,
            found: Vec::new(),
            errors: [0; 4],
        }
    }

    /// Whether the control plane decides, with its quirks.
    pub(in crate::resource) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether an error has been found.
    pub(in crate::resource) fn failed(&self) -> bool {
        self.errors() > 0
    }

    /// Whether an error has been found in the given phase.
    pub(in crate::resource) fn failed_at(&self, phase: Phase) -> bool {
        self.errors[phase as usize] > 0
    }

    /// A decoder of the same document whose findings are dropped.
    pub(in crate::resource) fn silent(&self) -> Self {
        Self {
            resource: Arc::clone(&self.resource),
            place: self.place.clone(),
            found: Vec::new(),
            errors: [0; 4],
            ..*self
        }
    }

    /// The number of errors found so far.
    pub(in crate::resource) fn errors(&self) -> usize {
        self.errors.iter().sum()
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
        help: impl Into<Cow<'static, str>>,
    ) {
        self.report(Diagnostic::error(code, at, message).path(path).help(help));
    }

    /// Adds a finding that is new, or a repetition with `fidelity: exact`, since a control plane
    /// reports repetitions.
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

    /// Adds an error about a value that Envoy rejects and a control plane accepts.
    pub(in crate::resource) fn rejected_by_envoy(&mut self, diagnostic: Diagnostic) {
        self.add(Phase::Envoy, diagnostic, false);
    }

    fn add(&mut self, phase: Phase, diagnostic: Diagnostic, undecodable: bool) {
        let found = Found {
            phase,
            diagnostic: diagnostic.resource(self.document, &self.resource),
            undecodable,
        };
        self.errors[phase as usize] += usize::from(found.is_error());
        self.found.push(found);
    }

    /// A text that is stored once, however often it is read.
    pub(in crate::resource) fn shared(&self, text: &str) -> Text {
        self.texts.get(text)
    }

    /// A path or another text that `write` puts together, stored once.
    pub(in crate::resource) fn written(&self, write: impl FnOnce(&mut String)) -> Text {
        self.texts.written(write)
    }

    pub(in crate::resource) fn located<T>(&self, value: T, path: &Text, at: &Location) -> Located<T> {
        let origin = Origin {
            resource: Arc::clone(&self.resource),
            path: path.clone(),
            at: at.clone(),
        };
        Located { value, origin }
    }

    /// Appends the findings to `diagnostics`.
    pub(in crate::resource) fn finish(mut self, diagnostics: &mut Diagnostics) {
        self.drop_consequences();
        if self.exact {
            self.answer_as_a_control_plane();
        }
        for found in self.found {
            diagnostics.push(found.diagnostic);
        }
    }

    /// Drops the other findings about an undecodable value and its parts.
    fn drop_consequences(&mut self) {
        let undecodable = self.found.iter().filter(|found| found.undecodable);
        let values: HashSet<String> = undecodable.map(|found| found.diagnostic.path.clone()).collect();
        if values.is_empty() {
            return;
        }
        // Of the path `a.b[0].c`: `a`, `a.b`, `a.b[0]` and itself.
        let is_within = |path: &str| {
            let ends = path.match_indices(['.', '[']).map(|(end, _)| end);
            ends.chain([path.len()]).any(|end| values.contains(&path[..end]))
        };
        self.found
            .retain(|found| found.undecodable || !found.is_error() || !is_within(&found.diagnostic.path));
    }

    fn answer_as_a_control_plane(&mut self) {
        let errors = self.found.iter().filter(|found| found.is_error());
        let Some(first) = errors.map(|found| found.phase).min() else {
            return;
        };
        // For a document that cannot be decoded, a control plane reports one error without a path.
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

/// The part of a path up to the `conf` of a backend, which a control plane decodes separately.
fn conf_of(path: &str) -> Option<&str> {
    const CONF: &str = ".conf";
    path.find(".conf.").map(|i| &path[..i + CONF.len()])
}
