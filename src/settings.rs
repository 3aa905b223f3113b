//! meshtraced's own configuration: as it is written, and as it is meant.
//!
//! Settings come from one YAML file, then from `MESHTRACED_*` variables, then from options of the command
//! line; each overrides the ones before. [`Settings`] is what they mean, checked and complete.

pub mod reload;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use self::reload::Reload;
use crate::compile::Options;
use crate::envoy::RenderEnv;
use crate::kuma::{Fidelity, Kuma, Ties, Version};
use crate::plan::guard::{Guard, Share};
use crate::resource::Contributions;
use crate::resource::value::protocol::Protocol;
use crate::select::scope::Rule;
use crate::source::filter::Filter;
use crate::source::{Mode, Root, Sources, Vars};
use crate::words::closest;
use crate::yaml::Limits;

/// Every setting, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The directories and files that hold the policies.
    pub sources: Sources,
    /// The directory that gets the files of the proxies.
    pub out: PathBuf,
    /// Whose behaviour is compiled.
    pub kuma: Kuma,
    /// Protocols of services that have no dataplane among the policies.
    pub services: BTreeMap<String, Protocol>,
    /// Which dataplanes are published here; empty means all.
    pub select: Vec<Rule>,
    /// Publish when the policies were silent for this long ...
    pub debounce: Duration,
    /// ... or at the latest after this.
    pub debounce_max: Duration,
    /// Look at everything this often, events or not.
    pub rescan: Duration,
    /// User id that owns what is published; `None` leaves it as it comes.
    pub owner: Option<u32>,
    /// Group id of what is published; `None` leaves it as it comes.
    pub group: Option<u32>,
    /// Mode of published files; directories get `x` where files have `r`.
    pub mode: u32,
    /// What an error keeps from being published.
    pub on_error: OnError,
    /// How much may change at once.
    pub guard: Guard,
    /// What happens to published files that somebody edited.
    pub drift: OnDrift,
    /// How many published generations are kept; 0 keeps none.
    pub history: usize,
    /// How proxies are reloaded; one that no entry fits is not.
    pub reload: Vec<Reload>,
    /// How the proxies are talked to.
    pub envoy: EnvoySettings,
    /// How much of a file is read.
    pub limits: Limits,
    /// How many findings of one file are shown.
    pub findings_per_file: usize,
    /// How the daemon is looked at and asked.
    pub control: Control,
}

/// How the daemon is looked at and asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The socket file; `None` for the one beside the published files.
    pub socket: Option<PathBuf>,
    /// A port of the loopback interface for status and metrics.
    pub listen: Option<SocketAddr>,
}

/// What an error keeps from being published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The mesh it belongs to.
    HoldMesh,
    /// Everything.
    HoldAll,
}

/// What happens to published files that somebody edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    /// They stay until something else is desired in their place, and are told of.
    Report,
    /// They become again what was published.
    Heal,
}

/// How the proxies are talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvoySettings {
    /// Where the admin interface is.
    pub admin: Admin,
    /// The Envoy that validates what is to be published; `None` for none.
    pub validate: Option<PathBuf>,
    /// How long to wait for a proxy to confirm one step.
    pub confirm_timeout: Duration,
}

/// Where the admin interface of a proxy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// On a socket file in the directory of the proxy, as the generated bootstrap says.
    Pipe,
    /// On a TCP port; `host:port`.
    Http(String),
    /// On a socket file.
    Unix(PathBuf),
    /// Nowhere: steps are paced by pauses.
    None,
}

/// Options of the command line that are settings.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--policies`; empty without it.
    pub policies: Vec<PathBuf>,
    /// `--out`.
    pub out: Option<PathBuf>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The text is not YAML, or a key or value does not fit.
    #[error("the settings in {origin} do not fit: {message}")]
    Invalid {
        /// The file or variable.
        origin: String,
        /// What does not fit, with its place.
        message: String,
    },
    /// The output directory is no text.
    #[error("the output directory {} is not UTF-8, and Envoy's configuration must be", .0.display())]
    Out(PathBuf),
}

