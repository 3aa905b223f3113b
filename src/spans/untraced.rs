//! The requests that are not traced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collectors::HeaderName;
use crate::select::scope::Rule;

/// Requests that are not traced: those that all of the keys fit. In patterns, `*` stands for any characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Untraced {
    /// The proxies of this entry; every proxy without this key.
    #[serde(skip_serializing_if = "is_for_all")]
    pub select: Rule,
    /// The path, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The beginning of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// A pattern of the header `user-agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// A header that the request has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderMatch>,
}

fn is_for_all(rule: &Rule) -> bool {
    *rule == Rule::default()
}

/// A header of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// The name of the header.
    pub name: HeaderName,
    /// A pattern of its value; any without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Untraced {
    /// The mistake in the entry; `None` if there is none.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        let has_header = self.user_agent.is_some() || self.header.is_some();
        let paths = [("path", &self.path), ("path_prefix", &self.path_prefix)];
        let mut paths = paths.iter().filter_map(|(key, path)| Some((key, path.as_ref()?)));
        if self.path.is_none() && self.path_prefix.is_none() && !has_header {
            return Some("one of `path`, `path_prefix`, `user_agent` and `header` must be set".to_owned());
        }
        let (key, path) =
            paths.find(|(key, path)| !path.starts_with('/') || (**key == "path" && path.contains('?')))?;
        Some(match path.starts_with('/') {
            true => format!("`{path}` in `{key}` has a query, which does not count"),
            false => format!("`{path}` in `{key}` must begin with `/`"),
        })
    }

    /// The requests in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let header = self.header.as_ref().map(|header| match &header.value {
            Some(value) => format!("{}: {value}", header.name),
            None => format!("with {}", header.name),
        });
        let prefix = self.path_prefix.as_ref().map(|prefix| format!("{prefix}..."));
        let user_agent = self.user_agent.as_ref().map(|pattern| format!("user-agent: {pattern}"));
        let parts = [self.path.clone(), prefix, user_agent, header];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}
