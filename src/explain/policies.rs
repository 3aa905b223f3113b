//! The policies of a mesh from the view of one dataplane: the outcome of each, its reason, and the changes that would
//! make it win.

use std::cmp::Ordering;

use serde::Serialize;

use super::place::Place;
use crate::compilation::Compilation;
use crate::kuma::{Ties, Version};
use crate::resource::Header;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::target_ref::{Target, TargetKind};
use crate::resource::kinds::traffic_trace::TrafficTrace;
use crate::resource::value::tags::Rank;
use crate::select::mesh_trace::Merged;
use crate::select::target::precedence;
use crate::select::{Candidate as Selected, Governed, target};

/// A policy and its outcome for one dataplane.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The type of the policy.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name of the policy.
    pub name: String,
    /// The outcome for the dataplane.
    pub outcome: Outcome,
    /// The specificity of the policy, or the reason why it does not match the dataplane.
    pub why: String,
    /// The changes that would make the policy win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_win: Option<String>,
    /// The place of the policy.
    pub at: Place,
}

/// The outcome of a policy for a dataplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The policy decides.
    Won,
    /// A stronger policy decides, and leaves a field to this one.
    Merged,
    /// The policy would decide if there were no `MeshTrace`.
    Displaced,
    /// The policy matches the dataplane, and a stronger one decides.
    Lost,
    /// The policy does not match the dataplane.
    NotForIt,
}

impl Outcome {
    /// The outcome as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Merged => "merged",
            Self::Displaced => "displaced",
            Self::Lost => "lost",
            Self::NotForIt => "not for it",
        }
    }
}

/// All policies of the mesh: first those of the kind that decides, the strongest first.
pub(super) fn candidates(compilation: &Compilation, governed: &Governed, root: &str) -> Vec<Candidate> {
    let mut all = mesh_traces(compilation, governed, root);
    // Without the strongest MeshTrace the next one decides, unless it does not displace TrafficTrace.
    let strongest_first = governed.policies.mesh_trace.policies.iter().rev();
    let displaced_by: Vec<&Header> = strongest_first
        .take_while(|policy| policy.conf.backend.value.is_some())
        .map(|policy| &policy.header)
        .collect();
    all.extend(traffic_traces(compilation, governed, &displaced_by, root));
    let decides = all.iter().find(|candidate| candidate.outcome == Outcome::Won);
    let decides = decides.map(|winner| winner.kind);
    // Within each kind the strongest comes first, whichever wins.
    let order = |candidate: &Candidate| match candidate.outcome {
        Outcome::NotForIt => 2,
        Outcome::Won | Outcome::Merged | Outcome::Displaced | Outcome::Lost => {
            u8::from(decides != Some(candidate.kind))
        }
    };
    all.sort_by_key(order);
    all
}

fn candidate(header: &Header, kind: &'static str, outcome: Outcome, why: String, root: &str) -> Candidate {
    Candidate {
        kind,
        name: header.name().to_owned(),
        outcome,
        why,
        would_win: None,
        at: Place::of(&header.at, root),
    }
}

fn traffic_traces(
    compilation: &Compilation,
    governed: &Governed,
    displaced_by: &[&Header],
    root: &str,
) -> Vec<Candidate> {
    const KIND: &str = "TrafficTrace";
    let mut all = Vec::new();
    let first = (!displaced_by.is_empty()).then(|| format!("without MeshTrace {}", names(displaced_by)));
    if let Some(winner) = governed.winner() {
        let outcome = first.as_ref().map_or(Outcome::Won, |_| Outcome::Displaced);
        let own = candidate(&winner.policy.header, KIND, outcome, rank(winner.rank), root);
        all.push(Candidate {
            would_win: first.clone(),
            ..own
        });
        let mut stronger = vec![&winner.policy.header];
        for lost in &governed.policies.traffic_traces.lost() {
            let advice = advice(lost, winner, &stronger, compilation.kuma.ties);
            let would_win = first.iter().cloned().chain([advice]).collect::<Vec<_>>();
            let own = candidate(&lost.policy.header, KIND, Outcome::Lost, rank(lost.rank), root);
            all.push(Candidate {
                would_win: Some(would_win.join(", and ")),
                ..own
            });
            stronger.push(&lost.policy.header);
        }
    }
    let dataplane = governed.dataplane;
    let is_candidate = |policy: &TrafficTrace| all.iter().any(|own| own.name == policy.header.name());
    let others: Vec<Candidate> = (compilation.resources.traffic_traces.iter())
        .filter(|policy| policy.header.mesh() == dataplane.header.mesh() && !is_candidate(policy))
        .map(|policy| {
            candidate(
                &policy.header,
                KIND,
                Outcome::NotForIt,
                mismatch(policy, governed),
                root,
            )
        })
        .collect();
    all.extend(others);
    all
}

