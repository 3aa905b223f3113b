//! Kuma's nouns, each with the places its values came from.
//!
//! Start with [`parse`] and [`Resources`]. Every kind has a file that decodes it and checks its fields as
//! Kuma would; looking from one resource to another is left to later stages, but for what makes a resource
//! belong: its mesh and its name.

mod decode;
mod header;
mod kind;

pub mod dataplane;
pub mod mesh;
pub mod percent;
pub mod protocol;
pub mod tags;
pub mod traffic_route;
pub mod traffic_trace;
pub mod url;

pub(crate) use decode::closest;
pub use decode::{Located, Origin, TextMap};
use header::HEADER;
pub use header::Header;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use decode::Decoder;
use kind::Kind;

use crate::diag::{Code, Diagnostic, Diagnostics, Holds, Place, ResourceId, Severity};
use crate::source::{Location, Snapshot, SourceFile};
use crate::yaml::{self, Document, Limits, Value};

use self::dataplane::Dataplane;
use self::mesh::Mesh;
use self::traffic_route::TrafficRoute;
use self::traffic_trace::TrafficTrace;

/// Whose behaviour is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kuma {
    /// The version.
    pub version: Version,
    /// What the documentation promises, or what the control plane does.
    pub fidelity: Fidelity,
    /// The zone of the control plane that is stood in for.
    pub zone: String,
    /// Who wins when two policies are equally specific.
    pub ties: Ties,
}

impl Default for Kuma {
    fn default() -> Self {
        Self {
            version: Version::V2_14,
            fidelity: Fidelity::Documented,
            zone: "default".to_owned(),
            ties: Ties::Name,
        }
    }
}

/// A version of Kuma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 2.13.
    V2_13,
    /// 2.14.
    V2_14,
}

/// What to follow where the documentation and the control plane differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fidelity {
    /// The documentation.
    Documented,
    /// The control plane.
    Exact,
}

/// Who wins when two policies are equally specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The smallest name.
    Name,
    /// The latest `creationTime`, then the smallest name.
    CreationTime,
}

/// What decoders need to know beside the document.
pub(crate) struct Context<'a> {
    kuma: &'a Kuma,
}

impl Context<'_> {
    /// From 2.14 on a dataplane may have no inbounds, and inbounds no tags.
    fn inbounds_optional(&self) -> bool {
        self.kuma.version >= Version::V2_14
    }

    /// From 2.14 on an inbound has the field `protocol`.
    fn has_protocol_field(&self) -> bool {
        self.kuma.version >= Version::V2_14
    }
}

/// Everything that could be understood.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// `Mesh` by name. The mesh `default` exists without being here.
    pub meshes: BTreeMap<String, Mesh>,
    /// `TrafficTrace`, sorted by mesh and name.
    pub traffic_traces: Vec<TrafficTrace>,
    /// `TrafficRoute`, sorted by mesh and name.
    pub traffic_routes: Vec<TrafficRoute>,
    /// `Dataplane`, sorted by mesh and name.
    pub dataplanes: Vec<Dataplane>,
    /// Meshes with a dataplane that could not be understood, so that nobody concludes anything from its absence.
    pub incomplete: BTreeSet<String>,
    /// How many resources of Kuma were seen, whether understood or not.
    pub seen: usize,
}

/// Decodes all documents of a snapshot.
///
/// Total: what cannot be understood is left out and explained in `diagnostics`.
pub fn parse(snapshot: &Snapshot, kuma: &Kuma, limits: &Limits, diagnostics: &mut Diagnostics) -> Resources {
    let mut parser = Parser {
        context: Context { kuma },
        resources: Resources::default(),
        places: BTreeMap::new(),
        diagnostics,
    };
    for file in &snapshot.files {
        parser.file(file, limits);
    }
    for unreadable in &snapshot.unreadable {
        let message = format!("the file {}", unreadable.reason);
        let place = Place::File(unreadable.path.clone());
        let diagnostic = Diagnostic::new(Severity::Error, Code::UnreadableFile, place, message);
        parser.diagnostics.push(
            diagnostic
                .holds(Holds::All)
                .help("mend the file, or move it out of the policies"),
        );
    }
    parser.finish()
}

