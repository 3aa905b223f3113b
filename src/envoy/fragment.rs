//! `fragment.yaml`: the part that `envoy --config-yaml` can merge into a user's own bootstrap.
//!
//! Such a merge appends and cannot change a listener. So the fragment has the cluster of the collector,
//! and the user's own listeners refer to it in their tracing blocks.

use serde_json::{Value, json};

use super::cluster;
use crate::ir::Proxy;
use crate::yaml::write;

pub(super) fn render(proxy: &Proxy) -> String {
    let clusters: Vec<Value> = cluster::collectors(proxy);
    write::write(&json!({"static_resources": {"clusters": clusters}}))
}
