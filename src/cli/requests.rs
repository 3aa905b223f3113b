//! `approve`, `freeze`, `thaw`, `rollback` and `heal`: requests to the daemon, or done by the command itself when no
//! daemon runs. `reload`, a request to the daemon only. And `history`.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::context::{CommandResult, Context, Exit, print};
use crate::apply::Target;
use crate::apply::history::{self, Counts};
use crate::daemon::client;
use crate::daemon::control::{Reply, Request};
use crate::daemon::worker::Worker;
use crate::words::{plural, printable};

/// Arguments of `approve`.
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// Id of the change, shown by `status` [default: the change that waits now]
    id: Option<String>,
}

/// Arguments of `freeze`.
#[derive(Debug, Args)]
pub(super) struct Freeze {
    /// Reason, shown by `status`
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
#[command(after_help = ROLLBACK_HELP)]
pub(super) struct Rollback {
    /// Number of the generation, shown by `history` [default: the generation before the published one]
    #[arg(value_name = "GENERATION")]
    to: Option<u64>,
}

const ROLLBACK_HELP: &str = "Examples:
  meshtraced history
  meshtraced rollback 41
  meshtraced thaw                 follow the policies again
The files of that generation are published as any others, and nothing else is until `meshtraced thaw`.";

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(super) struct History {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn approve(context: &Context, arguments: &Approve) -> CommandResult {
    let id = arguments.id.clone();
    ask(context, &Request::Approve { id })
}

pub(super) fn freeze(context: &Context, arguments: &Freeze) -> CommandResult {
    let why = arguments.why.clone();
    ask(context, &Request::Freeze { why })
}

pub(super) fn roll_back(context: &Context, arguments: &Rollback) -> CommandResult {
    ask(context, &Request::Rollback { to: arguments.to })
}

/// Sends the request to the daemon; when none runs, carries it out itself.
pub(super) fn ask(context: &Context, request: &Request) -> CommandResult {
    let settings = context.settings()?;
    let reply = match client::ask(&settings, request)? {
        Some(reply) => reply,
        None => {
            let mut worker = Worker::new(settings, context.color_on_stderr)?;
            let mut reply = worker.perform(request.clone());
            let failed = worker.finish_reloads(None).len();
            if failed > 0 {
                reply.done = false;
                reply
                    .said
                    .push_str(&format!("; {} could not be reloaded", plural(failed, "proxy")));
            }
            reply
        }
    };
    tell(reply)
}

/// Makes the daemon read the settings and the policies again.
pub(super) fn reload(context: &Context) -> CommandResult {
    let settings = context.settings()?;
    match client::ask(&settings, &Request::Reload)? {
        Some(reply) => tell(reply),
        None => Err(format!("no daemon listens on {}", client::socket(&settings)?.display()).into()),
    }
}

fn tell(reply: Reply) -> CommandResult {
    if reply.done {
        print(&format!("{}\n", printable(&reply.said)))?;
        return Ok(Exit::Done);
    }
    Err(reply.said.into())
}

pub(super) fn history(context: &Context, arguments: &History) -> CommandResult {
    let settings = context.settings()?;
    let generations = history::list(&Target::from_settings(&settings)?.out)?;
    match arguments.output {
        Format::Json => {
            let entries: Vec<_> = (generations.iter())
                .map(|generation| {
                    json!({
                        "id": generation.id,
                        "time": generation.time,
                        "revision": generation.revision,
                        "proxies": generation.proxies,
                        "counts": generation.counts,
                    })
                })
                .collect();
            print(&format!("{}\n", serde_json::to_string_pretty(&entries)?))?;
        }
        Format::Text if generations.is_empty() => print("no generation was published yet\n")?,
        Format::Text => {
            for generation in generations.iter().rev() {
                let proxies = plural(generation.proxies, "proxy");
                let revision = printable(&generation.revision);
                print(&format!(
                    "{:>6}   {}   {proxies:>12}   {revision:<20}   {}\n",
                    generation.id,
                    generation.time,
                    changed(generation.counts),
                ))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// `3 changed, 1 new`.
fn changed(counts: Counts) -> String {
    let parts = [
        (counts.changed, "changed"),
        (counts.added, "new"),
        (counts.removed, "gone"),
    ];
    let parts: Vec<String> = (parts.iter())
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    parts.join(", ")
}
