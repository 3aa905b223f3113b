//! The dataplanes that a policy or a backend reaches, and the policies that reach a dataplane.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::policies::{Outcome, candidates};
use super::text::table;
use crate::compilation::Compilation;
use crate::ir::{PolicyKind, Proxy};
use crate::resource::kinds::mesh_trace::{Backend, OpenTelemetryBackend};
use crate::select::backend_name;
use crate::words::{plural, printable};

/// A kind of resource to inspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A `TrafficTrace`: the dataplanes that it governs.
    TrafficTrace,
    /// A `MeshTrace`: the dataplanes that it governs.
    MeshTrace,
    /// A backend of a `Mesh`, a `MeshOpenTelemetryBackend`, or the collector of a `MeshTrace` by host and port.
    Backend,
    /// A dataplane: the policies and the backend that reach it.
    Dataplane,
    /// A mesh: all of its policies and dataplanes.
    Mesh,
}

impl Kind {
    /// All kinds, with their names on the command line.
    pub const ALL: [(&'static str, Self); 5] = [
        ("traffictrace", Self::TrafficTrace),
        ("meshtrace", Self::MeshTrace),
        ("backend", Self::Backend),
        ("dataplane", Self::Dataplane),
        ("mesh", Self::Mesh),
    ];

    /// The kind with the given name, in any case, with or without dashes and plural ending.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_lowercase().replace('-', "");
        let is_it =
            |(name, _): &&(&str, Self)| [*name, &format!("{name}s"), &format!("{name}es")].contains(&word.as_str());
        Self::ALL.iter().find(is_it).map(|(_, kind)| *kind)
    }

    fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(word, _)| word)
    }
}

/// The result of an inspection, in groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The kind of the inspected resource.
    pub kind: &'static str,
    /// The mesh of the inspected resource.
    pub mesh: String,
    /// The name of the inspected resource.
    pub name: String,
    /// The related resources, in groups.
    pub groups: Vec<Group>,
}

/// Related resources with a common property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The property that the entries have in common.
    pub what: String,
    /// The number of entries.
    pub count: usize,
    /// The names of the entries, sorted.
    pub names: Vec<String>,
}

/// Inspects the resource with the given name; `None` when the mesh has none.
#[must_use]
pub fn inspect(compilation: &Compilation, kind: Kind, mesh: &str, name: &str) -> Option<Inspection> {
    if !names(compilation, kind, mesh).iter().any(|known| known == name) {
        return None;
    }
    let groups = match kind {
        Kind::TrafficTrace => of_policy(compilation, "TrafficTrace", mesh, name),
        Kind::MeshTrace => of_policy(compilation, "MeshTrace", mesh, name),
        Kind::Backend => of_backend(compilation, mesh, name),
        Kind::Dataplane => of_dataplane(compilation, mesh, name),
        Kind::Mesh => of_mesh(compilation, mesh),
    };
    Some(Inspection {
        kind: kind.word(),
        mesh: mesh.to_owned(),
        name: name.to_owned(),
        groups,
    })
}

/// The names of all resources of a kind in a mesh, sorted.
#[must_use]
pub fn names(compilation: &Compilation, kind: Kind, mesh: &str) -> Vec<String> {
    let resources = compilation.resources;
    let mut names: Vec<String> = match kind {
        Kind::TrafficTrace => (resources.traffic_traces.iter())
            .filter(|policy| policy.header.mesh() == mesh)
            .map(|policy| policy.header.name().to_owned())
            .collect(),
        Kind::MeshTrace => (resources.mesh_traces.iter())
            .filter(|policy| policy.header.mesh() == mesh)
            .map(|policy| policy.header.name().to_owned())
            .collect(),
        Kind::Backend => backends(compilation, mesh),
        Kind::Dataplane => of_mesh_proxies(compilation, mesh)
            .map(|proxy| proxy.key.dataplane.clone())
            .collect(),
        Kind::Mesh => resources
            .declared
            .iter()
            .filter(|name| *name == mesh)
            .cloned()
            .collect(),
    };
    names.sort();
    names.dedup();
    names
}

