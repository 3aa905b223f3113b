//! The copy of a repository that `systemd/pull` maintains: the next pull repairs any damage and brings the commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A repository with one file, and the directory of its copy.
struct Pulled {
    dir: TempDir,
    commits: u32,
}

impl Pulled {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path().join("repository/policies")).expect("a directory");
        fs::create_dir(dir.path().join("copy")).expect("a directory");
        let pulled = Self { dir, commits: 0 };
        pulled.git("repository", &["init", "--quiet", "--initial-branch=main"]);
        pulled
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn git(&self, directory: &str, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=author", "-c", "user.email=author@example.com"];
        let output = Command::new("git")
            .args(identity)
            .args(arguments)
            .current_dir(self.at(directory))
            .output()
            .expect("git starts");
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn commit(&mut self) {
        self.commits += 1;
        let text = format!("revision {}\n", self.commits);
        fs::write(self.at("repository/policies/mesh.yaml"), text).expect("a file");
        self.git("repository", &["add", "."]);
        self.git("repository", &["commit", "--quiet", "--message=next"]);
    }

    fn pull_from(&self, repository: &Path) -> Output {
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/pull"))
            .env("REPOSITORY", repository)
            .env("DIRECTORY", self.at("copy"))
            .output()
            .expect("the script starts")
    }

    /// Pulls; the copy must be that of the last commit afterwards, in its objects and in its files.
    fn assert_pulls(&self, after: &str) {
        let output = self.pull_from(&self.at("repository"));
        assert!(output.status.success(), "{after}: {output:?}");
        let commit = self.git("repository", &["rev-parse", "HEAD"]);
        assert_eq!(self.git("copy", &["rev-parse", "HEAD"]), commit, "{after}: {output:?}");
        assert_eq!(self.git("copy", &["status", "--short"]), "", "{after}: {output:?}");
        self.git("copy", &["fsck", "--strict", "--no-dangling"]);
        let text = fs::read_to_string(self.at("copy/policies/mesh.yaml")).expect("the file of the commit");
        assert_eq!(text, format!("revision {}\n", self.commits), "{after}");
    }

    /// The loose objects of the copy.
    fn objects(&self) -> Vec<PathBuf> {
        walkdir::WalkDir::new(self.at("copy/.git/objects"))
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect()
    }
}

/// Does something to a copy.
type Damage = fn(&Pulled);

/// What a killed git or a power cut may leave, and what people do.
const DAMAGES: [(&str, Damage); 10] = [
    ("nothing", |_| {}),
    ("stale locks", |pulled| {
        for lock in ["HEAD.lock", "index.lock", "refs/heads/main.lock"] {
            fs::write(pulled.at("copy/.git").join(lock), "").expect("a file");
        }
    }),
    ("a half-written file", |pulled| {
        fs::write(pulled.at("copy/policies/mesh.yaml"), "revi").expect("a file");
    }),
    ("somebody's own file", |pulled| {
        fs::write(pulled.at("copy/policies/mine.yaml"), "mine").expect("a file");
    }),
    ("an empty index", |pulled| {
        fs::write(pulled.at("copy/.git/index"), "").expect("a file");
    }),
    ("an empty branch", |pulled| {
        fs::write(pulled.at("copy/.git/refs/heads/main"), "").expect("a file");
    }),
    ("an empty HEAD and config", |pulled| {
        fs::write(pulled.at("copy/.git/HEAD"), "").expect("a file");
        fs::write(pulled.at("copy/.git/config"), "").expect("a file");
    }),
    ("no objects", |pulled| {
        fs::remove_dir_all(pulled.at("copy/.git/objects")).expect("a directory");
    }),
    ("empty objects", |pulled| {
        for object in pulled.objects() {
            fs::remove_file(&object).expect("a file");
            fs::write(&object, "").expect("a file");
        }
    }),
    ("no files", |pulled| {
        fs::remove_dir_all(pulled.at("copy/policies")).expect("a directory");
    }),
];

#[test]
fn a_pull_mends_whatever_happened_to_the_copy() {
    let mut pulled = Pulled::new();
    pulled.commit();
    pulled.assert_pulls("the beginning");
    for (damage, make) in DAMAGES {
        make(&pulled);
        pulled.assert_pulls(damage);
        make(&pulled);
        pulled.commit();
        pulled.assert_pulls(&format!("{damage} and a commit"));
    }
    pulled.git("repository", &["commit", "--quiet", "--amend", "--message=another"]);
    pulled.assert_pulls("a branch that was rewritten");
}

#[test]
fn a_server_that_cannot_be_reached_costs_nothing() {
    let mut pulled = Pulled::new();
    pulled.commit();
    pulled.assert_pulls("the beginning");
    let nowhere = pulled.at("nowhere");
    for _ in 0..2 {
        let output = pulled.pull_from(&nowhere);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = fs::read_to_string(pulled.at("copy/policies/mesh.yaml")).expect("the file of the commit");
        assert_eq!(text, "revision 1\n");
        // Even a damaged copy is kept for as long as there is no other.
        pulled
            .objects()
            .iter()
            .for_each(|object| fs::remove_file(object).expect("a file"));
    }
    pulled.assert_pulls("the server is back");
}
