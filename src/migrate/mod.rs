//! The way from `TrafficTrace` to `MeshTrace`, with the proof that no proxy's tracing changes.
//!
//! Start with [`migrate`]. The plan of a mesh begins with the selectors as they are written, the strongest first (`rule.rs`). It ends
//! with as few policies as decide alike for every dataplane of the tree (`reduce.rs`), with a `targetRef` (`target.rs`) and a name
//! (`name.rs`) by which a control plane finds the same winners. The files are edited in memory (`segment.rs`), the edited tree is
//! compiled, and both compiles are compared (`proof.rs`).

mod options;

pub mod report;

pub mod proof;

mod part;

mod field;

mod existing;

mod content;

mod subject;

mod rule;

mod phantom;

mod reduce;

mod target;

mod name;

mod plan;

mod draft;

mod segment;

mod edits;

mod older;

mod traffic_trace;

mod next;

use std::sync::Arc;

use crate::compile::{self, Compiler, Extent};
use crate::diag::{Diagnostic, Severity};
use crate::kuma::{Fidelity, Version};
use crate::source::Snapshot;

pub use self::edits::FileEdit;
use self::next::Next;
pub use self::options::Options;
use self::proof::Proof;
use self::report::{Counts, Merged, Unmigrated};
use self::traffic_trace::Planning;

/// A migration, which is not written yet.
#[derive(Debug)]
pub struct Migration {
    /// The files that change, by path.
    pub files: Vec<FileEdit>,
    /// The comparison of the compiles before and after.
    pub proof: Proof,
    /// The resources that have no place in the new policies, with the reason.
    pub unmigrated: Vec<Unmigrated>,
    /// The new policies that stand for several.
    pub merged: Vec<Merged>,
    /// The migration in numbers.
    pub counts: Counts,
}

/// Plans and proves a migration of the files of a snapshot.
///
/// # Errors
/// With the errors in the policies, if there are any; nothing is proven of such a tree.
pub fn migrate(snapshot: &Snapshot, options: &Options) -> Result<Migration, Vec<Arc<Diagnostic>>> {
    let limits = &options.compile.env.limits;
    let mut unmigrated = Vec::new();
    let (older, number) = older::changes(snapshot, limits);
    let today = edits::edited(snapshot, &older, limits, &mut unmigrated);
    let before = exact(options, options.compile.kuma.version.min(Version::V2_14));
    // Files that stay are decoded once for each version.
    let mut compiler = Compiler::default();
    let (compiled, planning) = compiler.compile_with(&today, &before, |compilation| Planning::of(compilation, options));
    let errors: Vec<Arc<Diagnostic>> = (compiled.diagnostics.into_iter())
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    unmigrated.extend(planning.unmigrated.iter().cloned());
    let mut counts = planning.counts;
    counts.older = number;
    // What is proven is the end of the way, also where the older policies stay for now.
    let mut end = edits::edited(&today, &planning.changes(false), limits, &mut unmigrated);
    if options.to >= Version::V3_0 {
        let (_, next) = compiler.compile_with(&end, &before, Next::of);
        unmigrated.extend(next.unmigrated);
        counts.add(next.counts);
        end = edits::edited(&end, &next.changes, limits, &mut unmigrated);
    }
    let after = compiler.compile(&end, &exact(options, options.to));
    let files = match options.keep {
        true => {
            let kept = edits::edited(&today, &planning.changes(true), limits, &mut Vec::new());
            edits::between(snapshot, &kept)
        }
        false => edits::between(snapshot, &end),
    };
    Ok(Migration {
        files,
        proof: proof::compare(&compiled.proxies, &after.proxies),
        unmigrated,
        merged: planning.merged(),
        counts,
    })
}

/// The options of a compile of all dataplanes as a control plane of a version does it.
fn exact(options: &Options, version: Version) -> compile::Options {
    let mut exact = compile::Options {
        scope: Vec::new(),
        reload: Vec::new(),
        shapes: Vec::new(),
        extent: Extent::Findings,
        ..options.compile.clone()
    };
    exact.kuma.fidelity = Fidelity::Exact;
    exact.kuma.version = version;
    exact
}
