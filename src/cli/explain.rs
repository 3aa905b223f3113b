//! `meshtraced explain`: the reasons for the tracing of a dataplane.

use clap::Args;

use super::compiled::{InspectFormat, no_such, print_found, with_compilation};
use super::context::{CommandResult, Context};
use crate::explain::{explain, text};

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Dataplane to explain
    #[arg(value_name = "MESH/NAME")]
    dataplane: String,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: InspectFormat,
}

const EXAMPLES: &str = "Examples:
  meshtraced explain default/web-01
  meshtraced explain default/web-01 -o json | jq '.policies[] | select(.outcome == \"lost\")'";

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    let root = settings.sources().prefix();
    let (explained, exit) = with_compilation(context, &settings, |compilation| {
        let (mesh, name) = arguments
            .dataplane
            .split_once('/')
            .unwrap_or(("default", &arguments.dataplane));
        let found = compilation.find(mesh, name);
        found
            .map(|(governed, proxy)| explain(compilation, governed, proxy, &root))
            .ok_or_else(|| {
                let known = compilation.proxies.iter().map(|proxy| proxy.key.to_string());
                no_such("dataplane", &arguments.dataplane, &known.collect::<Vec<_>>())
            })
    })?;
    print_found(explained, exit, arguments.output, text::explanation)
}
