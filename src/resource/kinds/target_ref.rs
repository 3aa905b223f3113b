//! `targetRef`: the dataplanes that a newer policy applies to.

use crate::diag::Code;
use crate::keep::Text;
use crate::kuma::Version;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::decode::object::{Object, TextMap, text_of};
use crate::resource::decode::origin::{Located, Origin};
use crate::resource::value::names::is_mesh_name;
use crate::resource::value::tags::{self, Selector};
use crate::source::Location;
use crate::words::closest;

/// The target of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetRef {
    /// The place of the `targetRef`, or of the policy without one.
    pub at: Location,
    /// The dataplanes that it selects.
    pub target: Target,
}

/// The dataplanes that a `targetRef` selects.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// `Mesh`, or `MeshSubset` with tags: dataplanes of the mesh with all of the tags.
    Mesh {
        /// Whether the kind is `MeshSubset`, which is narrower even without tags.
        subset: bool,
        /// The tags that a dataplane must have.
        tags: Selector,
        /// The types of proxies; empty for all.
        proxy_types: Vec<ProxyType>,
    },
    /// `MeshService`, or `MeshServiceSubset` with tags.
    Service {
        /// Whether the kind is `MeshServiceSubset`.
        subset: bool,
        /// The service; `None` for a service by labels, with which Kuma selects nothing.
        name: Option<Located<Text>>,
        /// The other tags that a dataplane must have.
        tags: Selector,
    },
    /// `MeshGateway`.
    Gateway {
        /// The name of the `MeshGateway`.
        name: Located<Text>,
    },
    /// The kind `Dataplane`: one dataplane by name, or those with labels.
    Dataplane {
        /// The name of the dataplane.
        name: Option<Located<Text>>,
        /// The namespace of the dataplane; the default is that of the policy.
        namespace: Option<Located<Text>>,
        /// The labels that a dataplane must have.
        labels: Option<TextMap>,
    },
}

/// A type of proxy, for `proxyTypes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyType {
    /// A proxy beside an application.
    Sidecar,
    /// A gateway, built-in or delegated.
    Gateway,
}

impl Target {
    /// Every dataplane of the mesh.
    fn everything() -> Self {
        Self::Mesh {
            subset: false,
            tags: Selector::default(),
            proxy_types: Vec::new(),
        }
    }

    /// The kind, as `targetRef.kind` names it.
    #[must_use]
    pub fn kind(&self) -> TargetKind {
        match self {
            Self::Mesh { subset: false, .. } => TargetKind::Mesh,
            Self::Mesh { subset: true, .. } => TargetKind::MeshSubset,
            Self::Service { subset: false, .. } => TargetKind::MeshService,
            Self::Service { subset: true, .. } => TargetKind::MeshServiceSubset,
            Self::Gateway { .. } => TargetKind::MeshGateway,
            Self::Dataplane { .. } => TargetKind::Dataplane,
        }
    }
}

/// A kind of `targetRef`, by increasing precedence: the narrower, the higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetKind {
    /// `Mesh`: every dataplane of the mesh.
    Mesh,
    /// `Dataplane`: dataplanes by name or by labels.
    Dataplane,
    /// `MeshSubset`: dataplanes by tags.
    MeshSubset,
    /// `MeshGateway`: the built-in gateways of one.
    MeshGateway,
    /// `MeshService`: dataplanes by their service.
    MeshService,
    /// `MeshServiceSubset`: dataplanes by service and tags.
    MeshServiceSubset,
}

impl TargetKind {
    /// The name, as in `targetRef.kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "Mesh",
            Self::Dataplane => "Dataplane",
            Self::MeshSubset => "MeshSubset",
            Self::MeshGateway => "MeshGateway",
            Self::MeshService => "MeshService",
            Self::MeshServiceSubset => "MeshServiceSubset",
        }
    }
}

const FIELDS: [&str; 8] = [
    "kind",
    "name",
    "namespace",
    "mesh",
    "tags",
    "labels",
    "sectionName",
    "proxyTypes",
];

/// The fields in 3.0.
const FIELDS_3_0: [&str; 3] = ["kind", "labels", "sectionName"];

