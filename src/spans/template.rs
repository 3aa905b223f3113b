//! Texts in which the names of a dataplane are filled in.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{Schema, json_schema};

use crate::resource::kinds::dataplane::Dataplane;
use crate::settings_value::SettingValue;

/// A text with placeholders, such as `{mesh}-{service}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Service,
    Dataplane,
    Mesh,
    Zone,
    Tag(String),
}

/// The names that templates are filled with.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// The dataplane, with its tags.
    pub dataplane: &'a Dataplane,
    /// The zone of the settings.
    pub zone: &'a str,
    /// The service that spans are of.
    pub service: &'a str,
}

impl Filling<'_> {
    /// The value of a tag of the first inbound, or of the gateway, that has it.
    fn tag(&self, name: &str) -> Option<&str> {
        let mut values = self.dataplane.tag_sets().filter_map(|tags| tags.get(name));
        values.next().map(|value| &**value).filter(|value| !value.is_empty())
    }
}

impl Template {
    /// The text for a dataplane; `None` if it does not have a tag that the template names.
    #[must_use]
    pub fn fill(&self, filling: &Filling) -> Option<String> {
        let header = &filling.dataplane.header;
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Service => Some(filling.service),
            Part::Dataplane => Some(header.name()),
            Part::Mesh => Some(header.mesh()),
            Part::Zone => Some(filling.zone),
            Part::Tag(name) => filling.tag(name),
        });
        parts.collect()
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let (before, placeholder) = rest.split_at(start);
            let Some((name, after)) = placeholder[1..].split_once('}') else {
                return Err(format!("`{text}` has a brace that is not closed"));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match (name, name.strip_prefix("tag:")) {
                ("service", _) => Part::Service,
                ("dataplane", _) => Part::Dataplane,
                ("mesh", _) => Part::Mesh,
                ("zone", _) => Part::Zone,
                (_, Some(tag)) if !tag.is_empty() => Part::Tag(tag.to_owned()),
                _ => {
                    return Err(format!(
                        "`{{{name}}}` in `{text}` is none of {{service}}, {{dataplane}}, {{mesh}}, {{zone}} and {{tag:NAME}}"
                    ));
                }
            });
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}` has a brace that is not opened"));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        match parts.is_empty() {
            true => Err("the text is empty".to_owned()),
            false => Ok(Self(parts)),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Service => f.write_str("{service}"),
            Part::Dataplane => f.write_str("{dataplane}"),
            Part::Mesh => f.write_str("{mesh}"),
            Part::Zone => f.write_str("{zone}"),
            Part::Tag(name) => write!(f, "{{tag:{name}}}"),
        })
    }
}

impl SettingValue for Template {
    fn name() -> Cow<'static, str> {
        "text with placeholders".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "minLength": 1})
    }
}

setting_value!(Template);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_shown_as_they_are_written() {
        for text in ["web", "{mesh}-{service}", "a {tag:version} b", "{zone}{dataplane}"] {
            let template: Template = text.parse().expect(text);
            assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, said) in [
            ("", "empty"),
            ("{servce}", "`{servce}` in"),
            ("{tag:}", "none of"),
            ("a{mesh", "not closed"),
            ("a}", "not opened"),
        ] {
            let mistake = text.parse::<Template>().expect_err(text);
            assert!(mistake.contains(said), "{mistake}");
        }
    }
}
