//! Compiling the policies for commands that inspect the result.

use std::io::{self, Write};
use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;

use super::context::{CommandResult, Context, Exit, Failure, print};
use super::progress;
use crate::apply::{self, Target};
use crate::compilation::Compilation;
use crate::compile::{Extent, compile_with};
use crate::diag::{Diagnostic, Severity};
use crate::reconcile::{Cache, Policies, Purpose, Side, Stopwatch};
use crate::settings::Settings;
use crate::source::{self, Consistency, ReadError};
use crate::words::{closest, plural};

/// Reads and compiles the policies once, with a progress bar on a terminal.
///
/// Nothing of it is ever freed: the process ends soon, and frees a large tree at once.
pub(super) fn policies(settings: &Settings, side: &Side, extent: Extent) -> Result<&'static mut Policies, Failure> {
    let target = Target::from_settings(settings)?;
    let (purpose, cache) = (Purpose::Inspect(side, extent), Box::leak(Box::<Cache>::default()));
    let policies = progress::shown(|| Policies::read(settings, &target, purpose, cache, &mut Stopwatch::default()));
    Ok(Box::leak(Box::new(policies??)))
}

/// Calls `inspect` with all results of a compile, and prints the errors in the policies.
pub(super) fn with_compilation<T>(
    context: &Context,
    settings: &Settings,
    inspect: impl FnOnce(&Compilation) -> T,
) -> Result<(T, Exit), Failure> {
    let known = apply::file_meshes::load(&Target::from_settings(settings)?.out).unwrap_or_default();
    let options = settings.options(Arc::new(known), Extent::Findings)?;
    let limit = settings.limits.file_bytes.get() as u64;
    let (compiled, inspected) = progress::shown(|| {
        let snapshot = source::read(&settings.sources(), limit, Consistency::Dirty)?;
        Ok::<_, ReadError>(compile_with(&snapshot, &options, inspect))
    })?;
    let is_error = |finding: &&Arc<Diagnostic>| finding.severity == Severity::Error;
    let errors: Vec<Arc<Diagnostic>> = compiled.diagnostics.iter().filter(is_error).cloned().collect();
    let shown = context.brief(settings, &settings.sources().prefix(), &errors);
    io::stderr().write_all(shown.as_bytes())?;
    Ok((inspected, if errors.is_empty() { Exit::Done } else { Exit::Found }))
}

/// The output formats of commands that inspect a compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InspectFormat {
    Text,
    Json,
}

/// Prints the result, or the reason why there is none; `exit` is the exit code of the compile.
pub(super) fn print_found<T: Serialize>(
    found: Result<T, String>,
    exit: Exit,
    format: InspectFormat,
    text: impl FnOnce(&T) -> String,
) -> CommandResult {
    match (format, found) {
        // After an error in the policies, printed above, the resource may be the one with the error.
        (_, Err(why)) if exit == Exit::Done => return Err(why.into()),
        (_, Err(why)) => eprintln!("error: {why}"),
        (InspectFormat::Text, Ok(found)) => print(&text(&found))?,
        (InspectFormat::Json, Ok(found)) => print(&format!("{}\n", serde_json::to_string_pretty(&found)?))?,
    }
    Ok(exit)
}

/// The message that no `noun` has the name `name`, with the closest known name.
pub(super) fn no_such(noun: &str, name: &str, known: &[String]) -> String {
    // The namespace of Kubernetes is a part of the name.
    let named = known
        .iter()
        .find(|known| known.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
    let near = || closest(name, known.iter().map(String::as_str));
    let help = match named.map(String::as_str).or_else(near) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("the policies have {}, named MESH/NAME", plural(known.len(), noun)),
    };
    format!("there is no {noun} {name}; {help}")
}
