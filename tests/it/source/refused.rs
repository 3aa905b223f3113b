//! Repositories that cannot be read: each has a message, and nothing is published.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::repositories::{Make, repository};
use super::{Place, Stamps, stamp, stamps_are};
use crate::kit::git::Git;

/// Repositories that cannot be read, and words of the message that says why.
const REFUSED: [(&str, Make, &[&str]); 10] = [
    (
        "no commit yet",
        |place| {
            let git = Git::init(&place.path("repository"), &[]);
            stamp(&git.dir, 17);
            git.dir
        },
        &["has no commit yet"],
    ),
    (
        "references as no Git keeps them, as those of reftable are to an older one",
        |place| {
            let git = repository(place, &[]);
            git.run(&["config", "core.repositoryformatversion", "1"]);
            git.run(&["config", "extensions.refstorage", "of-the-future"]);
            fs::write(git.dir.join(".git/HEAD"), "ref: refs/heads/.invalid\n").expect("a file");
            git.dir
        },
        &["Git cannot read", "refstorage"],
    ),
    (
        "a form of the future",
        |place| {
            let git = repository(place, &[]);
            git.run(&["config", "core.repositoryformatversion", "9"]);
            git.dir
        },
        &["Git cannot read", "version"],
    ),
    (
        "submodule in the root",
        |place| {
            let git = repository(place, &[]);
            let above = Git::init(&place.path("above"), &[]);
            above.run(&["submodule", "--quiet", "add", git.dir.to_str().expect("UTF-8"), "sub"]);
            above.commit("with a submodule");
            above.dir
        },
        &["sub is a submodule", "add its directory to `policies`", "exclude"],
    ),
    (
        "directory that is not in the commit",
        |place| repository(place, &[]).dir.join("polices"),
        &["has no polices"],
    ),
    (
        "no repository",
        |place| {
            stamp(&place.path("plain"), 17);
            place.path("plain")
        },
        &["is in no Git repository", "source: auto"],
    ),
    (
        "a link of Git that leads nowhere",
        |place| {
            stamp(&place.path("moved"), 17);
            fs::write(
                place.path("moved/.git"),
                "gitdir: /no/such/repository/.git/worktrees/moved\n",
            )
            .expect("a file");
            place.path("moved")
        },
        &["Git cannot read", "not a git repository"],
    ),
    (
        "a commit that is lost",
        |place| {
            let git = repository(place, &[]);
            remove_object(&git, &git.head());
            git.dir
        },
        &["Git cannot read"],
    ),
    (
        "a file that is lost",
        |place| {
            let git = repository(place, &[]);
            remove_object(&git, &git.run(&["rev-parse", "HEAD:policies/one.yaml"]));
            git.dir
        },
        &["does not have all objects of commit"],
    ),
    (
        "a file that is damaged",
        |place| {
            let git = repository(place, &[]);
            let object = object(&git, &git.run(&["rev-parse", "HEAD:policies/one.yaml"]));
            fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).expect("our own file");
            let mut bytes = fs::read(&object).expect("an object");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::write(&object, bytes).expect("our own file");
            git.dir
        },
        &["Git cannot read", "inflate"],
    ),
];

fn object(git: &Git, id: &str) -> PathBuf {
    git.dir.join(".git/objects").join(&id[..2]).join(&id[2..])
}

fn remove_object(git: &Git, id: &str) {
    fs::remove_file(object(git, id)).expect("a loose object");
}

#[test]
fn what_cannot_be_read_is_said_and_nothing_is_published() {
    for (kind, make, words) in REFUSED {
        let place = Place::new();
        let root = make(&place);
        let said = place.publish(&root, "git").expect_err(kind);
        for word in words {
            assert!(said.contains(word), "{kind}: {said}");
        }
        assert_eq!(place.stamps(), Stamps::new(), "{kind}");
    }
}

#[test]
fn what_a_partial_clone_lacks_is_not_fetched() {
    let place = Place::new();
    let source = repository(&place, &[]);
    source.run(&["config", "uploadpack.allowFilter", "true"]);
    let to = place.path("partial");
    let from = format!("file://{}", source.dir.display());
    Git::at(place.dir.path()).run(&["clone", "-q", "--filter=blob:none", "--no-checkout", &from, "partial"]);
    let git = Git::at(&to);
    // Whoever asks the other side leaves a trace.
    let trace = place.path("asked");
    let helper = place.path("helper");
    fs::write(
        &helper,
        format!("#!/bin/sh\ntouch '{}'\nexec git-upload-pack \"$@\"\n", trace.display()),
    )
    .expect("a file");
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("our own file");
    git.run(&["config", "remote.origin.uploadpack", helper.to_str().expect("UTF-8")]);
    let said = place.publish(&to.join("policies"), "git").expect_err("no blobs");
    assert!(said.contains("partial clone"), "{said}");
    assert!(!trace.exists(), "it was asked for: {said}");
    // The trace works: Git itself does ask.
    git.run(&["checkout", "-q", "main"]);
    assert!(trace.exists());
    assert_eq!(place.publish(&to.join("policies"), "git"), Ok(stamps_are(17)));
}

#[test]
fn without_git_it_says_what_to_install() {
    let place = Place::new();
    let git = repository(&place, &[]);
    let nothing = place.path("nothing");
    fs::create_dir(&nothing).expect("a directory");
    let said = place.publish_by(
        place
            .meshtraced(&git.dir, "git", &["run", "--once"])
            .env("PATH", &nothing),
    );
    let said = said.expect_err("no git");
    assert!(
        said.contains("cannot run `git`") && said.contains("install it"),
        "{said}"
    );
    // Files need no Git; only which commit it is stays unknown.
    let published = place.publish_by(
        place
            .meshtraced(&git.dir, "auto", &["run", "--once"])
            .env("PATH", &nothing),
    );
    assert_eq!(published, Ok(stamps_are(17)));
}
