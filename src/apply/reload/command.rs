//! A reload by a command.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::system::process::{self, End};

/// The most lines at the end of its output that are kept, and the most bytes of them.
const LINES: usize = 5;
const BYTES: usize = 4 << 10;

/// Runs a program until it ends. Processes that it starts and leaves behind are its own affair, also when they keep
/// the output open.
///
/// # Errors
/// In words, when the program is not there, fails, is killed, takes longer than `timeout`, or `is_abandoned` is set.
pub(super) fn run(argv: &[String], timeout: Duration, is_abandoned: &AtomicBool) -> Result<(), String> {
    let (program, arguments) = argv.split_first().ok_or("there is no command")?;
    let ended = process::run(Command::new(program).args(arguments), timeout, is_abandoned)
        .map_err(|error| cannot_start(program, &error))?;
    match ended.end {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) => Err(after(&how(status), &ended.said)),
        End::TimedOut => Err(after(
            &format!("it took longer than {timeout:?}, and was killed"),
            &ended.said,
        )),
        End::Abandoned => Err("it was killed because meshtraced stops".to_owned()),
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => format!("it ended: {status}"),
    }
}

fn cannot_start(program: &str, error: &io::Error) -> String {
    let is_script = error.kind() == io::ErrorKind::NotFound && Path::new(program).exists();
    if is_script {
        return format!("cannot start {program}: the interpreter that its first line names is missing");
    }
    format!("cannot start {program}: {error}")
}

/// The failure, with the last lines of output before it.
fn after(what: &str, said: &str) -> String {
    let start = (said.len().saturating_sub(BYTES)..said.len()).find(|&at| said.is_char_boundary(at));
    let lines = said[start.unwrap_or_default()..].lines();
    let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    if last.is_empty() {
        return what.to_owned();
    }
    format!("{what}; it said: {}", last.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_words_the_last_lines_are_told() {
        assert_eq!(after("it ended", " \n"), "it ended");
        let many: String = (0..100).map(|line| format!("line {line}\n\n")).collect();
        assert_eq!(
            after("it ended", &many),
            "it ended; it said: line 95 | line 96 | line 97 | line 98 | line 99"
        );
        let long = "ä".repeat(100_000);
        assert!(after("it ended", &long).len() < 5000);
    }
}
