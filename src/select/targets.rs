//! The policies with a target of a mesh, and those for each of its dataplanes.

use std::sync::Arc;

use foldhash::HashMap;

use super::index::{Index, ListId, Need, needs};
use super::target::{exclusion, is_builtin, listener_tags, names_service, takes_requests};
use crate::keep::Text;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::mesh_gateway::MeshGateway;
use crate::resource::kinds::target_ref::{Target, TargetRef};
use crate::resource::value::tags::{SERVICE, Selector, Tags};
use crate::resource::{Header, NAMESPACE, TextMap, ZONE_LABEL};

/// The dataplanes of the mesh that a policy is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reached<'a> {
    /// All dataplanes.
    Mesh,
    /// The dataplanes that a selector matches.
    Selectors(&'a [Selector]),
    /// The dataplanes of a `targetRef`.
    Target(&'a TargetRef),
}

/// The properties of a dataplane, beside tags, labels and name, that decide whether policies are for it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Scope {
    /// The address of the `MeshGateway`.
    gateway: Option<usize>,
    zone: Option<Text>,
    namespace: Option<Text>,
    is_of_zone: bool,
    is_gateway: bool,
    is_builtin: bool,
    takes_requests: bool,
}

impl Scope {
    fn of(dataplane: &Dataplane, gateway: Option<&MeshGateway>) -> Self {
        let header = &dataplane.header;
        Self {
            gateway: gateway.map(|gateway| std::ptr::from_ref(gateway).addr()),
            zone: header.labels.get(ZONE_LABEL).cloned(),
            namespace: header.labels.get(NAMESPACE).cloned(),
            is_of_zone: header.is_of_zone(),
            is_gateway: dataplane.gateway.is_some(),
            is_builtin: is_builtin(dataplane),
            takes_requests: takes_requests(dataplane),
        }
    }
}

/// The lists of policies that a dataplane may fit, from each index.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    lists: [Vec<ListId>; 4],
    scope: Scope,
}