/// Settings as they are written; every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    policies: Option<OneOrMore>,
    include: Option<Vec<String>>,
    exclude: Vec<String>,
    source: Option<String>,
    out: Option<PathBuf>,
    kuma: WrittenKuma,
    services: BTreeMap<String, String>,
    select: Vec<Rule>,
    debounce: Option<String>,
    debounce_max: Option<String>,
    rescan: Option<String>,
    owner: Option<Scalar>,
    group: Option<Scalar>,
    mode: Option<Scalar>,
    on_error: Option<String>,
    guard: WrittenGuard,
    drift: Option<String>,
    history: Option<Scalar>,
    reload: Vec<reload::Written>,
    envoy: WrittenEnvoy,
    limits: WrittenLimits,
    control: WrittenControl,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenControl {
    socket: Option<PathBuf>,
    listen: Option<String>,
}

/// `policies`: one of them, or a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(WrittenSource),
    More(Vec<WrittenSource>),
}

/// A source: its path alone, or with values for variables.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum WrittenSource {
    Path(PathBuf),
    Template { path: PathBuf, vars: Mapping },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenKuma {
    version: Option<Scalar>,
    fidelity: Option<String>,
    zone: Option<String>,
    system_namespace: Option<String>,
    unified_naming: Option<Flag>,
    ties: Option<String>,
}

/// A truth value, which a variable can only hold as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Flag {
    Value(bool),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenGuard {
    max_removed: Option<Scalar>,
    max_changed: Option<Scalar>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenEnvoy {
    admin: Option<String>,
    validate: Option<PathBuf>,
    confirm_timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLimits {
    file_bytes: Option<Scalar>,
    documents: Option<Scalar>,
    depth: Option<Scalar>,
    nodes: Option<Scalar>,
    alias_nodes: Option<Scalar>,
    findings_per_file: Option<Scalar>,
}

/// A scalar that people write with and without quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Whole(u64),
    Number(f64),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// The settings that a variable can set: its name without the prefix, and the path of the key.
const VARIABLES: [(&str, &[&str]); 36] = [
    ("POLICIES", &["policies"]),
    ("INCLUDE", &["include"]),
    ("EXCLUDE", &["exclude"]),
    ("SOURCE", &["source"]),
    ("OUT", &["out"]),
    ("KUMA_VERSION", &["kuma", "version"]),
    ("KUMA_FIDELITY", &["kuma", "fidelity"]),
    ("KUMA_ZONE", &["kuma", "zone"]),
    ("KUMA_SYSTEM_NAMESPACE", &["kuma", "system_namespace"]),
    ("KUMA_UNIFIED_NAMING", &["kuma", "unified_naming"]),
    ("KUMA_TIES", &["kuma", "ties"]),
    ("SERVICES", &["services"]),
    ("SELECT", &["select"]),
    ("DEBOUNCE", &["debounce"]),
    ("DEBOUNCE_MAX", &["debounce_max"]),
    ("RESCAN", &["rescan"]),
    ("OWNER", &["owner"]),
    ("GROUP", &["group"]),
    ("MODE", &["mode"]),
    ("ON_ERROR", &["on_error"]),
    ("GUARD_MAX_REMOVED", &["guard", "max_removed"]),
    ("GUARD_MAX_CHANGED", &["guard", "max_changed"]),
    ("DRIFT", &["drift"]),
    ("HISTORY", &["history"]),
    ("RELOAD", &["reload"]),
    ("LIMITS_FILE_BYTES", &["limits", "file_bytes"]),
    ("LIMITS_DOCUMENTS", &["limits", "documents"]),
    ("LIMITS_DEPTH", &["limits", "depth"]),
    ("LIMITS_NODES", &["limits", "nodes"]),
    ("LIMITS_ALIAS_NODES", &["limits", "alias_nodes"]),
    ("LIMITS_FINDINGS_PER_FILE", &["limits", "findings_per_file"]),
    ("CONTROL_SOCKET", &["control", "socket"]),
    ("CONTROL_LISTEN", &["control", "listen"]),
    ("ENVOY_ADMIN", &["envoy", "admin"]),
    ("ENVOY_VALIDATE", &["envoy", "validate"]),
    ("ENVOY_CONFIRM_TIMEOUT", &["envoy", "confirm_timeout"]),
];

/// Variables with the prefix that are no settings: the command line reads them.
const OTHER_VARIABLES: [&str; 3] = ["CONFIG", "COLOR", "LOG"];

const PREFIX: &str = "MESHTRACED_";

impl Settings {
    /// Reads the settings: the file, then the environment, then `overrides`.
    ///
    /// # Errors
    /// When the file cannot be read, is not YAML, has an unknown key, or a value does not fit.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, SettingsError> {
        let mut settings = match file {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|source| SettingsError::Read {
                    path: path.to_owned(),
                    source,
                })?;
                parse(&text, &path.display().to_string())?
            }
            None => Value::Mapping(Mapping::new()),
        };
        for (name, value) in env::vars_os() {
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            apply_variable(&mut settings, name, &value.to_string_lossy())?;
        }
        let origin = file.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string());
        let written: Written = serde_yaml::from_value(settings).map_err(|error| invalid(&origin, error))?;
        mean(written, overrides, &origin)
    }
}

