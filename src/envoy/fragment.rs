//! `fragment.yaml`: what `envoy --config-yaml` can merge into somebody's own bootstrap.
//!
//! Such a merge appends; it cannot reach into a listener. So the fragment holds the cluster of the collector,
//! to which the tracing blocks of one's own listeners refer.

use serde_json::{Value, json};

use super::cluster;
use crate::ir::Proxy;
use crate::yaml::write;

pub(super) fn render(proxy: &Proxy) -> String {
    let clusters: Vec<Value> = cluster::collectors(proxy);
    write::write(&json!({"static_resources": {"clusters": clusters}}))
}
