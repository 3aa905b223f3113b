//! The command line: words, formats and exit codes. One file per command.

mod changes;
mod check;
mod compile;
mod diff;
mod explain;
mod extras;
mod inspect;
mod progress;
mod report;
mod requests;
mod run;
mod status;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::apply::{self, Target};
use crate::compilation::Compilation;
use crate::daemon::control::Request;
use crate::diag::render::text;
use crate::diag::{Diagnostic, Severity};
use crate::reconcile::{Policies, Stopwatch};
use crate::settings::{Overrides, Settings};
use crate::source::{self, Consistency};
use crate::telemetry;
use crate::words::closest;
use crate::words::{plural, with_causes};

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `diff` no change, for `check` no finding.
    Done = 0,
    /// `diff`: changes; `check`: findings; others: the input has errors.
    Found = 1,
    /// Usage, input or output that cannot be used, environment.
    Failed = 2,
}

/// What a command yields: an end, or a failure with its causes.
type Outcome = Result<Exit, Failure>;

/// A failure of the machine or of the settings, already in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(
    name = "meshtraced",
    version,
    about = "Kuma tracing policies on VMs, without a control plane",
    long_about = "Compiles Kuma tracing policies (TrafficTrace, MeshTrace) for every Dataplane of a directory, usually a Git \
                  checkout, and keeps the files from which Envoy traces up to date.",
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
  meshtraced run                            the same, and again after every change
  meshtraced diff                           what the policies would change on disk
  meshtraced check                          what is wrong with the policies, and where
  meshtraced compile default/web-01         the tracing of one dataplane
  meshtraced explain default/web-01         where it comes from, and what lost

Every setting can stand in a file (--config) and in a variable MESHTRACED_<KEY>, such as MESHTRACED_KUMA_ZONE.
Exit codes: 0 done, 1 the policies have errors (diff: changes, check: findings), 2 could not work.";

#[derive(Debug, Args)]
struct Global {
    /// Settings file; without one, the defaults hold
    #[arg(short, long, global = true, value_name = "FILE", env = "MESHTRACED_CONFIG")]
    config: Option<PathBuf>,
    /// Directory or file with the policies; may be given several times [default: policies]
    #[arg(long, global = true, value_name = "DIR")]
    policies: Vec<PathBuf>,
    /// Directory for the files of the proxies [default: envoy]
    #[arg(long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Colours in text
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        env = "MESHTRACED_COLOR"
    )]
    color: Color,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Form of the log
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: telemetry::LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the policies, compile them and publish what changed
    Run(run::Arguments),
    /// Show what the policies would change on disk
    Diff(diff::Arguments),
    /// Show what is wrong with the policies, and where
    Check(check::Arguments),
    /// Print effective tracing and Envoy messages, write nothing
    Compile(compile::Arguments),
    /// Show why a dataplane traces as it does, or does not
    Explain(explain::Arguments),
    /// Show whom a policy or a backend reaches, and what reaches a dataplane
    Inspect(inspect::Arguments),
    /// Show how the daemon is
    Status(status::Arguments),
    /// Show what was published, for `rollback`
    History(requests::History),
    /// Publish a change that the guard keeps back
    Approve(requests::Approve),
    /// Publish nothing from now on
    Freeze(requests::Freeze),
    /// Follow the policies again, after `freeze` or `rollback`
    Thaw,
    /// Go back to what was published before, and stay there
    Rollback(requests::Rollback),
    /// Restore published files that somebody changed
    Heal,
    /// Make the daemon read settings and policies again, and wait
    Reload,
    /// Print a JSON Schema, by which editors complete and underline
    Schema(extras::Schema),
    /// Print a completion script for a shell
    Completions(extras::Completions),
    /// Print the manual page, or that of a command
    Man(extras::Man),
}