fn backends(compilation: &Compilation, mesh: &str) -> Vec<String> {
    let of_mesh = compilation
        .resources
        .meshes
        .get(mesh)
        .into_iter()
        .flat_map(|mesh| &mesh.backends);
    let named = of_mesh.map(|backend| backend.name.value.to_string());
    let otel = (compilation.resources.otel_backends.iter())
        .filter(|backend| backend.header.mesh() == mesh)
        .map(|backend| backend.header.display_name.to_string());
    let inline = (compilation.resources.mesh_traces.iter())
        .filter(|policy| policy.header.mesh() == mesh)
        .filter_map(|policy| inline_collector(policy.conf.backend.value.as_ref()?));
    named.chain(otel).chain(inline).collect()
}

/// Host and port of a collector that a `MeshTrace` defines inline.
fn inline_collector(backend: &Backend) -> Option<String> {
    match backend {
        Backend::Zipkin(zipkin) => Some(zipkin.url.value.authority.clone()),
        Backend::Datadog(datadog) => Some(datadog.url.value.authority.clone()),
        Backend::OpenTelemetry(OpenTelemetryBackend::Endpoint { endpoint, .. }) => {
            Some(format!("{}:{}", endpoint.value.host, endpoint.value.port))
        }
        Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { .. }) => None,
    }
}

fn of_mesh_proxies<'c>(compilation: &Compilation<'c, '_>, mesh: &str) -> impl Iterator<Item = &'c Proxy> {
    let mesh = mesh.to_owned();
    let proxies = compilation.proxies.iter().map(Arc::as_ref);
    proxies.filter(move |proxy| proxy.key.mesh == mesh)
}

/// Names by their common property, sorted by its rank and text.
#[derive(Default)]
struct Groups(BTreeMap<(u8, String), Vec<String>>);

impl Groups {
    fn add(&mut self, order: u8, what: impl Into<String>, name: impl Into<String>) {
        self.0.entry((order, what.into())).or_default().push(name.into());
    }

    fn done(self) -> Vec<Group> {
        let group = |((_, what), mut names): ((u8, String), Vec<String>)| {
            names.sort();
            Group {
                what,
                count: names.len(),
                names,
            }
        };
        self.0.into_iter().map(group).collect()
    }
}

fn of_policy(compilation: &Compilation, kind: &str, mesh: &str, name: &str) -> Vec<Group> {
    let mut groups = Groups::default();
    for governed in &compilation.selection.dataplanes {
        let dataplane = &governed.dataplane.header;
        if dataplane.mesh() != mesh {
            continue;
        }
        let all = candidates(compilation, governed, "");
        let Some(own) = all.iter().find(|own| own.kind == kind && own.name == name) else {
            continue;
        };
        let winner = all.iter().find(|other| other.outcome == Outcome::Won);
        let winner = winner.map_or(String::new(), |winner| format!("{} {}", winner.kind, winner.name));
        match own.outcome {
            Outcome::Won => groups.add(0, "decides for", dataplane.name()),
            Outcome::Merged => groups.add(1, format!("leaves the backend to {winner} at"), dataplane.name()),
            Outcome::Displaced => groups.add(2, format!("is displaced by {winner} at"), dataplane.name()),
            Outcome::Lost => groups.add(3, format!("loses to {winner} at"), dataplane.name()),
            Outcome::NotForIt => groups.add(4, "is not for", dataplane.name()),
        }
    }
    groups.done()
}

/// The name by which `inspect backend` finds the backend of a proxy.
fn backend_of(proxy: &Proxy) -> Option<String> {
    let tracer = proxy.tracer.as_ref()?;
    let export = tracer.export.as_ref()?;
    let is_reference = tracer.backend.origin.path.ends_with("backendRef.labels");
    Some(if tracer.by == PolicyKind::TrafficTrace || is_reference {
        tracer.backend.value.to_string()
    } else {
        export.collector.authority.clone()
    })
}