impl Settings {
    /// How to compile with these settings; `known` is what files were about when they could be read last.
    ///
    /// # Errors
    /// When the output directory has a name that Envoy's configuration cannot hold.
    pub fn options(&self, known: Contributions) -> Result<Options, SettingsError> {
        let out = std::path::absolute(&self.out).ok();
        let Some(out) = out.as_deref().and_then(Path::to_str) else {
            return Err(SettingsError::Out(self.out.clone()));
        };
        Ok(Options {
            kuma: self.kuma.clone(),
            services: self.services.clone(),
            scope: self.select.clone(),
            env: RenderEnv {
                out: out.to_owned(),
                admin_pipe: self.envoy.admin == Admin::Pipe,
            },
            limits: self.limits.clone(),
            known,
        })
    }
}

fn parse(text: &str, origin: &str) -> Result<Value, SettingsError> {
    // Typed first, for messages with lines; the tree is for overriding.
    let _: Option<Written> = serde_yaml::from_str(text).map_err(|error| invalid(origin, error))?;
    let value: Value = serde_yaml::from_str(text).map_err(|error| invalid(origin, error))?;
    Ok(if value.is_null() {
        Value::Mapping(Mapping::new())
    } else {
        value
    })
}

fn apply_variable(settings: &mut Value, name: &str, text: &str) -> Result<(), SettingsError> {
    let origin = format!("{PREFIX}{name}");
    let Some((_, path)) = VARIABLES.iter().find(|(variable, _)| *variable == name) else {
        if OTHER_VARIABLES.contains(&name) {
            return Ok(());
        }
        let meant = closest(name, VARIABLES.iter().map(|(variable, _)| *variable));
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean {PREFIX}{meant}?"));
        return Err(invalid(&origin, format!("there is no such setting{meant}")));
    };
    let structured = matches!(
        *path,
        ["policies" | "include" | "exclude" | "services" | "select" | "reload"]
    );
    let value = if structured {
        serde_yaml::from_str(text).map_err(|error| invalid(&origin, error))?
    } else {
        Value::from(text)
    };
    let mut at = settings;
    for key in *path {
        if !at.is_mapping() {
            *at = Value::Mapping(Mapping::new());
        }
        let map = at.as_mapping_mut().expect("made above");
        at = map.entry(Value::from(*key)).or_insert(Value::Null);
    }
    *at = value;
    Ok(())
}

