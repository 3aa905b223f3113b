//! The additions of the settings to the tracing of dataplanes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::additions::Additions;
use super::tag::{Tag, TagValue};
use crate::keep::Shared;
use crate::resource::kinds::dataplane::Dataplane;
use crate::resource::{Effective, Provenance};
use crate::spans::{Detector, Filling, SpanRule, Spans, TagSource, Template, Untraced};

/// The additions to the tracing of dataplanes, which share those that are the same.
pub(super) struct Adding<'s> {
    spans: &'s Spans,
    zone: &'s str,
    none: Arc<Additions>,
    /// By the numbers of the entries that fit.
    untraced: Shared<Vec<usize>, Arc<[Untraced]>>,
}

impl<'s> Adding<'s> {
    pub(super) fn new(spans: &'s Spans, zone: &'s str) -> Self {
        Self {
            spans,
            zone,
            none: Arc::default(),
            untraced: Shared::default(),
        }
    }

    /// The additions for a dataplane, with the service that identifies it. The cost grows with the entries.
    pub(super) fn of(&self, dataplane: &Dataplane, service: &str) -> Arc<Additions> {
        let fitting = self.spans.rules.iter().enumerate();
        let fitting: Vec<(usize, &SpanRule)> = fitting.filter(|(_, rule)| rule.select.fits(dataplane)).collect();
        let untraced = self.untraced(dataplane);
        if fitting.is_empty() && untraced.is_empty() {
            return Arc::clone(&self.none);
        }
        let filling = Filling {
            dataplane,
            zone: self.zone,
            service,
        };
        Arc::new(Additions {
            service_name: first(&fitting, "service_name", |rule| {
                let template = rule.service_name.as_ref()?;
                template.fill(&filling).map(|_| template.clone())
            }),
            resource_attributes: self.resource_attributes(&fitting, &filling),
            detects_environment: detects(&fitting, Detector::Environment),
            tags: tags(&fitting, &filling),
            w3c: first(&fitting, "w3c", |rule| rule.w3c),
            request_id: first(&fitting, "request_id", |rule| rule.request_id),
            sampler: first(&fitting, "sampler", |rule| rule.sampler),
            untraced,
        })
    }

    fn untraced(&self, dataplane: &Dataplane) -> Arc<[Untraced]> {
        let all = self.spans.untraced.iter().enumerate();
        let fitting = all.filter(|(_, entry)| entry.select.fits(dataplane));
        let fitting: Vec<usize> = fitting.map(|(number, _)| number).collect();
        let entries = || {
            fitting
                .iter()
                .map(|number| self.spans.untraced[*number].clone())
                .collect()
        };
        match fitting.is_empty() {
            true => Arc::clone(&self.none.untraced),
            false => self.untraced.get(&fitting, entries),
        }
    }

    /// The attributes that entries name, and those of the machine, each with its origin.
    fn resource_attributes(
        &self,
        fitting: &[(usize, &SpanRule)],
        filling: &Filling,
    ) -> BTreeMap<String, Effective<String>> {
        let host = detects(fitting, Detector::Host).into_iter().flat_map(|source| {
            let attributes = self.spans.host.iter();
            attributes.map(move |(name, value)| (name.clone(), value.clone(), source.clone()))
        });
        let named = first(fitting, "resource_attributes", |rule| rule.resource_attributes.as_ref());
        let named = named.into_iter().flat_map(|named| {
            let source = named.source.clone();
            let filled =
                |(name, value): (&String, &Template)| Some((name.clone(), value.fill(filling)?, source.clone()));
            named.value.iter().filter_map(filled).collect::<Vec<_>>()
        });
        let all = host.chain(named);
        all.map(|(name, value, source)| (name, Effective { value, source }))
            .collect()
    }
}

/// A part of the first entry that has it, with its key.
fn first<'r, T>(
    fitting: &[(usize, &'r SpanRule)],
    key: &str,
    part: impl Fn(&'r SpanRule) -> Option<T>,
) -> Option<Effective<T>> {
    let mut parts = fitting.iter();
    let (number, value) = parts.find_map(|(number, rule)| Some((number, part(rule)?)))?;
    Some(Effective {
        value,
        source: Provenance::Setting(format!("spans[{number}].{key}")),
    })
}

/// The setting that asks for a detector, if the first entry with detectors does.
fn detects(fitting: &[(usize, &SpanRule)], detector: Detector) -> Option<Provenance> {
    let asked = first(fitting, "resource_detectors", |rule| rule.resource_detectors.as_ref())?;
    asked.value.contains(&detector).then_some(asked.source)
}

/// The tags of the first entry that has any, without those whose value names a tag that the dataplane does not have.
fn tags(fitting: &[(usize, &SpanRule)], filling: &Filling) -> Vec<Tag> {
    let Some(tags) = first(fitting, "tags", |rule| rule.tags.as_ref()) else {
        return Vec::new();
    };
    let text = |default: &Option<String>| default.as_deref().map(Into::into);
    let tag = |(name, source): (&String, &TagSource)| {
        let value = match source {
            TagSource::Value(template) => TagValue::Literal(template.fill(filling)?.into()),
            TagSource::Env(variable, default) => TagValue::Environment {
                name: variable.clone(),
                default: text(default),
            },
            TagSource::Header(header, default) => TagValue::Header {
                name: header.to_string().into(),
                default: text(default),
            },
            TagSource::Metadata(place, default) => TagValue::Metadata {
                place: place.clone(),
                default: text(default),
            },
        };
        Some(Tag {
            name: name.clone(),
            value,
            source: tags.source.clone(),
        })
    };
    tags.value.iter().filter_map(tag).collect()
}
