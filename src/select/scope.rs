//! The choice of the dataplanes that are published on this machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diag::ResourceId;
use crate::keep::carry;
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

/// The dataplanes in scope of one list after another. The rules are asked about those that are not in the last list.
#[derive(Debug, Default)]
pub struct InScope {
    rules: Vec<Rule>,
    dataplanes: Vec<Arc<Dataplane>>,
    /// The places in the list of those in scope, sorted.
    places: Vec<usize>,
    /// The ids of the others, in the order of the list.
    others: Arc<Vec<Arc<ResourceId>>>,
}

impl InScope {
    /// Goes on to the next list.
    pub fn update(&mut self, rules: &[Rule], dataplanes: &[Arc<Dataplane>]) {
        if self.rules != rules {
            *self = Self {
                rules: rules.to_vec(),
                ..Self::default()
            };
        }
        let (old, new) = carry::window(&self.dataplanes, dataplanes, Arc::ptr_eq);
        if old.is_empty() && new.is_empty() {
            return;
        }
        let before = |at: usize| self.places.partition_point(|place| *place < at);
        let (from, to) = (before(old.start), before(old.end));
        let others = old.start - from..old.end - to;
        for place in &mut self.places[to..] {
            *place = *place - old.end + new.end;
        }
        let (places, ids): (Vec<usize>, Vec<usize>) =
            new.clone().partition(|place| contains(rules, &dataplanes[*place]));
        let ids = ids.iter().map(|place| Arc::clone(&dataplanes[*place].header.id));
        self.places.splice(from..to, places);
        Arc::make_mut(&mut self.others).splice(others, ids);
        self.dataplanes.splice(old, dataplanes[new].iter().cloned());
    }

    /// The places in the list of the dataplanes in scope, sorted.
    #[must_use]
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// The ids of the dataplanes out of scope, in the order of the list.
    #[must_use]
    pub fn others(&self) -> &Arc<Vec<Arc<ResourceId>>> {
        &self.others
    }
}
