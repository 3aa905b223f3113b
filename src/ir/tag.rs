//! The tags of spans.

use std::fmt;

use crate::keep::Text;
use crate::resource::Provenance;
use crate::spans::MetadataKeys;

/// A tag of every span.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// The name of the tag on spans.
    pub name: String,
    /// The source of the value.
    pub value: TagValue,
    /// The origin of the value; the default for a tag that a control plane adds.
    pub source: Provenance,
}

/// The source of the value of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagValue {
    /// A constant.
    Literal(Text),
    /// A header of the request.
    Header {
        /// The name of the header.
        name: Text,
        /// The value for requests without the header.
        default: Option<Text>,
    },
    /// A variable of the environment of Envoy.
    Environment {
        /// The name of the variable.
        name: String,
        /// The value where there is no such variable.
        default: Option<Text>,
    },
    /// Envoy's metadata.
    Metadata {
        /// The place of the value.
        place: MetadataKeys,
        /// The value where there is none at this place.
        default: Option<Text>,
    },
}

impl fmt::Display for TagValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = match self {
            Self::Literal(value) => return f.write_str(value),
            Self::Header { name, default } => {
                write!(f, "header {name}")?;
                default
            }
            Self::Environment { name, default } => {
                write!(f, "${name} of Envoy")?;
                default
            }
            Self::Metadata { place, default } => {
                let path = place.path.join(".");
                write!(f, "metadata of the {}: {} {path}", place.kind.as_str(), place.key)?;
                default
            }
        };
        default.iter().try_for_each(|default| write!(f, ", else {default}"))
    }
}