struct Parser<'a, 'd> {
    context: Context<'a>,
    resources: Resources,
    /// Where every resource was first seen, and where its mesh is written.
    places: BTreeMap<ResourceId, (Location, usize)>,
    diagnostics: &'d mut Diagnostics,
}

impl Parser<'_, '_> {
    fn file(&mut self, file: &Arc<SourceFile>, limits: &Limits) {
        let mut found = Diagnostics::default();
        let stream = yaml::read::read(file, limits, &mut found);
        let before = self.resources.seen;
        for document in &stream.documents {
            self.document(document);
        }
        let ours = self.resources.seen > before;
        self.report_text(file, found, ours);
    }

    /// Findings about the text of a file: they matter as much as the file does.
    fn report_text(&mut self, file: &SourceFile, found: Diagnostics, ours: bool) {
        let guess = guess(&file.text);
        for mut diagnostic in found.into_sorted() {
            if diagnostic.severity == Severity::Error {
                match &guess {
                    Some(meshes) if meshes.len() == 1 => {
                        diagnostic.holds = Holds::Mesh(meshes.iter().next().expect("one").clone());
                    }
                    Some(_) => diagnostic.holds = Holds::All,
                    None if ours => diagnostic.holds = Holds::All,
                    None => {
                        diagnostic.severity = Severity::Warning;
                        let note = "nothing in this file looks like a Kuma resource, so it is passed over";
                        diagnostic.help = Some(match diagnostic.help {
                            Some(help) => format!("{help}; {note}"),
                            None => note.to_owned(),
                        });
                    }
                }
            } else if !ours {
                // Duplicate keys in somebody else's file are somebody else's business.
                continue;
            }
            self.diagnostics.push(diagnostic);
        }
    }

    fn document(&mut self, document: &Document) {
        let Value::Map(map) = &document.root.value else { return };
        let kind = match kind::of(map) {
            kind::Found::Kind(kind) => kind,
            kind::Found::Foreign => return,
            kind::Found::Refused(diagnostic) => {
                self.resources.seen += 1;
                let mut diagnostic = *diagnostic;
                diagnostic.document = Some(document.index);
                if diagnostic.severity == Severity::Error {
                    diagnostic.holds = mesh_of(map).map_or(Holds::All, Holds::Mesh);
                }
                self.diagnostics.push(diagnostic);
                return;
            }
        };
        self.resources.seen += 1;
        let id = header::identify(kind, map);
        let mut decoder = Decoder::new(id, document.index, self.diagnostics);
        let header = header::decode(&mut decoder, &self.context, kind, &document.root);
        let resources = &mut self.resources;
        let id = Arc::clone(&decoder.resource);
        match kind {
            // The backends of a mesh that could be understood stay, so that policies can be held against them.
            Kind::Mesh => {
                let mesh = mesh::decode(&mut decoder, header, &document.root);
                resources
                    .meshes
                    .extend(mesh.map(|mesh| (mesh.header.name().to_owned(), mesh)));
            }
            Kind::TrafficTrace => {
                let policy = traffic_trace::decode(&mut decoder, header, &document.root);
                resources.traffic_traces.extend(policy.filter(|_| !decoder.failed()));
            }
            Kind::TrafficRoute => {
                let route = traffic_route::decode(&mut decoder, header, &document.root);
                resources.traffic_routes.extend(route.filter(|_| !decoder.failed()));
            }
            Kind::Dataplane => {
                let dataplane = dataplane::decode(&mut decoder, &self.context, header, &document.root);
                match dataplane.filter(|_| !decoder.failed()) {
                    Some(dataplane) => resources.dataplanes.push(dataplane),
                    None => resources.incomplete.extend([id.mesh.clone()]),
                }
            }
        }
        self.remember(&id, document);
    }

