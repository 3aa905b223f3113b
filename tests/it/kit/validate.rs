//! Asking Envoy whether it would take a configuration, without running it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::parallel::in_parallel;
use super::{tools, yaml};

/// `envoy --mode validate`; what Envoy says when it refuses.
///
/// Envoy does not look into the xDS files of a bootstrap here: see [`validate_resources`].
pub(crate) fn validate(bootstrap: &Path) -> Result<(), String> {
    validate_by(tools::envoy(), bootstrap)
}

/// As [`validate`], by the Envoy at `envoy`.
pub(crate) fn validate_by(envoy: &Path, bootstrap: &Path) -> Result<(), String> {
    let output = Command::new(envoy)
        .args(["--mode", "validate", "--log-level", "warning", "-c"])
        .arg(bootstrap)
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", envoy.display()));
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stderr, output.stdout].concat();
    Err(format!(
        "{}: {}",
        bootstrap.display(),
        String::from_utf8_lossy(&words).trim()
    ))
}

/// Validates the clusters and listeners of a CDS and an LDS file together, as parts of a throw-away bootstrap, by the
/// Envoy at `envoy`.
///
/// Envoy is stricter here than with live files: it refuses unknown fields. It does not see two listeners of one name
/// nor an OpenTelemetry collector cluster that does not exist.
pub(crate) fn validate_resources(envoy: &Path, cds: &Path, lds: &Path) -> Result<(), String> {
    let bootstrap = json!({"static_resources": {"clusters": resources(cds), "listeners": resources(lds)}});
    // JSON is YAML, and the name selects Envoy's parser.
    let file = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .expect("a temporary file");
    fs::write(file.path(), bootstrap.to_string()).expect("a temporary file can be written");
    validate_by(envoy, file.path()).map_err(|why| format!("{} with {}: {why}", lds.display(), cds.display()))
}

/// What became of each of `bootstraps`, in their order.
pub(crate) fn validate_many(bootstraps: &[PathBuf]) -> Vec<Result<(), String>> {
    in_parallel(bootstraps, |path| validate(path))
}

/// The resources of a DiscoveryResponse, as they would stand in a bootstrap.
fn resources(path: &Path) -> Vec<Value> {
    let mut response = yaml::read(path);
    for resource in response["resources"].as_array_mut().into_iter().flatten() {
        if let Some(wrapped) = resource.get_mut("resource") {
            *resource = wrapped.take();
        }
        resource.as_object_mut().and_then(|fields| fields.shift_remove("@type"));
    }
    yaml::items(&response["resources"]).cloned().collect()
}
