//! The command line: arguments, output formats and exit codes, with one file per command.

mod context;

mod progress;

mod pager;

mod compiled;

mod side;

mod unified;

mod markdown;

mod changes;

mod report;

mod check;

mod rendered;

mod compile;

mod diff;

mod explain;

mod inspect;

mod migrate;

mod extras;

mod requests;

mod run;

mod status;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::{Context, Exit, Global};

use crate::daemon::control::Request;
use crate::telemetry;
use crate::words::with_causes;

#[derive(Debug, Parser)]
#[command(
    name = "meshtraced",
    version,
    about = "Kuma tracing policies on VMs, without a control plane",
    long_about = "Compiles Kuma tracing policies (TrafficTrace, MeshTrace) for every Dataplane of a directory, usually a Git \
                  checkout, and keeps the Envoy files that enable tracing up to date.",
    after_help = EXAMPLES,
    max_term_width = 110,
    propagate_version = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  meshtraced run --once                     compile ./policies into ./envoy, once
  envoy -c envoy/default/web-01/bootstrap.yaml
  meshtraced run                            compile and publish after every change, too
  meshtraced diff                           what the policies would change on disk
  meshtraced check                          what is wrong with the policies, and where
  meshtraced compile default/web-01         the tracing of one dataplane
  meshtraced explain default/web-01         the origin of each value, and the policies that lost
  meshtraced migrate                        TrafficTrace to MeshTrace, with the proof that nothing changes

Settings come from a file (--config) and from variables MESHTRACED_<KEY>, such as MESHTRACED_KUMA_ZONE.
Exit codes: 0 success, 1 errors in the policies (diff: changes, check: findings, migrate: proxies that differ), 2 failure.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the policies, compile them and publish the changes
    Run(run::Arguments),
    /// Show the changes that the policies would make on disk, or between two revisions
    Diff(diff::Arguments),
    /// Check the policies, and show every finding with its place
    Check(check::Arguments),
    /// Print effective tracing and Envoy messages, or write the files to another directory, without publishing
    Compile(compile::Arguments),
    /// Show the reasons for the tracing of a dataplane
    Explain(explain::Arguments),
    /// Show the dataplanes that a policy or backend reaches, or the policies that reach a dataplane
    Inspect(inspect::Arguments),
    /// Turn TrafficTrace into MeshTrace, with the proof that no proxy's tracing changes
    Migrate(migrate::Arguments),
    /// Show the state of the daemon
    Status(status::Arguments),
    /// Show the published generations, for `rollback`
    History(requests::History),
    /// Approve a change that waits because of the guard
    Approve(requests::Approve),
    /// Stop publishing until `thaw`
    Freeze(requests::Freeze),
    /// Resume publishing after `freeze` or `rollback`
    Thaw,
    /// Publish an earlier generation again, and freeze
    Rollback(requests::Rollback),
    /// Restore published files that were edited or removed
    Heal,
    /// Make the daemon read settings and policies again, and wait for the result
    Reload,
    /// Print a JSON Schema for completion and validation in editors
    Schema(extras::Schema),
    /// Print a completion script for a shell
    Completions(extras::Completions),
    /// Print the manual page of the program or of a command
    Man(extras::Man),
}

/// Runs the program with `arguments`, the first of which is the name of the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // The help text may go to a pipe that is already closed.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let context = Context::new(&cli.global);
    telemetry::init(telemetry::Logging {
        format: cli.global.log_format,
        verbosity: if cli.global.errors_only {
            -1
        } else {
            i8::try_from(cli.global.verbose).unwrap_or(i8::MAX)
        },
        color: context.color_on_stderr,
    });
    let outcome = match &cli.command {
        Command::Run(arguments) => run::run(&context, arguments),
        Command::Diff(arguments) => diff::run(&context, arguments),
        Command::Check(arguments) => check::run(&context, arguments),
        Command::Compile(arguments) => compile::run(&context, arguments),
        Command::Explain(arguments) => explain::run(&context, arguments),
        Command::Inspect(arguments) => inspect::run(&context, arguments),
        Command::Migrate(arguments) => migrate::run(&context, arguments),
        Command::Status(arguments) => status::run(&context, arguments),
        Command::History(arguments) => requests::history(&context, arguments),
        Command::Approve(arguments) => requests::approve(&context, arguments),
        Command::Freeze(arguments) => requests::freeze(&context, arguments),
        Command::Thaw => requests::ask(&context, &Request::Thaw),
        Command::Rollback(arguments) => requests::roll_back(&context, arguments),
        Command::Heal => requests::ask(&context, &Request::Heal),
        Command::Reload => requests::reload(&context),
        Command::Schema(arguments) => extras::schema(arguments),
        Command::Completions(arguments) => extras::completions(arguments, program()),
        Command::Man(arguments) => extras::man(arguments, program()),
    };
    match outcome {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) if is_closed_pipe(failure.as_ref()) => ExitCode::from(Exit::Done as u8),
        Err(failure) => {
            let _ = writeln!(io::stderr(), "error: {}", with_causes(failure.as_ref()));
            ExitCode::from(Exit::Failed as u8)
        }
    }
}

/// The definition of the command line, for completions and manual pages.
fn program() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

fn is_closed_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    failure.downcast_ref::<io::Error>().is_some_and(is_it)
}
