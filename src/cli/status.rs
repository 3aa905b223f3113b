//! `meshtraced status`: the state of the daemon.

use std::fmt::Write as _;

use chrono::{DateTime, Local, Utc};
use clap::{Args, ValueEnum};

use super::context::{CommandResult, Context, Exit, print};
use crate::daemon::client::{self, Seen};
use crate::daemon::status::{Condition, Held, Proxies, Revision, Status, TroubleState};
use crate::envoy::secrets::KeyHolders;
use crate::words::{first_of, plural, printable};

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Output format
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

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let settings = context.settings()?;
    let (status, is_running) = match client::status(&settings)? {
        Seen::Running(status) => (status, true),
        Seen::Ended(status) => (status, false),
        Seen::Never => {
            return Err(format!(
                "no daemon answers for {}, and no saved status was found; start one with `meshtraced run`",
                settings.out.display()
            )
            .into());
        }
    };
    match arguments.output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&status)?))?,
        Format::Text => {
            if !is_running {
                print(&format!("no daemon runs; the last status of process {}:\n", status.pid))?;
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

/// The status as text.
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
    let sections = [operators, daemon, held, troubles, keys, watch];
    for (label, text) in sections.into_iter().flat_map(|section| section(status, &clock)) {
        let _ = writeln!(out, "{label:<9} {}", printable(&text));
    }
    out
}

/// A line of the status: its label and its text.
type Row = (&'static str, String);

/// Formats a moment in local time, without the date if it is today.
type Clock<'c> = &'c dyn Fn(DateTime<Utc>) -> String;

/// A freeze, and a plan that waits for approval.
fn operators(status: &Status, clock: Clock) -> Vec<Row> {
    let frozen = status.frozen.as_ref().map(|frozen| {
        let would = match frozen.would_change {
            0 => String::new(),
            n => format!("; {} would change", plural(n, "proxy")),
        };
        let (why, since) = (&frozen.why, clock(frozen.since));
        let text = format!("{why} (since {since}){would}; follow the policies again with `meshtraced thaw`");
        ("frozen", text)
    });
    let guarded = status.guarded.as_ref();
    let guarded = guarded.map(|guarded| ("guarded", format!("{} (since {})", guarded.why, clock(guarded.since))));
    frozen.into_iter().chain(guarded).collect()
}

/// The conditions of the daemon itself.
fn daemon(status: &Status, clock: Clock) -> Vec<Row> {
    let mut rows = Vec::new();
    for (label, trouble) in [("failure", &status.failure), ("waiting", &status.waiting)] {
        let row = |trouble: &Condition| (label, format!("{} (since {})", trouble.why, clock(trouble.since)));
        rows.extend(trouble.as_ref().map(row));
    }
    rows.extend(status.settings_error.as_ref().map(|error| {
        let text = format!(
            "{} (since {}); the previous settings stay in use",
            error.why,
            clock(error.since)
        );
        ("settings", text)
    }));
    rows
}

/// The meshes and proxies that errors hold.
fn held(status: &Status, clock: Clock) -> Vec<Row> {
    if status.held.is_empty() {
        return vec![("held", "nothing".to_owned())];
    }
    let row = |held: &Held| {
        let what = match (&held.mesh, held.proxies) {
            (None, _) => "everything".to_owned(),
            (Some(mesh), 0) => format!("mesh {mesh}"),
            (Some(mesh), proxies) => format!("{} of mesh {mesh}", plural(proxies, "proxy")),
        };
        let keeps = held
            .keeps
            .as_ref()
            .map_or(String::new(), |keeps| format!(", keeps {keeps}"));
        let (errors, since) = (plural(held.errors, "error"), clock(held.since));
        (
            "held",
            format!("{what}: {errors}, first {} (since {since}{keeps})", held.why),
        )
    };
    status.held.iter().map(row).collect()
}

/// The proxies, reloads and files with a problem.
fn troubles(status: &Status, clock: Clock) -> Vec<Row> {
    let proxies = status.troubles.iter().map(|trouble| {
        let label = match trouble.state {
            TroubleState::Rejected => "rejected",
            TroubleState::Unreachable => "no answer",
            TroubleState::Failed => "failed",
        };
        let (mesh, dataplane, why) = (&trouble.mesh, &trouble.dataplane, &trouble.why);
        (
            label,
            format!("{mesh}/{dataplane}: {why} (since {})", clock(trouble.since)),
        )
    });
    let reloads = status.reloads.iter().map(|reload| {
        let attempts = plural(reload.attempts as usize, "attempt");
        let (mesh, dataplane, target, why) = (&reload.mesh, &reload.dataplane, &reload.target, &reload.why);
        ("reload", format!("{mesh}/{dataplane}: {target}: {why} ({attempts})"))
    });
    let drift = status.drift.iter().map(|drifted| {
        let (path, what, since) = (&drifted.path, &drifted.what, clock(drifted.since));
        (
            "drift",
            format!("{path} {what} (since {since}); restore it with `meshtraced heal`"),
        )
    });
    proxies.chain(reloads).chain(drift).collect()
}

/// The proxies that hold keys of collectors.
fn keys(status: &Status, _clock: Clock) -> Vec<Row> {
    let row = |holders: &KeyHolders| {
        let first = first_of(holders.first.iter(), holders.proxies);
        let proxies = plural(holders.proxies, "proxy");
        ("key", format!("{}: {proxies}: {first}", holders.key))
    };
    status.keys.iter().map(row).collect()
}

/// The state of the watch on the policies.
fn watch(status: &Status, clock: Clock) -> Vec<Row> {
    let watch = &status.watch;
    let (files, directories) = (plural(watch.files, "file"), plural(watch.directories, "directory"));
    let mut line = format!("{files}, {directories}");
    if let Some(last) = watch.last_full_scan {
        let _ = write!(line, "; last rescan {}", clock(last));
    }
    if status.drift.is_empty() {
        line.push_str(", drift none");
    }
    if let Some(reason) = &watch.degraded_reason {
        let _ = write!(line, "; {reason}");
    }
    vec![("watch", line)]
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
