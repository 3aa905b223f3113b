//! The commits that revisions name, in Git's own grammar.

use super::error::{GitError, Result};
use super::repository::Repository;
use crate::source::commit::Commit;

/// A name of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// A branch, a tag, an id or anything else that Git understands.
    Named(String),
    /// The newest common ancestor of two of these.
    MergeBase(String, String),
}

impl Repository {
    /// The commit that a revision names here.
    ///
    /// # Errors
    /// When there is none, or Git cannot be asked.
    pub(in crate::source) fn commit(&self, revision: &Revision) -> Result<Commit> {
        match revision {
            Revision::Named(name) if name == "HEAD" => self.head(),
            Revision::Named(name) => {
                let id = self.id(name)?;
                // An id says by itself what it is.
                let branch = Some(name.clone()).filter(|name| !id.starts_with(name.as_str()));
                self.described(id, branch)
            }
            Revision::MergeBase(one, other) => {
                let ids = [self.id(one)?, self.id(other)?];
                let base = self
                    .ask(["merge-base", &ids[0], &ids[1]])
                    .map_err(|error| match error {
                        GitError::Failed { message, repository } if message.is_empty() => GitError::NoMergeBase {
                            repository,
                            one: one.clone(),
                            other: other.clone(),
                            is_shallow: self.is_shallow(),
                        },
                        error => error,
                    })?;
                let base = String::from_utf8_lossy(&base).trim().to_owned();
                let branch = Some(one.clone()).filter(|_| base == ids[0]);
                self.described(base, branch.filter(|name| !ids[0].starts_with(name.as_str())))
            }
        }
    }

    fn described(&self, id: String, branch: Option<String>) -> Result<Commit> {
        Ok(Commit {
            subject: self.subject(&id)?,
            id,
            branch,
            is_modified: false,
        })
    }

    /// The id of the commit that a name stands for.
    fn id(&self, name: &str) -> Result<String> {
        let wanted = format!("{name}^{{commit}}");
        let answer = self.ask(["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]);
        match answer {
            Ok(id) => Ok(String::from_utf8_lossy(&id).trim().to_owned()),
            // No message means that there is no such commit.
            Err(GitError::Failed { message, repository }) if message.is_empty() => Err(GitError::Unknown {
                repository,
                revision: name.to_owned(),
                is_shallow: self.is_shallow(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Whether the repository has only the newest commits.
    fn is_shallow(&self) -> bool {
        self.common_dir().join("shallow").exists()
    }
}
