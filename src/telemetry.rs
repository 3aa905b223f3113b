//! The log of the program: where it goes and how it looks.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoLocal;

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// How much is logged, and how.
#[derive(Debug, Clone, Copy)]
pub struct Logging {
    /// Form of the lines.
    pub format: LogFormat,
    /// -1 errors only, 0 what changed, 1 details, 2 everything.
    pub verbosity: i8,
    /// Whether text has colours.
    pub color: bool,
}

/// Sends the log to standard error from now on. `MESHTRACED_LOG` overrides how much.
pub fn init(logging: Logging) {
    let level = match logging.verbosity {
        ..=-1 => "error",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let filter = EnvFilter::builder().with_env_var("MESHTRACED_LOG").try_from_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("off,meshtraced={level}")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false);
    // The journal has its own clock.
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    match logging.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text if under_systemd => builder.with_ansi(false).without_time().init(),
        LogFormat::Text => builder
            .with_ansi(logging.color)
            .with_timer(ChronoLocal::new("%H:%M:%S".to_owned()))
            .init(),
    }
}
