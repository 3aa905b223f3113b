//! Files of meshtraced's own that no other run relies on: they are not synced, and one that is damaged is as if it were
//! not there.

use super::dir::{Access, Content, Dir};
use super::lock::Lock;
use super::output::{OutputDir, STAGING};
use crate::apply::error::Result;

/// A disposable file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposable {
    /// The last status of a daemon, for `meshtraced status` while none runs.
    Status,
    /// The result of the last run, from which the next one starts if nothing has changed.
    LastRun,
}

impl Disposable {
    fn name(self) -> &'static str {
        match self {
            Self::Status => "status.json",
            Self::LastRun => "last-run.json",
        }
    }

    /// Saves a text in place of the one before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(self, text: &str, out: &OutputDir, _lock: &Lock) -> Result<()> {
        let own = out.make_meta()?;
        let staging = own.make_child(STAGING, out.directory())?;
        staging.remove(self.name())?;
        staging.create(self.name(), text, self.access(out))?;
        staging.move_to(self.name(), &own, self.name(), true)
    }

    /// The text that was saved last; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(self, out: &OutputDir) -> Result<Option<String>> {
        let Some(own) = Dir::open(&out.own_directory())? else {
            return Ok(None);
        };
        Ok(match own.read(self.name())? {
            Content::Text(text) => Some(text),
            Content::Missing | Content::Binary | Content::Other => None,
        })
    }

    fn access(self, out: &OutputDir) -> Access {
        match self {
            Self::Status => out.file(),
            // It has texts of the policies, which nobody else has to read here.
            Self::LastRun => Access {
                mode: out.file().mode & 0o700,
                ..out.file()
            },
        }
    }
}
