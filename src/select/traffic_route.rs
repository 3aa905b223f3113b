//! The `TrafficRoute` of an outbound.

use std::collections::HashMap;
use std::sync::Arc;

use super::index::{Index, ListId, needs};
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::traffic_route::TrafficRoute;
use crate::resource::value::tags::{Rank, SERVICE, Selector};

/// A route with the rank of one of its source selectors; routes are numbered in the order of their names.
type Source = (Rank, usize);

/// The strongest route to each service, by its name or `*` for any, with the combined rank of its selectors.
type Destinations<'a> = HashMap<&'a str, Source>;

/// The `TrafficRoute`s of one mesh.
#[derive(Debug)]
pub(super) struct TrafficRoutes<'a> {
    routes: &'a [Arc<TrafficRoute>],
    sources: Index<'a, Source>,
    destinations: HashMap<ListId, Arc<Destinations<'a>>>,
}

impl<'a> TrafficRoutes<'a> {
    /// The routes of one mesh, in the order of their names.
    pub(super) fn new(routes: &'a [Arc<TrafficRoute>]) -> Self {
        let sources = routes.iter().enumerate().flat_map(|(i, route)| {
            let sources = route.sources.iter();
            sources.map(move |selector| (needs(selector), (selector.rank(), i)))
        });
        Self {
            routes,
            sources: Index::new(sources.collect()),
            destinations: HashMap::new(),
        }
    }

    /// The routes that a dataplane is a source of.
    pub(super) fn for_dataplane(&mut self, dataplane: &Dataplane) -> RoutesOf<'a> {
        let mut ids = Vec::new();
        for tags in dataplane.tag_sets() {
            self.sources.find(tags, &mut ids);
        }
        ids.sort_unstable();
        ids.dedup();
        let (sources, routes) = (&self.sources, self.routes);
        let destinations = ids.into_iter().map(|id| {
            let known = self.destinations.entry(id);
            Arc::clone(known.or_insert_with(|| Arc::new(destinations(sources.list(id), routes))))
        });
        RoutesOf {
            destinations: destinations.collect(),
            routes,
        }
    }
}

/// The strongest route of a list to each service.
fn destinations<'a>(sources: &[Source], routes: &'a [Arc<TrafficRoute>]) -> Destinations<'a> {
    let mut strongest = Destinations::new();
    for (rank, i) in sources {
        for selector in &routes[*i].destinations {
            if let Some(service) = only_service(selector) {
                let own = (rank.with(selector.rank()), *i);
                let best = strongest.entry(service).or_insert(own);
                *best = stronger(*best, own);
            }
        }
    }
    strongest
}

/// The service of a selector of outbounds, whose only tag it is.
fn only_service(selector: &Selector) -> Option<&str> {
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
pub(super) struct RoutesOf<'a> {
    destinations: Vec<Arc<Destinations<'a>>>,
    /// All routes of the mesh.
    routes: &'a [Arc<TrafficRoute>],
}

impl<'a> RoutesOf<'a> {
    /// Whether the mesh has no route.
    pub(super) fn is_without_any(&self) -> bool {
        self.routes.is_empty()
    }

    /// The most specific route to a service: by the combined rank of its best source and destination selectors, then
    /// by name.
    pub(super) fn to(&self, service: &str) -> Option<&'a TrafficRoute> {
        let found = (self.destinations.iter())
            .flat_map(|destinations| [destinations.get(service), destinations.get("*")])
            .flatten();
        let (_, i) = found.copied().reduce(stronger)?;
        Some(&self.routes[i])
    }
}