fn invalid(origin: &str, message: impl ToString) -> SettingsError {
    SettingsError::Invalid {
        origin: origin.to_owned(),
        message: message.to_string(),
    }
}

fn mean(written: Written, overrides: &Overrides, origin: &str) -> Result<Settings, SettingsError> {
    let fail = |message: String| invalid(origin, message);
    let duration = |key: &str, text: Option<String>, default: Duration| match text {
        None => Ok(default),
        Some(text) => humantime::parse_duration(&text).map_err(|why| {
            fail(format!(
                "{key}: `{text}` is not a duration; examples: 100ms, 2s ({why})"
            ))
        }),
    };
    let mut services = BTreeMap::new();
    for (service, name) in &written.services {
        match Protocol::parse(name) {
            Protocol::Unknown => {
                return Err(fail(format!(
                    "services.{service}: `{name}` is none of {}",
                    Protocol::SUPPORTED.join(", ")
                )));
            }
            protocol => services.insert(service.clone(), protocol),
        };
    }
    let debounce = duration("debounce", written.debounce, Duration::from_millis(100))?;
    Ok(Settings {
        sources: Sources {
            roots: mean_roots(written.policies, &overrides.policies).map_err(fail)?,
            filter: Filter::new(written.include, written.exclude)
                .map_err(|why| fail(format!("include, exclude: {why}")))?,
            mode: written
                .source
                .map_or(Ok(Mode::Auto), |text| mean_mode_of_source(&text).map_err(fail))?,
        },
        out: overrides.out.clone().or(written.out).unwrap_or_else(|| "envoy".into()),
        kuma: mean_kuma(&written.kuma).map_err(fail)?,
        services,
        select: written.select,
        debounce,
        debounce_max: duration("debounce_max", written.debounce_max, Duration::from_secs(2))?.max(debounce),
        rescan: duration("rescan", written.rescan, Duration::from_secs(60))?,
        owner: written
            .owner
            .map(|owner| id("owner", &owner.text(), "/etc/passwd").map_err(fail))
            .transpose()?,
        group: written
            .group
            .map(|group| id("group", &group.text(), "/etc/group").map_err(fail))
            .transpose()?,
        mode: written
            .mode
            .map_or(Ok(0o640), |mode| mean_mode(&mode.text()).map_err(fail))?,
        on_error: written
            .on_error
            .map_or(Ok(OnError::HoldMesh), |text| mean_on_error(&text).map_err(fail))?,
        guard: mean_guard(&written.guard).map_err(fail)?,
        drift: written
            .drift
            .map_or(Ok(OnDrift::Report), |text| mean_drift(&text).map_err(fail))?,
        history: mean_history(written.history.as_ref()).map_err(fail)?,
        reload: mean_reload(written.reload, written.envoy.validate.is_some()).map_err(fail)?,
        limits: mean_limits(&written.limits).map_err(fail)?,
        findings_per_file: limit(
            "findings_per_file",
            written.limits.findings_per_file.as_ref(),
            20,
            usize::MAX,
        )
        .map_err(fail)?,
        control: Control {
            socket: written.control.socket,
            listen: written
                .control
                .listen
                .map(|text| mean_listen(&text).map_err(fail))
                .transpose()?,
        },
        envoy: EnvoySettings {
            admin: written
                .envoy
                .admin
                .map_or(Ok(Admin::Pipe), |admin| mean_admin(&admin).map_err(fail))?,
            validate: written
                .envoy
                .validate
                .map(|path| mean_validate(path).map_err(fail))
                .transpose()?,
            confirm_timeout: duration(
                "envoy.confirm_timeout",
                written.envoy.confirm_timeout,
                Duration::from_secs(5),
            )?,
        },
    })
}