/// A `targetRef` with fields of valid types; their combination is not checked yet.
pub(in crate::resource) struct Raw<'a> {
    object: Object<'a>,
    kind: Located<Text>,
    name: Option<Located<Text>>,
    namespace: Option<Located<Text>>,
    mesh: Option<Located<Text>>,
    section: Option<Located<Text>>,
    tags: Option<TextMap>,
    labels: Option<TextMap>,
    proxy_types: Option<Vec<ProxyType>>,
}

/// Decodes the types of the `targetRef` in `key`; `None` when it is absent or invalid.
pub(in crate::resource) fn shape<'a>(
    decoder: &mut Decoder,
    context: &Context,
    object: &Object<'a>,
    key: &str,
) -> Option<Raw<'a>> {
    // 3.0 ignores the fields that it removed.
    let is_known = |key: &str| context.kuma.version < Version::V3_0 || FIELDS_3_0.contains(&key);
    let known: Vec<&str> = FIELDS.into_iter().filter(|key| is_known(key)).collect();
    let object = object.object(decoder, key, &known)?;
    let kind = object.text(decoder, "kind");
    let of_schema = schema_kinds(context);
    let kind = kind.filter(|kind| {
        let is_known = of_schema.contains(&kind.value.as_str());
        if !is_known {
            unsupported(decoder, kind, &supported(context, true));
        }
        is_known
    });
    if !object.has("kind") {
        let message = "`kind` is missing: the kind of the target";
        let help = "for every dataplane of the mesh, write `targetRef: {kind: Mesh}`, or no `targetRef`";
        decoder.error_help(Code::MissingField, object.at, &object.path_of("kind"), message, help);
    }
    let mut text = |key: &str| object.text(decoder, key).filter(|_| is_known(key));
    let (name, namespace, mesh, section) = (text("name"), text("namespace"), text("mesh"), text("sectionName"));
    let tags = object.texts(decoder, "tags").filter(|_| is_known("tags"));
    let proxy_types = object.get("proxyTypes").filter(|_| is_known("proxyTypes")).map(|_| {
        let items = object.list(decoder, "proxyTypes");
        items
            .into_iter()
            .filter_map(|(path, node)| {
                let word = text_of(decoder, node, || &path)?;
                match &*word {
                    "Sidecar" => Some(ProxyType::Sidecar),
                    "Gateway" => Some(ProxyType::Gateway),
                    other => {
                        let message = format!("a proxy type must be `Sidecar` or `Gateway`, not `{other}`");
                        decoder.error(Code::UnknownValue, &node.at, &path, message);
                        None
                    }
                }
            })
            .collect()
    });
    Some(Raw {
        name,
        namespace,
        mesh,
        section,
        tags,
        labels: object.texts(decoder, "labels"),
        proxy_types,
        kind: kind?,
        object,
    })
}

/// Decodes the combination of the fields of a `targetRef`. Without one, the target is every dataplane of the mesh.
///
/// `None`, with an error, when the combination is invalid.
pub(in crate::resource) fn meaning(
    decoder: &mut Decoder,
    context: &Context,
    raw: Option<Raw>,
    is_system: bool,
) -> Option<TargetRef> {
    let Some(raw) = raw else {
        return Some(TargetRef {
            at: decoder.place.clone(),
            target: Target::everything(),
        });
    };
    let at = raw.kind.origin.at.clone();
    let supported = supported(context, is_system);
    if !supported.contains(&raw.kind.value.as_str()) {
        if raw.kind.value == "MeshGateway" {
            let Origin { path, at, .. } = &raw.kind.origin;
            let message = "only a policy of the system namespace may target a `MeshGateway`";
            let help = format!("put it into the namespace `{}`", context.kuma.system_namespace);
            decoder.error_help(Code::UnknownType, at, path, message, help);
        } else {
            unsupported(decoder, &raw.kind, &supported);
        }
        return None;
    }
    let target = raw.target(decoder, context)?;
    Some(TargetRef { at, target })
}

