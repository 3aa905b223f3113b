//! What the program tells while it runs: its log, and its word to the service manager ([`systemd`]).

mod journal;
pub mod systemd;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::fmt::time::ChronoLocal;

use self::journal::Output;

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
///
/// Where that is the journal, every line has its priority and none has a time, which the journal has itself.
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