    fn remember(&mut self, id: &ResourceId, document: &Document) {
        let at = header::name_place(&document.root);
        if id.name.is_empty() {
            return;
        }
        match self.places.get(id) {
            None => {
                self.places.insert(id.clone(), (at, document.index));
            }
            Some((first, _)) => {
                let message = format!("there is a {id} already, at {first}");
                let diagnostic = Diagnostic::error(Code::DuplicateResource, &at, message).path("name");
                self.diagnostics.push(
                    diagnostic
                        .resource(document.index, id.clone())
                        .help("rename or remove one of them"),
                );
            }
        }
    }

    fn finish(self) -> Resources {
        let Self {
            mut resources,
            places,
            diagnostics,
            ..
        } = self;
        let mut meshes: BTreeSet<&str> = places
            .keys()
            .filter(|id| id.kind == "Mesh")
            .map(|id| id.name.as_str())
            .collect();
        meshes.insert("default");
        for (id, (at, document)) in &places {
            if meshes.contains(id.mesh.as_str()) || id.mesh.is_empty() {
                continue;
            }
            let message = format!("{id} is in the mesh `{}`, which does not exist", id.mesh);
            let help = match closest(&id.mesh, meshes.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("declare it: `type: Mesh` with `name: {}`", id.mesh),
            };
            let diagnostic = Diagnostic::error(Code::UnknownMesh, at, message)
                .path("mesh")
                .help(help);
            diagnostics.push(diagnostic.resource(*document, id.clone()));
        }
        resources
            .traffic_traces
            .sort_by(|a, b| a.header.order().cmp(&b.header.order()));
        resources
            .traffic_routes
            .sort_by(|a, b| a.header.order().cmp(&b.header.order()));
        resources
            .dataplanes
            .sort_by(|a, b| a.header.order().cmp(&b.header.order()));
        resources
            .traffic_traces
            .dedup_by(|a, b| a.header.order() == b.header.order());
        resources
            .traffic_routes
            .dedup_by(|a, b| a.header.order() == b.header.order());
        resources
            .dataplanes
            .dedup_by(|a, b| a.header.order() == b.header.order());
        resources
    }
}

/// The meshes that a text which is no YAML seems to be about; `None` when it holds no line like
/// `type: TrafficTrace`.
fn guess(text: &str) -> Option<BTreeSet<String>> {
    let value = |line: &str, key: &str| {
        let rest = line
            .trim_start()
            .trim_start_matches("- ")
            .strip_prefix(key)?
            .trim_start()
            .strip_prefix(':')?;
        let word = rest.trim().trim_matches(['"', '\'']);
        (!word.is_empty()).then(|| word.split_whitespace().next().unwrap_or("").to_owned())
    };
    let is_ours = |line: &str| {
        ["type", "kind"]
            .iter()
            .any(|key| value(line, key).is_some_and(|word| kind::matters(&word)))
    };
    if !text.lines().any(is_ours) {
        return None;
    }
    let is_mesh = |line: &str| {
        ["type", "kind"]
            .iter()
            .any(|key| value(line, key).as_deref() == Some("Mesh"))
    };
    let mut meshes: BTreeSet<String> = text.lines().filter_map(|line| value(line, "mesh")).collect();
    if text.lines().any(is_mesh) {
        meshes.extend(
            text.lines()
                .filter(|line| line.starts_with("name"))
                .filter_map(|line| value(line, "name")),
        );
    }
    Some(meshes)
}

/// The mesh that a document names, whatever its kind.
fn mesh_of(map: &yaml::Map) -> Option<String> {
    match &map.get("mesh")?.value.value {
        Value::Scalar(scalar) => Some(scalar.text.clone()),
        Value::List(_) | Value::Map(_) => None,
    }
}