/// The sources: those of the command line, those of the settings, or the directory where they are looked for.
fn mean_roots(written: Option<OneOrMore>, overrides: &[PathBuf]) -> Result<Vec<Root>, String> {
    let plain = |path: PathBuf| Root { path, vars: None };
    if !overrides.is_empty() {
        return Ok(overrides.iter().cloned().map(plain).collect());
    }
    let written = match written {
        None => return Ok(vec![plain("policies".into())]),
        Some(OneOrMore::One(source)) => vec![source],
        Some(OneOrMore::More(sources)) if sources.is_empty() => {
            return Err("policies: the list is empty; name a directory".to_owned());
        }
        Some(OneOrMore::More(sources)) => sources,
    };
    let root = |source| match source {
        WrittenSource::Path(path) => Ok(plain(path)),
        WrittenSource::Template { path, vars } => {
            let mut flat = Vars::new();
            flatten("", &vars, &mut flat)?;
            Ok(Root { path, vars: Some(flat) })
        }
    };
    written.into_iter().map(root).collect()
}

/// Variables by their whole names: those inside `a` begin with `a.`.
fn flatten(prefix: &str, vars: &Mapping, flat: &mut Vars) -> Result<(), String> {
    for (name, value) in vars {
        let Some(name) = name.as_str() else {
            return Err("policies: the name of a variable is text".to_owned());
        };
        let name = format!("{prefix}{name}");
        let text = match value {
            Value::Mapping(inner) => {
                flatten(&format!("{name}."), inner, flat)?;
                continue;
            }
            Value::String(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Null | Value::Sequence(_) | Value::Tagged(_) => {
                return Err(format!(
                    "policies: the variable `{name}` must be text, a number or a truth value"
                ));
            }
        };
        flat.insert(name, text);
    }
    Ok(())
}

fn mean_kuma(written: &WrittenKuma) -> Result<Kuma, String> {
    let mut kuma = Kuma::default();
    if let Some(version) = &written.version {
        kuma.version = match version.text().as_str() {
            "2.13" => Version::V2_13,
            "2.14" => Version::V2_14,
            "3.0" | "3" => Version::V3_0,
            other => {
                return Err(format!(
                    "kuma.version: `{other}` is none of \"2.13\", \"2.14\" and \"3.0\""
                ));
            }
        };
    }
    if let Some(fidelity) = &written.fidelity {
        kuma.fidelity = match fidelity.as_str() {
            "documented" => Fidelity::Documented,
            "exact" => Fidelity::Exact,
            other => return Err(format!("kuma.fidelity: `{other}` is neither `documented` nor `exact`")),
        };
    }
    if let Some(ties) = &written.ties {
        kuma.ties = match ties.as_str() {
            "name" => Ties::Name,
            "creation-time" => Ties::CreationTime,
            other => return Err(format!("kuma.ties: `{other}` is neither `name` nor `creation-time`")),
        };
    }
    kuma.unified_naming = match &written.unified_naming {
        None => None,
        Some(Flag::Value(value)) => Some(*value),
        Some(Flag::Text(text)) => match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            other => return Err(format!("kuma.unified_naming: `{other}` is neither `true` nor `false`")),
        },
    };
    kuma.system_namespace = written.system_namespace.clone().unwrap_or(kuma.system_namespace);
    kuma.zone = written.zone.clone().unwrap_or(kuma.zone);
    Ok(kuma)
}

/// The most levels of lists and mappings that may be allowed: beyond, a thread of the daemon has too little stack.
const DEEPEST: usize = 128;

fn mean_limits(written: &WrittenLimits) -> Result<Limits, String> {
    let default = Limits::default();
    let any = usize::MAX;
    let file_bytes = usize::try_from(default.file_bytes).unwrap_or(any);
    Ok(Limits {
        file_bytes: limit("file_bytes", written.file_bytes.as_ref(), file_bytes, any)? as u64,
        documents: limit("documents", written.documents.as_ref(), default.documents, any)?,
        depth: limit("depth", written.depth.as_ref(), default.depth, DEEPEST)?,
        nodes: limit("nodes", written.nodes.as_ref(), default.nodes, any)?,
        alias_nodes: limit("alias_nodes", written.alias_nodes.as_ref(), default.alias_nodes, any)?,
    })
}

