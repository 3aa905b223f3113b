//! The documents of one file, decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, ResourceId, Severity};
use crate::kuma::Fidelity;
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::document::envelope::{self, Body};
use crate::resource::document::header::Header;
use crate::resource::document::identity::Identity;
use crate::resource::document::kind::{self, Form, Kind};
use crate::resource::document::unrendered::{may_have_templates, unrendered};
use crate::resource::document::{encryption, glued, list, old_form, salvage};
use crate::resource::kinds::other_policy::{self, OtherKind};
use crate::resource::kinds::{
    dataplane, external_service, mesh, mesh_gateway, mesh_open_telemetry_backend, mesh_route, mesh_service, mesh_trace,
    traffic_route, traffic_trace,
};
use crate::resource::resources::{Gaps, Resource};
use crate::source::{SourceFile, Span};
use crate::yaml::{self, Limits, Node, Value, template};

/// A resource with a name, valid or not, and its position.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) id: Arc<ResourceId>,
    /// The place of the name in the file.
    pub(super) name: Span,
    /// The place of the mesh in the file.
    pub(super) mesh: Span,
    /// Index of the document in its file.
    pub(super) document: usize,
}

/// The content of the documents of one file, in little room, since a fleet has many files.
///
/// It depends on the file and the options alone, unless [`depends_on_past`](Self::depends_on_past) says otherwise.
#[derive(Debug)]
pub(super) struct Documents {
    /// The valid resources.
    pub(super) resources: Box<[Resource]>,
    /// The resources with a name, valid or not.
    pub(super) placed: Box<[Placed]>,
    /// The meshes of the resources; also those of the last readable text when the file is unreadable.
    pub(super) meshes: Arc<BTreeSet<String>>,
    /// The number of resources, valid or not.
    pub(super) seen: usize,
    /// The findings about the file and the gaps in it; `None` if there are none.
    pub(super) notes: Option<Arc<Notes>>,
}

/// The content of a file beside valid resources.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Notes {
    /// The findings about the file and its documents.
    pub(super) findings: Diagnostics,
    /// The meshes of the last readable text when the file is unreadable.
    pub(super) unavailable: BTreeSet<String>,
    /// The invalid resources.
    pub(super) gaps: Gaps,
    /// The number of resources without effect on tracing, by kind.
    pub(super) passed_over: BTreeMap<&'static str, usize>,
    /// Whether the meshes of the last readable text were asked for.
    depends_on_past: bool,
}

impl Documents {
    /// Whether the meshes of the last readable text were asked for.
    pub(super) fn depends_on_past(&self) -> bool {
        self.notes.as_ref().is_some_and(|notes| notes.depends_on_past)
    }

    /// The number of documents with a name or a resource.
    pub(super) fn len(&self) -> usize {
        self.placed.len().max(self.resources.len())
    }

    /// The identities of all resources with a name.
    pub(super) fn ids(&self) -> impl Iterator<Item = &Arc<ResourceId>> {
        let others = self.resources.iter().filter_map(|resource| match resource {
            Resource::OtherPolicy(policy) => Some(&policy.header.id),
            _ => None,
        });
        self.placed.iter().map(|placed| &placed.id).chain(others)
    }

    /// The documents of a file. `known` has the meshes of its last readable text.
    pub(super) fn of(
        file: &Arc<SourceFile>,
        context: &Context,
        limits: &Limits,
        known: Option<&BTreeSet<String>>,
    ) -> Self {
        let mut parser = Parser {
            context,
            known,
            resources: Vec::new(),
            placed: Vec::new(),
            meshes: BTreeSet::new(),
            seen: 0,
            notes: Notes::default(),
            may_have_templates: false,
        };
        parser.file(file, limits);
        parser.finish()
    }
}

