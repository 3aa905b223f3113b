//! A base file: a bootstrap, or the listeners or clusters of one, in any of the forms that people have.

use serde_json::{Value, json};

use super::listener::BaseListener;
use super::message::{Message, field, list, text, type_of};
use crate::diag::{Code, Diagnostic};
use crate::envoy::artifact::Artifact;
use crate::envoy::xds;
use crate::source::{Opened, SourceFile};
use crate::yaml::Limits;
use crate::yaml::edit::{self, Edit, EditError};
use crate::yaml::written::{Way, Written};

/// A base file that was read.
pub(super) struct Document<'t> {
    pub(super) artifact: Artifact,
    pub(super) written: Written<'t>,
    form: Form,
}

/// The form of a base file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bootstrap,
    /// A `DiscoveryResponse`.
    Response,
    /// A list of resources.
    List,
    /// One resource.
    One,
}

impl<'t> Document<'t> {
    /// Reads a base file.
    ///
    /// # Errors
    /// When the file is not what it should be.
    pub(super) fn read(artifact: Artifact, file: &'t Opened, limits: &'t Limits) -> Result<Self, Box<Diagnostic>> {
        let written = Written::read(file, limits)?;
        let top = written.top();
        let form = match (artifact, top.items().is_some()) {
            (Artifact::Bootstrap, false) if field(&top, "resources").is_none() && top.is_map() => Some(Form::Bootstrap),
            (Artifact::Bootstrap, _) => None,
            (_, true) => Some(Form::List),
            (_, false) if field(&top, "resources").is_some_and(|list| list.items().is_some()) => Some(Form::Response),
            (_, false) if field(&top, "static_resources").is_none() && text(&top, "name").is_some() => Some(Form::One),
            _ => None,
        };
        let Some(form) = form else {
            let expected = match artifact {
                Artifact::Bootstrap => "a bootstrap, with `static_resources`",
                _ => "a discovery response with `resources`, or resources alone",
            };
            return Err(Box::new(Diagnostic::error(
                Code::UnusableBase,
                &top.at(),
                format!("this file should be {expected}"),
            )));
        };
        Ok(Self {
            artifact,
            written,
            form,
        })
    }

    /// The resources of a kind: `listeners` or `clusters`.
    fn resources(&self, kind: &str) -> Vec<Message<'_, 't>> {
        let top = self.written.top();
        let all = match self.form {
            Form::Bootstrap => return list(&top, &format!("static_resources.{kind}")),
            Form::Response => list(&top, "resources"),
            Form::List => top.items().unwrap_or_default(),
            Form::One => vec![top],
        };
        let is_of_kind = match self.artifact {
            Artifact::Lds => kind == "listeners",
            _ => kind == "clusters",
        };
        all.into_iter().filter(|_| is_of_kind).filter_map(unwrapped).collect()
    }

    /// The listeners of the document, which is the one of an index.
    pub(super) fn listeners(&self, document: usize) -> impl Iterator<Item = BaseListener<'_, 't>> {
        let listeners = self.resources("listeners").into_iter();
        listeners.map(move |message| BaseListener::of(document, message))
    }

    /// The finding that nothing can be published for the document.
    pub(super) fn refuse(&self, message: String) -> Diagnostic {
        Diagnostic::error(Code::UnusableBase, &self.written.top().at(), message)
    }

    pub(super) fn clusters(&self) -> Vec<Message<'_, 't>> {
        self.resources("clusters")
    }

    /// The text of the file that is published, with edits and with clusters added. Resources become a discovery response
    /// whose version follows from its content.
    ///
    /// # Errors
    /// When the file cannot be edited.
    pub(super) fn edited(
        &self,
        mut edits: Vec<(Way, Edit)>,
        clusters: Vec<Value>,
        limits: &Limits,
    ) -> Result<String, EditError> {
        let mut before = Vec::new();
        if self.form == Form::One {
            before = clusters;
        } else if !clusters.is_empty() {
            edits.push(self.added(clusters));
        }
        if self.form == Form::Bootstrap {
            return edit::apply(&self.written, &edits, limits);
        }
        if self.form == Form::Response {
            return xds::edited(&self.written, &edits, limits);
        }
        let kind = match self.artifact {
            Artifact::Lds => "type.googleapis.com/envoy.config.listener.v3.Listener",
            _ => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        };
        let top = self.written.top();
        let resources = top.items().unwrap_or_else(|| vec![top.clone()]);
        let untyped = resources.iter().filter(|resource| resource.get("@type").is_none());
        edits.extend(untyped.map(|resource| set(resource, "@type", json!(kind), "")));
        let file = SourceFile::new("", edit::apply(&self.written, &edits, limits)?);
        let file = Opened::from(&file);
        let whole = Written::read(&file, limits).map_err(|_| EditError::Layout)?;
        let items = (self.form == Form::One).then_some(before.as_slice());
        let with = |version: &str| edit::within(&whole, ("version_info", version), "resources", items, limits);
        with(&xds::versioned(&with(xds::UNVERSIONED)?))
    }

    /// The edit that adds clusters.
    fn added(&self, clusters: Vec<Value>) -> (Way, Edit) {
        let top = self.written.top();
        if self.form != Form::Bootstrap {
            let list = field(&top, "resources").filter(|_| self.form == Form::Response);
            return (list.unwrap_or(top).way().clone(), Edit::Prepend(clusters));
        }
        let Some(resources) = field(&top, "static_resources") else {
            return set(&top, "static_resources", json!({ "clusters": clusters }), "node");
        };
        match field(&resources, "clusters") {
            Some(list) if list.items().is_some_and(|items| !items.is_empty()) => {
                (list.way().clone(), Edit::Prepend(clusters))
            }
            _ => set(&resources, "clusters", json!(clusters), "listeners"),
        }
    }
}

/// The resource in a wrapper, or itself.
fn unwrapped<'w, 't>(resource: Message<'w, 't>) -> Option<Message<'w, 't>> {
    match type_of(&resource) {
        "Resource" => field(&resource, "resource"),
        _ => Some(resource),
    }
}

fn set(message: &Message, key: &str, value: Value, after: &'static str) -> (Way, Edit) {
    (message.way().clone(), Edit::set(key, value, after))
}
