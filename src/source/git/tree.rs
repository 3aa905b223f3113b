//! The entries of a Git tree, and the targets of its links.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::source::file::LinkFault;
use crate::source::filter::LINKED;

/// The number of links that may lead to each other; more are a circle.
const LINKS: usize = 40;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Link,
    Tree,
    Submodule,
}

/// The entries of `ls-tree -z`: `100644 blob 83baae…\tpath`, each followed by a NUL.
pub(super) fn entries(listed: &[u8]) -> BTreeMap<PathBuf, Entry> {
    let entry = |line: &[u8]| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(&line[..tab]).ok()?;
        let mut words = head.split(' ');
        let (mode, kind, id) = (words.next()?, words.next()?, words.next()?);
        let kind = match (mode, kind) {
            ("120000", _) => Kind::Link,
            (_, "blob") => Kind::File,
            (_, "tree") => Kind::Tree,
            _ => Kind::Submodule,
        };
        let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
        Some((
            path,
            Entry {
                kind,
                id: id.to_owned(),
            },
        ))
    };
    listed.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// The entries of `diff-tree -z`: `:100644 100644 83baae… 1f2c3d… M`, a NUL, the path and a NUL for each that differs. An
/// entry that is gone is `None`.
pub(super) fn changed(listed: &[u8]) -> BTreeMap<PathBuf, Option<Entry>> {
    let parts: Vec<&[u8]> = listed.split(|byte| *byte == 0).collect();
    let entry = |pair: &[&[u8]]| {
        let [head, path] = pair else { return None };
        let words: Vec<&str> = std::str::from_utf8(head.strip_prefix(b":")?).ok()?.split(' ').collect();
        let [_, mode, _, id, _] = words.as_slice() else {
            return None;
        };
        let kind = match *mode {
            "000000" => None,
            "120000" => Some(Kind::Link),
            "160000" => Some(Kind::Submodule),
            _ => Some(Kind::File),
        };
        let id = (*id).to_owned();
        Some((
            PathBuf::from(OsStr::from_bytes(path)),
            kind.map(|kind| Entry { kind, id }),
        ))
    };
    parts.chunks(2).filter_map(entry).collect()
}

/// The entries of a commit, and the targets of its links.
pub(super) struct Links<'a> {
    all: &'a BTreeMap<PathBuf, Entry>,
    links: &'a BTreeMap<PathBuf, PathBuf>,
    /// The number of files that may still be reached.
    left: usize,
}

/// A file behind a link; or the reason why the link is not followed, and its target as it is written.
pub(super) type Behind<'a> = Result<&'a Entry, (LinkFault, PathBuf)>;

/// Links reach more than [`LINKED`] files.
#[derive(Debug)]
pub(super) struct TooMany;

impl<'a> Links<'a> {
    pub(super) fn new(all: &'a BTreeMap<PathBuf, Entry>, links: &'a BTreeMap<PathBuf, PathBuf>) -> Self {
        let left = LINKED;
        Self { all, links, left }
    }

    /// The files behind a link, each by the path at which it is reached: the file that the link leads to, or all
    /// files of a directory, with those behind its own links. A link that is not followed is an error in their place.
    /// `inside` has the real paths of the directories above.
    ///
    /// # Errors
    /// When the files of all calls together exceed the limit.
    pub(super) fn behind(
        &mut self,
        link: &Path,
        seen: &Path,
        inside: &BTreeSet<PathBuf>,
    ) -> Result<Vec<(PathBuf, Behind<'a>)>, TooMany> {
        let all = self.all;
        let not_followed = |fault| {
            let target = self.links.get(link).map_or(Path::new(""), PathBuf::as_path).to_owned();
            Ok(vec![(seen.to_owned(), Err((fault, target)))])
        };
        let target = match resolve(link, self.links) {
            Ok(target) => target,
            Err(fault) => return not_followed(fault),
        };
        if let Some(entry) = all.get(&target).filter(|entry| entry.kind == Kind::File) {
            return Ok(vec![(seen.to_owned(), Ok(entry))]);
        }
        // A directory that holds a link to itself has no end.
        if inside.contains(&target) {
            return Ok(Vec::new());
        }
        let mut below = all
            .range(target.clone()..)
            .take_while(|(path, _)| path.starts_with(&target))
            .peekable();
        if below.peek().is_none() {
            return not_followed(LinkFault::Nowhere);
        }
        let mut shown = Vec::new();
        for (path, entry) in below {
            self.left = self.left.checked_sub(1).ok_or(TooMany)?;
            let below = path.strip_prefix(&target).unwrap_or(path);
            match entry.kind {
                Kind::File => shown.push((seen.join(below), Ok(entry))),
                Kind::Link => {
                    let on_the_way = path.ancestors().skip(1).take_while(|above| above.starts_with(&target));
                    let inside = inside.iter().cloned().chain(on_the_way.map(Path::to_owned)).collect();
                    shown.extend(self.behind(path, &seen.join(below), &inside)?);
                }
                Kind::Tree | Kind::Submodule => {}
            }
        }
        Ok(shown)
    }
}

