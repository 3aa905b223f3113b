//! The call of a reload: an entry of the settings, filled in for a proxy.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{command, signal};
use crate::envoy::artifact::ProxyKey;
use crate::settings::reload::{CommandReload, Means, PathTemplate, Signal, SignalReload, UnitReload, Verb};

/// The time that `systemctl` may take. A unit that takes longer to reload goes on without it.
const SYSTEMCTL_TIMEOUT: Duration = Duration::from_secs(60);

/// A signal, a unit or a command, made once for all proxies that ask for the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Signal { pidfile: PathBuf, signal: Signal },
    Systemd { verb: Verb, unit: String },
    Exec { argv: Vec<String>, timeout: Duration },
}

impl Call {
    /// The call of a proxy. Its names are filled in as those of its directories, so that none leads anywhere else.
    pub(super) fn of(means: &Means, proxy: &ProxyKey, root: &str) -> Self {
        let directory = proxy.directory();
        let (mesh, dataplane) = directory.split_once('/').unwrap_or((&directory, ""));
        let path = format!("{root}/{directory}");
        match means {
            Means::Signal(SignalReload { pidfile, name }) => Self::Signal {
                pidfile: self::path(pidfile, proxy, root),
                signal: *name,
            },
            Means::Systemd(UnitReload { unit, action }) => Self::Systemd {
                verb: *action,
                unit: unit.fill(&escape(mesh), &escape(dataplane), &escape(path.trim_matches('/'))),
            },
            Means::Exec(CommandReload { argv, timeout }) => Self::Exec {
                argv: argv
                    .iter()
                    .map(|argument| argument.fill(mesh, dataplane, &path))
                    .collect(),
                timeout: timeout.0,
            },
        }
    }

    /// Makes the call; ends early when `is_abandoned` is set.
    ///
    /// # Errors
    /// In words, when the call cannot be made, fails or takes too long.
    pub(super) fn carry_out(&self, is_abandoned: &AtomicBool) -> Result<(), String> {
        match self {
            Self::Signal { pidfile, signal } => signal::send(pidfile, *signal),
            Self::Systemd { verb, unit } => {
                let argv = ["systemctl", "--no-ask-password", verb.name(), "--", unit].map(str::to_owned);
                command::run(&argv, SYSTEMCTL_TIMEOUT, is_abandoned)
            }
            Self::Exec { argv, timeout } => command::run(argv, *timeout, is_abandoned),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { pidfile, signal } => write!(f, "SIG{} by {}", signal.name(), pidfile.display()),
            Self::Systemd { verb, unit } => write!(f, "systemctl {} {unit}", verb.name()),
            Self::Exec { argv, .. } => f.write_str(&argv.join(" ")),
        }
    }
}

/// A path, filled in for a proxy.
pub(super) fn path(template: &PathTemplate, proxy: &ProxyKey, root: &str) -> PathBuf {
    let directory = proxy.directory();
    let (mesh, dataplane) = directory.split_once('/').unwrap_or((&directory, ""));
    template
        .template()
        .fill(mesh, dataplane, &format!("{root}/{directory}"))
        .into()
}

/// A part of the name of a unit, as `systemd-escape` writes it: `a/b-c` becomes `a-b\x2dc`.
fn escape(text: &str) -> String {
    let byte = |(i, b): (usize, u8)| match b {
        b'/' => "-".to_owned(),
        b'.' if i == 0 => r"\x2e".to_owned(),
        b'_' | b'.' | b':' => char::from(b).to_string(),
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!(r"\x{b:02x}"),
    };
    text.bytes().enumerate().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units_are_escaped_as_systemd_does() {
        for (text, expected) in [
            ("default", "default"),
            ("web-01", r"web\x2d01"),
            ("var/lib/out/web-01", r"var-lib-out-web\x2d01"),
            (".a", r"\x2ea"),
            ("a.b_c:d", "a.b_c:d"),
            ("ä@", r"\xc3\xa4\x40"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }
}