/// The policies of one mesh, in the order of their names, and what was made of those for each dataplane.
#[derive(Debug)]
pub(super) struct Targets<P, M> {
    policies: Vec<Arc<P>>,
    /// The header and the dataplanes of a policy.
    reached: fn(&P) -> (&Header, Reached<'_>),
    /// Policies by the tags of a listener.
    by_listener: Index<usize>,
    /// Policies by the tags of an inbound or of the gateway section.
    by_tags: Index<usize>,
    /// Policies by the labels of the dataplane.
    by_labels: Index<usize>,
    /// Policies by the name of the dataplane or of its `MeshGateway`, as if these were tags.
    by_name: Index<usize>,
    known: HashMap<Key, Arc<M>>,
    /// Results by the numbers of the policies that they were made of.
    made: HashMap<Vec<usize>, Arc<M>>,
}

/// The key of the name of a dataplane in the index of names.
const NAME: &str = "name";
/// The key of the name of its `MeshGateway`.
const GATEWAY: &str = "gateway";

impl<P, M> Targets<P, M> {
    /// The policies of one mesh; `reached` tells header and dataplanes of each.
    pub(super) fn new(policies: &[Arc<P>], reached: fn(&P) -> (&Header, Reached<'_>)) -> Self {
        let (mut by_listener, mut by_tags) = (Vec::new(), Vec::new());
        let (mut by_labels, mut by_name) = (Vec::new(), Vec::new());
        let named = |key: &str, value: &Text| {
            let (key, value) = (key.into(), Some(value.clone()));
            vec![Need { key, value }]
        };
        for (i, policy) in policies.iter().enumerate() {
            match reached(policy).1 {
                Reached::Mesh => by_labels.push((Vec::new(), i)),
                Reached::Selectors(selectors) => by_tags.extend(selectors.iter().map(|selector| (needs(selector), i))),
                Reached::Target(reference) => match &reference.target {
                    Target::Mesh { tags, .. } => by_listener.push((needs(tags), i)),
                    Target::Service { name: None, .. } => {}
                    Target::Service {
                        name: Some(name), tags, ..
                    } => {
                        let service = names_service(tags).then(|| named(SERVICE, &name.value));
                        let service = service.into_iter().flatten();
                        by_listener.push((service.chain(needs(tags)).collect(), i));
                    }
                    Target::Gateway { name } => by_name.push((named(GATEWAY, &name.value), i)),
                    Target::Dataplane { name: Some(name), .. } => by_name.push((named(NAME, &name.value), i)),
                    Target::Dataplane { labels, .. } => {
                        by_labels.push((labels.iter().flat_map(of_labels).collect(), i))
                    }
                },
            }
        }
        Self {
            policies: policies.to_vec(),
            reached,
            by_listener: Index::new(by_listener),
            by_tags: Index::new(by_tags),
            by_labels: Index::new(by_labels),
            by_name: Index::new(by_name),
            known: HashMap::default(),
            made: HashMap::default(),
        }
    }

    /// The result of `make` for the policies for a dataplane, in the order of their names. Dataplanes with the same
    /// policies share it.
    pub(super) fn for_dataplane(
        &mut self,
        dataplane: &Dataplane,
        gateway: Option<&MeshGateway>,
        make: impl FnOnce(Vec<Arc<P>>) -> M,
    ) -> Arc<M> {
        if self.policies.is_empty() {
            let for_all = || Arc::new(make(Vec::new()));
            return Arc::clone(self.made.entry(Vec::new()).or_insert_with(for_all));
        }
        let key = Key {
            lists: self.lists(dataplane, gateway),
            scope: Scope::of(dataplane, gateway),
        };
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        let indexes = [&self.by_listener, &self.by_tags, &self.by_labels, &self.by_name];
        let found = indexes.iter().zip(&key.lists);
        let found = found.flat_map(|(index, ids)| ids.iter().flat_map(|id| index.list(*id)));
        let mut found: Vec<usize> = found.copied().collect();
        found.sort_unstable();
        found.dedup();
        found.retain(|i| self.is_for(*i, dataplane, gateway));
        let policies = &self.policies;
        let of = |found: &Vec<usize>| Arc::new(make(found.iter().map(|i| Arc::clone(&policies[*i])).collect()));
        let made = Arc::clone(self.made.entry(found).or_insert_with_key(of));
        self.known.insert(key, Arc::clone(&made));
        made
    }

    /// The lists that the tags, labels and names of a dataplane lead to.
    fn lists(&mut self, dataplane: &Dataplane, gateway: Option<&MeshGateway>) -> [Vec<ListId>; 4] {
        let mut lists = [const { Vec::new() }; 4];
        for tags in listener_tags(dataplane, gateway) {
            self.by_listener.find(&tags, &mut lists[0]);
        }
        for tags in dataplane.tag_sets() {
            self.by_tags.find(tags, &mut lists[1]);
        }
        self.by_labels.find(&dataplane.header.labels, &mut lists[2]);
        if !self.by_name.is_empty() {
            let mut names = Tags::from_iter([(NAME.into(), dataplane.header.display_name.clone())]);
            let gateway = gateway.map(|gateway| (GATEWAY.into(), gateway.header.display_name.clone()));
            names.extend(gateway);
            self.by_name.find(&names, &mut lists[3]);
        }
        for list in &mut lists {
            list.sort_unstable();
            list.dedup();
        }
        lists
    }

    /// Whether a policy that was found by tags, labels or name is for the dataplane.
    fn is_for(&self, policy: usize, dataplane: &Dataplane, gateway: Option<&MeshGateway>) -> bool {
        let (header, reached) = (self.reached)(&self.policies[policy]);
        match reached {
            Reached::Mesh | Reached::Selectors(_) => true,
            Reached::Target(reference) => {
                let by_dataplane = matches!(reference.target, Target::Dataplane { .. });
                exclusion(header, reference, dataplane, gateway).is_none()
                    && (!by_dataplane || takes_requests(dataplane))
            }
        }
    }
}

/// The labels that a `targetRef` needs. In labels, `*` has no meaning, and an empty value means that of an absent label.
fn of_labels(labels: &TextMap) -> impl Iterator<Item = Need> + '_ {
    labels.iter().map(|(key, wanted)| {
        let (key, value) = (key.clone(), Some(wanted.value.clone()));
        Need { key, value }
    })
}

/// The part of a list, which is sorted by mesh, with the resources of one mesh.
pub fn of_mesh<'a, P>(resources: &'a [Arc<P>], mesh: &str, header: impl Fn(&P) -> &Header) -> &'a [Arc<P>] {
    let start = resources.partition_point(|resource| header(resource).mesh() < mesh);
    let length = resources[start..].partition_point(|resource| header(resource).mesh() == mesh);
    &resources[start..start + length]
}
