//! From a snapshot to resources: classification and decoding of documents, with the checks of their names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, Place, ResourceId, Severity};
use crate::kuma::{Fidelity, Kuma};
use crate::resource::complete::{Placed, complete};
use crate::resource::decode::context::Context;
use crate::resource::decode::decoder::Decoder;
use crate::resource::document::envelope::{self, Body};
use crate::resource::document::header::Header;
use crate::resource::document::identity::Identity;
use crate::resource::document::kind::{self, Form, Kind};
use crate::resource::document::kustomization::Kustomizations;
use crate::resource::document::unrendered::unrendered;
use crate::resource::document::{encryption, glued, list, old_form, salvage};
use crate::resource::kinds::other_policy::{self, OtherKind};
use crate::resource::kinds::{
    dataplane, external_service, mesh, mesh_gateway, mesh_open_telemetry_backend, mesh_route, mesh_service, mesh_trace,
    traffic_route, traffic_trace,
};
use crate::resource::resources::{Contributions, Resources, covered};
use crate::resource::text::Texts;
use crate::source::{Snapshot, SourceFile, Unreadable, UnreadableReason};
use crate::system::parallel;
use crate::yaml::{self, Limits, Node, Value, template};

/// Decodes all documents of a snapshot.
///
/// Never fails: an invalid document is left out and explained in `diagnostics`. `known` has the meshes of each file
/// when it could be read last.
pub fn parse(
    snapshot: &Snapshot,
    kuma: &Kuma,
    limits: &Limits,
    known: &Contributions,
    diagnostics: &mut Diagnostics,
) -> Resources {
    let kustomizations = Kustomizations::find(snapshot, limits);
    let (mut files, mut parts) = (Vec::new(), BTreeMap::<&str, Vec<&SourceFile>>::new());
    for file in &snapshot.files {
        match kustomizations.around(&file.path) {
            None => files.push(file),
            Some(directory) => parts.entry(directory).or_default().push(file),
        }
    }
    let portions: Vec<_> = files.chunks(PORTION).collect();
    let decoded = parallel::map_with(&portions, parallel::cpu_count(), Texts::default, |texts, files| {
        let mut parser = Parser::new(kuma, texts, known);
        files.iter().for_each(|file| parser.file(file, limits));
        parser.decoded
    });
    let texts = Texts::default();
    let mut parser = Parser::new(kuma, &texts, known);
    decoded.into_iter().for_each(|of_file| parser.decoded.append(of_file));
    for (directory, error) in kustomizations.errors() {
        parser.kustomization(parts.get(directory).map_or(&[], Vec::as_slice), error);
    }
    for unreadable in &snapshot.unreadable {
        parser.unreadable(unreadable);
    }
    parser.finish(diagnostics)
}

/// The number of files that are decoded at a time.
const PORTION: usize = 32;

/// The content of some files.
#[derive(Default)]
struct Decoded {
    resources: Resources,
    /// The resources with a name, in the order of the files.
    placed: Vec<(ResourceId, Placed)>,
    diagnostics: Diagnostics,
}

impl Decoded {
    /// Appends the content of later files.
    fn append(&mut self, later: Self) {
        self.resources.append(later.resources);
        self.placed.extend(later.placed);
        self.diagnostics.append(later.diagnostics);
    }
}

struct Parser<'a> {
    context: Context<'a>,
    known: &'a Contributions,
    decoded: Decoded,
}

impl<'a> Parser<'a> {
    fn new(kuma: &'a Kuma, texts: &'a Texts, known: &'a Contributions) -> Self {
        Self {
            context: Context { kuma, texts },
            known,
            decoded: Decoded::default(),
        }
    }

    fn file(&mut self, file: &Arc<SourceFile>, limits: &Limits) {
        let mut found = Diagnostics::default();
        let prepared = yaml::read::Prepared::new(file);
        let stream = prepared.read(limits, &mut found);
        let before = self.decoded.resources.seen;
        let (mut encrypted, mut glued) = (Vec::new(), Vec::new());
        for document in &stream.documents {
            for root in list::resources(&document.root) {
                let Value::Map(map) = &root.value else { continue };
                if encryption::is_encrypted(map) {
                    encrypted.push((document.index, map));
                } else if glued::is_glued(map) && self.context.kuma.fidelity == Fidelity::Documented {
                    glued.push((document.index, map));
                } else {
                    self.resource(&file.path, document.index, root, map);
                }
            }
        }
        self.encrypted(file, &encrypted);
        self.glued(file, &glued, &mut found);
        let ours = self.decoded.resources.seen > before;
        self.report_text(file, found, ours);
    }

