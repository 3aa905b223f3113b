//! `fragment.yaml`: what `envoy --config-yaml` can merge into somebody's own bootstrap.
//!
//! Such a merge appends; it cannot reach into a listener. So the fragment holds the cluster of the collector,
//! to which the tracing blocks of one's own listeners refer.

use serde_json::{Value, json};

use super::{Dialect, cluster};
use crate::ir::Proxy;
use crate::yaml::write;

pub(super) fn render(proxy: &Proxy, dialect: Dialect) -> String {
    let clusters: Vec<Value> = cluster::collectors(proxy, dialect);
    write::write(&json!({"static_resources": {"clusters": clusters}}))
}
