//! `meshtraced compile`: prints effective tracing and Envoy messages without writing files.

use std::io::{self, Write};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::compiled::{no_such, policies};
use super::context::{CommandResult, Context, Exit, Failure, print};
use crate::compile::{Compiled, Extent};
use crate::diag::Severity;
use crate::diag::render::{json as diag_json, text};
use crate::envoy::{self, layout, tracing};
use crate::ir::{PolicyKind, Proxy, Tracer};
use crate::yaml::write;

/// Arguments of `compile`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Dataplanes to print [default: all]
    #[arg(value_name = "MESH/DATAPLANE")]
    dataplanes: Vec<String>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
}

const EXAMPLES: &str = "Examples:
  meshtraced compile default/web-01
  meshtraced compile -o json | jq '.dataplanes[] | select(.backend == null) | .name'";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    let compiled = &mut policies(&settings, Extent::Findings)?.compiled;
    // The reasons why a proxy gets no files do not concern its tracing.
    let notes = compiled
        .unpublishable
        .iter()
        .filter(|finding| finding.severity == Severity::Warning);
    compiled.diagnostics.extend(notes.cloned());
    let chosen = choose(compiled, &arguments.dataplanes)?;
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
            let findings = text::brief(
                &compiled.diagnostics,
                &settings.sources().prefix(),
                settings.findings_per_file.get(),
                context.color_on_stderr,
            );
            io::stderr().write_all(findings.as_bytes())?;
        }
    }
    let is_error = compiled
        .diagnostics
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    Ok(if is_error { Exit::Found } else { Exit::Done })
}

/// The proxies with the given names, in the order of the policies.
fn choose<'c>(compiled: &'c Compiled, names: &[String]) -> Result<Vec<&'c Proxy>, Failure> {
    let proxies = || compiled.proxies.iter().map(Arc::as_ref);
    let name_of = |proxy: &Proxy| format!("{}/{}", proxy.mesh, proxy.name);
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
    let clusters = envoy::collector_clusters(proxy);
    let listeners: Vec<Value> = (proxy.listeners.iter())
        .map(|listener| json!({"name": layout::listener_name(listener), "tracing": tracing::block(proxy, listener)}))
        .collect();
    json!({
        "mesh": proxy.mesh,
        "name": proxy.name,
        "trafficTrace": proxy.traffic_trace.as_ref().map(|policy| &policy.name),
        "meshTrace": proxy.mesh_traces.iter().map(|policy| &policy.name).collect::<Vec<_>>(),
        "backend": proxy.tracer.as_deref().and_then(backend),
        "clusters": clusters,
        "listeners": listeners,
    })
}
