//! `tracing/*.yaml`: the tracing of one listener each, for people who make Envoy's configuration from a template.
//!
//! The field stands in the file also where it is unset, so that a template has it in one place and without a condition.

use serde::Serialize;
use serde_json::{Value, json};

use super::artifact::{Artifact, Block, Files};
use super::file_text::FileText;
use super::tracing::{self, RequestIds, Tracing};
use super::xds;
use crate::ir::{Listener, Proxy};
use crate::yaml::{Limits, json as yaml_json, write};

/// The fields of a connection manager; the tracing is `null`, which Envoy takes for unset, when the listener is not traced.
#[derive(Serialize)]
struct Fields<'a> {
    tracing: Option<Tracing<'a>>,
    #[serde(flatten)]
    request_ids: RequestIds,
}

/// The listeners that have a connection manager, with the files of their blocks.
pub(super) fn listeners(proxy: &Proxy) -> impl Iterator<Item = (Artifact, &Listener)> {
    let with_manager = (proxy.listeners.iter()).filter(|listener| listener.protocol.value.is_http());
    with_manager.map(|listener| {
        let block = Block {
            direction: listener.direction,
            address: listener.own_address,
            port: listener.port,
        };
        (Artifact::Tracing(block), listener)
    })
}

pub(super) fn render(out: &mut String, proxy: &Proxy, listener: &Listener) {
    let fields = Fields {
        tracing: tracing::block(proxy, listener),
        request_ids: tracing::request_ids(proxy, listener, None),
    };
    write::append(out, &fields);
}

/// A static configuration with a listener for each block in the files of a proxy, and with the cluster of its fragment. `None` when
/// the files have no blocks, or one of the texts is not what it should be.
#[must_use]
pub fn as_static(files: &Files) -> Option<String> {
    let read = |text: &FileText| yaml_json::read_one(&text.text(), &Limits::default());
    let blocks = (files.iter()).filter(|(artifact, _)| matches!(artifact, Artifact::Tracing(_)));
    let listener = |(artifact, text): (&Artifact, &FileText)| Some(listener(&artifact.path(), read(text)?));
    let listeners: Vec<Value> = blocks.map(listener).collect::<Option<_>>()?;
    let mut whole = read(files.get(&Artifact::Fragment)?)?;
    let own = whole.get_mut("static_resources")?.as_object_mut()?;
    if listeners.is_empty() {
        return None;
    }
    own.insert("listeners".to_owned(), listeners.into());
    Some(write::write(&whole))
}

/// A listener whose connection manager has the fields of a block.
fn listener(name: &str, block: Value) -> Value {
    let mut manager = json!({
        "@type": xds::CONNECTION_MANAGER,
        "stat_prefix": "validated",
        "route_config": {},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": xds::ROUTER}}],
    });
    if let (Some(fields), Value::Object(block)) = (manager.as_object_mut(), block) {
        fields.extend(block);
    }
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    })
}