    /// Reports a kustomization whose files are not decoded. It holds the meshes that they had before or mention now.
    fn kustomization(&mut self, files: &[&SourceFile], error: Diagnostic) {
        let mut meshes = BTreeSet::new();
        let mut is_ours = false;
        for file in files {
            match self.affected_meshes(&file.path, &file.text) {
                Some(Holds::Meshes(of_file)) => meshes.extend(of_file),
                Some(Holds::All) => is_ours = true,
                Some(Holds::Nothing | Holds::Proxies(_)) | None => {}
            }
        }
        if meshes.is_empty() && !is_ours {
            return;
        }
        self.decoded.resources.seen += 1;
        let error = error.holds(if is_ours { Holds::All } else { Holds::Meshes(meshes) });
        self.decoded.resources.gaps.note(&error);
        self.decoded.diagnostics.push(error);
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
        let holds = self.affected_meshes(&file.path, &file.text).unwrap_or(Holds::All);
        for (document, map) in ours {
            let mut error = encryption::error(map).holds(holds.clone());
            error.document = Some(*document);
            self.decoded.resources.seen += 1;
            self.decoded.resources.gaps.note(&error);
            self.decoded.diagnostics.push(error);
        }
    }

    /// Adds the errors about documents that a missing line `---` joins to `found`, in place of the warnings about
    /// their keys. Documents of files without resources do not concern meshtraced.
    fn glued(&mut self, file: &SourceFile, documents: &[(usize, &yaml::Map)], found: &mut Diagnostics) {
        let is_known = |map: &yaml::Map| kind::of(map, self.context.kuma.version).affects_tracing();
        let has_known = || documents.iter().any(|(_, map)| is_known(map));
        if documents.is_empty() || (!has_known() && salvage::affected_meshes(&file.text).is_none()) {
            return;
        }
        let repeated = documents.iter().flat_map(|(_, map)| &map.repeated).collect();
        found.remove(Code::DuplicateKey, &repeated);
        for (document, map) in documents {
            self.decoded.resources.seen += 1;
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
            self.affected_meshes(&file.path, &file.text)
                .or(ours.then_some(Holds::All))
        } else {
            None
        };
        for mut diagnostic in found {
            match (diagnostic.severity, &holds) {
                (Severity::Error, Some(holds)) => diagnostic.holds = holds.clone(),
                (Severity::Error, None) => diagnostic = downgrade_foreign(diagnostic),
                (Severity::Warning, _) if ours => {}
                // Duplicate keys in a file without resources do not concern meshtraced.
                (Severity::Warning, _) => continue,
            }
            self.decoded.resources.gaps.note(&diagnostic);
            self.decoded.diagnostics.push(diagnostic);
        }
    }

    /// The meshes that an unreadable file holds: those of its last readable text, and those that its text now
    /// mentions.
    fn affected_meshes(&mut self, path: &str, text: &str) -> Option<Holds> {
        let Some(meshes) = self.known.get(path) else {
            return salvage::affected_meshes(text);
        };
        // The file keeps its meshes until it can be read again.
        let known = self.decoded.resources.contributions.entry(path.to_owned()).or_default();
        known.extend(meshes.iter().cloned());
        self.decoded.resources.unavailable.extend(meshes.iter().cloned());
        Some(match salvage::affected_meshes(text) {
            Some(Holds::All) => Holds::All,
            _ => Holds::Meshes(known.clone()),
        })
    }

    fn unreadable(&mut self, unreadable: &Unreadable) {
        let mut was_about = BTreeSet::new();
        for (path, meshes) in covered(self.known, unreadable) {
            // The files keep their meshes until they can be read again.
            let contribution = self.decoded.resources.contributions.entry(path.clone()).or_default();
            contribution.extend(meshes.iter().cloned());
            was_about.extend(meshes.iter().cloned());
        }
        let now = unreadable.beginning.as_deref().and_then(salvage::affected_meshes);
        self.decoded.resources.unavailable.extend(was_about.iter().cloned());
        let holds = match (now, was_about.is_empty()) {
            (Some(Holds::All), _) => Some(Holds::All),
            (_, false) => Some(Holds::Meshes(was_about)),
            (now, true) if unreadable.beginning.is_some() => now,
            (_, true) => unreadable.may_be_about_anything().then_some(Holds::All),
        };
        // An empty file that never had a resource is no error.
        if holds.is_none() && unreadable.reason == UnreadableReason::Empty {
            return;
        }
        let place = Place::File(unreadable.path.clone());
        let message = unreadable.reason.to_string();
        let diagnostic = Diagnostic::new(Severity::Error, Code::UnreadableFile, place, message);
        let diagnostic = diagnostic.help(unreadable.reason.help());
        let diagnostic = match holds {
            Some(holds) => diagnostic.holds(holds),
            None if unreadable.beginning.is_some() => downgrade_foreign(diagnostic),
            None => Diagnostic {
                severity: Severity::Warning,
                ..diagnostic
            },
        };
        self.decoded.resources.gaps.note(&diagnostic);
        self.decoded.diagnostics.push(diagnostic);
    }