/// `2 tags, 1 exact`.
fn rank(rank: Rank) -> String {
    let tags = match rank.tags() {
        1 => "1 tag".to_owned(),
        n => format!("{n} tags"),
    };
    match (rank.exact, rank.wildcard) {
        (_, 0) => format!("{tags}, exact"),
        (0, _) => format!("{tags}, wildcard"),
        (exact, _) => format!("{tags}, {exact} exact"),
    }
}

/// The changes that would make a policy win; `stronger` holds the winner and the policies between the two.
fn advice(own: &Selected, winner: &Selected, stronger: &[&Header], ties: Ties) -> String {
    let more = match winner.rank.tags() + 1 {
        1 => "1 tag".to_owned(),
        n => format!("{n} tags"),
    };
    let time = |policy: &Selected| policy.policy.header.creation_time.as_deref().copied();
    let by_time = ties == Ties::CreationTime && time(own) != time(winner);
    match own.rank.cmp(&winner.rank) {
        Ordering::Less => format!("with {more}, or without {}", names(stronger)),
        Ordering::Equal | Ordering::Greater if by_time => {
            format!(
                "with {more}, or a later `creationTime` than {}",
                winner.policy.header.name()
            )
        }
        Ordering::Equal | Ordering::Greater => {
            format!("with {more}, or a name before {}", winner.policy.header.name())
        }
    }
}

/// The names of up to two policies, or the number of more.
fn names(policies: &[&Header]) -> String {
    match policies {
        [one] => one.name().to_owned(),
        [one, other] => format!("{} and {}", one.name(), other.name()),
        many => format!("the {} stronger ones", many.len()),
    }
}

/// The first tag in which the nearest selector and the dataplane differ.
fn mismatch(policy: &TrafficTrace, governed: &Governed) -> String {
    let misses = governed.dataplane.tag_sets().flat_map(|tags| {
        let of_selector = move |selector: &crate::resource::value::tags::Selector| {
            let missing = selector.tags.iter().filter(|(tag, wanted)| {
                !tags
                    .get(*tag)
                    .is_some_and(|found| wanted.value == "*" || *found == wanted.value)
            });
            let (tag, wanted, found) = selector.mismatch(tags)?;
            let found = found.map_or_else(|| "is missing".to_owned(), |found| format!("is `{found}`"));
            Some((missing.count(), format!("`{tag}` {found}, wanted `{wanted}`")))
        };
        policy.selectors.iter().filter_map(of_selector)
    });
    let nearest = misses.min_by_key(|(missing, _)| *missing);
    nearest.map_or_else(|| "the dataplane has no tags".to_owned(), |(_, why)| why)
}

fn mesh_traces(compilation: &Compilation, governed: &Governed, root: &str) -> Vec<Candidate> {
    const KIND: &str = "MeshTrace";
    let dataplane = governed.dataplane;
    let mut all = Vec::new();
    if let Some(merged) = &governed.policies.mesh_trace.merged {
        let mut stronger = Vec::new();
        // The strongest policy is the last one.
        for policy in governed.policies.mesh_trace.policies.iter().rev() {
            let own = mesh_trace(policy, merged, governed.winner().is_some(), root);
            let would_win = (!stronger.is_empty())
                .then(|| mesh_trace_advice(policy, &merged.strongest, &stronger, compilation.kuma.version));
            all.push(Candidate { would_win, ..own });
            stronger.push(&policy.header);
        }
    }
    let of_mesh = |policy: &&MeshTrace| policy.header.mesh() == dataplane.header.mesh();
    let policies = compilation.resources.mesh_traces.iter().map(AsRef::as_ref);
    for policy in policies.filter(of_mesh) {
        if let Some(miss) = target::mismatch(
            &policy.header,
            &policy.target,
            dataplane,
            governed.policies.policy_gateway.as_deref(),
        ) {
            all.push(candidate(
                &policy.header,
                KIND,
                Outcome::NotForIt,
                miss.to_string(),
                root,
            ));
        }
    }
    all
}

