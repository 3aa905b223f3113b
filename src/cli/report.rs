//! The overview of the policies that `run` prints.

use std::fmt::Write as _;

use crate::compile::MeshCounts;
use crate::envoy::artifact::ProxyKey;
use crate::reconcile::Overview;
use crate::settings::Settings;
use crate::words::{few, plural, printable};

/// The numbers of resources without effect on tracing, after those with one: `, 3 passed over (2 Timeout, 1 Retry)`.
pub(super) fn passed_over(overview: &Overview) -> String {
    let total: usize = overview.passed_over.values().sum();
    if total == 0 {
        return String::new();
    }
    let mut kinds: Vec<(&String, usize)> = overview.passed_over.iter().map(|(kind, n)| (kind, *n)).collect();
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
pub(super) fn overview(settings: &Settings, overview: &Overview) -> String {
    let (files, resources) = (plural(overview.files, "file"), plural(overview.resources, "resource"));
    let mut out = format!(
        "meshtraced {}: {} ({files}, {resources}{}) -> {}\n",
        env!("CARGO_PKG_VERSION"),
        settings.sources(),
        passed_over(overview),
        settings.out.display(),
    );
    let widths = overview.meshes.keys().map(|mesh| mesh.chars().count());
    let width = widths.max().unwrap_or(0);
    for (mesh, counts) in &overview.meshes {
        let row = format!(
            "  {:<width$}   {}{}",
            printable(mesh),
            dataplanes(counts),
            not_published(mesh, overview)
        );
        let _ = writeln!(out, "{}", row.trim_end());
    }
    out
}

/// The dataplanes of one mesh, in words.
fn dataplanes(counts: &MeshCounts) -> String {
    let traced: usize = counts.providers.values().sum();
    // The most frequent provider comes first.
    let mut providers: Vec<_> = counts.providers.iter().collect();
    providers.sort_by_key(|&(name, n)| (std::cmp::Reverse(n), name));
    let providers: Vec<String> = providers.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let dataplanes = plural(counts.dataplanes, "dataplane");
    let selected = if counts.selected < counts.dataplanes {
        format!("   {:>3} selected", counts.selected)
    } else {
        String::new()
    };
    let providers = providers.join(", ");
    format!("{dataplanes:>13}{selected}   {traced:>3} traced   {providers}")
}

/// The numbers of proxies of a mesh that get no files, and that keep those they have.
fn not_published(
    mesh: &str,
    Overview {
        without_files, held, ..
    }: &Overview,
) -> String {
    let count = |n: usize, what: &str| {
        if n == 0 {
            String::new()
        } else {
            format!("   {n} {what}")
        }
    };
    let of_mesh = |proxy: &&ProxyKey| proxy.mesh == mesh;
    let without = without_files.iter().filter(of_mesh);
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