/// Runs the command line `arguments`, the first of which is the name of the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to complain while helping.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let context = Context::new(&cli.global);
    telemetry::init(telemetry::Logging {
        format: cli.global.log_format,
        verbosity: if cli.global.quiet {
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
        Command::Status(arguments) => status::run(&context, arguments),
        Command::History(arguments) => requests::history(&context, arguments),
        Command::Approve(arguments) => requests::approve(&context, arguments),
        Command::Freeze(arguments) => requests::freeze(&context, arguments),
        Command::Thaw => requests::ask(&context, &Request::Thaw),
        Command::Rollback(arguments) => requests::roll_back(&context, arguments),
        Command::Heal => requests::ask(&context, &Request::Heal),
        Command::Reload => requests::reload(&context),
        Command::Schema(arguments) => extras::schema(arguments),
        Command::Completions(arguments) => extras::completions(arguments),
        Command::Man(arguments) => extras::man(arguments),
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

/// The program, for completions and the manual page.
fn program() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

fn is_closed_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    failure.downcast_ref::<io::Error>().is_some_and(is_it)
}

/// What all commands need.
struct Context {
    config: Option<PathBuf>,
    overrides: Overrides,
    color_on_stdout: bool,
    color_on_stderr: bool,
}

impl Context {
    fn new(global: &Global) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = |terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color,
        };
        Self {
            config: global.config.clone(),
            overrides: Overrides {
                policies: global.policies.clone(),
                out: global.out.clone(),
            },
            color_on_stdout: color(io::stdout().is_terminal()),
            color_on_stderr: color(io::stderr().is_terminal()),
        }
    }

    fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings::load(self.config.as_deref(), &self.overrides)?)
    }
}

/// Writes a result to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Reads and compiles the policies as they lie, for a command that ends with it: whoever waits at a terminal sees that
/// it goes on.
fn policies(settings: &Settings) -> Result<Policies, Failure> {
    let _progress = progress::Progress::new("compiling");
    let policies = Policies::read(
        settings,
        &Target::from_settings(settings)?,
        Consistency::Dirty,
        &mut Stopwatch::default(),
    )?;
    Ok(policies?)
}

/// Looks at what the policies come to, and says what is wrong with them if something is.
fn look_at<T>(
    context: &Context,
    settings: &Settings,
    look: impl FnOnce(&Compilation) -> T,
) -> Result<(T, Exit), Failure> {
    let snapshot = source::read(&settings.sources, settings.limits.file_bytes, Consistency::Dirty)?;
    let known = apply::file_meshes::load(&Target::from_settings(settings)?.out).unwrap_or_default();
    let (compiled, looked) = crate::compile::compile_with(&snapshot, &settings.options(known)?, look);
    let is_error = |finding: &&Diagnostic| finding.severity == Severity::Error;
    let errors: Vec<Diagnostic> = compiled.diagnostics.iter().filter(is_error).cloned().collect();
    let shown = text::render(
        &errors,
        &settings.sources.prefix(),
        settings.findings_per_file,
        context.color_on_stderr,
    );
    io::stderr().write_all(shown.as_bytes())?;
    Ok((looked, if errors.is_empty() { Exit::Done } else { Exit::Found }))
}

/// The forms of what [`look_at`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LookFormat {
    Text,
    Json,
}

/// Prints what [`look_at`] found, or why it is not there; `exit` is how it ended.
fn print_found<T: Serialize>(
    found: Result<T, String>,
    exit: Exit,
    format: LookFormat,
    text: impl FnOnce(&T) -> String,
) -> Outcome {
    match (format, found) {
        // What cannot be found may be what could not be understood, which has been said.
        (_, Err(why)) if exit == Exit::Done => return Err(why.into()),
        (_, Err(why)) => eprintln!("error: {why}"),
        (LookFormat::Text, Ok(found)) => print(&text(&found))?,
        (LookFormat::Json, Ok(found)) => print(&format!("{}\n", serde_json::to_string_pretty(&found)?))?,
    }
    Ok(exit)
}

/// That there is nothing of that name, and what may have been meant.
fn no_such(noun: &str, name: &str, known: &[String]) -> String {
    let help = match closest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("there are {} here, named MESH/NAME", plural(known.len(), noun)),
    };
    format!("there is no {noun} {name}; {help}")
}
