//! `TrafficTrace`: the older policy, which selects dataplanes by tags and names a backend of the mesh.

use crate::keep::Text;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::origin::Located;
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::value::tags::{self, Selector, Service};

/// A policy that turns tracing on for the selected dataplanes.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficTrace {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `selectors`, one of which must match.
    pub selectors: Vec<Selector>,
    /// `conf.backend`; the default is the default backend of the mesh.
    pub backend: Option<Located<Text>>,
}

pub(in crate::resource) fn decode(decoder: &mut Decoder, header: Header, body: &Body) -> Option<TrafficTrace> {
    let root = body.object(decoder, &["selectors", "conf"])?;
    let selectors = tags::selectors(decoder, &root, "selectors", Service::Optional);
    let conf = root.object(decoder, "conf", &["backend"]);
    let backend = conf.and_then(|conf| conf.text(decoder, "backend"));
    Some(TrafficTrace {
        header,
        selectors,
        backend: backend.filter(|name| !name.value.is_empty()),
    })
}