/// The real path of a path, with all links followed.
///
/// # Errors
/// When the path leads out of the tree, or in a circle.
fn resolve(path: &Path, links: &BTreeMap<PathBuf, PathBuf>) -> Result<PathBuf, LinkFault> {
    let mut rest: Vec<OsString> = path.iter().rev().map(OsStr::to_owned).collect();
    let mut resolved = PathBuf::new();
    let mut followed = 0;
    while let Some(part) = rest.pop() {
        match Path::new(&part).components().next() {
            None | Some(Component::CurDir) => {}
            Some(Component::ParentDir) => {
                if !resolved.pop() {
                    return Err(LinkFault::Outside);
                }
            }
            Some(Component::Normal(name)) => {
                resolved.push(name);
                if let Some(target) = links.get(&resolved) {
                    followed += 1;
                    if followed > LINKS {
                        return Err(LinkFault::Nowhere);
                    }
                    if target.is_absolute() {
                        return Err(LinkFault::Outside);
                    }
                    resolved.pop();
                    rest.extend(target.iter().rev().map(OsStr::to_owned));
                }
            }
            Some(Component::RootDir | Component::Prefix(_)) => return Err(LinkFault::Outside),
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_tree() {
        let links: BTreeMap<PathBuf, PathBuf> = [
            ("a", "b"),
            ("b", "dir/../dir/file"),
            ("dir/up", "../../outside"),
            ("circle", "circle"),
            ("absolute", "/etc/passwd"),
            ("current", "./dir"),
        ]
        .into_iter()
        .map(|(from, to)| (from.into(), to.into()))
        .collect();
        let check = |path: &str, expected: Result<&str, LinkFault>| {
            assert_eq!(resolve(Path::new(path), &links), expected.map(PathBuf::from), "{path}");
        };
        check("a", Ok("dir/file"));
        check("current/file", Ok("dir/file"));
        check("plain", Ok("plain"));
        check("dir/up", Err(LinkFault::Outside));
        check("absolute", Err(LinkFault::Outside));
        check("circle", Err(LinkFault::Nowhere));
    }

    #[test]
    fn the_differences_of_git_are_understood() {
        let listed =
            b":100644 000000 aa 00 D\0gone.yaml\0:000000 100755 00 bb A\0new.yaml\0:100644 120000 aa cc T\0link\0";
        let changed: Vec<(PathBuf, Option<Kind>)> = changed(listed)
            .into_iter()
            .map(|(path, entry)| (path, entry.map(|entry| entry.kind)))
            .collect();
        let expected = [
            ("gone.yaml", None),
            ("link", Some(Kind::Link)),
            ("new.yaml", Some(Kind::File)),
        ];
        assert_eq!(changed, expected.map(|(path, kind)| (path.into(), kind)));
    }

    #[test]
    fn the_listing_of_git_is_understood() {
        let listed =
            b"100644 blob aa\tb.yaml\x00120000 blob bb\tlink\x00160000 commit cc\tsub\x00040000 tree dd\td\xff\0";
        let kinds: Vec<(PathBuf, Kind)> = entries(listed)
            .into_iter()
            .map(|(path, entry)| (path, entry.kind))
            .collect();
        let expected = [
            ("b.yaml".into(), Kind::File),
            (PathBuf::from(OsStr::from_bytes(b"d\xff")), Kind::Tree),
            ("link".into(), Kind::Link),
            ("sub".into(), Kind::Submodule),
        ];
        assert_eq!(kinds, expected);
    }
}
