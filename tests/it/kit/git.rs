//! Git repositories, made by Git itself, without anything that the machine or its user has set up for Git.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a Git hook, or whoever runs the tests, may have in its environment.
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

    /// A repository that is there.
    pub(crate) fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Git in that directory.
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

    /// What Git says; it must not fail.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> String {
        let (is_done, said) = self.try_run(arguments);
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        assert!(is_done, "git {arguments:?}: {said}");
        said.trim().to_owned()
    }

    /// Whether it went well, and what Git says.
    pub(crate) fn try_run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> (bool, String) {
        let output = self.command(arguments).output();
        let output = output.expect("the tests need git (Debian: apt-get install git)");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Commits all that is there; the id of the commit.
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
