//! What can go wrong on disk, in words that name the thing and what to do.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Why nothing, or not everything, can be published.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another process publishes there.
    #[error("{} publishes to {} already; end it first, or choose another directory by `--out`", process(*.holder), .directory.display())]
    Locked {
        /// The output directory.
        directory: PathBuf,
        /// Its process id, as far as it told.
        holder: Option<u32>,
    },
    /// The output directory is not the one that was locked.
    #[error("{} was removed or replaced while it was in use", .directory.display())]
    Replaced {
        /// The output directory.
        directory: PathBuf,
    },
    /// The disk, or the quota, is full.
    #[error("there is no room in {}: {needed} bytes are needed, and nothing was published", .directory.display())]
    NoSpace {
        /// The output directory.
        directory: PathBuf,
        /// Bytes of all files that were to be written.
        needed: u64,
        /// The reason.
        source: io::Error,
    },
    /// A permission is missing.
    #[error("{user} may not {action} {}", .path.display())]
    Denied {
        /// Whose permission.
        user: String,
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Anything else that the system refuses.
    #[error("cannot {action} {}", .path.display())]
    Failed {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A directory below the output directory is a link, and what lies behind it is not ours.
    #[error("{} is a symbolic link, and nothing is written or deleted through one; replace it by a directory", .path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file that is not ours stands where ours would go.
    #[error("{} is not meshtraced's file, and stays as it is; move it away, or choose another directory by `--out`", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A single file is mounted where ours would go, or over ours.
    #[error("{} is mounted there by itself, and a file that is mounted cannot be replaced; mount its directory instead", .path.display())]
    Mounted {
        /// The file.
        path: PathBuf,
    },
    /// What people told cannot be understood.
    #[error("{} does not say whether publishing is frozen: {message}; `meshtraced thaw` or `meshtraced freeze` says it anew, and nothing is published until then", .path.display())]
    State {
        /// The state.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Files cannot be validated.
    #[error("cannot validate by {} (setting `envoy.validate`), and nothing is published without: {message}", .path.display())]
    Validator {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// That generation is not kept.
    #[error("there is no generation {id}: {}", kept_generations(.kept))]
    NoGeneration {
        /// The one that was asked for.
        id: u64,
        /// Those that are there, the oldest first.
        kept: Vec<u64>,
    },
    /// A part of the history is not what was published then.
    #[error("{} is damaged: {message}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The list of our files cannot be understood.
    #[error("{} does not say which files are meshtraced's own: {message}; remove it, and files that are as meshtraced would write them are taken over, others have to be moved away", .path.display())]
    Inventory {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl ApplyError {
    /// What happened when `action` was tried with `path`.
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

    /// The same, told as what it means for a whole plan if it is a full disk.
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
