//! From settings as they are written to settings with a meaning.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_yaml::{Mapping, Value};

use super::error::{SettingsError, invalid};
use super::ids::id;
use super::model::{Admin, Control, EnvoySettings, OnDrift, OnError, Overrides, Settings};
use super::raw::{Flag, OneOrMore, RawControl, RawGuard, RawKuma, RawLimits, RawSettings, RawSource, Scalar};
use super::reload::{self, Reload};
use crate::kuma::{Fidelity, Kuma, Ties, Version};
use crate::plan::guard::{Guard, Share};
use crate::resource::value::protocol::Protocol;
use crate::source::filter::Filter;
use crate::source::{Mode, Root, Sources, Vars};
use crate::yaml::Limits;

/// The default of `envoy.confirm_timeout`.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn resolve(written: RawSettings, overrides: &Overrides, origin: &str) -> Result<Settings, SettingsError> {
    let fail = |message: String| invalid(origin, message);
    let duration = |key: &str, text: Option<String>, default: Duration| match text {
        None => Ok(default),
        Some(text) => humantime::parse_duration(&text).map_err(|why| {
            fail(format!(
                "{key}: `{text}` is not a duration; examples: 100ms, 2s ({why})"
            ))
        }),
    };
    let debounce = duration("debounce", written.debounce, Duration::from_millis(100))?;
    Ok(Settings {
        sources: parse_sources(
            written.policies,
            written.include,
            written.exclude,
            written.source.as_deref(),
            overrides,
        )
        .map_err(fail)?,
        out: overrides.out.clone().or(written.out).unwrap_or_else(|| "envoy".into()),
        kuma: parse_kuma(&written.kuma).map_err(fail)?,
        services: parse_services(&written.services).map_err(fail)?,
        select: written.select,
        debounce,
        debounce_max: duration("debounce_max", written.debounce_max, Duration::from_secs(2))?.max(debounce),
        rescan: duration("rescan", written.rescan, Duration::from_secs(60))?,
        owner: parse_id("owner", written.owner.as_ref(), "/etc/passwd").map_err(fail)?,
        group: parse_id("group", written.group.as_ref(), "/etc/group").map_err(fail)?,
        mode: written
            .mode
            .map_or(Ok(0o640), |mode| parse_mode(&mode.text()).map_err(fail))?,
        on_error: written
            .on_error
            .map_or(Ok(OnError::HoldMesh), |text| parse_on_error(&text).map_err(fail))?,
        guard: parse_guard(&written.guard).map_err(fail)?,
        drift: written
            .drift
            .map_or(Ok(OnDrift::Report), |text| parse_drift(&text).map_err(fail))?,
        history: parse_history(written.history.as_ref()).map_err(fail)?,
        reload: parse_reload(written.reload, written.envoy.validate.is_some()).map_err(fail)?,
        limits: parse_limits(&written.limits).map_err(fail)?,
        findings_per_file: limit(
            "findings_per_file",
            written.limits.findings_per_file.as_ref(),
            20,
            usize::MAX,
        )
        .map_err(fail)?,
        control: parse_control(written.control).map_err(fail)?,
        envoy: EnvoySettings {
            admin: (written.envoy.admin).map_or(Ok(Admin::Pipe), |admin| parse_admin(&admin).map_err(fail))?,
            validate: written.envoy.validate.map(parse_validate).transpose().map_err(fail)?,
            confirm_timeout: duration("envoy.confirm_timeout", written.envoy.confirm_timeout, CONFIRM_TIMEOUT)?,
        },
    })
}

fn parse_control(written: RawControl) -> Result<Control, String> {
    Ok(Control {
        socket: written.socket,
        listen: written.listen.map(|text| parse_listen(&text)).transpose()?,
    })
}

fn parse_id(key: &str, written: Option<&Scalar>, table: &str) -> Result<Option<u32>, String> {
    written.map(|name| id(key, &name.text(), table)).transpose()
}

fn parse_services(written: &BTreeMap<String, String>) -> Result<BTreeMap<String, Protocol>, String> {
    let protocol = |(service, name): (&String, &String)| match Protocol::parse(name) {
        Protocol::Unknown => {
            let known = Protocol::SUPPORTED.join(", ");
            Err(format!("services.{service}: `{name}` is none of {known}"))
        }
        protocol => Ok((service.clone(), protocol)),
    };
    written.iter().map(protocol).collect()
}

fn parse_sources(
    policies: Option<OneOrMore>,
    include: Option<Vec<String>>,
    exclude: Vec<String>,
    mode: Option<&str>,
    overrides: &Overrides,
) -> Result<Sources, String> {
    Ok(Sources {
        roots: parse_roots(policies, &overrides.policies)?,
        filter: Filter::new(include, exclude).map_err(|why| format!("include, exclude: {why}"))?,
        mode: mode.map_or(Ok(Mode::Auto), parse_mode_of_source)?,
    })
}

