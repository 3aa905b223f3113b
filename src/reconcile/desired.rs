//! The desired state of a reconciliation.

use std::borrow::Cow;

use super::policies::Policies;
use crate::apply::{ApplyError, Intent, Target, history};
use crate::envoy::artifact::Fragments;
use crate::plan::guard::Guard;
use crate::plan::{Constraints, DriftRepair};
use crate::source::ReadError;

/// The origin of the desired state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredState {
    /// The policies as they are now.
    Policies,
    /// A generation that was published before, to which somebody rolled back.
    Generation(u64),
    /// The files that are published now: somebody froze them, or the policies cannot be read.
    Unchanged,
}

impl DesiredState {
    /// The origin that counts: a freeze comes before the policies, and without either nothing changes.
    pub(super) fn choose(intent: &Intent, policies: &Result<Policies, ReadError>) -> Self {
        match (&intent.frozen, policies) {
            (Some(frozen), _) => frozen.generation.map_or(Self::Unchanged, Self::Generation),
            (None, Ok(_)) => Self::Policies,
            (None, Err(_)) => Self::Unchanged,
        }
    }

    /// The desired files; `None` for those that are published.
    pub(super) fn files<'p>(
        self,
        target: &Target,
        policies: &'p Result<Policies, ReadError>,
    ) -> Result<Option<Cow<'p, Fragments>>, ApplyError> {
        match (self, policies) {
            (Self::Policies, Ok(policies)) => Ok(Some(Cow::Borrowed(&policies.compiled.fragments))),
            (Self::Generation(id), _) => history::load(&target.out, id).map(|files| Some(Cow::Owned(files))),
            (Self::Policies, Err(_)) | (Self::Unchanged, _) => Ok(None),
        }
    }

    /// The limits of the plan. Neither held meshes nor the guard limit a rollback, which somebody asked for by its
    /// number.
    pub(super) fn constraints<'c>(
        self,
        policies: &'c Result<Policies, ReadError>,
        guard: &'c Guard,
        intent: &'c Intent,
        drift_repair: &'c DriftRepair,
    ) -> Constraints<'c> {
        match (self, policies) {
            (Self::Policies, Ok(policies)) => policies.constraints(guard, intent, drift_repair),
            _ => Constraints {
                drift_repair,
                ..Constraints::default()
            },
        }
    }

    /// The name under which a publication is recorded in the history.
    pub(super) fn revision(self, policies: &Result<Policies, ReadError>) -> String {
        match (self, policies) {
            (Self::Generation(id), _) => format!("generation {id} again"),
            (Self::Policies | Self::Unchanged, Ok(policies)) => policies.overview.name.clone(),
            (Self::Policies | Self::Unchanged, Err(_)) => String::new(),
        }
    }
}
