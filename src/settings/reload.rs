//! `reload`: what to run when files changed that an Envoy reads only at its start.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use crate::envoy::artifact::ArtifactKind;
use crate::select::scope::Rule;
use crate::settings_value::{HumanDuration, SettingValue};

/// The placeholders in braces, which are filled in for every proxy.
const PLACEHOLDERS: [&str; 3] = ["mesh", "dataplane", "path"];

/// One entry of `reload`, with exactly one of `signal`, `systemd` and `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Entry", into = "Entry")]
pub struct Reload {
    /// The proxies; the first entry that fits a proxy decides.
    pub select: Rule,
    /// The means of the reload.
    pub means: Means,
    /// The files whose change makes a reload due.
    pub files: BTreeSet<ArtifactKind>,
    /// The bootstrap into which the Envoy merges `fragment.yaml`; `None` when it is not known.
    pub base: Option<PathTemplate>,
}

/// The means of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// A signal to a process.
    Signal(SignalReload),
    /// A unit of systemd.
    Systemd(UnitReload),
    /// A command.
    Exec(CommandReload),
}

impl fmt::Display for Means {
    /// The means as a person would name it, with the placeholders.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(SignalReload { pidfile, name }) => write!(f, "SIG{name} by {pidfile}"),
            Self::Systemd(UnitReload { unit, action }) => write!(f, "systemctl {} {unit}", action.name()),
            Self::Exec(CommandReload { argv, .. }) => {
                let argv: Vec<String> = argv.iter().map(Template::to_string).collect();
                f.write_str(&argv.join(" "))
            }
        }
    }
}

/// A reload by a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalReload {
    /// The file with the process id.
    pub pidfile: PathTemplate,
    /// The signal, with or without `SIG`; `HUP` without this key.
    #[serde(default = "hup")]
    pub name: Signal,
}

fn hup() -> Signal {
    Signal::Hup
}

/// A reload by systemd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitReload {
    /// The name of the unit. Names that stand for placeholders are escaped as `systemd-escape` does.
    pub unit: Template,
    /// The verb of `systemctl`; `reload` without this key.
    #[serde(default = "reload")]
    pub action: Verb,
}

fn reload() -> Verb {
    Verb::Reload
}

/// A reload by a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandReload {
    /// The program and its arguments. No shell interprets them.
    #[schemars(length(min = 1))]
    pub argv: Vec<Template>,
    /// The time after which the command is killed; 30s without this key.
    #[serde(default = "command_timeout")]
    pub timeout: HumanDuration,
}

fn command_timeout() -> HumanDuration {
    HumanDuration::from_secs(30)
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
    /// All signals.
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

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.strip_prefix("SIG").unwrap_or(text);
        let signal = Self::ALL.into_iter().find(|signal| signal.name() == plain);
        signal.ok_or_else(|| format!("`{text}` is not one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl SettingValue for Signal {
    fn name() -> Cow<'static, str> {
        "a signal".into()
    }

    fn schema() -> Schema {
        let names = Self::ALL.map(Self::name).join("|");
        json_schema!({"type": "string", "pattern": format!("^(SIG)?({names})$")})
    }
}

setting_value!(Signal);

/// A verb of `systemctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// The unit reads its configuration again.
    Reload,
    /// The unit stops and starts.
    Restart,
    /// The unit reloads, or restarts if it cannot reload, unless it does not run.
    TryReloadOrRestart,
    /// The unit reloads, or restarts if it cannot reload, and starts if it does not run.
    ReloadOrRestart,
}

impl Verb {
    /// The word that `systemctl` takes.
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

/// A text with the placeholders `{mesh}`, `{dataplane}` and `{path}`. Other braces are left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
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

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the text is empty".to_owned());
        }
        for (start, _) in text.match_indices('{') {
            let rest = &text[start + 1..];
            let Some(end) = rest.find('}') else { continue };
            let name = &rest[..end];
            let is_placeholder = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if is_placeholder && !PLACEHOLDERS.contains(&name) {
                return Err(format!(
                    "`{{{name}}}` in `{text}` is not a placeholder; use {{mesh}}, {{dataplane}} or {{path}}"
                ));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SettingValue for Template {
    fn name() -> Cow<'static, str> {
        "text with placeholders".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "minLength": 1})
    }
}

setting_value!(Template);

/// A [`Template`] of an absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(Template);

impl PathTemplate {
    /// The text that is filled in for a proxy.
    #[must_use]
    pub fn template(&self) -> &Template {
        &self.0
    }
}

impl FromStr for PathTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') && !text.starts_with("{path}/") {
            return Err(format!("`{text}` must be an absolute path"));
        }
        text.parse().map(Self)
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SettingValue for PathTemplate {
    fn name() -> Cow<'static, str> {
        "an absolute path with placeholders".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^(/|\\{path\\}/)"})
    }
}

setting_value!(PathTemplate);

