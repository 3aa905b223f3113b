//! `fragment.yaml`: the part that `envoy --config-yaml` can merge into a user's own bootstrap.
//!
//! Such a merge appends and cannot change a listener. So the fragment has the cluster of the collector,
//! and the user's own listeners refer to it in their tracing blocks.

use serde::Serialize;

use super::cluster::{self, ClusterMessage};
use crate::ir::Proxy;
use crate::yaml::write;

pub(super) fn render(out: &mut String, proxy: &Proxy, directory: &str) {
    #[derive(Serialize)]
    struct Fragment<'a> {
        static_resources: StaticResources<'a>,
    }
    #[derive(Serialize)]
    struct StaticResources<'a> {
        clusters: Vec<ClusterMessage<'a>>,
    }
    let clusters = cluster::collectors(proxy, directory);
    let static_resources = StaticResources { clusters };
    write::append(out, &Fragment { static_resources });
}
