//! The parts that all commands share: the common options, the settings, colours and exit codes.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::diag::Diagnostic;
use crate::diag::render::text;
use crate::settings::{Overrides, Settings};
use crate::telemetry;

/// The exit code of a command that worked, or could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Success; for `diff` no change, for `check` no finding.
    Done = 0,
    /// Changes for `diff`, findings for `check`, errors in the policies for the others.
    Found = 1,
    /// A failure of usage, input, output or environment.
    Failed = 2,
}

/// The exit code of a command, or a failure with its causes.
pub(super) type CommandResult = Result<Exit, Failure>;

/// A failure of the machine or of the settings.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Args)]
pub(super) struct Global {
    /// Settings file [default: none, all settings have their defaults]
    #[arg(short, long, global = true, value_name = "FILE", env = "MESHTRACED_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Directory or file with the policies; may be given several times [default: policies]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) policies: Vec<PathBuf>,
    /// Directory for the files of the proxies [default: envoy]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Colours in text
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        env = "MESHTRACED_COLOR"
    )]
    pub(super) color: Color,
    /// Log more; given twice, log everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Log errors only
    #[arg(short = 'q', long = "quiet", global = true, conflicts_with = "verbose")]
    pub(super) errors_only: bool,
    /// Format of log lines
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: telemetry::LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

/// The sources of the settings for one call of the program, and whether colours are wanted.
pub(super) struct Context {
    pub(super) config: Option<PathBuf>,
    pub(super) overrides: Overrides,
    pub(super) color_on_stdout: bool,
    pub(super) color_on_stderr: bool,
}

impl Context {
    pub(super) fn new(global: &Global) -> Self {
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

    /// Findings as [`text::brief`] shows them, for standard error.
    pub(super) fn brief(&self, settings: &Settings, prefix: &str, findings: &[Arc<Diagnostic>]) -> String {
        text::brief(findings, prefix, settings.findings_per_file.get(), self.color_on_stderr)
    }

    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings::load(self.config.as_deref(), &self.overrides)?)
    }
}

/// Writes a result to standard output.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