fn unsupported(decoder: &mut Decoder, kind: &Located<Text>, supported: &[&str]) {
    let Origin { path, at, .. } = &kind.origin;
    let message = format!("a {} cannot target the kind `{}`", decoder.resource.kind, kind.value);
    let help = match closest(&kind.value, supported.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it can target {}", supported.join(", ")),
    };
    decoder.error_help(Code::UnknownType, at, path, message, help);
}

/// The kinds in the schema, for all policies.
fn schema_kinds(context: &Context) -> &'static [&'static str] {
    match context.kuma.version {
        Version::V2_13 | Version::V2_14 => &[
            "Mesh",
            "MeshSubset",
            "MeshGateway",
            "MeshService",
            "MeshExternalService",
            "MeshMultiZoneService",
            "MeshServiceSubset",
            "MeshHTTPRoute",
            "Dataplane",
        ],
        Version::V3_0 => &["Mesh", "Dataplane"],
    }
}

fn supported(context: &Context, is_system: bool) -> Vec<&'static str> {
    let mut supported = vec!["Mesh", "Dataplane"];
    if context.kuma.version < Version::V3_0 {
        supported.extend(["MeshSubset", "MeshService", "MeshServiceSubset"]);
        if is_system {
            supported.push("MeshGateway");
        }
    }
    supported
}