fn of_backend(compilation: &Compilation, mesh: &str, name: &str) -> Vec<Group> {
    let mut groups = Groups::default();
    let declared = compilation.resources.mesh(mesh);
    for policy in compilation
        .resources
        .traffic_traces
        .iter()
        .filter(|policy| policy.header.mesh() == mesh)
    {
        if backend_name(policy, declared) == Some(name) {
            groups.add(
                0,
                "policies that lead there",
                format!("TrafficTrace {}", policy.header.name()),
            );
        }
    }
    for policy in compilation
        .resources
        .mesh_traces
        .iter()
        .filter(|policy| policy.header.mesh() == mesh)
    {
        let leads = match &policy.conf.backend.value {
            Some(Backend::OpenTelemetry(OpenTelemetryBackend::BackendRef { labels })) => {
                let meant = crate::select::otel::backends(&compilation.resources.otel_backends, mesh, &labels.value);
                meant.first().is_some_and(|backend| backend.header.display_name == name)
            }
            Some(backend) => inline_collector(backend).as_deref() == Some(name),
            None => false,
        };
        if leads {
            groups.add(
                0,
                "policies that lead there",
                format!("MeshTrace {}", policy.header.name()),
            );
        }
    }
    for proxy in of_mesh_proxies(compilation, mesh).filter(|proxy| backend_of(proxy).as_deref() == Some(name)) {
        if proxy.traced().next().is_some() {
            groups.add(1, "dataplanes that send there", proxy.key.dataplane.clone());
        }
    }
    groups.done()
}

fn of_dataplane(compilation: &Compilation, mesh: &str, name: &str) -> Vec<Group> {
    let mut groups = Groups::default();
    let Some((governed, proxy)) = compilation.find(mesh, name) else {
        return Vec::new();
    };
    for own in candidates(compilation, governed, "") {
        let what = match own.outcome {
            Outcome::Won => (0, "policy that decides"),
            Outcome::Merged => (1, "policies merged into it"),
            Outcome::Displaced | Outcome::Lost => (2, "policies that lose"),
            Outcome::NotForIt => continue,
        };
        groups.add(what.0, what.1, format!("{} {}", own.kind, own.name));
    }
    if let Some(backend) = backend_of(proxy) {
        groups.add(3, "backend", backend);
    }
    for listener in &proxy.listeners {
        let name = crate::envoy::layout::listener_name(listener);
        let is_traced = proxy.tracer.is_some() && listener.reports_as.is_some();
        let what = if is_traced {
            (4, "listeners traced")
        } else {
            (5, "listeners not traced")
        };
        groups.add(what.0, what.1, name);
    }
    groups.done()
}

fn of_mesh(compilation: &Compilation, mesh: &str) -> Vec<Group> {
    let mut groups = Groups::default();
    for proxy in of_mesh_proxies(compilation, mesh) {
        if proxy.traced().next().is_some() {
            let backend = backend_of(proxy).unwrap_or_default();
            groups.add(0, format!("send to {backend}"), proxy.key.dataplane.clone());
        } else {
            let mut reasons = proxy
                .listeners
                .iter()
                .filter_map(|listener| listener.untraced_reason.as_deref());
            let first = reasons.next().unwrap_or("it has no listener");
            let reason = if reasons.all(|reason| reason == first) {
                first
            } else {
                "no listener speaks HTTP"
            };
            groups.add(2, format!("not traced: {reason}"), proxy.key.dataplane.clone());
        }
        if let Some(policy) = proxy.policy() {
            let what = format!("{} {} decides for", policy.origin.resource.kind, policy.name);
            groups.add(1, what, proxy.key.dataplane.clone());
        }
    }
    groups.done()
}

/// The number of names of a group that the text shows.
const SHOWN: usize = 20;

/// The inspection as text.
#[must_use]
pub fn text(inspection: &Inspection) -> String {
    let Inspection { kind, mesh, name, .. } = inspection;
    let title = if *kind == "mesh" {
        name.clone()
    } else {
        format!("{mesh}/{name}")
    };
    let mut out = format!("{kind} {}\n\n", printable(&title));
    let rows = inspection.groups.iter().map(|group| {
        let mut names = group.names[..group.count.min(SHOWN)].join(", ");
        if group.count > SHOWN {
            names.push_str(&format!(" and {} more", group.count - SHOWN));
        }
        vec![group.what.clone(), group.count.to_string(), names]
    });
    if inspection.groups.is_empty() {
        out.push_str(&format!("  reaches {}\n", plural(0, "dataplane")));
    }
    out.push_str(&table(rows.collect(), "  "));
    out
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn kinds_are_read_as_people_write_them() {
        for word in ["TrafficTrace", "traffictraces", "traffic-trace"] {
            assert_eq!(Kind::parse(word), Some(Kind::TrafficTrace), "{word}");
        }
        assert_eq!((Kind::parse("meshes"), Kind::parse("policy")), (Some(Kind::Mesh), None));
    }
}