    fn resource(&mut self, path: &str, document: usize, root: &Node, map: &yaml::Map) {
        let (kind, form) = match kind::of(map, self.context.kuma.version) {
            kind::Found::Kind(kind, form) => (kind, form),
            kind::Found::Other(name, form) => return self.other(name, form, document, root),
            kind::Found::Foreign => return,
            kind::Found::Invalid(diagnostic) => return self.invalid(*diagnostic, document, map),
        };
        self.decoded.resources.seen += 1;
        let Identity { id, name_at, mesh_at } = Identity::read(kind, form, root);
        if self.is_template(&id, document, root) {
            return;
        }
        let contribution = self.decoded.resources.contributions.entry(path.to_owned()).or_default();
        contribution.insert(id.mesh.clone());
        let mut decoder = Decoder::new(id, document, name_at.clone(), kind.is_target(), &self.context);
        let fields = match (form, map.get("spec").map(|entry| &entry.value.value)) {
            (Form::Kubernetes, Some(Value::Map(spec))) => spec,
            _ => map,
        };
        if let Some(error) = old_form::error(kind, fields) {
            self.decoded.resources.gaps.miss(&decoder.resource, kind);
            decoder.report(error);
            return decoder.finish(&mut self.decoded.diagnostics);
        }
        let (header, body) = envelope::decode(&mut decoder, &self.context, kind, form, root);
        let id = Arc::clone(&decoder.resource);
        match body {
            Some(body) => self.body(&mut decoder, kind, header, &body),
            None => self.decoded.resources.gaps.miss(&id, kind),
        }
        decoder.finish(&mut self.decoded.diagnostics);
        let placed = Placed {
            name: name_at,
            mesh: mesh_at,
            document,
        };
        self.register(&id, placed);
    }

    /// Counts a resource of a kind without effect on tracing, and keeps it if it configures proxies in another way.
    fn other(&mut self, name: &'static str, form: Form, document: usize, root: &Node) {
        // A list of Kubernetes holds resources.
        if name == "List" {
            return;
        }
        *self.decoded.resources.passed_over.entry(name).or_default() += 1;
        let Some(kind) = OtherKind::find(name, self.context.kuma.version) else {
            return;
        };
        let envelope = kind.envelope();
        let Identity { mut id, name_at, .. } = Identity::read(envelope, form, root);
        id.kind = name.to_owned();
        let unheard = &mut Decoder::new(id, document, name_at, envelope.is_target(), &self.context);
        let (header, body) = envelope::decode(unheard, &self.context, envelope, form, root);
        let policy = other_policy::decode(unheard, &self.context, kind, header, body.as_ref());
        self.decoded.resources.other_policies.push(policy);
    }

    /// Reports a document that is probably meant as a resource, with a kind that is not known.
    fn invalid(&mut self, mut diagnostic: Diagnostic, document: usize, map: &yaml::Map) {
        self.decoded.resources.seen += 1;
        diagnostic.document = Some(document);
        if diagnostic.severity == Severity::Error {
            diagnostic.holds = mesh_of(map).map_or(Holds::All, |mesh| Holds::mesh(&mesh));
        }
        self.decoded.resources.gaps.note(&diagnostic);
        self.decoded.diagnostics.push(diagnostic);
    }

