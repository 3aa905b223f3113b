//! The steps of one proxy, in the order Envoy needs.
//!
//! A listener that names a cluster Envoy does not have is refused for good, and spans for a cluster that went are
//! lost. So the clusters of both sides come first, then the listeners, then the new clusters alone; each step
//! waits for Envoy's word. A proxy that does not run reads a pair that fits together whenever it starts.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::admin::{Client, Step};
use super::stage::{Part, Staged};
use super::{ApplyError, Target, Word, make_directory, remove};
use crate::envoy::artifact::Artifact;
use crate::envoy::xds;
use crate::plan::{Action, Change};

/// How many proxies are published at the same time, so that a slow one does not hold up the others.
const AT_ONCE: usize = 8;

/// Publishes all changes; the results are in their order.
pub(super) fn publish_all(changes: &[&Change], staged: &Staged, target: &Target) -> Vec<Result<Word, ApplyError>> {
    let results: Vec<Mutex<Option<Result<Word, ApplyError>>>> = changes.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(changes.len()) {
            scope.spawn(|| {
                while let Some((change, result)) = {
                    let i = next.fetch_add(1, Ordering::SeqCst);
                    changes.get(i).zip(results.get(i))
                } {
                    let word = publish(change, staged, target);
                    *result.lock().expect("nobody panics with it") = Some(word);
                }
            });
        }
    });
    let taken = |result: Mutex<Option<Result<Word, ApplyError>>>| result.into_inner().expect("nobody panics with it");
    results
        .into_iter()
        .map(|result| taken(result).expect("every change was taken"))
        .collect()
}

fn publish(change: &Change, staged: &Staged, target: &Target) -> Result<Word, ApplyError> {
    if change.action == Action::Remove {
        return remove(&change.proxy, Artifact::ALL.into_iter(), target).map(|()| Word::NotRunning);
    }
    make_directory(target, &target.directory(&change.proxy).join("xds"))?;
    let place = |part: Part, artifact: Artifact| match staged.path(&change.proxy, part) {
        Some(from) => rename(from, &target.path(&change.proxy, artifact)).map(|()| true),
        None => Ok(false),
    };
    let mut client = Client::of(&change.proxy, target);
    let mut word = Word::NotRunning;
    let steps = [
        (Part::Union, Artifact::Cds, Step::Clusters),
        (Part::New(Artifact::Lds), Artifact::Lds, Step::Listeners),
        (Part::New(Artifact::Cds), Artifact::Cds, Step::Clusters),
    ];
    let has_union = staged.path(&change.proxy, Part::Union).is_some();
    // Without clusters that go, the new clusters are all there is to begin with.
    let order: &[usize] = if has_union { &[0, 1, 2] } else { &[2, 1] };
    for &i in order {
        let (part, artifact, step) = steps[i];
        let Some(text) = staged.path(&change.proxy, part).map(fs::read_to_string) else {
            continue;
        };
        let version = text.ok().and_then(|text| xds::version(&text)).unwrap_or_default();
        client.before(step);
        place(part, artifact)?;
        word = client.wait(step, &version);
        if let Word::Rejected(_) = word {
            // The next start of this Envoy would lose the listeners that it keeps now.
            place(Part::Old(artifact), artifact)?;
            return Ok(word);
        }
    }
    for artifact in [Artifact::Bootstrap, Artifact::Fragment, Artifact::Effective] {
        place(Part::New(artifact), artifact)?;
    }
    Ok(word)
}

fn rename(from: &Path, to: &Path) -> Result<(), ApplyError> {
    fs::rename(from, to).map_err(|error| ApplyError::new("replace", to, error))
}
