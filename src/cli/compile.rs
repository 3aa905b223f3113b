//! `meshtraced compile`: effective tracing and Envoy messages, or files, of dataplanes without publishing them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::compiled::{no_such, policies};
use super::context::{CommandResult, Context, Exit, Failure, print};
use super::rendered;
use super::side::{OfSide, described};
use crate::adopt::{Existing, propose};
use crate::compile::{Compiled, Extent};
use crate::diag::Severity;
use crate::diag::render::json as diag_json;
use crate::envoy::{self, layout, tracing};
use crate::ir::{PolicyKind, Proxy, Tracer};
use crate::reconcile::{Cache, Purpose, Side};
use crate::settings::Settings;
use crate::source::Revision;
use crate::words::{plural, printable, with_causes};
use crate::yaml::write;

/// Arguments of `compile`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Dataplanes to print [default: all]; with `--to` one revision of the policies [default: as they are now]
    #[arg(value_name = "MESH/DATAPLANE|REV")]
    of: Vec<String>,
    /// Write the files of all proxies below DIR, with relative paths; those of proxies that are gone are removed
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    to: Option<PathBuf>,
    /// Propose a Dataplane for an Envoy that is configured already: its bootstrap, or its files of clusters and listeners
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "of", "output"], num_args = 1..)]
    from_envoy: Vec<PathBuf>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
}

const EXAMPLES: &str = "Examples:
  meshtraced compile default/web-01
  meshtraced compile -o json | jq '.dataplanes[] | select(.backend == null) | .name'
  meshtraced compile --to rendered main     the files of a revision, for a repository of their own
  meshtraced compile --from-envoy /etc/envoy/envoy.yaml > policies/web-01.yaml";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    if !arguments.from_envoy.is_empty() {
        return adopt(&arguments.from_envoy);
    }
    let settings = context.settings()?;
    if let Some(directory) = &arguments.to {
        return write_to(directory, context, &settings, &arguments.of);
    }
    let compiled = &mut policies(&settings, &Side::Now, Extent::Findings)?.compiled;
    // The reasons why a proxy gets no files do not concern its tracing.
    let notes = compiled
        .unpublishable
        .iter()
        .filter(|finding| finding.severity == Severity::Warning);
    compiled.diagnostics.extend(notes.cloned());
    let chosen = choose(compiled, &arguments.of)?;
    let dataplanes: Vec<Value> = chosen.into_iter().map(entry).collect();
    match arguments.output {
        Format::Json => {
            let root = settings.sources().prefix();
            let findings = compiled
                .diagnostics
                .iter()
                .map(|finding| diag_json::entry(finding, &root));
            let findings: Vec<_> = findings.collect();
            print(&format!(
                "{:#}\n",
                json!({"dataplanes": dataplanes, "diagnostics": findings})
            ))?;
        }
        Format::Yaml => {
            print(&write::write(&json!({"dataplanes": dataplanes})))?;
            let findings = context.brief(&settings, &settings.sources().prefix(), &compiled.diagnostics);
            io::stderr().write_all(findings.as_bytes())?;
        }
    }
    let is_error = compiled
        .diagnostics
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    Ok(if is_error { Exit::Found } else { Exit::Done })
}

/// Prints a Dataplane for an Envoy that has these files.
fn adopt(files: &[PathBuf]) -> CommandResult {
    let mut existing = Existing::default();
    for path in files {
        let told = |error: &dyn std::error::Error| format!("cannot read {}: {}", path.display(), with_causes(error));
        let text = fs::read_to_string(path).map_err(|error| told(&error))?;
        existing.read(&text).map_err(|error| told(&error))?;
    }
    let name = files[0].file_stem().unwrap_or_default().to_string_lossy();
    print(&propose(&existing, "default", &name))?;
    Ok(Exit::Done)
}

/// Writes the files of all proxies as of a revision.
fn write_to(directory: &Path, context: &Context, settings: &Settings, revisions: &[String]) -> CommandResult {
    let side = match revisions {
        [] => Side::Now,
        [revision] => Side::Revision(Revision::Named(revision.clone())),
        _ => return Err("`--to` takes one revision; it writes the files of all dataplanes".into()),
    };
    let of_side = OfSide::read(context, settings, Purpose::Render(&side), &mut Cache::default())?;
    of_side.note_sources_without_revision(settings, &side)?;
    if let Some(errors) = of_side.errors {
        writeln!(io::stderr(), "{errors}; nothing was written")?;
        return Ok(Exit::Found);
    }
    let fragments = &of_side.policies.compiled.fragments;
    let written = rendered::write(fragments, directory)?;
    let (from, proxies) = (
        described(settings, &side, &of_side.policies.overview),
        plural(fragments.len(), "proxy"),
    );
    let said = format!("{from} -> {}: {proxies}, {}", directory.display(), written.describe());
    print(&format!("{}\n", printable(&said)))?;
    Ok(Exit::Done)
}

/// The proxies with the given names, in the order of the policies.
fn choose<'c>(compiled: &'c Compiled, names: &[String]) -> Result<Vec<&'c Proxy>, Failure> {
    let proxies = || compiled.proxies.iter().map(Arc::as_ref);
    let name_of = |proxy: &Proxy| proxy.key.to_string();
    let known: Vec<String> = proxies().map(name_of).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(no_such("dataplane", name, &known).into());
    }
    let is_chosen = |proxy: &&Proxy| names.is_empty() || names.contains(&name_of(proxy));
    Ok(proxies().filter(is_chosen).collect())
}

/// The effective backend of a tracer.
fn backend(tracer: &Tracer) -> Option<Value> {
    let provider = tracer.export.as_ref()?.provider.name();
    Some(match tracer.by {
        PolicyKind::TrafficTrace => json!({"from": "TrafficTrace", "name": tracer.backend.value, "type": provider}),
        PolicyKind::MeshTrace => json!({"from": "MeshTrace", "type": provider}),
    })
}

/// One dataplane: the policies that govern it and the messages for its Envoy.
fn entry(proxy: &Proxy) -> Value {
    let clusters = envoy::collector_clusters(proxy, ".");
    let listeners: Vec<Value> = (proxy.listeners.iter())
        .map(|listener| json!({"name": layout::listener_name(listener), "tracing": tracing::block(proxy, listener)}))
        .collect();
    json!({
        "mesh": proxy.key.mesh,
        "name": proxy.key.dataplane,
        "trafficTrace": proxy.traffic_trace.as_ref().map(|policy| &policy.name),
        "meshTrace": proxy.mesh_traces.iter().map(|policy| &policy.name).collect::<Vec<_>>(),
        "backend": proxy.tracer.as_deref().and_then(backend),
        "clusters": clusters,
        "listeners": listeners,
    })
}