    /// Decodes the fields of a kind, and keeps the resource if it has no error.
    fn body(&mut self, decoder: &mut Decoder, kind: Kind, header: Header, body: &Body) {
        let id = Arc::clone(&decoder.resource);
        let (context, resources) = (&self.context, &mut self.decoded.resources);
        /// Keeps a resource that was decoded without an error.
        macro_rules! keep {
            ($list:ident, $decode:expr) => {{
                let decoded = $decode;
                let sound = decoded.filter(|_| !decoder.failed());
                if sound.is_none() {
                    resources.gaps.miss(&id, kind);
                }
                resources.$list.extend(sound);
            }};
        }
        match kind {
            // The valid backends of an invalid mesh stay, so that policies can be checked against them.
            Kind::Mesh => {
                let mesh = mesh::decode(decoder, context, header, body);
                resources
                    .meshes
                    .extend(mesh.map(|mesh| (mesh.header.name().to_owned(), mesh)));
            }
            Kind::TrafficTrace => keep!(traffic_traces, traffic_trace::decode(decoder, header, body)),
            Kind::TrafficRoute => keep!(traffic_routes, traffic_route::decode(decoder, header, body)),
            Kind::Dataplane => keep!(dataplanes, dataplane::decode(decoder, context, header, body)),
            Kind::MeshGateway => keep!(mesh_gateways, mesh_gateway::decode(decoder, header, body)),
            Kind::ExternalService => keep!(external_services, external_service::decode(decoder, header, body)),
            Kind::MeshTrace => keep!(mesh_traces, mesh_trace::decode(decoder, context, header, body)),
            Kind::MeshHttpRoute => keep!(http_routes, mesh_route::decode(decoder, context, header, body)),
            Kind::MeshTcpRoute => keep!(tcp_routes, mesh_route::decode(decoder, context, header, body)),
            Kind::MeshOpenTelemetryBackend => {
                keep!(
                    otel_backends,
                    mesh_open_telemetry_backend::decode(decoder, header, body)
                );
            }
            Kind::MeshService => keep!(mesh_services, mesh_service::decode(decoder, context, header, body)),
            Kind::MeshMultiZoneService => keep!(mesh_services, mesh_service::decode_multi_zone(decoder, header, body)),
            Kind::MeshExternalService => keep!(mesh_services, mesh_service::decode_external(decoder, header, body)),
        }
    }

    /// Whether a resource is an unrendered template. Every expression in it is then reported.
    ///
    /// Its content cannot be known, so it holds its mesh, or all meshes if the name of the mesh is an expression,
    /// too.
    fn is_template(&mut self, id: &ResourceId, document: usize, root: &Node) -> bool {
        let found = unrendered(root);
        let is_template = !found.is_empty();
        for diagnostic in found {
            let mut diagnostic = diagnostic.resource(document, id.clone());
            if template::find(&id.mesh).is_some() {
                diagnostic.holds = Holds::All;
            }
            self.decoded.resources.gaps.note(&diagnostic);
            self.decoded.diagnostics.push(diagnostic);
        }
        is_template
    }

    /// Registers a resource by its identity.
    fn register(&mut self, id: &ResourceId, placed: Placed) {
        if !id.name.is_empty() {
            self.decoded.placed.push((id.clone(), placed));
        }
    }

    fn finish(self, diagnostics: &mut Diagnostics) -> Resources {
        let Decoded {
            resources,
            placed,
            diagnostics: found,
        } = self.decoded;
        diagnostics.append(found);
        let places = distinct(placed, diagnostics);
        complete(resources, &places, self.context.kuma, diagnostics)
    }
}

/// The first place of each resource; a second resource with the same identity is an error.
fn distinct(placed: Vec<(ResourceId, Placed)>, diagnostics: &mut Diagnostics) -> BTreeMap<ResourceId, Placed> {
    let mut places: BTreeMap<ResourceId, Placed> = BTreeMap::new();
    for (id, placed) in placed {
        let Some(first) = places.get(&id) else {
            places.insert(id, placed);
            continue;
        };
        let message = format!("{id} already exists, at {}", first.name);
        let diagnostic = Diagnostic::error(Code::DuplicateResource, &placed.name, message).path("name");
        let help = "rename or remove one of them, or exclude one of the files with `exclude` in the settings";
        diagnostics.push(diagnostic.resource(placed.document, id).help(help));
    }
    places
}

/// Downgrades a finding about a file in which nothing looks like a resource of a compiled kind.
fn downgrade_foreign(mut diagnostic: Diagnostic) -> Diagnostic {
    let note = "nothing in this file looks like a Kuma resource, so meshtraced ignores it";
    diagnostic.severity = Severity::Warning;
    diagnostic.help = Some(match diagnostic.help {
        Some(help) => format!("{help}; {note}"),
        None => note.to_owned(),
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
