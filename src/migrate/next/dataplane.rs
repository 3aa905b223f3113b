//! Dataplanes as 3.0 takes them: with a protocol at each inbound, and references in the place of tags at each outbound.

use serde_json::json;

use super::labels::Labels;
use super::service::Services;
use crate::migrate::edits::Changes;
use crate::migrate::part::unmigrated;
use crate::migrate::report::Unmigrated;
use crate::resource::Form;
use crate::resource::kinds::dataplane::{Dataplane, Destination};
use crate::resource::value::names::is_dns_label;
use crate::yaml::edit::Edit;

/// Adds the changes of a dataplane.
pub(super) fn change(
    dataplane: &Dataplane,
    labels: &Labels,
    services: &Services,
    changes: &mut Changes,
    notes: &mut Vec<Unmigrated>,
) {
    let mut edits = protocols(dataplane);
    edits.extend(references(dataplane, services, notes));
    if !edits.is_empty() || !labels.is_empty() {
        let change = changes.of(&dataplane.header);
        change.edits.extend(edits);
        change.labels.added.extend(labels.clone());
    }
}

/// An edit with the keys and indexes that lead to its node.
type Placed = (Vec<String>, Edit);

/// The path of an entry of `networking`, by its own path, which ends with its index.
fn place(dataplane: &Dataplane, list: &str, path: &str) -> Option<Vec<String>> {
    let index: usize = path.strip_suffix(']')?.rsplit('[').next()?.parse().ok()?;
    let spec = (dataplane.header.form == Form::Kubernetes).then_some("spec");
    let keys = spec.into_iter().chain(["networking", list]).map(str::to_owned);
    Some(keys.chain([index.to_string()]).collect())
}

/// The field `protocol` of each inbound that has a tag in its place.
fn protocols(dataplane: &Dataplane) -> Vec<Placed> {
    let inbounds = dataplane.inbounds.iter();
    let tagged = inbounds.filter(|inbound| inbound.written_protocol.is_none());
    let set = tagged.filter_map(|inbound| {
        let protocol = inbound.tagged_protocol.as_ref()?.value.to_string();
        let set = Edit::set("protocol", json!(protocol), "port");
        Some((place(dataplane, "inbound", &inbound.path)?, set))
    });
    set.collect()
}

/// The reference of each outbound that has tags in its place.
fn references(dataplane: &Dataplane, services: &Services, notes: &mut Vec<Unmigrated>) -> Vec<Placed> {
    let mut edits = Vec::new();
    for outbound in &dataplane.outbounds {
        let Destination::Service { service, tags } = &outbound.to else {
            continue;
        };
        let name = service.value.as_str();
        let mut note = |reason: String| {
            let place = unmigrated(&dataplane.header, reason);
            notes.push(Unmigrated {
                line: dataplane.header.location(outbound.span).line(),
                ..place
            });
        };
        if !is_dns_label(name) {
            note(format!(
                "its outbound is for `{name}`, which cannot be the name of a MeshService"
            ));
            continue;
        }
        if tags.is_some() {
            note(format!(
                "its outbound for `{name}` asks for more tags, which 3.0 cannot"
            ));
        }
        let port = services.port(name).unwrap_or(outbound.port);
        let replace = Edit::Replace {
            keys: vec!["tags"],
            with: "backendRef".to_owned(),
            value: json!({"kind": "MeshService", "name": name, "port": port}),
        };
        edits.extend(place(dataplane, "outbound", &outbound.path).map(|path| (path, replace)));
    }
    edits
}
