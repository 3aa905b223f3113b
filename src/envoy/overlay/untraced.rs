//! Routes for requests that are not traced, before those that somebody configured.

use serde_json::{Value, json};

use super::listener::Manager;
use super::message::{Message, field, list};
use crate::envoy::spelling::camel;
use crate::envoy::untraced::{header_matchers, nothing_sampled};
use crate::spans::Untraced;
use crate::yaml::Limits;
use crate::yaml::edit::{self, Edit};
use crate::yaml::written::Way;

/// The edits by which a connection manager does not trace the requests of some entries; `None` if not all of its routes can be copied.
///
/// Each virtual host gets a copy of each of its routes for each entry, before the routes themselves and in their order. The copy does the same
/// for the requests of the entry, so that a request takes the way that it took before. The cost is that of the copies.
pub(super) fn edits(manager: &Manager, untraced: &[Untraced], limits: &Limits) -> Option<Vec<(Way, Edit)>> {
    let config = field(&manager.message, "route_config")?;
    let of_host = |host: &Message| {
        let routes = field(host, "routes").filter(|_| field(host, "matcher").is_none())?;
        let all = routes.items()?;
        // A file that was published already has the copies of its last routes before them.
        let own = all.len() / (untraced.len() + 1);
        let (before, rest) = all.split_at(all.len() - own);
        let wanted = all_copies(rest, untraced, limits)?;
        let is_there = |(before, wanted): (&Message, &Value)| edit::means(before, wanted, limits);
        if !wanted.is_empty() && before.len() == wanted.len() && before.iter().zip(&wanted).all(is_there) {
            return Some(None);
        }
        let copies = all_copies(&all, untraced, limits)?;
        Some(Some((routes.way().clone(), Edit::Prepend(copies))))
    };
    let hosts = list(&config, "virtual_hosts");
    let is_fed = field(&config, "vhds").is_some();
    if hosts.is_empty() || is_fed {
        return None;
    }
    let edits: Option<Vec<_>> = hosts.iter().map(of_host).collect();
    edits.map(|edits| edits.into_iter().flatten().collect())
}

/// The copies of several routes, in their order.
fn all_copies(routes: &[Message], untraced: &[Untraced], limits: &Limits) -> Option<Vec<Value>> {
    let copies = routes.iter().map(|route| copies(route, untraced, limits));
    copies.collect::<Option<Vec<_>>>().map(|copies| copies.concat())
}

/// The copies of a route, one for each entry.
fn copies(route: &Message, untraced: &[Untraced], limits: &Limits) -> Option<Vec<Value>> {
    let own = edit::value(route, limits)?;
    let copy = |entry: &Untraced| {
        let mut copy = own.clone();
        let headers = copy.get_mut("match")?.as_object_mut()?.entry("headers");
        headers
            .or_insert_with(|| json!([]))
            .as_array_mut()?
            .extend(header_matchers(entry));
        let mut tracing = nothing_sampled();
        let name = "custom_tags";
        let before = copy.get("tracing");
        if let Some(tags) = before.and_then(|before| before.get(name).or_else(|| before.get(camel(name)))) {
            tracing[name] = tags.clone();
        }
        copy["tracing"] = tracing;
        Some(copy)
    };
    untraced.iter().map(copy).collect()
}
