//! `reload`: how the Envoy of a proxy comes to read the files that it reads only when it starts.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use crate::envoy::artifact::Artifact;
use crate::select::scope::Rule;

/// The placeholders in braces, which are filled in for every proxy.
const PLACEHOLDERS: [&str; 3] = ["mesh", "dataplane", "path"];

/// How long a command may take that says nothing of it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How some proxies are reloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// Which proxies; the first entry that fits one decides.
    pub select: Rule,
    /// By what.
    pub means: Means,
    /// The files whose change makes it due.
    pub files: BTreeSet<Artifact>,
    /// The bootstrap of its own into which its Envoy merges `fragment.yaml`; `None` when it is not known.
    pub base: Option<Template>,
}

/// By what a proxy is reloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// A signal to the process in a file.
    Signal {
        /// The file.
        pidfile: Template,
        /// The signal that is sent.
        signal: Signal,
    },
    /// A unit of systemd.
    Systemd {
        /// The name of the unit.
        unit: Template,
        /// The verb of `systemctl`.
        verb: Verb,
    },
    /// A command.
    Exec {
        /// The program and its arguments; no shell is between.
        argv: Vec<Template>,
        /// How long it may take before it is killed.
        timeout: Duration,
    },
}

/// A signal that asks a process for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// `SIGHUP`
    Hup,
    /// `SIGINT`
    Int,
    /// `SIGQUIT`
    Quit,
    /// `SIGTERM`
    Term,
    /// `SIGUSR1`
    Usr1,
    /// `SIGUSR2`
    Usr2,
    /// `SIGWINCH`
    Winch,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Hup,
        Self::Int,
        Self::Quit,
        Self::Term,
        Self::Usr1,
        Self::Usr2,
        Self::Winch,
    ];

    /// The name of the signal without `SIG`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Winch => "WINCH",
        }
    }
}

/// A verb of `systemctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `reload`: reads its configuration again.
    Reload,
    /// `restart`: stops and starts.
    Restart,
    /// `try-reload-or-restart`: only if the unit runs.
    TryReloadOrRestart,
    /// `reload-or-restart`: starts the unit if it does not run.
    ReloadOrRestart,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Reload,
        Self::Restart,
        Self::TryReloadOrRestart,
        Self::ReloadOrRestart,
    ];

    /// The word that `systemctl` knows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::TryReloadOrRestart => "try-reload-or-restart",
            Self::ReloadOrRestart => "reload-or-restart",
        }
    }
}

/// A text with placeholders: `{mesh}`, `{dataplane}`, `{path}`. Other braces are what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        for (start, _) in text.match_indices('{') {
            let rest = &text[start + 1..];
            let Some(end) = rest.find('}') else { continue };
            let name = &rest[..end];
            let is_placeholder = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if is_placeholder && !PLACEHOLDERS.contains(&name) {
                return Err(format!(
                    "`{{{name}}}` in `{text}` is none of {{mesh}}, {{dataplane}} and {{path}}"
                ));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The text with what stands for each placeholder.
    #[must_use]
    pub fn fill(&self, mesh: &str, dataplane: &str, path: &str) -> String {
        let mut filled = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let values = PLACEHOLDERS.into_iter().zip([mesh, dataplane, path]);
            let found = values
                .filter_map(|(name, value)| Some((value, after.strip_prefix(name)?.strip_prefix('}')?)))
                .next();
            rest = match found {
                Some((value, after)) => {
                    filled.push_str(value);
                    after
                }
                None => {
                    filled.push('{');
                    after
                }
            };
        }
        filled + rest
    }
}