/// A [`Reload`] as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["signal"]}, {"required": ["systemd"]}, {"required": ["exec"]}]))]
struct Entry {
    /// The proxies of this entry; every proxy without this key.
    #[serde(default)]
    select: Rule,
    /// A signal to a process, which must be a wrapper of Envoy: Envoy itself does not reload on signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<SignalReload>,
    /// A unit of systemd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    systemd: Option<UnitReload>,
    /// A command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exec: Option<CommandReload>,
    /// The files whose change makes a reload due.
    #[serde(default = "start_files")]
    #[schemars(length(min = 1))]
    files: BTreeSet<ArtifactKind>,
    /// The bootstrap into which the Envoy merges `fragment.yaml`. With `envoy.validate`, both are validated together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<PathTemplate>,
}

/// The files that an Envoy reads only at its start.
fn start_files() -> BTreeSet<ArtifactKind> {
    [ArtifactKind::Bootstrap, ArtifactKind::Fragment, ArtifactKind::Tracing].into()
}

impl TryFrom<Entry> for Reload {
    type Error = &'static str;

    fn try_from(entry: Entry) -> Result<Self, Self::Error> {
        let means = match (entry.signal, entry.systemd, entry.exec) {
            (Some(signal), None, None) => Means::Signal(signal),
            (None, Some(unit), None) => Means::Systemd(unit),
            (None, None, Some(command)) => Means::Exec(command),
            _ => return Err("exactly one of `signal`, `systemd` and `exec` must be set"),
        };
        if let Means::Exec(command) = &means {
            if command.argv.is_empty() {
                return Err("`exec.argv` names no program");
            }
            if command.timeout.0.is_zero() {
                return Err("`exec.timeout` leaves the command no time");
            }
        }
        if entry.files.is_empty() {
            return Err("`files` is empty, so no reload would ever be due");
        }
        Ok(Self {
            select: entry.select,
            means,
            files: entry.files,
            base: entry.base,
        })
    }
}

impl From<Reload> for Entry {
    fn from(reload: Reload) -> Self {
        let mut entry = Self {
            select: reload.select,
            signal: None,
            systemd: None,
            exec: None,
            files: reload.files,
            base: reload.base,
        };
        match reload.means {
            Means::Signal(signal) => entry.signal = Some(signal),
            Means::Systemd(unit) => entry.systemd = Some(unit),
            Means::Exec(command) => entry.exec = Some(command),
        }
        entry
    }
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
            let template = text.parse::<Template>().expect(text);
            assert_eq!(template.fill("m", "{path}", "/p"), expected, "{text}");
        }
        assert!("{name}".parse::<Template>().is_err());
    }

    #[test]
    fn entries_are_checked() {
        for (text, expected) in [
            ("[{}]", "exactly one of"),
            ("[{signal: {pidfile: /a}, exec: {argv: [a]}}]", "exactly one of"),
            ("[{signal: {pidfile: a}}]", "must be an absolute path"),
            ("[{signal: {pidfile: '/{proxy}'}}]", "`{proxy}`"),
            ("[{signal: {pidfile: /a, name: KILL}}]", "not one of HUP"),
            ("[{systemd: {unit: ''}}]", "the text is empty"),
            (
                "[{systemd: {unit: a, action: stop}}]",
                "expected one of `reload`, `restart`",
            ),
            ("[{exec: {argv: []}}]", "names no program"),
            ("[{exec: {argv: [a], timeout: 0s}}]", "leaves the command no time"),
            ("[{exec: {argv: [a], timeout: soon}}]", "not a duration"),
            (
                "[{exec: {argv: [a]}, base: b.yaml}]",
                "`b.yaml` must be an absolute path",
            ),
            ("[{exec: {argv: [a]}, files: []}]", "`files` is empty"),
            (
                "[{exec: {argv: [a]}, files: [lds.yaml]}]",
                "expected one of `xds/cds.yaml`",
            ),
            ("[{exec: {argv: [a]}}, {exec: {argv: ['{b}']}}]", "`{b}`"),
        ] {
            let error = serde_yaml::from_str::<Vec<Reload>>(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_left_out_is_the_usual() {
        let text = "[{signal: {pidfile: /a}}, {systemd: {unit: a}}, {exec: {argv: [a]}}]";
        let reloads: Vec<Reload> = serde_yaml::from_str(text).expect("entries");
        assert!(matches!(&reloads[0].means, Means::Signal(signal) if signal.name == Signal::Hup));
        assert!(matches!(&reloads[1].means, Means::Systemd(unit) if unit.action == Verb::Reload));
        assert!(matches!(&reloads[2].means, Means::Exec(command) if command.timeout == command_timeout()));
        assert_eq!(
            reloads[0].files,
            [ArtifactKind::Bootstrap, ArtifactKind::Fragment, ArtifactKind::Tracing].into()
        );
        assert_eq!(reloads[0].select, Rule::default());
    }
}
