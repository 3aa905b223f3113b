//! The choice of the dataplanes that are published on this machine.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::value::tags::Tags;
use crate::words;

/// A choice of dataplanes; a rule without keys fits every dataplane. In patterns, `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// A pattern of the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
    /// A pattern of the name of the dataplane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Patterns of tag values by tag name. One inbound, or the gateway, must have all of the tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Whether one of the rules fits the dataplane, or there are no rules.
#[must_use]
pub fn contains(rules: &[Rule], dataplane: &Dataplane) -> bool {
    rules.is_empty() || rules.iter().any(|rule| rule.fits(dataplane))
}

impl Rule {
    /// Whether the rule fits the dataplane.
    #[must_use]
    pub fn fits(&self, dataplane: &Dataplane) -> bool {
        let tags_fit = |tags: &Tags| {
            self.tags
                .iter()
                .all(|(tag, pattern)| tags.get(tag.as_str()).is_some_and(|value| words::fits(pattern, value)))
        };
        self.fits_names(dataplane.header.mesh(), dataplane.header.name())
            && (self.tags.is_empty() || dataplane.tag_sets().any(tags_fit))
    }

    /// Whether the rule fits a dataplane by its names alone; a rule with tags does not.
    #[must_use]
    pub fn fits_unseen(&self, mesh: &str, name: &str) -> bool {
        self.tags.is_empty() && self.fits_names(mesh, name)
    }

    fn fits_names(&self, mesh: &str, name: &str) -> bool {
        words::fits_if_any(self.mesh.as_deref(), mesh) && words::fits_if_any(self.name.as_deref(), name)
    }
}