/// An entry as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReload {
    select: Option<Rule>,
    signal: Option<RawSignal>,
    systemd: Option<RawSystemd>,
    exec: Option<RawExec>,
    files: Option<Vec<String>>,
    base: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignal {
    pidfile: String,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSystemd {
    unit: String,
    action: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExec {
    argv: Vec<String>,
    timeout: Option<String>,
}

/// The meaning of the entries; an error says which one does not fit.
pub(super) fn resolve(written: Vec<RawReload>) -> Result<Vec<Reload>, String> {
    let numbered = written.into_iter().enumerate();
    numbered
        .map(|(i, entry)| parse_entry(entry).map_err(|why| format!("reload[{i}]: {why}")))
        .collect()
}

fn parse_entry(written: RawReload) -> Result<Reload, String> {
    let means = match (written.signal, written.systemd, written.exec) {
        (Some(signal), None, None) => parse_signal(&signal)?,
        (None, Some(systemd), None) => parse_systemd(&systemd)?,
        (None, None, Some(exec)) => parse_exec(&exec)?,
        _ => return Err("it needs exactly one of `signal`, `systemd` and `exec`".to_owned()),
    };
    let files = match written.files {
        None => [Artifact::Bootstrap, Artifact::Fragment].into(),
        Some(names) if names.is_empty() => return Err("files: the list is empty; nothing would ever be due".to_owned()),
        Some(names) => names.iter().map(|name| file(name)).collect::<Result<_, _>>()?,
    };
    let base = written.base.map(|base| parse_path("base", &base)).transpose()?;
    Ok(Reload {
        select: written.select.unwrap_or_default(),
        means,
        files,
        base,
    })
}

fn parse_signal(written: &RawSignal) -> Result<Means, String> {
    let pidfile = parse_path("signal.pidfile", &written.pidfile)?;
    let name = written.name.as_deref().unwrap_or("HUP");
    let plain = name.strip_prefix("SIG").unwrap_or(name);
    let signal = Signal::ALL.into_iter().find(|signal| signal.name() == plain);
    let names = Signal::ALL.map(Signal::name).join(", ");
    let signal = signal.ok_or_else(|| format!("signal.name: `{name}` is none of {names}"))?;
    Ok(Means::Signal { pidfile, signal })
}

fn parse_path(key: &str, path: &str) -> Result<Template, String> {
    if !path.starts_with('/') && !path.starts_with("{path}/") {
        return Err(format!("{key}: `{path}` must be an absolute path"));
    }
    Template::parse(path).map_err(|why| format!("{key}: {why}"))
}

fn parse_systemd(written: &RawSystemd) -> Result<Means, String> {
    if written.unit.is_empty() {
        return Err("systemd.unit: it is empty".to_owned());
    }
    let unit = Template::parse(&written.unit).map_err(|why| format!("systemd.unit: {why}"))?;
    let action = written.action.as_deref().unwrap_or("reload");
    let verb = Verb::ALL.into_iter().find(|verb| verb.name() == action);
    let names = Verb::ALL.map(Verb::name).join(", ");
    let verb = verb.ok_or_else(|| format!("systemd.action: `{action}` is none of {names}"))?;
    Ok(Means::Systemd { unit, verb })
}

fn parse_exec(written: &RawExec) -> Result<Means, String> {
    if written.argv.first().is_none_or(String::is_empty) {
        return Err("exec.argv: it names no program".to_owned());
    }
    let argv = written.argv.iter().map(|argument| Template::parse(argument));
    let argv = argv
        .collect::<Result<_, _>>()
        .map_err(|why| format!("exec.argv: {why}"))?;
    let timeout = match &written.timeout {
        None => TIMEOUT,
        Some(text) => humantime::parse_duration(text)
            .map_err(|why| format!("exec.timeout: `{text}` is not a duration; example: 30s ({why})"))?,
    };
    if timeout.is_zero() {
        return Err("exec.timeout: it leaves the command no time".to_owned());
    }
    Ok(Means::Exec { argv, timeout })
}

fn file(name: &str) -> Result<Artifact, String> {
    let found = Artifact::ALL.into_iter().find(|artifact| artifact.path() == name);
    let names = Artifact::ALL.map(Artifact::path).join(", ");
    found.ok_or_else(|| format!("files: `{name}` is none of {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_once() {
        for (text, expected) in [
            ("envoy@{dataplane}.service", "envoy@{path}.service"),
            ("{mesh}{dataplane}", "m{path}"),
            ("{path}/x", "/p/x"),
            ("{ print $1 } ${PID} {", "{ print $1 } ${PID} {"),
            ("{{mesh}}", "{m}"),
        ] {
            let template = Template::parse(text).expect(text);
            assert_eq!(template.fill("m", "{path}", "/p"), expected, "{text}");
        }
        assert!(Template::parse("{name}").is_err());
    }

    #[test]
    fn entries_are_checked() {
        for (text, expected) in [
            ("[{}]", "exactly one of"),
            ("[{signal: {pidfile: /a}, exec: {argv: [a]}}]", "exactly one of"),
            ("[{signal: {pidfile: a}}]", "must be an absolute path"),
            ("[{signal: {pidfile: '/{proxy}'}}]", "`{proxy}`"),
            ("[{signal: {pidfile: /a, name: KILL}}]", "none of HUP"),
            ("[{systemd: {unit: ''}}]", "it is empty"),
            ("[{systemd: {unit: a, action: stop}}]", "none of reload, restart"),
            ("[{exec: {argv: []}}]", "no program"),
            ("[{exec: {argv: [a], timeout: 0s}}]", "no time"),
            ("[{exec: {argv: [a], timeout: soon}}]", "not a duration"),
            (
                "[{exec: {argv: [a]}, base: b.yaml}]",
                "base: `b.yaml` must be an absolute path",
            ),
            ("[{exec: {argv: [a]}, files: []}]", "the list is empty"),
            ("[{exec: {argv: [a]}, files: [lds.yaml]}]", "none of xds/cds.yaml"),
            ("[{exec: {argv: [a]}}, {exec: {argv: ['{b}']}}]", "reload[1]: "),
        ] {
            let error = resolve(serde_yaml::from_str(text).expect(text)).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_left_out_is_the_usual() {
        let text = "[{signal: {pidfile: /a}}, {systemd: {unit: a}}, {exec: {argv: [a]}}]";
        let reloads = resolve(serde_yaml::from_str(text).expect("yaml")).expect("entries");
        assert!(matches!(
            &reloads[0].means,
            Means::Signal {
                signal: Signal::Hup,
                ..
            }
        ));
        assert!(matches!(&reloads[1].means, Means::Systemd { verb: Verb::Reload, .. }));
        assert!(matches!(&reloads[2].means, Means::Exec { timeout, .. } if *timeout == TIMEOUT));
        assert_eq!(reloads[0].files, [Artifact::Bootstrap, Artifact::Fragment].into());
        assert_eq!(reloads[0].select, Rule::default());
    }
}
