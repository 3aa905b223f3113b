//! Long output in the pager of the user.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use super::context::{Failure, print};

/// Prints a text through the pager if standard output is a terminal: the command in `MESHTRACED_PAGER` or `PAGER`, else
/// `less`, which ends by itself if the text fits on the screen. An empty command means none.
pub(super) fn page(text: &str) -> Result<(), Failure> {
    let chosen = env::var("MESHTRACED_PAGER").or_else(|_| env::var("PAGER"));
    let command = chosen.unwrap_or_else(|_| "less".to_owned());
    if !io::stdout().is_terminal() || command.trim().is_empty() {
        return print(text);
    }
    let mut pager = Command::new("sh");
    pager.args(["-c", &command]).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        // Colours, no clearing of the screen, and the end of the text is the end of the pager.
        pager.env("LESS", "FRX");
    }
    let Ok(mut pager) = pager.spawn() else {
        return print(text);
    };
    if let Some(mut input) = pager.stdin.take() {
        // A pager may be left before the end of the text.
        drop(input.write_all(text.as_bytes()));
    }
    // The shell says why it cannot run the command.
    const NOT_RUN: [i32; 2] = [126, 127];
    match pager.wait()?.code() {
        Some(code) if NOT_RUN.contains(&code) => print(text),
        _ => Ok(()),
    }
}
