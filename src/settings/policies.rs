//! `policies`: the directories and files that policies are read from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::source::{Root, Vars};

/// A list of at least one root; a single root needs no list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OneOrMore", into = "OneOrMore")]
pub struct Policies(Vec<Root>);

impl Policies {
    /// The roots of these paths, none of them a template.
    pub fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| Root { path, vars: None }).collect())
    }

    /// The roots, at least one.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.0
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a path, a mapping with `path` and `vars`, or a list of these"
)]
enum OneOrMore {
    // First: serde reads a list as the fields of a struct too.
    More(Vec<Source>),
    One(Source),
}

/// A directory or file: its path alone, or with the values of the variables in its templates.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Source {
    Path(PathBuf),
    Template(Template),
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Template {
    /// A directory or file whose files are Mustache templates.
    path: PathBuf,
    /// The values of the variables. A variable `b` inside a mapping `a` is named `a.b` in the template.
    vars: BTreeMap<String, Variable>,
}

/// The value of a variable, or more variables whose names begin with its name and a period.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Variable {
    Text(String),
    Boolean(bool),
    Number(serde_json::Number),
    Inner(BTreeMap<String, Variable>),
}

impl TryFrom<OneOrMore> for Policies {
    type Error = &'static str;

    fn try_from(sources: OneOrMore) -> Result<Self, Self::Error> {
        let sources = match sources {
            OneOrMore::One(source) => vec![source],
            OneOrMore::More(sources) => sources,
        };
        if sources.is_empty() {
            return Err("the list is empty; name a directory");
        }
        Ok(Self(sources.into_iter().map(root).collect()))
    }
}

fn root(source: Source) -> Root {
    match source {
        Source::Path(path) => Root { path, vars: None },
        Source::Template(Template { path, vars }) => {
            let mut flat = Vars::new();
            flatten("", vars, &mut flat);
            Root { path, vars: Some(flat) }
        }
    }
}

fn flatten(prefix: &str, vars: BTreeMap<String, Variable>, flat: &mut Vars) {
    for (name, value) in vars {
        let name = format!("{prefix}{name}");
        let text = match value {
            Variable::Inner(inner) => {
                flatten(&format!("{name}."), inner, flat);
                continue;
            }
            Variable::Text(text) => text,
            Variable::Boolean(value) => value.to_string(),
            Variable::Number(value) => value.to_string(),
        };
        flat.insert(name, text);
    }
}

impl From<Policies> for OneOrMore {
    fn from(policies: Policies) -> Self {
        let mut sources: Vec<Source> = (policies.0.into_iter())
            .map(|Root { path, vars }| match vars {
                None => Source::Path(path),
                Some(vars) => {
                    let vars = vars.into_iter().map(|(name, text)| (name, Variable::Text(text)));
                    Source::Template(Template {
                        path,
                        vars: vars.collect(),
                    })
                }
            })
            .collect();
        match sources.len() {
            1 => Self::One(sources.remove(0)),
            _ => Self::More(sources),
        }
    }
}

impl JsonSchema for Policies {
    fn schema_name() -> Cow<'static, str> {
        "a path, or a list of paths and templates".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let source = generator.subschema_for::<Source>();
        json_schema!({"title": Self::schema_name(), "anyOf": [source, {"type": "array", "minItems": 1, "items": source}]})
    }
}