fn limit(key: &str, written: Option<&Scalar>, default: usize, most: usize) -> Result<usize, String> {
    let Some(text) = written.map(Scalar::text) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        Ok(_) if most < usize::MAX => Err(format!("limits.{key}: `{text}` is outside 1..={most}")),
        _ => Err(format!("limits.{key}: `{text}` is no number from 1 on")),
    }
}

fn mean_mode_of_source(text: &str) -> Result<Mode, String> {
    match text {
        "auto" => Ok(Mode::Auto),
        "worktree" => Ok(Mode::Worktree),
        "git" => Ok(Mode::Git),
        other => Err(format!("source: `{other}` is none of `auto`, `worktree` and `git`")),
    }
}

fn mean_on_error(text: &str) -> Result<OnError, String> {
    match text {
        "hold-mesh" => Ok(OnError::HoldMesh),
        "hold-all" => Ok(OnError::HoldAll),
        other => Err(format!("on_error: `{other}` is neither `hold-mesh` nor `hold-all`")),
    }
}

fn mean_guard(written: &WrittenGuard) -> Result<Guard, String> {
    let default = Guard::default();
    Ok(Guard {
        max_removed: share("max_removed", written.max_removed.as_ref(), default.max_removed)?,
        max_changed: share("max_changed", written.max_changed.as_ref(), default.max_changed)?,
    })
}

fn share(key: &str, written: Option<&Scalar>, default: Share) -> Result<Share, String> {
    let Some(text) = written.map(Scalar::text) else {
        return Ok(default);
    };
    let percent = text.strip_suffix('%').unwrap_or(&text).trim_end().parse();
    let share = percent.ok().and_then(Share::new);
    share.ok_or_else(|| format!("guard.{key}: `{text}` is no share in whole percent such as 10%, from 0 to 100"))
}

fn mean_drift(text: &str) -> Result<OnDrift, String> {
    match text {
        "report" => Ok(OnDrift::Report),
        "heal" => Ok(OnDrift::Heal),
        other => Err(format!("drift: `{other}` is neither `report` nor `heal`")),
    }
}

fn mean_history(written: Option<&Scalar>) -> Result<usize, String> {
    match written.map(Scalar::text) {
        None => Ok(10),
        Some(text) => text
            .parse()
            .map_err(|_| format!("history: `{text}` is no number of generations from 0 on")),
    }
}

fn mean_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && mode & 0o600 == 0o600 => Ok(mode),
        Ok(mode) if mode <= 0o777 => Err(format!("mode: `{text}` does not let the owner read and write")),
        _ => Err(format!("mode: `{text}` is no file mode such as \"0640\"")),
    }
}

fn mean_listen(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err(format!(
            "control.listen: `{text}` can be reached from other machines; use 127.0.0.1 or [::1]"
        )),
        Err(_) => Err(format!(
            "control.listen: `{text}` is no address with a port, such as 127.0.0.1:9902"
        )),
    }
}

fn mean_admin(text: &str) -> Result<Admin, String> {
    match text.split_once(':') {
        None if text == "pipe" => Ok(Admin::Pipe),
        None if text == "none" => Ok(Admin::None),
        Some(("unix", path)) if path.starts_with('/') => Ok(Admin::Unix(path.into())),
        Some(("http", rest)) if rest.starts_with("//") && rest[2..].contains(':') => {
            Ok(Admin::Http(rest[2..].trim_end_matches('/').to_owned()))
        }
        _ => Err(format!(
            "envoy.admin: `{text}` is none of `pipe`, `http://HOST:PORT`, `unix:/PATH` and `none`"
        )),
    }
}

