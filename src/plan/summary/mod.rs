//! A plan in the words of tracing: what changes for which proxies, because of which resource, and with which effect.
//!
//! Proxies that get the same changes form a group, so that one edit of a policy reads as one change.

mod counts;

mod impact;

mod consequence;

mod reason;

mod difference;

mod group;

pub use consequence::Consequence;
pub use counts::Counts;
pub use difference::Difference;
pub use group::{Group, folded};
pub use impact::Impact;
pub use reason::{Reason, ReasonKind};

use std::borrow::Cow;

use difference::{Differences, named, sampling};

use super::change::{Action, Change, Plan};
use crate::compile::Compiled;
use crate::envoy::artifact::{Artifact, ArtifactKind, Files, TRACING};
use crate::envoy::effective::EffectiveTracing;
use crate::ir::Proxy;
use crate::system::parallel;

/// The states of the policies that a plan leads from and to.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// The compile that all files before the changes come from; `None` if only the files are known.
    pub before: Option<&'c Compiled>,
    /// The compile that the plan comes from.
    pub after: &'c Compiled,
    /// The reload that follows a change, in words.
    pub reload: &'c (dyn Fn(&Change) -> Option<String> + Sync),
}

/// The changes of a plan in groups: proxies that change first, then new ones, then removed ones. The cost grows with the
/// changed proxies.
#[must_use]
pub fn summarize(plan: &Plan, context: &Context) -> Vec<Group> {
    let group = |change: &Change| {
        let old = match context.before.and_then(|before| before.proxy(&change.proxy)) {
            Some(proxy) => Some(EffectiveTracing::values_of(proxy)),
            None => read(&change.before),
        };
        let proxy = context.after.proxy(&change.proxy);
        // A file that somebody edited, or one of a generation before, is not that of the proxy.
        let rendered = || context.after.fragments.get(&change.proxy)?.get(&Artifact::Effective);
        let new = match proxy {
            Some(proxy) if change.after.get(&Artifact::Effective) == rendered() => {
                Some(EffectiveTracing::values_of(proxy))
            }
            _ => read(&change.after),
        };
        of_one(change, (old, new), proxy, context)
    };
    /// The number of changes whose groups are made at once.
    const MANY: usize = 512;
    let parts: Vec<&[Change]> = plan.changes.chunks(MANY).collect();
    let threads = parallel::threads_for(plan.changes.len());
    let of_part = |part: &&[Change]| group::grouped(part.iter().map(group));
    group::grouped(
        parallel::map("comparing proxies", &parts, threads, of_part)
            .into_iter()
            .flatten(),
    )
}

/// The effective tracing in the files of a proxy.
fn read(files: &Files) -> Option<EffectiveTracing> {
    EffectiveTracing::read(&files.get(&Artifact::Effective)?.text())
}

/// The group of one proxy alone.
fn of_one(
    change: &Change,
    (old, new): (Option<EffectiveTracing>, Option<EffectiveTracing>),
    proxy: Option<&Proxy>,
    context: &Context,
) -> Group {
    let mut group = Group {
        action: change.action,
        mesh: change.proxy.mesh.clone(),
        dataplanes: vec![change.proxy.dataplane.clone()],
        impact: Impact::of(change),
        reload: (context.reload)(change),
        differences: Vec::new(),
        reasons: Vec::new(),
        consequences: Vec::new(),
    };
    match (change.action, old, new) {
        (Action::Add, _, new) => {
            let new = new.as_ref();
            group.differences.extend(new.map(state));
            let policy = new
                .filter(|new| new.backend.is_some())
                .and_then(|new| new.policy.as_ref());
            group
                .reasons
                .extend(policy.map(|policy| Reason::selected(policy, proxy)));
        }
        (Action::Remove, old, _) => {
            group.differences.extend(old.as_ref().map(state).map(|was| Difference {
                before: Some(was.after),
                after: "gone".to_owned(),
                ..was
            }));
            group.reasons.push(Reason::removed(context.after, &change.proxy, proxy));
        }
        (Action::Change, Some(old), Some(new)) => {
            let found = Differences::between(&old, &new, proxy);
            let mesh = &change.proxy.mesh;
            let policy = Reason::policy(context.after, mesh, old.policy.as_ref(), new.policy.as_ref(), proxy);
            let of_tracer = if policy.is_some() { Vec::new() } else { found.of_tracer };
            group
                .reasons
                .extend(policy.into_iter().chain(of_tracer).chain(found.of_dataplane));
            group.consequences = Consequence::of(&old, &new);
            group.differences = found.all;
            if group.differences.is_empty() && group.reasons.is_empty() {
                let files = format!("{}; the tracing stays as it is", changed_files(change));
                group.differences.push(Difference::new("files", files));
            }
        }
        // Somebody wrote something else into `effective.yaml`.
        (Action::Change, _, _) => group.differences.push(Difference::new("files", changed_files(change))),
    }
    group
}

/// The tracing of a proxy that comes or goes: `zipkin us-east, 100 %`.
fn state(tracing: &EffectiveTracing) -> Difference {
    let said = tracing.backend.as_ref().map_or("not traced".to_owned(), |backend| {
        format!("{}, {}", named(backend), sampling(backend))
    });
    Difference::new("", said)
}

fn changed_files(change: &Change) -> String {
    let (blocks, single): (Vec<_>, Vec<_>) = change
        .changed()
        .partition(|artifact| artifact.kind() == ArtifactKind::Tracing);
    let mut said: Vec<Cow<'_, str>> = single.into_iter().map(Artifact::path).collect();
    match &blocks[..] {
        [] => {}
        [block] => said.push(block.path()),
        many => said.push(format!("{} files in {TRACING}/", many.len()).into()),
    }
    said.join(", ")
}
