//! `meshtraced inspect`: the dataplanes that a policy or a backend reaches, and the policies that reach a dataplane.

use clap::Args;

use super::compiled::{InspectFormat, no_such, print_found, with_compilation};
use super::context::{CommandResult, Context};
use crate::explain::inspect::{self, Kind};
use crate::words::closest;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Kind of the resource: traffictrace, meshtrace, backend, dataplane or mesh
    #[arg(value_name = "KIND")]
    kind: String,
    /// Resource to inspect; for a mesh, its name alone
    #[arg(value_name = "MESH/NAME")]
    name: String,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: InspectFormat,
}

const EXAMPLES: &str = "Examples:
  meshtraced inspect traffictrace default/trace-all     whom it governs, and where it loses
  meshtraced inspect backend default/zipkin             who sends spans there
  meshtraced inspect mesh default                       backends and policies with counts";

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let words = Kind::ALL.map(|(word, _)| word);
    let Some(kind) = Kind::parse(&arguments.kind) else {
        let help = match closest(&arguments.kind, words) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("the kinds are {}", words.join(", ")),
        };
        return Err(format!("there is no kind {}; {help}", arguments.kind).into());
    };
    let settings = context.settings()?;
    let (mesh, name) = match (kind, arguments.name.split_once('/')) {
        (Kind::Mesh, None) => (arguments.name.as_str(), arguments.name.as_str()),
        (_, Some((mesh, name))) => (mesh, name),
        (_, None) => ("default", arguments.name.as_str()),
    };
    let (found, exit) = with_compilation(context, &settings, |compilation| {
        inspect::inspect(compilation, kind, mesh, name).ok_or_else(|| {
            let known = inspect::names(compilation, kind, mesh);
            let known: Vec<String> = known.into_iter().map(|name| format!("{mesh}/{name}")).collect();
            no_such(&arguments.kind.to_lowercase(), &format!("{mesh}/{name}"), &known)
        })
    })?;
    print_found(found, exit, arguments.output, inspect::text)
}
