//! The control plane as decoders need to know it.

use crate::kuma::{Kuma, Version};

/// The control plane as decoders need to know it.
pub(in crate::resource) struct Context<'a> {
    pub(in crate::resource) kuma: &'a Kuma,
}

impl Context<'_> {
    /// From 2.14 on a dataplane may have no inbounds, and inbounds no tags.
    pub(in crate::resource) fn inbounds_optional(&self) -> bool {
        self.kuma.version >= Version::V2_14
    }

    /// 3.0 drops the tags of inbounds, and outbounds name resources.
    pub(in crate::resource) fn inbounds_have_tags(&self) -> bool {
        self.kuma.version < Version::V3_0
    }

    /// From 2.14 on an inbound has the field `protocol`.
    pub(in crate::resource) fn has_protocol_field(&self) -> bool {
        self.kuma.version >= Version::V2_14
    }
}