/// A name alone would be another program with another `PATH`, and nobody would see it.
fn mean_reload(written: Vec<reload::Written>, is_validated: bool) -> Result<Vec<Reload>, String> {
    let reloads = reload::mean(written)?;
    match reloads.iter().position(|reload| reload.base.is_some()) {
        Some(entry) if !is_validated => Err(format!(
            "reload[{entry}]: base: nobody looks at it; name the Envoy that validates it by `envoy.validate`"
        )),
        _ => Ok(reloads),
    }
}

fn mean_validate(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!(
        "envoy.validate: `{}` is no absolute path of an envoy, such as /usr/bin/envoy",
        path.display()
    ))
}

/// The number of a user or group: itself, or the one of that name in the system's table.
fn id(key: &str, name: &str, table: &str) -> Result<u32, String> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let text =
        fs::read_to_string(table).map_err(|error| format!("{key}: cannot look up `{name}` in {table}: {error}"))?;
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    });
    found.ok_or_else(|| format!("{key}: there is no {key} `{name}` on this machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let written: Written = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        mean(written, &Overrides::default(), "a.yaml").map_err(|error| error.to_string())
    }

    #[test]
    fn without_anything_the_defaults_hold() {
        let settings = read("{}").expect("the defaults");
        assert_eq!(settings.sources, Sources::one("policies"));
        assert_eq!((settings.mode, settings.debounce), (0o640, Duration::from_millis(100)));
    }

    #[test]
    fn values_are_checked() {
        for (text, expected) in [
            ("nope: 1", "unknown field `nope`"),
            ("kuma: {version: 1.0}", "is none of \"2.13\""),
            ("kuma: {fidelity: full}", "neither `documented` nor `exact`"),
            ("debounce: soon", "not a duration"),
            ("mode: \"0999\"", "no file mode"),
            ("mode: \"0440\"", "does not let the owner"),
            ("group: no-such-group", "there is no group `no-such-group`"),
            ("envoy: {admin: tcp}", "none of `pipe`"),
            ("envoy: {validate: envoy}", "no absolute path"),
            ("reload: [{exec: {argv: [a]}, base: /b.yaml}]", "`envoy.validate`"),
            ("source: svn", "none of `auto`, `worktree` and `git`"),
            ("control: {listen: 9902}", "no address with a port"),
            ("control: {listen: '0.0.0.0:9902'}", "other machines"),
            ("services: {web: htp}", "none of grpc, http"),
            ("guard: {max_removed: 101%}", "no share in whole percent"),
            ("guard: {max_changed: 0.1}", "no share in whole percent"),
            ("guard: {max_added: 1}", "unknown field `max_added`"),
            ("drift: mend", "neither `report` nor `heal`"),
            ("history: -1", "no number of generations"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn shares_are_read_with_and_without_a_sign() {
        for text in ["20%", "20", "\"20\"", "20 %"] {
            let guard = read(&format!("guard: {{max_removed: {text}}}")).expect(text).guard;
            assert_eq!(
                (guard.max_removed, guard.max_changed),
                (Share::new(20).expect("a share"), Guard::default().max_changed)
            );
        }
    }

    #[test]
    fn versions_are_read_with_and_without_quotes() {
        for text in ["kuma: {version: 2.13}", "kuma: {version: \"2.13\"}"] {
            assert_eq!(read(text).expect(text).kuma.version, Version::V2_13);
        }
    }

    #[test]
    fn a_variable_overrides_a_key() {
        let mut settings = parse("kuma: {zone: a}", "a.yaml").expect("yaml");
        apply_variable(&mut settings, "KUMA_ZONE", "b").expect("a setting");
        apply_variable(&mut settings, "SERVICES", "{backend: http}").expect("a setting");
        assert_eq!(settings["kuma"]["zone"], Value::from("b"));
        assert_eq!(settings["services"]["backend"], Value::from("http"));
        let error = apply_variable(&mut settings, "POLICES", "x")
            .expect_err("no setting")
            .to_string();
        assert!(error.contains("did you mean MESHTRACED_POLICIES?"), "{error}");
    }
}