/// The sources: those of the command line, those of the settings, or the directory where they are looked for.
fn parse_roots(written: Option<OneOrMore>, overrides: &[PathBuf]) -> Result<Vec<Root>, String> {
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
        RawSource::Path(path) => Ok(plain(path)),
        RawSource::Template { path, vars } => {
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
                    "policies: the variable `{name}` must be text, a number or a boolean"
                ));
            }
        };
        flat.insert(name, text);
    }
    Ok(())
}

fn parse_kuma(written: &RawKuma) -> Result<Kuma, String> {
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

fn parse_limits(written: &RawLimits) -> Result<Limits, String> {
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
        _ => Err(format!("limits.{key}: `{text}` must be an integer of at least 1")),
    }
}

fn parse_mode_of_source(text: &str) -> Result<Mode, String> {
    match text {
        "auto" => Ok(Mode::Auto),
        "worktree" => Ok(Mode::Worktree),
        "git" => Ok(Mode::Git),
        other => Err(format!("source: `{other}` is none of `auto`, `worktree` and `git`")),
    }
}

fn parse_on_error(text: &str) -> Result<OnError, String> {
    match text {
        "hold-mesh" => Ok(OnError::HoldMesh),
        "hold-all" => Ok(OnError::HoldAll),
        other => Err(format!("on_error: `{other}` is neither `hold-mesh` nor `hold-all`")),
    }
}

fn parse_guard(written: &RawGuard) -> Result<Guard, String> {
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
    share.ok_or_else(|| format!("guard.{key}: `{text}` must be a whole percentage from 0 to 100, such as 10%"))
}

fn parse_drift(text: &str) -> Result<OnDrift, String> {
    match text {
        "report" => Ok(OnDrift::Report),
        "heal" => Ok(OnDrift::Heal),
        other => Err(format!("drift: `{other}` is neither `report` nor `heal`")),
    }
}

fn parse_history(written: Option<&Scalar>) -> Result<usize, String> {
    match written.map(Scalar::text) {
        None => Ok(10),
        Some(text) => text
            .parse()
            .map_err(|_| format!("history: `{text}` must be an integer of at least 0")),
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && mode & 0o600 == 0o600 => Ok(mode),
        Ok(mode) if mode <= 0o777 => Err(format!("mode: `{text}` does not let the owner read and write")),
        _ => Err(format!("mode: `{text}` is not a file mode; example: \"0640\"")),
    }
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err(format!(
            "control.listen: `{text}` can be reached from other machines; use 127.0.0.1 or [::1]"
        )),
        Err(_) => Err(format!(
            "control.listen: `{text}` is not an address with a port; example: 127.0.0.1:9902"
        )),
    }
}

fn parse_admin(text: &str) -> Result<Admin, String> {
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
fn parse_reload(written: Vec<reload::RawReload>, is_validated: bool) -> Result<Vec<Reload>, String> {
    let reloads = reload::resolve(written)?;
    match reloads.iter().position(|reload| reload.base.is_some()) {
        Some(entry) if !is_validated => Err(format!(
            "reload[{entry}]: base: nothing reads it; set `envoy.validate` to the Envoy that validates with it"
        )),
        _ => Ok(reloads),
    }
}

fn parse_validate(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!(
        "envoy.validate: `{}` must be the absolute path of an Envoy, such as /usr/bin/envoy",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::env::apply_variable;
    use crate::settings::raw::parse;

    fn read(text: &str) -> Result<Settings, String> {
        let written: RawSettings = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        resolve(written, &Overrides::default(), "a.yaml").map_err(|error| error.to_string())
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
            ("mode: \"0999\"", "not a file mode"),
            ("mode: \"0440\"", "does not let the owner"),
            ("group: no-such-group", "there is no group `no-such-group`"),
            ("envoy: {admin: tcp}", "none of `pipe`"),
            ("envoy: {validate: envoy}", "must be the absolute path"),
            ("reload: [{exec: {argv: [a]}, base: /b.yaml}]", "`envoy.validate`"),
            ("source: svn", "none of `auto`, `worktree` and `git`"),
            ("control: {listen: 9902}", "not an address with a port"),
            ("control: {listen: '0.0.0.0:9902'}", "other machines"),
            ("services: {web: htp}", "none of grpc, http"),
            ("guard: {max_removed: 101%}", "must be a whole percentage"),
            ("guard: {max_changed: 0.1}", "must be a whole percentage"),
            ("guard: {max_added: 1}", "unknown field `max_added`"),
            ("drift: mend", "neither `report` nor `heal`"),
            ("history: -1", "must be an integer of at least 0"),
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
