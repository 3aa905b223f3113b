//! The log of the program, and its notifications to the service manager ([`systemd`]).

mod journal;
pub mod systemd;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::fmt::time::ChronoLocal;

use self::journal::Output;

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The form and the verbosity of the log.
#[derive(Debug, Clone, Copy)]
pub struct Logging {
    /// The form of the lines.
    pub format: LogFormat,
    /// -1 for errors only, 0 for changes, 1 for details, 2 for everything.
    pub verbosity: i8,
    /// Whether text has colours.
    pub color: bool,
}

/// Sends the log to standard error. The variable `MESHTRACED_LOG` overrides the verbosity.
///
/// For the journal every line has its priority and no time, since the journal adds the time.
pub fn init(logging: Logging) {
    let level = match logging.verbosity {
        ..=-1 => "error",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let filter = EnvFilter::builder().with_env_var("MESHTRACED_LOG").try_from_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("off,meshtraced={level}")));
    let output = Output::of_this_process();
    let to_journal = output == Output::Journal;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(output)
        .with_target(false);
    // Messages say everything to people; fields are for programs.
    let message_only = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        _ => Ok(()),
    });
    match logging.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text if to_journal => builder
            .fmt_fields(message_only)
            .with_ansi(false)
            .with_level(false)
            .without_time()
            .init(),
        LogFormat::Text => builder
            .fmt_fields(message_only)
            .with_ansi(logging.color)
            .with_timer(ChronoLocal::new("%H:%M:%S".to_owned()))
            .init(),
    }
}