fn mesh_trace(policy: &MeshTrace, merged: &Merged, has_traffic_trace: bool, root: &str) -> Candidate {
    let own = |outcome, why| candidate(&policy.header, "MeshTrace", outcome, why, root);
    let specificity = specificity(&policy.target.target);
    if policy.header.id == merged.strongest.header.id {
        return match merged.backend() {
            None if has_traffic_trace => own(
                Outcome::Lost,
                format!("{specificity}; no backend, so it does not displace a TrafficTrace"),
            ),
            None => own(Outcome::Won, format!("{specificity}; it switches tracing off")),
            Some(_) => own(Outcome::Won, specificity),
        };
    }
    let inherited = match merged.backend() {
        Some(_) => inherited(policy, merged),
        None => Vec::new(),
    };
    if inherited.is_empty() {
        return own(Outcome::Lost, specificity);
    }
    own(
        Outcome::Merged,
        format!("{specificity}; {} from it", inherited.join(" and ")),
    )
}

/// The fields of a policy that the stronger ones leave to it.
fn inherited(policy: &MeshTrace, merged: &Merged) -> Vec<&'static str> {
    let own = &policy.conf.sampling;
    let shares = [
        ("sampling.overall", &own.overall, &merged.sampling.overall),
        ("sampling.client", &own.client, &merged.sampling.client),
        ("sampling.random", &own.random, &merged.sampling.random),
    ];
    let is_own =
        |(name, own, merged): (&'static str, &Option<_>, &Option<_>)| (own.is_some() && own == merged).then_some(name);
    let mut fields: Vec<&str> = shares.into_iter().filter_map(is_own).collect();
    let tags = policy.conf.tags.as_deref();
    if tags.is_some_and(|tags| !tags.is_empty() && std::ptr::eq(tags, merged.tags())) {
        fields.push("tags");
    }
    fields
}

/// The kind of a target, and its way to select dataplanes.
fn specificity(target: &Target) -> String {
    match target {
        Target::Dataplane { name: Some(_), .. } => "Dataplane by name".to_owned(),
        Target::Dataplane { labels: Some(_), .. } => "Dataplane by labels".to_owned(),
        other => other.kind().as_str().to_owned(),
    }
}

/// The kinds of target that are narrower than the given one.
fn narrower(than: &Target, version: Version) -> Vec<&'static str> {
    let kinds: &[TargetKind] = match version {
        Version::V2_13 | Version::V2_14 => &[TargetKind::MeshService, TargetKind::MeshServiceSubset],
        Version::V3_0 => &[TargetKind::Dataplane],
    };
    let narrower = kinds.iter().filter(|kind| **kind > than.kind());
    narrower.map(|kind| kind.as_str()).collect()
}

fn mesh_trace_advice(policy: &MeshTrace, strongest: &MeshTrace, stronger: &[&Header], version: Version) -> String {
    let (own, winner) = (&policy.target.target, &strongest.target.target);
    let without = format!("without {}", names(stronger));
    let by_name = format!("with a name before {}", strongest.header.name());
    let kinds = narrower(winner, version);
    match precedence(policy, strongest) {
        Ordering::Equal | Ordering::Greater => by_name,
        Ordering::Less if !kinds.is_empty() => format!("as {}, or {without}", kinds.join(" or ")),
        Ordering::Less if own.kind() == winner.kind() => without,
        // Between targets of the same kind, the next criterion of the order decides.
        Ordering::Less => {
            let next = |policy: &MeshTrace| (policy.header.origin_precedence(), policy.header.role());
            match next(policy).cmp(&next(strongest)) {
                Ordering::Less => without,
                Ordering::Equal => format!("as {} {by_name}, or {without}", winner.kind().as_str()),
                Ordering::Greater => format!("as {}, or {without}", winner.kind().as_str()),
            }
        }
    }
}
