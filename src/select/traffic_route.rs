//! The `TrafficRoute` of an outbound.

use std::sync::Arc;

use foldhash::HashMap;

use super::index::{Index, ListId, needs};
use crate::keep::Text;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::traffic_route::TrafficRoute;
use crate::resource::value::tags::{Rank, SERVICE, Selector};

/// A route with the rank of one of its source selectors; routes are numbered in the order of their names.
type Source = (Rank, usize);

/// The strongest route to each service, by its name or `*` for any, with the combined rank of its selectors.
type Destinations = HashMap<Text, Source>;

/// The `TrafficRoute`s of one mesh.
#[derive(Debug)]
pub(super) struct TrafficRoutes {
    routes: Arc<[Arc<TrafficRoute>]>,
    sources: Index<Source>,
    destinations: HashMap<ListId, Arc<Destinations>>,
    made: HashMap<Vec<ListId>, Arc<RoutesOf>>,
}

impl TrafficRoutes {
    /// The routes of one mesh, in the order of their names.
    pub(super) fn new(routes: &[Arc<TrafficRoute>]) -> Self {
        let sources = routes.iter().enumerate().flat_map(|(i, route)| {
            let sources = route.sources.iter();
            sources.map(move |selector| (needs(selector), (selector.rank(), i)))
        });
        Self {
            routes: routes.into(),
            sources: Index::new(sources.collect()),
            destinations: HashMap::default(),
            made: HashMap::default(),
        }
    }

    /// The routes that a dataplane is a source of.
    pub(super) fn for_dataplane(&mut self, dataplane: &Dataplane) -> Arc<RoutesOf> {
        let mut ids = Vec::new();
        for tags in dataplane.tag_sets() {
            self.sources.find(tags, &mut ids);
        }
        ids.sort_unstable();
        ids.dedup();
        if let Some(made) = self.made.get(&ids) {
            return Arc::clone(made);
        }
        let destinations = ids.iter().map(|id| {
            let known = self.destinations.entry(*id);
            Arc::clone(known.or_insert_with(|| Arc::new(destinations(self.sources.list(*id), &self.routes))))
        });
        let made = Arc::new(RoutesOf {
            destinations: destinations.collect(),
            routes: Arc::clone(&self.routes),
        });
        self.made.insert(ids, Arc::clone(&made));
        made
    }
}

/// The strongest route of a list to each service.
fn destinations(sources: &[Source], routes: &[Arc<TrafficRoute>]) -> Destinations {
    let mut strongest = Destinations::default();
    for (rank, i) in sources {
        for selector in &routes[*i].destinations {
            if let Some(service) = only_service(selector) {
                let own = (rank.with(selector.rank()), *i);
                let best = strongest.entry(service.clone()).or_insert(own);
                *best = stronger(*best, own);
            }
        }
    }
    strongest
}

/// The service of a selector of outbounds, whose only tag it is.
fn only_service(selector: &Selector) -> Option<&Text> {
    let service = selector.tags.get(SERVICE).filter(|_| selector.tags.len() == 1)?;
    Some(&service.value)
}

/// The route with the higher rank; of equals the first.
fn stronger(a: Source, b: Source) -> Source {
    if (b.0, std::cmp::Reverse(b.1)) > (a.0, std::cmp::Reverse(a.1)) {
        b
    } else {
        a
    }
}

/// The routes that one dataplane is a source of.
#[derive(Debug)]
pub(super) struct RoutesOf {
    destinations: Vec<Arc<Destinations>>,
    /// All routes of the mesh.
    routes: Arc<[Arc<TrafficRoute>]>,
}

impl RoutesOf {
    /// Whether the mesh has no route.
    pub(super) fn is_without_any(&self) -> bool {
        self.routes.is_empty()
    }

    /// The most specific route to a service: by the combined rank of its best source and destination selectors, then
    /// by name.
    pub(super) fn to(&self, service: &str) -> Option<&TrafficRoute> {
        let found = (self.destinations.iter())
            .flat_map(|destinations| [destinations.get(service), destinations.get("*")])
            .flatten();
        let (_, i) = found.copied().reduce(stronger)?;
        Some(&self.routes[i])
    }
}