/// The meshes that an unreadable text holds: those of the last readable one, which are added to `meshes` and
/// `unavailable`, and those that it mentions.
pub(super) fn affected_meshes(
    text: &str,
    known: Option<&BTreeSet<String>>,
    meshes: &mut BTreeSet<String>,
    unavailable: &mut BTreeSet<String>,
) -> Option<Holds> {
    let Some(known) = known else {
        return salvage::affected_meshes(text);
    };
    // The file keeps its meshes until it can be read again.
    meshes.extend(known.iter().cloned());
    unavailable.extend(known.iter().cloned());
    Some(match salvage::affected_meshes(text) {
        Some(Holds::All) => Holds::All,
        _ => Holds::Meshes(meshes.clone()),
    })
}

struct Parser<'p> {
    context: &'p Context<'p>,
    known: Option<&'p BTreeSet<String>>,
    resources: Vec<Resource>,
    placed: Vec<Placed>,
    meshes: BTreeSet<String>,
    seen: usize,
    notes: Notes,
    may_have_templates: bool,
}

impl Parser<'_> {
    fn finish(self) -> Documents {
        Documents {
            resources: self.resources.into(),
            placed: self.placed.into(),
            meshes: self.context.texts.share_set(self.meshes),
            seen: self.seen,
            notes: (self.notes != Notes::default()).then(|| Arc::new(self.notes)),
        }
    }

    fn file(&mut self, file: &Arc<SourceFile>, limits: &Limits) {
        let mut found = Diagnostics::default();
        let prepared = yaml::read::Prepared::new(file);
        self.may_have_templates = may_have_templates(prepared.text());
        let stream = prepared.read(limits, &mut found);
        let (mut encrypted, mut glued) = (Vec::new(), Vec::new());
        for document in &stream.documents {
            for root in list::resources(&document.root) {
                let Value::Map(map) = &root.value else { continue };
                if encryption::is_encrypted(map) {
                    encrypted.push((document.index, map));
                } else if glued::is_glued(map) && self.context.kuma.fidelity == Fidelity::Documented {
                    glued.push((document.index, map));
                } else {
                    self.resource(document.index, root, map);
                }
            }
        }
        self.encrypted(file, &encrypted);
        self.glued(file, &glued, &mut found);
        let ours = self.seen > 0;
        self.report_text(file, found, ours);
    }

    /// Reports the encrypted resources among documents. They hold the meshes that the file had before or mentions
    /// now; without any, they may belong to any mesh.
    fn encrypted(&mut self, file: &SourceFile, documents: &[(usize, &yaml::Map)]) {
        let may_be_ours =
            |map: &yaml::Map| encryption::hides_kind(map) || kind::of(map, self.context.kuma.version).affects_tracing();
        let ours: Vec<_> = (documents.iter()).filter(|(_, map)| may_be_ours(map)).collect();
        if ours.is_empty() {
            return;
        }
        let holds = self.affected_meshes(&file.text()).unwrap_or(Holds::All);
        for (document, map) in ours {
            let mut error = encryption::error(map).holds(holds.clone());
            error.document = Some(*document);
            self.seen += 1;
            self.notes.gaps.note(&error);
            self.notes.findings.push(error);
        }
    }

    /// Adds the errors about documents that a missing line `---` joins to `found`, in place of the warnings about
    /// their keys. Documents of files without resources do not concern meshtraced.
    fn glued(&mut self, file: &SourceFile, documents: &[(usize, &yaml::Map)], found: &mut Diagnostics) {
        let is_known = |map: &yaml::Map| kind::of(map, self.context.kuma.version).affects_tracing();
        let has_known = || documents.iter().any(|(_, map)| is_known(map));
        if documents.is_empty() || (!has_known() && salvage::affected_meshes(&file.text()).is_none()) {
            return;
        }
        let repeated = documents.iter().flat_map(|(_, map)| &map.repeated).collect();
        found.remove(Code::DuplicateKey, &repeated);
        for (document, map) in documents {
            self.seen += 1;
            for mut error in glued::errors(map) {
                error.document = Some(*document);
                found.push(error);
            }
        }
    }

    /// Reports findings about the text of a file, with a severity that depends on the content of the file.
    fn report_text(&mut self, file: &SourceFile, found: Diagnostics, ours: bool) {
        let found = found.into_sorted();
        let is_broken = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let holds = if is_broken {
            self.affected_meshes(&file.text()).or(ours.then_some(Holds::All))
        } else {
            None
        };
        for diagnostic in found {
            let mut diagnostic = Arc::unwrap_or_clone(diagnostic);
            match (diagnostic.severity, &holds) {
                (Severity::Error, Some(holds)) => diagnostic.holds = holds.clone(),
                (Severity::Error, None) => diagnostic = downgrade_foreign(diagnostic),
                (Severity::Warning, _) if ours => {}
                // Duplicate keys in a file without resources do not concern meshtraced.
                (Severity::Warning, _) => continue,
            }
            self.notes.gaps.note(&diagnostic);
            self.notes.findings.push(diagnostic);
        }
    }

    fn affected_meshes(&mut self, text: &str) -> Option<Holds> {
        self.notes.depends_on_past = true;
        affected_meshes(text, self.known, &mut self.meshes, &mut self.notes.unavailable)
    }

    fn resource(&mut self, document: usize, root: &Node, map: &yaml::Map) {
        let (kind, form) = match kind::of(map, self.context.kuma.version) {
            kind::Found::Kind(kind, form) => (kind, form),
            kind::Found::Other(name, form) => return self.other(name, form, document, root),
            kind::Found::Foreign => return,
            kind::Found::Invalid(diagnostic) => return self.invalid(*diagnostic, document, map),
        };
        self.seen += 1;
        let Identity { id, name_at, mesh_at } = Identity::read(self.context.texts, kind, form, root);
        let id = Arc::new(id);
        if self.is_template(&id, document, root) {
            return;
        }
        if !self.meshes.contains(id.mesh.as_str()) {
            self.meshes.insert(String::from(&id.mesh));
        }
        let mut decoder = Decoder::new(id, document, name_at.clone(), kind.is_target(), self.context);
        let fields = match (form, map.get("spec").map(|entry| &entry.value.value)) {
            (Form::Kubernetes, Some(Value::Map(spec))) => spec,
            _ => map,
        };
        if let Some(error) = old_form::error(kind, fields) {
            self.notes.gaps.miss(&decoder.resource, kind);
            decoder.report(error);
            return decoder.finish(&mut self.notes.findings);
        }
        let (header, body) = envelope::decode(&mut decoder, self.context, kind, form, root);
        let id = Arc::clone(&decoder.resource);
        match body {
            Some(body) => self.body(&mut decoder, kind, header, &body),
            None => self.notes.gaps.miss(&id, kind),
        }
        decoder.finish(&mut self.notes.findings);
        if !id.name.is_empty() {
            self.placed.push(Placed {
                id,
                name: name_at.span,
                mesh: mesh_at.span,
                document,
            });
        }
    }

    /// Counts a resource of a kind without effect on tracing, and keeps it if it configures proxies in another way.
    fn other(&mut self, name: &'static str, form: Form, document: usize, root: &Node) {
        // A list of Kubernetes holds resources.
        if name == "List" {
            return;
        }
        *self.notes.passed_over.entry(name).or_default() += 1;
        let Some(kind) = OtherKind::find(name, self.context.kuma.version) else {
            return;
        };
        let envelope = kind.envelope();
        let Identity { mut id, name_at, .. } = Identity::read(self.context.texts, envelope, form, root);
        id.kind = self.context.texts.get(name);
        let unheard = &mut Decoder::new(Arc::new(id), document, name_at, envelope.is_target(), self.context);
        let (header, body) = envelope::decode(unheard, self.context, envelope, form, root);
        let policy = other_policy::decode(unheard, self.context, kind, header, body.as_ref());
        self.resources.push(Resource::OtherPolicy(Arc::new(policy)));
    }

    /// Reports a document that is probably meant as a resource, with a kind that is not known.
    fn invalid(&mut self, mut diagnostic: Diagnostic, document: usize, map: &yaml::Map) {
        self.seen += 1;
        diagnostic.document = Some(document);
        if diagnostic.severity == Severity::Error {
            diagnostic.holds = mesh_of(map).map_or(Holds::All, |mesh| Holds::mesh(&mesh));
        }
        self.notes.gaps.note(&diagnostic);
        self.notes.findings.push(diagnostic);
    }

    /// Decodes the fields of a kind, and keeps the resource if it has no error.
    fn body(&mut self, decoder: &mut Decoder, kind: Kind, header: Header, body: &Body) {
        let context = self.context;
        let decoded = match kind {
            Kind::Mesh => shared(mesh::decode(decoder, context, header, body), Resource::Mesh),
            Kind::TrafficTrace => shared(traffic_trace::decode(decoder, header, body), Resource::TrafficTrace),
            Kind::TrafficRoute => shared(traffic_route::decode(decoder, header, body), Resource::TrafficRoute),
            Kind::Dataplane => shared(dataplane::decode(decoder, context, header, body), Resource::Dataplane),
            Kind::MeshGateway => shared(mesh_gateway::decode(decoder, header, body), Resource::MeshGateway),
            Kind::ExternalService => shared(
                external_service::decode(decoder, header, body),
                Resource::ExternalService,
            ),
            Kind::MeshTrace => shared(mesh_trace::decode(decoder, context, header, body), Resource::MeshTrace),
            Kind::MeshHttpRoute => shared(
                mesh_route::decode(decoder, context, header, body),
                Resource::MeshHttpRoute,
            ),
            Kind::MeshTcpRoute => shared(
                mesh_route::decode(decoder, context, header, body),
                Resource::MeshTcpRoute,
            ),
            Kind::MeshOpenTelemetryBackend => shared(
                mesh_open_telemetry_backend::decode(decoder, header, body),
                Resource::MeshOpenTelemetryBackend,
            ),
            Kind::MeshService => shared(
                mesh_service::decode(decoder, context, header, body),
                Resource::MeshService,
            ),
            Kind::MeshMultiZoneService => shared(
                mesh_service::decode_multi_zone(decoder, header, body),
                Resource::MeshService,
            ),
            Kind::MeshExternalService => shared(
                mesh_service::decode_external(decoder, header, body),
                Resource::MeshService,
            ),
        };
        // The valid backends of an invalid mesh stay, so that policies can be checked against them.
        let sound = decoded.filter(|_| kind == Kind::Mesh || !decoder.failed());
        if sound.is_none() {
            self.notes.gaps.miss(&decoder.resource, kind);
        }
        self.resources.extend(sound);
    }

    /// Whether a resource is an unrendered template. Every expression in it is then reported.
    ///
    /// Its content cannot be known, so it holds its mesh, or all meshes if the name of the mesh is an expression,
    /// too.
    fn is_template(&mut self, id: &Arc<ResourceId>, document: usize, root: &Node) -> bool {
        if !self.may_have_templates {
            return false;
        }
        let found = unrendered(root);
        let is_template = !found.is_empty();
        for diagnostic in found {
            let mut diagnostic = diagnostic.resource(document, id);
            if template::find(&id.mesh).is_some() {
                diagnostic.holds = Holds::All;
            }
            self.notes.gaps.note(&diagnostic);
            self.notes.findings.push(diagnostic);
        }
        is_template
    }
}

/// A valid resource that several snapshots can share.
fn shared<T>(decoded: Option<T>, kind: impl FnOnce(Arc<T>) -> Resource) -> Option<Resource> {
    decoded.map(|resource| kind(Arc::new(resource)))
}

/// Downgrades a finding about a file in which nothing looks like a resource of a compiled kind.
pub(super) fn downgrade_foreign(mut diagnostic: Diagnostic) -> Diagnostic {
    let note = "nothing in this file looks like a Kuma resource, so meshtraced ignores it";
    diagnostic.severity = Severity::Warning;
    diagnostic.help = Some(match diagnostic.help {
        Some(help) => format!("{help}; {note}").into(),
        None => note.into(),
    });
    diagnostic
}

/// The mesh of a document, whatever its kind.
fn mesh_of(map: &yaml::Map) -> Option<String> {
    match &map.get("mesh")?.value.value {
        Value::Scalar(scalar) => Some(scalar.text.to_string()),
        Value::List(_) | Value::Map(_) => None,
    }
}
