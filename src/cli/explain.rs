//! `meshtraced explain`: why a dataplane traces as it does.

use clap::Args;

use super::{Context, LookFormat, Outcome, look_at, no_such, print_found};
use crate::explain::{explain, text};

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The dataplane
    #[arg(value_name = "MESH/NAME")]
    dataplane: String,
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: LookFormat,
}

const EXAMPLES: &str = "Examples:
  meshtraced explain default/web-01
  meshtraced explain default/web-01 -o json | jq '.policies[] | select(.outcome == \"lost\")'";

pub(super) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let settings = context.settings()?;
    let root = settings.sources.prefix();
    let (explained, exit) = look_at(context, &settings, |compilation| {
        let (mesh, name) = arguments
            .dataplane
            .split_once('/')
            .unwrap_or(("default", &arguments.dataplane));
        let found = compilation.find(mesh, name);
        found
            .map(|(governed, proxy)| explain(compilation, governed, proxy, &root))
            .ok_or_else(|| {
                let known = compilation
                    .proxies
                    .iter()
                    .map(|proxy| format!("{}/{}", proxy.mesh, proxy.name));
                no_such("dataplane", &arguments.dataplane, &known.collect::<Vec<_>>())
            })
    })?;
    print_found(explained, exit, arguments.output, text::explanation)
}
