//! `TrafficTrace`: which dataplanes are traced, and where to.

use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::origin::Located;
use crate::resource::document::envelope::Body;
use crate::resource::document::header::Header;
use crate::resource::value::tags::{self, Selector, Service};

/// A policy that turns tracing on for the dataplanes it selects.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficTrace {
    /// Type, mesh, name and labels.
    pub header: Header,
    /// `selectors`: one that matches is enough.
    pub selectors: Vec<Selector>,
    /// `conf.backend`; absent means the default backend of the mesh.
    pub backend: Option<Located<String>>,
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
