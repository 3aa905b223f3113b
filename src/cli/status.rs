//! `meshtraced status`: how the daemon is.

use std::fmt::Write as _;

use chrono::{DateTime, Local, Utc};
use clap::{Args, ValueEnum};

use super::{Context, Exit, Outcome, print};
use crate::daemon::client::{self, Seen};
use crate::daemon::status::{Proxies, Revision, Status, TroubleState};
use crate::words::{plural, printable};

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Form of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

const EXAMPLES: &str = "Examples:
  meshtraced status -c /etc/meshtraced/meshtraced.yaml
  meshtraced status -o json | jq .revisions.published.name
Ends with 0 when all is well, with 1 when something wants a person, with 2 when no daemon answers.";

pub(super) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let settings = context.settings()?;
    let (status, is_running) = match client::status(&settings)? {
        Seen::Running(status) => (status, true),
        Seen::Ended(status) => (status, false),
        Seen::Never => {
            return Err(format!(
                "no daemon answers for {}, and none has left word there; start it by `meshtraced run`",
                settings.out.display()
            )
            .into());
        }
    };
    match arguments.output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&status)?))?,
        Format::Text => {
            if !is_running {
                print(&format!("no daemon runs; the last word of process {}:\n", status.pid))?;
            }
            print(&text(&status, Local::now()))?;
        }
    }
    Ok(match (is_running, status.is_good()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Found,
        (true, true) => Exit::Done,
    })
}

/// The status for people, at a moment by which it is told what was today.
fn text(status: &Status, now: DateTime<Local>) -> String {
    let clock = |at: DateTime<Utc>| {
        let at = at.with_timezone(&Local);
        let form = if at.date_naive() == now.date_naive() {
            "%H:%M:%S"
        } else {
            "%Y-%m-%d %H:%M:%S"
        };
        at.format(form).to_string()
    };
    let mut out = format!("{}      {}\n", revisions(status, &clock), proxies(&status.proxies));
    let mut row = |label: &str, text: String| {
        let _ = writeln!(out, "{label:<9} {}", printable(&text));
    };
    if let Some(frozen) = &status.frozen {
        let would = match frozen.would_change {
            0 => String::new(),
            n => format!("; {} would change", plural(n, "proxy")),
        };
        row(
            "frozen",
            format!(
                "{} (since {}){would}; follow the policies again by `meshtraced thaw`",
                frozen.why,
                clock(frozen.since)
            ),
        );
    }
    if let Some(guarded) = &status.guarded {
        row("guarded", format!("{} (since {})", guarded.why, clock(guarded.since)));
    }
    if let Some(failure) = &status.failure {
        row("failure", format!("{} (since {})", failure.why, clock(failure.since)));
    }
    if let Some(waiting) = &status.waiting {
        row("waiting", format!("{} (since {})", waiting.why, clock(waiting.since)));
    }
    if let Some(refused) = &status.settings_refused {
        row(
            "settings",
            format!(
                "{} (since {}); those from before are in use",
                refused.why,
                clock(refused.since)
            ),
        );
    }
    if status.held.is_empty() {
        row("held", "nothing".to_owned());
    }
    for held in &status.held {
        let mesh = held
            .mesh
            .as_ref()
            .map_or("everything".to_owned(), |mesh| format!("mesh {mesh}"));
        let keeps = held
            .keeps
            .as_ref()
            .map_or(String::new(), |keeps| format!(", keeps {keeps}"));
        let errors = plural(held.errors, "error");
        row(
            "held",
            format!(
                "{mesh}: {errors}, first {} (since {}{keeps})",
                held.why,
                clock(held.since)
            ),
        );
    }
    for trouble in &status.troubles {
        let label = match trouble.state {
            TroubleState::Rejected => "rejected",
            TroubleState::Unreachable => "no answer",
            TroubleState::Failed => "failed",
        };
        row(
            label,
            format!(
                "{}/{}: {} (since {})",
                trouble.mesh,
                trouble.dataplane,
                trouble.why,
                clock(trouble.since)
            ),
        );
    }
    for reload in &status.reloads {
        let attempts = plural(reload.attempts as usize, "attempt");
        row(
            "reload",
            format!(
                "{}/{}: {}: {} ({attempts})",
                reload.mesh, reload.dataplane, reload.target, reload.why
            ),
        );
    }
    for drifted in &status.drift {
        row(
            "drift",
            format!(
                "{} {} (since {}); restore it by `meshtraced heal`",
                drifted.path,
                drifted.what,
                clock(drifted.since)
            ),
        );
    }
    let watch = &status.watch;
    let mut line = format!(
        "{}, {}",
        plural(watch.files, "file"),
        plural(watch.directories, "directory")
    );
    if let Some(last) = watch.last_full_scan {
        let _ = write!(line, "; last rescan {}", clock(last));
    }
    if status.drift.is_empty() {
        line.push_str(", drift none");
    }
    if let Some(reason) = &watch.degraded_reason {
        let _ = write!(line, "; {reason}");
    }
    row("watch", line);
    out
}

fn revisions(status: &Status, clock: &impl Fn(DateTime<Utc>) -> String) -> String {
    let revisions = &status.revisions;
    let Some(seen) = &revisions.seen else {
        return "nothing read yet".to_owned();
    };
    let mut line = format!("{}, seen {}", printable(&seen.name), clock(seen.at));
    let mut add = |word: &str, revision: &Option<Revision>| match revision {
        Some(revision) if revision.is_same(seen) => {
            let _ = write!(line, ", {word} {}", clock(revision.at));
        }
        Some(revision) => {
            let _ = write!(
                line,
                ", {word} is {} of {}",
                printable(&revision.name),
                clock(revision.at)
            );
        }
        None => {
            let _ = write!(line, ", nothing {word} {}", status.nothing_since());
        }
    };
    add("published", &revisions.published);
    add("confirmed", &revisions.confirmed);
    line
}

fn proxies(proxies: &Proxies) -> String {
    let parts: Vec<String> = [
        (proxies.active, "active"),
        (proxies.not_running, "not running"),
        (proxies.rejected, "rejected"),
        (proxies.unreachable, "without answer"),
        (proxies.unknown, "cannot be asked"),
        (proxies.failed, "failed"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    let all = plural(proxies.published, "proxy");
    if parts.is_empty() {
        all
    } else {
        format!("{all}: {}", parts.join(", "))
    }
}
