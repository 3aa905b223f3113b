//! The labels by which the policies of Kuma 3.0 find the dataplanes that they found by tags, services and names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::migrate::name::{Orders, ordered};
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh_trace::MeshTrace;
use crate::resource::kinds::target_ref::Target;
use crate::resource::value::names::{is_dns_label, is_label_value};
use crate::resource::value::tags::{SERVICE, Selector};
use crate::resource::{DISPLAY_NAME, WORKLOAD, is_qualified_name};
use crate::select::Governed;
use crate::select::target::{by_strength, takes_requests};

/// Labels by their keys.
pub(super) type Labels = BTreeMap<String, String>;

/// The target of a policy in 3.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NewTarget {
    /// The whole mesh.
    Mesh,
    /// The dataplanes with these labels.
    Labels(Labels),
    /// Nothing: what it selected is gone.
    Gone,
}

/// The labels and targets of one mesh.
#[derive(Debug)]
pub(super) struct Labelling {
    /// The new labels of each dataplane.
    pub(super) labels: Vec<Labels>,
    /// The target of each policy.
    pub(super) targets: Vec<NewTarget>,
    /// The name of each policy.
    pub(super) names: Vec<String>,
}

/// The source of the labels of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Mesh,
    /// Labels that the policy has already.
    Written(Labels),
    /// Labels that repeat tags, a service or a name of the dataplanes.
    Repeated(Labels),
    /// A label of the policy's own.
    Own,
    Gone,
}

impl Labelling {
    /// Labels with which every policy selects the dataplanes that it selects in 2.x, and names with which policies have the same
    /// precedence.
    pub(super) fn of(dataplanes: &[&Governed], policies: &[Arc<MeshTrace>]) -> Self {
        let by_address: HashMap<*const MeshTrace, usize> = policies
            .iter()
            .enumerate()
            .map(|(i, policy)| (Arc::as_ptr(policy), i))
            .collect();
        let lists: Vec<Vec<usize>> = (dataplanes.iter())
            .map(|governed| {
                let policies = governed.policies.mesh_trace.policies.iter();
                policies
                    .filter_map(|policy| by_address.get(&Arc::as_ptr(policy)).copied())
                    .collect()
            })
            .collect();
        let mut matched = vec![Vec::new(); policies.len()];
        for (dataplane, list) in lists.iter().enumerate() {
            list.iter().for_each(|policy| matched[*policy].push(dataplane));
        }
        let sources = policies
            .iter()
            .zip(&matched)
            .map(|(policy, matched)| source(policy, matched.len() == dataplanes.len()))
            .collect::<Vec<_>>();
        let mut mesh = OfMesh {
            dataplanes,
            policies,
            matched,
            lists,
            sources,
        };
        while mesh.give_own_labels() {}
        mesh.labelling()
    }
}

/// The source of the labels of a policy, of which it is known whether it selects `all` dataplanes.
fn source(policy: &MeshTrace, all: bool) -> Source {
    let repeated = |labels: Option<Labels>| labels.map_or(Source::Own, Source::Repeated);
    match &policy.target.target {
        Target::Mesh {
            subset: false,
            proxy_types,
            ..
        } if all || proxy_types.is_empty() => Source::Mesh,
        Target::Mesh { subset: true, tags, .. } => repeated(of_tags(None, tags)),
        Target::Service {
            name: Some(name), tags, ..
        } => {
            let service = (!tags.tags.contains_key(SERVICE)).then_some(name.value.as_str());
            repeated(of_tags(service, tags))
        }
        Target::Dataplane {
            name: Some(name),
            namespace: None,
            ..
        } => {
            let value = Some(name.value.to_string()).filter(|name| is_label_value(name));
            repeated(value.map(|name| Labels::from([(DISPLAY_NAME.to_owned(), name)])))
        }
        Target::Dataplane {
            name: None,
            labels: Some(labels),
            ..
        } => {
            let labels = labels
                .iter()
                .map(|(key, value)| (key.to_string(), value.value.to_string()));
            Source::Written(labels.collect())
        }
        Target::Gateway { .. } => Source::Gone,
        Target::Mesh { .. } | Target::Service { .. } | Target::Dataplane { .. } => Source::Own,
    }
}

