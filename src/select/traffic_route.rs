//! The `TrafficRoute` of an outbound.

use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::kinds::traffic_route::TrafficRoute;
use crate::resource::value::tags::{Rank, SERVICE, Selector, Tags};

/// The most specific route for a service: by the combined rank of its best source and destination selectors,
/// then by name.
pub(super) fn route_of<'a>(
    dataplane: &Dataplane,
    service: &str,
    routes: &[&'a TrafficRoute],
) -> Option<&'a TrafficRoute> {
    let outbound: Tags = [(SERVICE.to_owned(), service.to_owned())].into();
    let best = |selectors: &[Selector], matches: &dyn Fn(&Selector) -> bool| -> Option<Rank> {
        selectors
            .iter()
            .filter(|selector| matches(selector))
            .map(Selector::rank)
            .max()
    };
    let mut winner: Option<(Rank, &'a TrafficRoute)> = None;
    for route in routes {
        let source = best(&route.sources, &|selector| {
            dataplane.tag_sets().any(|tags| selector.matches(tags))
        });
        let destination = best(&route.destinations, &|selector| selector.matches(&outbound));
        let (Some(source), Some(destination)) = (source, destination) else {
            continue;
        };
        let rank = source.with(destination);
        if winner.is_none_or(|(best, _)| rank > best) {
            winner = Some((rank, route));
        }
    }
    winner.map(|(_, route)| route)
}
