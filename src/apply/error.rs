//! The errors of the output directory, in words that name the path and what to do.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The result of an operation on the output directory.
pub(in crate::apply) type Result<T> = std::result::Result<T, ApplyError>;

/// The reason why nothing, or not everything, can be published.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another process publishes to the directory.
    #[error("{} publishes to {} already; end it first, or choose another directory with `--out`", process(*.holder), .directory.display())]
    Locked {
        /// The output directory.
        directory: PathBuf,
        /// The id of that process, if it is known.
        holder: Option<u32>,
    },
    /// The output directory is not the one that was locked.
    #[error("{} was removed or replaced while it was in use", .directory.display())]
    Replaced {
        /// The output directory.
        directory: PathBuf,
    },
    /// The disk is full, or the quota is used up.
    #[error("there is no space left in {}: {needed} bytes are needed, and nothing was published", .directory.display())]
    NoSpace {
        /// The output directory.
        directory: PathBuf,
        /// The number of bytes of all files that were to be written.
        needed: u64,
        /// The reason.
        source: io::Error,
    },
    /// This process lacks a permission.
    #[error("{user} may not {action} {}", .path.display())]
    Denied {
        /// The user that lacks it.
        user: String,
        /// The operation, as a verb.
        action: &'static str,
        /// The path that it was for.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Any other error of a system call.
    #[error("cannot {action} {}", .path.display())]
    Failed {
        /// The operation, as a verb.
        action: &'static str,
        /// The path that it was for.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A directory below the output directory is a link, behind which nothing is ours.
    #[error("{} is a symbolic link, and nothing is written or deleted through one; replace it by a directory", .path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file that meshtraced did not write is in the place of one of its own.
    #[error("{} is not meshtraced's file, and stays as it is; move it away, or choose another directory with `--out`", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file is mounted, by itself, in the place of one of meshtraced's own.
    #[error("{} is a mount point, and a mounted file cannot be replaced; mount its directory instead", .path.display())]
    Mounted {
        /// The file.
        path: PathBuf,
    },
    /// The file with the freeze and the approval cannot be understood.
    #[error("{} does not say whether publishing is frozen: {message}; nothing is published until `meshtraced thaw` or `meshtraced freeze` writes it again", .path.display())]
    Intent {
        /// The path of the file.
        path: PathBuf,
        /// The reason why it cannot be used.
        message: String,
    },
    /// The validator cannot validate.
    #[error("cannot validate with {} (setting `envoy.validate`), so nothing is published: {message}", .path.display())]
    Validator {
        /// The path of the program.
        path: PathBuf,
        /// The reason why it cannot be used.
        message: String,
    },
    /// The history does not have a generation.
    #[error("there is no generation {id}: {}", kept_generations(.kept))]
    NoGeneration {
        /// The number of the generation.
        id: u64,
        /// The numbers of the generations that it has, the oldest first.
        kept: Vec<u64>,
    },
    /// A part of the history is not as it was published.
    #[error("{} is damaged: {message}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reason why it cannot be used.
        message: String,
    },
    /// The inventory cannot be understood.
    #[error("{} does not say which files are meshtraced's own: {message}; remove it: files that hold what meshtraced would write are then adopted, and others have to be moved away", .path.display())]
    Inventory {
        /// The path of the inventory.
        path: PathBuf,
        /// The reason why it cannot be used.
        message: String,
    },
}

impl ApplyError {
    /// The error of a system call that was to do `action` with `path`.
    pub(super) fn new(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), source.into());
        if source.kind() == io::ErrorKind::PermissionDenied {
            let user = user();
            Self::Denied {
                user,
                action,
                path,
                source,
            }
        } else {
            Self::Failed { action, path, source }
        }
    }

    /// The error as it concerns a whole plan: a full disk says how much the plan needs.
    pub(super) fn of_plan(self, directory: &Path, needed: u64) -> Self {
        match self {
            Self::Failed { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Self::NoSpace {
                    directory: directory.to_owned(),
                    needed,
                    source,
                }
            }
            other => other,
        }
    }
}

fn kept_generations(kept: &[u64]) -> String {
    match kept {
        [] => "none is kept".to_owned(),
        [one] => format!("only {one} is kept"),
        [first, .., last] => format!("{first} to {last} are kept (setting `history`)"),
    }
}

fn process(id: Option<u32>) -> String {
    id.map_or_else(
        || "another meshtraced".to_owned(),
        |id| format!("another meshtraced (process {id})"),
    )
}

/// The user that this process acts as: `user envoy (uid 101)`.
fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.map_or_else(|| format!("uid {uid}"), |name| format!("user {name} (uid {uid})"))
}
