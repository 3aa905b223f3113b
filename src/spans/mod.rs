//! The spans as the settings describe them: names, attributes, tags, propagation and samplers, and requests that are not traced.
//!
//! Kuma's policies have no fields for these. What they promise stays as it is: a tag of a policy is not replaced.

mod template;

mod untraced;

mod rule;

pub use rule::{Detector, Host, MetadataKeys, MetadataKind, RequestId, Sampler, SpanRule, Spans, TagSource};
pub use template::{Filling, Template};
pub use untraced::{HeaderMatch, Untraced};