impl Raw<'_> {
    /// Checks the fields that the kind excludes and requires.
    fn target(&self, decoder: &mut Decoder, context: &Context) -> Option<Target> {
        let before = decoder.errors();
        let kind = self.kind.value.as_str();
        let tags = || self.tags.clone().unwrap_or_default();
        let target = match kind {
            "Mesh" => {
                self.refuse(decoder, &["name", "mesh", "tags", "labels", "namespace", "sectionName"]);
                self.check_proxy_types(decoder);
                Target::Mesh {
                    subset: false,
                    tags: Selector::default(),
                    proxy_types: self.proxy_types.clone().unwrap_or_default(),
                }
            }
            "MeshSubset" => {
                self.refuse(decoder, &["name", "mesh", "labels", "namespace", "sectionName"]);
                tags::check_tags(decoder, &self.object.path_of("tags"), &tags());
                self.check_proxy_types(decoder);
                Target::Mesh {
                    subset: true,
                    tags: Selector { tags: tags() },
                    proxy_types: self.proxy_types.clone().unwrap_or_default(),
                }
            }
            "MeshService" => {
                self.refuse(decoder, &["mesh", "tags", "proxyTypes"]);
                self.check_name(decoder);
                self.require_name_or_labels(decoder, context);
                self.check_name_or_labels(decoder);
                Target::Service {
                    subset: false,
                    name: filled(self.name.as_ref()),
                    tags: Selector::default(),
                }
            }
            "MeshServiceSubset" => {
                self.refuse(decoder, &["mesh", "proxyTypes", "labels", "namespace", "sectionName"]);
                self.check_name(decoder);
                self.require_name(decoder);
                tags::check_selector_tags(decoder, &self.object.path_of("tags"), &tags());
                Target::Service {
                    subset: true,
                    name: filled(self.name.as_ref()),
                    tags: Selector { tags: tags() },
                }
            }
            "MeshGateway" => self.gateway(decoder)?,
            _ => self.dataplane(decoder),
        };
        (decoder.errors() == before).then_some(target)
    }

    fn gateway(&self, decoder: &mut Decoder) -> Option<Target> {
        self.refuse(decoder, &["mesh", "proxyTypes", "labels", "namespace", "sectionName"]);
        // A route may target a listener of a gateway.
        if decoder.resource.kind == "MeshTrace" {
            self.refuse(decoder, &["tags"]);
        }
        self.check_name(decoder);
        self.require_name(decoder);
        let name = filled(self.name.as_ref())?;
        Some(Target::Gateway { name })
    }

    fn dataplane(&self, decoder: &mut Decoder) -> Target {
        self.refuse(decoder, &["tags", "mesh", "proxyTypes"]);
        self.check_name_or_labels(decoder);
        if let Some(section) = filled(self.section.as_ref()) {
            let Origin { path, at, .. } = &section.origin;
            let kind = &decoder.resource.kind;
            let message =
                format!("`sectionName` has no meaning for a {kind}; it is for policies about inbound traffic");
            decoder.error_help(Code::NotAllowed, at, path, message, "remove it");
        }
        Target::Dataplane {
            name: filled(self.name.as_ref()),
            namespace: filled(self.namespace.as_ref()),
            labels: self.labels.clone(),
        }
    }

    /// Reports fields without meaning for the kind.
    fn refuse(&self, decoder: &mut Decoder, keys: &[&str]) {
        for &key in keys {
            let is_set = match key {
                "name" => filled(self.name.as_ref()).is_some(),
                "namespace" => filled(self.namespace.as_ref()).is_some(),
                "mesh" => filled(self.mesh.as_ref()).is_some(),
                "sectionName" => filled(self.section.as_ref()).is_some(),
                "tags" => self.tags.as_ref().is_some_and(|tags| !tags.is_empty()),
                "labels" => self.labels.as_ref().is_some_and(|labels| !labels.is_empty()),
                _ => self.proxy_types.as_ref().is_some_and(|types| !types.is_empty()),
            };
            if is_set {
                let at = self.object.get(key).map_or(self.object.at, |entry| &entry.key_at);
                let message = format!("`{key}` has no meaning for the kind `{}`", self.kind.value);
                decoder.error(Code::NotAllowed, at, &self.object.path_of(key), message);
            }
        }
    }

    fn check_proxy_types(&self, decoder: &mut Decoder) {
        if self.proxy_types.as_ref().is_some_and(Vec::is_empty) {
            let at = self
                .object
                .get("proxyTypes")
                .map_or(self.object.at, |entry| &entry.value.at);
            let message = "`proxyTypes` must not be empty; without it, all types match";
            decoder.error(Code::MissingField, at, &self.object.path_of("proxyTypes"), message);
        }
    }

    fn check_name(&self, decoder: &mut Decoder) {
        if let Some(name) = filled(self.name.as_ref()).filter(|name| !is_mesh_name(&name.value)) {
            let Origin { path, at, .. } = &name.origin;
            let message = format!(
                "`name` is `{}`; it must consist of lowercase letters, digits, `-`, `_` and `.`",
                name.value
            );
            decoder.error(Code::InvalidValue, at, path, message);
        }
    }

    fn require_name(&self, decoder: &mut Decoder) {
        if filled(self.name.as_ref()).is_none() {
            let message = format!("`name` is missing; the kind `{}` requires it", self.kind.value);
            decoder.error(
                Code::MissingField,
                self.object.at,
                &self.object.path_of("name"),
                message,
            );
        }
    }

    fn require_name_or_labels(&self, decoder: &mut Decoder, context: &Context) {
        let has_labels = self.labels.as_ref().is_some_and(|labels| !labels.is_empty());
        if has_labels || filled(self.name.as_ref()).is_some() {
            return;
        }
        // From 2.14 on, Kuma reports the error for the whole `targetRef`.
        let path = if context.kuma.version >= Version::V2_14 {
            self.object.path.clone()
        } else {
            self.object.field_path(decoder, "name")
        };
        let message = format!("`name` or `labels` is required for the kind `{}`", self.kind.value);
        decoder.error(Code::MissingField, self.object.at, &path, message);
    }

    fn check_name_or_labels(&self, decoder: &mut Decoder) {
        let has_labels = self.labels.as_ref().is_some_and(|labels| !labels.is_empty());
        if has_labels && (filled(self.name.as_ref()).is_some() || filled(self.namespace.as_ref()).is_some()) {
            let at = self.object.get("labels").map_or(self.object.at, |entry| &entry.key_at);
            let message = "`labels` must not be used with `name` or `namespace`";
            decoder.error(Code::NotAllowed, at, &self.object.path_of("labels"), message);
        }
    }
}

/// The text, if it is not empty.
fn filled(text: Option<&Located<Text>>) -> Option<Located<Text>> {
    text.filter(|text| !text.value.is_empty()).cloned()
}
