//! The policies as of now, of a revision or of another directory, for commands that take either.

use std::io::{self, Write};
use std::sync::Arc;

use super::context::{Context, Failure};
use super::progress;
use crate::apply::Target;
use crate::diag::render::text;
use crate::diag::{Diagnostic, Severity};
use crate::reconcile::{Cache, Overview, Policies, Purpose, Side, Stopwatch};
use crate::settings::Settings;
use crate::source::{self, Snapshot};
use crate::words::printable;

/// The policies of a side, compiled.
pub(super) struct OfSide {
    pub(super) policies: Policies,
    /// The number of errors in words, and where they are; the errors are printed. `None` if there are none.
    pub(super) errors: Option<String>,
}

impl OfSide {
    /// Reads and compiles the policies of a side, and prints the errors in them.
    pub(super) fn read(
        context: &Context,
        settings: &Settings,
        purpose: Purpose,
        cache: &mut Cache,
    ) -> Result<Self, Failure> {
        let target = Target::from_settings(settings)?;
        let side = purpose.side();
        let read = || Policies::read(settings, &target, purpose, cache, &mut Stopwatch::default());
        let policies = progress::shown(read)??;
        // A revision from before the policies came, or after they went, has none.
        let is_before_them = matches!(side, Side::Revision(_)) && policies.snapshot.is_empty();
        if is_before_them {
            let name = described(settings, side, &policies.overview);
            writeln!(io::stderr(), "note: {} has no {}", printable(&name), settings.sources())?;
        }
        let is_error = |finding: &&Arc<Diagnostic>| finding.severity == Severity::Error && !is_before_them;
        let errors: Vec<_> = policies.overview.findings.iter().filter(is_error).cloned().collect();
        let prefix = prefix(settings, side, &policies.snapshot);
        io::stderr().write_all(context.brief(settings, &prefix, &errors).as_bytes())?;
        let of = match side {
            Side::Now => String::new(),
            side => format!(" in {}", printable(&described(settings, side, &policies.overview))),
        };
        let errors = text::count(&errors).map(|count| format!("{count}{of}"));
        Ok(Self { policies, errors })
    }

    /// Prints the sources of a revision that have none, because they are in no repository.
    pub(super) fn note_sources_without_revision(&self, settings: &Settings, side: &Side) -> Result<(), Failure> {
        let (Side::Revision(_), sources) = (side, settings.sources()) else {
            return Ok(());
        };
        for (root, origin) in sources.roots.iter().zip(&self.policies.snapshot.origins) {
            if origin.commit.is_none() {
                let path = printable(&root.path.display().to_string());
                writeln!(
                    io::stderr(),
                    "note: {path} is in no Git repository, and is read as it is now"
                )?;
            }
        }
        Ok(())
    }
}

/// The prefix with which the paths of a side's files can be opened, or for a revision those in its tree.
pub(super) fn prefix(settings: &Settings, side: &Side, snapshot: &Snapshot) -> String {
    match side {
        Side::Now => settings.sources().prefix(),
        Side::Revision(_) => snapshot.prefix_in_commit(),
        Side::Directory(path) => format!("{}/", path.display()),
    }
}

/// The name of a side.
pub(super) fn described(settings: &Settings, side: &Side, overview: &Overview) -> String {
    match side {
        Side::Now if overview.commit.is_some() => overview.name.clone(),
        Side::Now if source::describe(&settings.sources()).starts_with("worktree") => "work tree".to_owned(),
        Side::Now => settings.sources().to_string(),
        Side::Revision(_) => overview.name.clone(),
        Side::Directory(path) => path.display().to_string(),
    }
}