/// The labels that repeat tags; `None` without any, or if one cannot be a label.
fn of_tags(service: Option<&str>, tags: &Selector) -> Option<Labels> {
    let tags = tags
        .tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.value.as_str()));
    let mut labels = Labels::new();
    for (key, value) in service.map(|service| (SERVICE, service)).into_iter().chain(tags) {
        let key = if key == SERVICE { WORKLOAD } else { key };
        // The other labels of Kuma have meanings of their own.
        let is_own = !key.starts_with("kuma.io/") || matches!(key, WORKLOAD | "kuma.io/zone");
        let fits = is_own && is_qualified_name(key) && is_label_value(value) && !value.is_empty();
        if !fits || (key == WORKLOAD && !is_dns_label(value)) {
            return None;
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    (!labels.is_empty()).then_some(labels)
}

/// The dataplanes and policies of a mesh.
struct OfMesh<'m, 'a> {
    dataplanes: &'m [&'m Governed<'a>],
    policies: &'m [Arc<MeshTrace>],
    /// The dataplanes that each policy selects.
    matched: Vec<Vec<usize>>,
    /// The policies that select each dataplane, by increasing precedence.
    lists: Vec<Vec<usize>>,
    sources: Vec<Source>,
}

impl OfMesh<'_, '_> {
    /// The labels that the target of a policy names.
    fn target(&self, policy: usize) -> Option<Labels> {
        match &self.sources[policy] {
            Source::Mesh | Source::Gone => None,
            Source::Written(labels) | Source::Repeated(labels) => Some(labels.clone()),
            Source::Own => Some(Labels::from([own_label(self.policies[policy].header.name())])),
        }
    }

    /// The new labels of all dataplanes, and the policies whose labels contradict those of a dataplane.
    fn labels(&self) -> (Vec<Labels>, BTreeSet<usize>) {
        let mut wrong = BTreeSet::new();
        let mut all: Vec<Labels> = self
            .dataplanes
            .iter()
            .map(|governed| workload(governed.dataplane))
            .collect();
        for (policy, matched) in self.matched.iter().enumerate() {
            if matches!(self.sources[policy], Source::Written(_)) {
                continue;
            }
            let Some(target) = self.target(policy) else { continue };
            for dataplane in matched {
                for (key, value) in &target {
                    let known = written(self.dataplanes[*dataplane].dataplane, key);
                    match known.or(all[*dataplane].get(key).map(String::as_str)) {
                        Some(known) if known == value => {}
                        Some(_) => drop(wrong.insert(policy)),
                        None => drop(all[*dataplane].insert(key.clone(), value.clone())),
                    }
                }
            }
        }
        (all, wrong)
    }

    /// Gives labels of their own to the policies that would select other dataplanes, or with another precedence, by those that they
    /// have. Whether there were any.
    fn give_own_labels(&mut self) -> bool {
        let (labels, mut wrong) = self.labels();
        if wrong.is_empty() {
            let index = Index::of(self.dataplanes, &labels);
            let mut disturbing: BTreeSet<String> = BTreeSet::new();
            for policy in 0..self.policies.len() {
                let Some(target) = self
                    .target(policy)
                    .filter(|_| !self.policies[policy].header.is_shadow())
                else {
                    continue;
                };
                if index.with(&target) != self.matched[policy] {
                    match &self.sources[policy] {
                        Source::Written(labels) => disturbing.extend(labels.keys().cloned()),
                        _ => drop(wrong.insert(policy)),
                    }
                }
            }
            let repeats = |labels: &Labels| labels.keys().any(|key| disturbing.contains(key));
            let sources = self.sources.iter().enumerate();
            let repeating = sources.filter(|(_, source)| matches!(source, Source::Repeated(labels) if repeats(labels)));
            wrong.extend(repeating.map(|(policy, _)| policy));
        }
        for list in &self.lists {
            // A policy for the whole mesh is the weakest, so none above another one can stay such.
            let is_mesh = |policy: &usize| self.sources[*policy] == Source::Mesh;
            let first = list.iter().position(|policy| !is_mesh(policy)).unwrap_or(list.len());
            wrong.extend(list[first..].iter().filter(|policy| is_mesh(policy)));
        }
        let wrong: Vec<usize> = wrong
            .into_iter()
            .filter(|policy| self.sources[*policy] != Source::Own)
            .collect();
        for policy in &wrong {
            self.sources[*policy] = Source::Own;
        }
        !wrong.is_empty()
    }

    fn labelling(&self) -> Labelling {
        let targets = (0..self.policies.len()).map(|policy| match (&self.sources[policy], self.target(policy)) {
            (Source::Gone, _) => NewTarget::Gone,
            (_, Some(labels)) => NewTarget::Labels(labels),
            (_, None) => NewTarget::Mesh,
        });
        Labelling {
            labels: self.labels().0,
            targets: targets.collect(),
            names: self.names(),
        }
    }

    /// Names in the order of precedence, by which policies with labels are compared.
    fn names(&self) -> Vec<String> {
        let is_labelled = |policy: &usize| !matches!(self.sources[*policy], Source::Mesh | Source::Gone);
        // The order of a list in which the stronger ones of all dataplanes come first.
        let mut rank = vec![0; self.policies.len()];
        let mut strongest: Vec<usize> = (0..self.policies.len()).collect();
        strongest.sort_by(|a, b| by_strength(&*self.policies[*b], &*self.policies[*a]));
        strongest
            .iter()
            .enumerate()
            .for_each(|(place, policy)| rank[*policy] = place);
        let mut orders = Orders::default();
        for list in &self.lists {
            let labelled: Vec<usize> = list.iter().copied().filter(is_labelled).collect();
            for pair in labelled.windows(2) {
                orders.add(rank[pair[1]], rank[pair[0]]);
            }
        }
        let natural = strongest
            .iter()
            .map(|policy| self.policies[*policy].header.display_name.to_string());
        let named = ordered(natural.collect(), &orders, &BTreeSet::new());
        rank.iter().map(|place| named[*place].clone()).collect()
    }
}

/// The label of a policy's own.
fn own_label(policy: &str) -> (String, String) {
    let name: String = policy.chars().take(50).collect();
    (
        format!("tracing/{}", name.trim_end_matches(['-', '.'])),
        "enabled".to_owned(),
    )
}

/// The workload that gives a dataplane its service name in 3.0, if it has none and its service can be one.
fn workload(dataplane: &Dataplane) -> Labels {
    let service = dataplane.identifying_service().filter(|service| is_dns_label(service));
    let service = service.filter(|_| dataplane.header.label(WORKLOAD).is_none());
    service
        .map(|service| (WORKLOAD.to_owned(), service.to_string()))
        .into_iter()
        .collect()
}

/// A label that a dataplane has in both versions.
fn written<'d>(dataplane: &'d Dataplane, key: &str) -> Option<&'d str> {
    dataplane.header.label(key).filter(|_| key != "kuma.io/proxy-type")
}

