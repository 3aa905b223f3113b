//! Git repositories made by Git itself, without the Git configuration of the machine and the user.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that a Git hook, or the environment of the tests, may set.
const INHERITED: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_PREFIX",
];

/// A directory in which Git is run.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    pub(crate) dir: PathBuf,
}

impl Git {
    /// A new repository with the branch `main` and no commit.
    #[track_caller]
    pub(crate) fn init(dir: &Path, options: &[&str]) -> Self {
        fs::create_dir_all(dir).expect("a directory");
        let git = Self::at(dir);
        git.run(&[&["init", "-q", "-b", "main"], options].concat());
        git
    }

    /// An existing repository.
    pub(crate) fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// A Git command in the directory.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new("git");
        for name in INHERITED {
            command.env_remove(name);
        }
        command
            .current_dir(&self.dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_EDITOR", "true")
            .args(["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"])
            // Submodules and clones of directories.
            .args(["-c", "protocol.file.allow=always", "-c", "advice.detachedHead=false"])
            .args(arguments);
        command
    }

    /// The output of a Git command, which must succeed.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> String {
        let (is_done, said) = self.try_run(arguments);
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        assert!(is_done, "git {arguments:?}: {said}");
        said.trim().to_owned()
    }

    /// Whether a Git command succeeded, and its output.
    pub(crate) fn try_run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> (bool, String) {
        let output = self.command(arguments).output();
        let output = output.expect("the tests need git (Debian: apt-get install git)");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Commits all files, and returns the id of the commit.
    #[track_caller]
    pub(crate) fn commit(&self, subject: &str) -> String {
        self.run(&["add", "-A"]);
        self.run(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.head()
    }

    /// The id of the commit that `HEAD` names.
    #[track_caller]
    pub(crate) fn head(&self) -> String {
        self.run(&["rev-parse", "HEAD"])
    }
}
