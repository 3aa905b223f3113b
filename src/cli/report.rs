//! The overview of the policies that `run` prints.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::compile::Compiled;
use crate::envoy::artifact::ProxyKey;
use crate::reconcile::Policies;
use crate::settings::Settings;
use crate::words::{few, plural, printable};

/// The numbers of resources without effect on tracing, after those with one: `, 3 passed over (2 Timeout, 1 Retry)`.
pub(super) fn passed_over(compiled: &Compiled) -> String {
    let total: usize = compiled.passed_over.values().sum();
    if total == 0 {
        return String::new();
    }
    let mut kinds: Vec<(&str, usize)> = compiled.passed_over.iter().map(|(kind, n)| (*kind, *n)).collect();
    kinds.sort_by_key(|&(kind, n)| (std::cmp::Reverse(n), kind));
    let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    format!(", {total} passed over ({})", few(&kinds))
}

/// The sources, and the numbers for every mesh:
///
/// ```text
/// meshtraced 0.1.0: policies (14 files, 23 resources) -> envoy
///   default    6 dataplanes   6 traced   zipkin 4, datadog 2
/// ```
pub(super) fn overview(settings: &Settings, policies: &Policies) -> String {
    let Policies { snapshot, compiled, .. } = policies;
    let (files, resources) = (plural(snapshot.len(), "file"), plural(compiled.resources, "resource"));
    let mut out = format!(
        "meshtraced {}: {} ({files}, {resources}{}) -> {}\n",
        env!("CARGO_PKG_VERSION"),
        settings.sources(),
        passed_over(compiled),
        settings.out.display(),
    );
    let width = compiled
        .meshes
        .iter()
        .map(|mesh| mesh.chars().count())
        .max()
        .unwrap_or(0);
    let mut meshes: BTreeMap<&str, OfMesh> = (compiled.meshes.iter())
        .map(|mesh| (mesh.as_str(), OfMesh::default()))
        .collect();
    for id in &compiled.out_of_scope {
        meshes.entry(&id.mesh).or_default().dataplanes += 1;
    }
    for proxy in &compiled.proxies {
        let of_mesh = meshes.entry(&proxy.mesh).or_default();
        of_mesh.dataplanes += 1;
        of_mesh.selected += 1;
        let export = proxy.tracer.as_ref().and_then(|tracer| tracer.export.as_ref());
        if let Some(export) = export {
            *of_mesh.providers.entry(export.provider.name()).or_default() += 1;
        }
    }
    for (mesh, of_mesh) in meshes {
        let row = format!(
            "  {:<width$}   {of_mesh}{}",
            printable(mesh),
            not_published(mesh, policies)
        );
        let _ = writeln!(out, "{}", row.trim_end());
    }
    out
}

/// The dataplanes of one mesh, in numbers.
#[derive(Default)]
struct OfMesh {
    /// The number of all dataplanes.
    dataplanes: usize,
    /// The number of dataplanes that `select` in the settings chooses.
    selected: usize,
    /// The number of selected dataplanes that are traced, by provider.
    providers: BTreeMap<&'static str, usize>,
}

impl fmt::Display for OfMesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traced: usize = self.providers.values().sum();
        // The most frequent provider comes first.
        let mut providers: Vec<_> = self.providers.iter().collect();
        providers.sort_by_key(|&(name, n)| (std::cmp::Reverse(n), name));
        let providers: Vec<String> = providers.iter().map(|(name, n)| format!("{name} {n}")).collect();
        let dataplanes = plural(self.dataplanes, "dataplane");
        let selected = if self.selected < self.dataplanes {
            format!("   {:>3} selected", self.selected)
        } else {
            String::new()
        };
        write!(
            f,
            "{dataplanes:>13}{selected}   {traced:>3} traced   {}",
            providers.join(", ")
        )
    }
}

/// The numbers of proxies of a mesh that get no files, and that keep those they have.
fn not_published(mesh: &str, Policies { compiled, held, .. }: &Policies) -> String {
    let count = |n: usize, what: &str| {
        if n == 0 {
            String::new()
        } else {
            format!("   {n} {what}")
        }
    };
    let of_mesh = |proxy: &&ProxyKey| proxy.mesh == mesh;
    let without = compiled.without_files.iter().filter(of_mesh);
    let without = count(
        without.filter(|proxy| !held.contains_proxy(proxy)).count(),
        "without files",
    );
    let held = if held.contains(mesh) {
        "   held".to_owned()
    } else {
        count(held.proxies.iter().filter(of_mesh).count(), "held")
    };
    without + &held
}
