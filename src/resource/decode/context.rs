//! The properties of the control plane that decoders depend on.

use crate::keep::Texts;
use crate::kuma::{Kuma, Version};

/// The properties of the control plane that decoders depend on.
pub(in crate::resource) struct Context<'a> {
    pub(in crate::resource) kuma: &'a Kuma,
    /// The texts that repeat in documents.
    pub(in crate::resource) texts: &'a Texts,
}

impl Context<'_> {
    /// Whether a dataplane may have no inbounds, and inbounds no tags, as from 2.14 on.
    pub(in crate::resource) fn inbounds_optional(&self) -> bool {
        self.kuma.version >= Version::V2_14
    }

    /// Whether inbounds have tags and outbounds name services by tags, as before 3.0.
    pub(in crate::resource) fn inbounds_have_tags(&self) -> bool {
        self.kuma.version < Version::V3_0
    }

    /// Whether an inbound has the field `protocol`, as from 2.14 on.
    pub(in crate::resource) fn has_protocol_field(&self) -> bool {
        self.kuma.version >= Version::V2_14
    }
}
