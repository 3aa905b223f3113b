//! The two sides of a diff, as the arguments name them.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::context::Failure;
use crate::reconcile::Side;
use crate::source::Revision;
use crate::words::printable;

/// Arguments that name the sides.
#[derive(Debug, Args)]
pub(super) struct Sides {
    /// Revisions of the policies: REV (from there to the policies as they are now), A..B, or A...B (from their merge
    /// base to B, as in a pull request) [default: from what is published to the policies]
    #[arg(value_name = "REVISIONS", conflicts_with_all = ["from", "to"])]
    revisions: Option<String>,
    /// Side before the change: `disk`, a revision, or a directory of policies (`./DIR`)
    #[arg(long, value_name = "WHAT")]
    from: Option<String>,
    /// Side after the change: a revision, or a directory of policies (`./DIR`) [default: the policies]
    #[arg(long, value_name = "WHAT")]
    to: Option<String>,
}

impl Sides {
    /// The arguments as they were written, each after a space.
    pub(super) fn written(&self) -> String {
        let named = [("", &self.revisions), ("--from ", &self.from), ("--to ", &self.to)];
        let written = named
            .into_iter()
            .filter_map(|(option, value)| Some(format!(" {option}{}", value.as_ref()?)));
        printable(&written.collect::<String>())
    }
}

/// The side before the change.
pub(super) enum From {
    /// The published files.
    Disk,
    /// Policies.
    Side(Side),
}

/// The sides that the arguments name.
pub(super) fn sides(arguments: &Sides) -> Result<(From, Side), Failure> {
    // As for Git, no name is that of `HEAD`.
    let name = |name: &str| if name.is_empty() { "HEAD" } else { name }.to_owned();
    let named = |written: &str| Side::Revision(Revision::Named(name(written)));
    if let Some(revisions) = &arguments.revisions {
        return Ok(match (revisions.split_once("..."), revisions.split_once("..")) {
            (Some((one, other)), _) => {
                let base = Revision::MergeBase(name(one), name(other));
                (From::Side(Side::Revision(base)), named(other))
            }
            (None, Some((from, to))) => (From::Side(named(from)), named(to)),
            (None, None) => (From::Side(side(revisions)?), Side::Now),
        });
    }
    let from = match arguments.from.as_deref() {
        None | Some("disk") => From::Disk,
        Some(name) => From::Side(side(name)?),
    };
    let to = match arguments.to.as_deref() {
        None => Side::Now,
        Some("disk") => return Err("`--to disk` is no change that anybody would make; use `--from disk`".into()),
        Some(name) => side(name)?,
    };
    Ok((from, to))
}

/// A directory, by its form, or a revision.
fn side(name: &str) -> Result<Side, Failure> {
    let is_path = ["./", "../", "/"].iter().any(|start| name.starts_with(start)) || matches!(name, "." | "..");
    if is_path {
        return Ok(Side::Directory(PathBuf::from(name)));
    }
    if Path::new(name).is_dir() {
        return Err(format!(
            "`{name}` may be a directory or a revision: write `./{name}` for the directory, `{name}..` for the revision"
        )
        .into());
    }
    Ok(Side::Revision(Revision::Named(name.to_owned())))
}