/// The dataplanes by their labels.
struct Index<'m> {
    labels: &'m [Labels],
    dataplanes: Vec<&'m Dataplane>,
    by_label: HashMap<(String, String), Vec<usize>>,
}

impl<'m> Index<'m> {
    fn of(dataplanes: &'m [&'m Governed], labels: &'m [Labels]) -> Self {
        let mut by_label: HashMap<(String, String), Vec<usize>> = HashMap::new();
        for (i, (governed, new)) in dataplanes.iter().zip(labels).enumerate() {
            let old = governed
                .dataplane
                .header
                .labels
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()));
            for label in old.chain(new.iter().map(|(key, value)| (key.clone(), value.clone()))) {
                by_label.entry(label).or_default().push(i);
            }
        }
        Self {
            labels,
            dataplanes: dataplanes.iter().map(|governed| &**governed.dataplane).collect(),
            by_label,
        }
    }

    /// The dataplanes with labels; an absent one counts as an empty one.
    fn with(&self, wanted: &Labels) -> Vec<usize> {
        let has = |i: usize| {
            wanted.iter().all(|(key, value)| {
                let found = written(self.dataplanes[i], key).or(self.labels[i].get(key).map(String::as_str));
                found.unwrap_or_default() == value && takes_requests(self.dataplanes[i])
            })
        };
        let lists = wanted
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| {
                let list = self.by_label.get(&(key.clone(), value.clone()));
                list.map_or(&[][..], Vec::as_slice)
            });
        match lists.min_by_key(|list| list.len()) {
            Some(list) => list.iter().copied().filter(|i| has(*i)).collect(),
            None => (0..self.dataplanes.len()).filter(|i| has(*i)).collect(),
        }
    }
}
