//! The settings of a run: the file, then the environment, then the command line.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_path_to_error::Segment;
use serde_yaml::{Mapping, Value};

use super::error::SettingsError;
use super::keys::{Key, VARIABLE_PREFIX, keys};
use super::model::{Overrides, Settings};
use super::policies::Policies;
use super::values::Admin;
use crate::collectors::{CollectorRule, HeaderSource, Machine, Secret, TRUSTED_CAS};
use crate::diag::Diagnostics;
use crate::envoy::shape::{Form, SamplingChange, Shape};
use crate::select::scope::Rule;
use crate::source::{Location, SourceFile};
use crate::spans::{Detector, Host};
use crate::words::closest;
use crate::yaml::{self, Limits};

/// Variables with the prefix that are not settings: the command line reads them.
const OTHER_VARIABLES: [&str; 3] = ["MESHTRACED_CONFIG", "MESHTRACED_COLOR", "MESHTRACED_LOG"];

impl Settings {
    /// Reads the settings: the file, then the environment, then `overrides`.
    ///
    /// # Errors
    /// When the file cannot be read, is not YAML, has an unknown key, or a value does not fit.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, SettingsError> {
        let text = file.map(read).transpose()?;
        let variables = env::vars_os().filter_map(|(name, value)| {
            let name = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX))?;
            Some((name.to_owned(), value.to_string_lossy().into_owned()))
        });
        let mut variables: Vec<_> = variables
            .filter(|(name, _)| !OTHER_VARIABLES.contains(&name.as_str()))
            .collect();
        // The environment has no order; the first message must not depend on chance.
        variables.sort();
        let mut settings = merge(text.as_ref(), &variables)?;
        if !overrides.policies.is_empty() {
            settings.policies = Policies::of(overrides.policies.iter().cloned());
        }
        if let Some(out) = &overrides.out {
            settings.out.clone_from(out);
        }
        settings.debounce_max = settings.debounce_max.max(settings.debounce);
        check_places(&settings)?;
        check_sampling(&settings)?;
        check_collectors(&settings)?;
        check_spans(&settings)?;
        settings.machine = machine(&settings);
        settings.host = host(&settings);
        Ok(settings)
    }
}

/// Refuses changes of the sampling that nobody could confirm: an Envoy that does not read the runtime yet would trace every request.
fn check_sampling(settings: &Settings) -> Result<(), SettingsError> {
    let mut forms = settings.forms();
    forms.retain(|(_, form)| form.sampling == SamplingChange::Hitless);
    let is_unknown = |(_, form): &(Rule, Form)| matches!(form.shape, Shape::Overlay(_)) && !form.has_bootstrap();
    let message = if !forms.is_empty() && settings.envoy.admin == Admin::None {
        "`hitless` needs the admin interface of the Envoys, and `envoy.admin` is `none`"
    } else if forms.iter().any(is_unknown) {
        "`hitless` needs the bootstrap of an overlay; name it, or set `sampling: drain` in that entry of `shapes`"
    } else {
        return Ok(());
    };
    Err(SettingsError::Invalid {
        origin: "sampling".to_owned(),
        message: message.to_owned(),
    })
}

/// The properties of this machine that the way to collectors depends on.
fn machine(settings: &Settings) -> Machine {
    let sources = settings.collectors.iter().flat_map(CollectorRule::header_sources);
    let names = sources.filter_map(|source| match source {
        HeaderSource::Env(name) => Some(name),
        HeaderSource::File(_) | HeaderSource::Value(_) => None,
    });
    let set = names.filter_map(|name| Some((name.clone(), Secret::new(env::var(name).ok()?))));
    Machine {
        trusted_ca: TRUSTED_CAS.iter().map(PathBuf::from).find(|path| path.is_file()),
        environment: set.collect(),
    }
}

/// The attributes of this machine, if an entry of `spans` asks for them.
fn host(settings: &Settings) -> Host {
    if !settings.spans.iter().any(|rule| rule.detects(Detector::Host)) {
        return Host::new();
    }
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id = fs::read_to_string("/etc/machine-id").ok();
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let all = [
        ("host.name", Some(name)),
        ("host.id", id.map(|id| id.trim().to_owned())),
        ("host.arch", Some(arch.to_owned())),
        ("os.type", Some(env::consts::OS.to_owned())),
    ];
    let known = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

/// Refuses spans that Envoy could not have.
fn check_spans(settings: &Settings) -> Result<(), SettingsError> {
    let rules = settings.spans.iter().enumerate();
    let in_rules = rules.filter_map(|(number, rule)| {
        let (key, mistake) = rule.mistake()?;
        Some((format!("spans[{number}].{key}"), mistake))
    });
    let untraced = settings.untraced.iter().enumerate();
    let in_untraced = untraced.filter_map(|(number, entry)| Some((format!("untraced[{number}]"), entry.mistake()?)));
    let is_hitless = settings
        .forms()
        .iter()
        .any(|(_, form)| form.sampling == SamplingChange::Hitless);
    let is_overruled = is_hitless && !settings.untraced.is_empty();
    let overruled = is_overruled.then(|| {
        let mistake = "needs `sampling: drain`; with `hitless`, Envoy's runtime decides for all routes alike";
        ("untraced".to_owned(), mistake.to_owned())
    });
    let mut mistakes = in_rules.chain(in_untraced).chain(overruled);
    mistakes.next().map_or(Ok(()), |(origin, message)| {
        Err(SettingsError::Invalid { origin, message })
    })
}

/// Refuses TLS that Envoy could not have.
fn check_collectors(settings: &Settings) -> Result<(), SettingsError> {
    let all = settings.collectors.iter().enumerate();
    let mut mistakes = all.filter_map(|(number, rule)| Some((number, rule.tls.as_ref()?.mistake()?)));
    mistakes.next().map_or(Ok(()), |(number, mistake)| {
        Err(SettingsError::Invalid {
            origin: format!("collectors[{number}].tls"),
            message: mistake.to_owned(),
        })
    })
}

/// Refuses places of files where they would be taken for policies, or for the files of another proxy.
fn check_places(settings: &Settings) -> Result<(), SettingsError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let roots = settings.policies.roots().iter();
    let mut taken: Vec<_> = roots.map(|root| ("policies", absolute(&root.path))).collect();
    taken.push(("out", absolute(&settings.out)));
    for place in settings.shapes.iter().flat_map(|rule| rule.form.to.values()) {
        let place = place.to_string();
        if let Some((key, _)) = taken
            .iter()
            .find(|(_, directory)| Path::new(&place).starts_with(directory))
        {
            return Err(SettingsError::Invalid {
                origin: "shapes".to_owned(),
                message: format!("`{place}` in `to` lies in `{key}`"),
            });
        }
    }
    Ok(())
}

/// The text of the settings, under its path.
struct File {
    path: String,
    text: String,
}

fn read(path: &Path) -> Result<File, SettingsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(File {
            path: path.display().to_string(),
            text,
        }),
        Err(source) => Err(SettingsError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A value that does not fit, at the path of its key.
struct Mismatch {
    path: Vec<Segment>,
    message: String,
}

/// The settings of a file and of variables. Each is checked when it is added, so that an error names what brought it
/// in.
fn merge(file: Option<&File>, variables: &[(String, String)]) -> Result<Settings, SettingsError> {
    let keys = keys();
    let mut values = Value::Mapping(Mapping::new());
    let mut settings = Settings::default();
    if let Some(file) = file {
        values = serde_yaml::from_str(&file.text).map_err(|error| invalid(&file.path, error))?;
        drop_nulls(&mut values, &keys);
        let mismatch = list_as_section(&values, &keys);
        settings = mismatch
            .map_or_else(|| decode(&values), Err)
            .map_err(|mismatch| in_file(file, &mismatch))?;
    }
    for (name, text) in variables {
        set_variable(&mut values, &keys, name, text)?;
        settings = decode(&values).map_err(|mismatch| invalid(name, mismatch.message))?;
    }
    let mismatch = reload_without_validator(&settings);
    mismatch.map_or(Ok(settings), |mismatch| {
        Err(match file {
            Some(file) => in_file(file, &mismatch),
            None => invalid("MESHTRACED_RELOAD", mismatch.message),
        })
    })
}

/// A section that is no mapping. serde would read a list as the keys of a section in the order of their declaration.
fn list_as_section(values: &Value, keys: &[Key]) -> Option<Mismatch> {
    let sections = keys.iter().filter(|key| key.is_section).map(|key| &*key.path);
    [&[][..]].into_iter().chain(sections).find_map(|path| {
        let mut names = path.iter();
        let section = names.try_fold(values, |section, name| section.get(name.as_str()))?;
        (!section.is_mapping()).then(|| Mismatch {
            path: path.iter().map(|key| Segment::Map { key: key.clone() }).collect(),
            message: "must be a mapping of keys to values".to_owned(),
        })
    })
}

fn decode(values: &Value) -> Result<Settings, Mismatch> {
    serde_path_to_error::deserialize(values).map_err(|error: serde_path_to_error::Error<serde_yaml::Error>| Mismatch {
        path: error.path().iter().cloned().collect(),
        message: error.into_inner().to_string(),
    })
}

/// An entry of `reload` whose `base` nothing would read.
fn reload_without_validator(settings: &Settings) -> Option<Mismatch> {
    let index = settings.reload.iter().position(|reload| reload.base.is_some())?;
    let key = |key: &str| Segment::Map { key: key.to_owned() };
    settings.envoy.validate.is_none().then(|| Mismatch {
        path: vec![key("reload"), Segment::Seq { index }, key("base")],
        message: "this bootstrap is only read for validation; set `envoy.validate` to an Envoy".to_owned(),
    })
}

/// Removes keys and sections without a value, which have their defaults.
fn drop_nulls(values: &mut Value, keys: &[Key]) {
    if values.is_null() {
        *values = Value::Mapping(Mapping::new());
    }
    for key in keys {
        let Some((name, sections)) = key.path.split_last() else {
            continue;
        };
        let section = sections
            .iter()
            .try_fold(&mut *values, |section, name| section.get_mut(name.as_str()));
        if let Some(section) = section.and_then(Value::as_mapping_mut)
            && section.get(name.as_str()).is_some_and(Value::is_null)
        {
            section.remove(name.as_str());
        }
    }
}

fn set_variable(values: &mut Value, keys: &[Key], name: &str, text: &str) -> Result<(), SettingsError> {
    let settable = || keys.iter().filter(|key| !key.is_section);
    let Some(key) = settable().find(|key| key.variable() == name) else {
        let names: Vec<String> = settable().map(Key::variable).collect();
        let meant = closest(name, names.iter().map(String::as_str));
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        return Err(invalid(name, format!("not a setting{meant}")));
    };
    let value = match key.is_yaml_in_variable() {
        true => serde_yaml::from_str(text).map_err(|error| invalid(name, error))?,
        false => Value::from(text),
    };
    let mut at = values;
    for name in &key.path {
        if !at.is_mapping() {
            *at = Value::Mapping(Mapping::new());
        }
        let section = at.as_mapping_mut().expect("made above");
        at = section.entry(Value::from(name.as_str())).or_insert(Value::Null);
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

fn in_file(file: &File, mismatch: &Mismatch) -> SettingsError {
    let origin = match locate(file, &mismatch.path) {
        Some(at) => format!("{}:{}:{}", file.path, at.line(), at.column()),
        None => file.path.clone(),
    };
    let key = dotted(&mismatch.path);
    match key.is_empty() {
        true => invalid(&origin, &mismatch.message),
        false => invalid(&origin, format!("{key}: {}", mismatch.message)),
    }
}

/// The path as people write it: `reload[0].exec`.
fn dotted(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } if text.is_empty() => text.push_str(key),
            Segment::Map { key } => text.push_str(&format!(".{key}")),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}

/// The place of the key or of the item of a list; of the last one that exists where the path goes on.
fn locate(file: &File, path: &[Segment]) -> Option<Location> {
    let source = SourceFile::new(&*file.path, &*file.text);
    let (prepared, limits) = (yaml::read::Prepared::new(&source), Limits::default());
    let stream = prepared.read(&limits, &mut Diagnostics::default());
    let mut node = &stream.documents.first()?.root;
    let mut found = None;
    for segment in path {
        let (at, next) = match (segment, &node.value) {
            (Segment::Map { key }, yaml::Value::Map(map)) => {
                let Some(entry) = map.get(key) else { break };
                (&entry.key_at, &entry.value)
            }
            (Segment::Seq { index }, yaml::Value::List(items)) => {
                let Some(item) = items.get(*index) else { break };
                (&item.at, item)
            }
            _ => break,
        };
        found = Some(at.clone());
        node = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kuma::Version;
    use crate::plan::guard::{Guard, Share};
    use crate::settings_value::HumanDuration;
    use crate::source::Sources;

    fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let file = File {
            path: "a.yaml".to_owned(),
            text: text.to_owned(),
        };
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let variables: Vec<_> = variables.collect();
        merge(Some(&file), &variables).map_err(|error| error.to_string())
    }

    fn read(text: &str) -> Result<Settings, String> {
        read_with(text, &[])
    }

    #[test]
    fn without_a_value_the_defaults_hold() {
        for text in ["{}", "", "kuma:\nguard: {max_removed: }\nselect:\ndebounce: null\n"] {
            assert_eq!(read(text).expect(text), Settings::default(), "{text}");
        }
        assert_eq!(Settings::default().sources(), Sources::one("policies"));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place_and_what_fits() {
        for (text, expected) in [
            ("nope: 1", "a.yaml:1:1: nope: unknown field `nope`"),
            (
                "kuma:\n  versoin: \"2.14\"",
                "a.yaml:2:3: kuma.versoin: unknown field `versoin`",
            ),
            ("kuma: {version: 1.0}", "a.yaml:1:8: kuma.version: `1` must be \"2.13\""),
            (
                "kuma: {fidelity: full}",
                "unknown variant `full`, expected `documented` or `exact`",
            ),
            ("[]", "a.yaml: must be a mapping"),
            ("guard: [10%, 20%]", "a.yaml:1:1: guard: must be a mapping"),
            ("debounce: soon", "debounce: `soon` is not a duration"),
            ("mode: \"0999\"", "mode: `0999` is not a file mode"),
            ("mode: \"0440\"", "does not let the owner"),
            (
                "group: no-such-group",
                "group: this machine has no group `no-such-group`",
            ),
            ("envoy: {admin: tcp}", "envoy.admin: `tcp` is not one of `pipe`"),
            (
                "envoy: {validate: envoy}",
                "envoy.validate: `envoy` must be an absolute path",
            ),
            (
                "reload:\n- exec: {argv: [a]}\n  base: /b.yaml",
                "a.yaml:3:3: reload[0].base: this bootstrap is only read for validation",
            ),
            ("reload: [{select: {name: a}}]", "reload[0]: exactly one of `signal`"),
            ("source: svn", "expected one of `auto`, `worktree`, `git`"),
            ("exclude: ['a[']", "exclude: error parsing glob"),
            ("policies: []", "policies: the list is empty"),
            (
                "policies: [{path: b, var: {}}]",
                "expected a path, a mapping with `path` and `vars`",
            ),
            ("control: {listen: 9902}", "not an address with a port"),
            ("control: {listen: '0.0.0.0:9902'}", "other machines"),
            ("services: {web: htp}", "services.web: `htp` must be one of grpc, http"),
            ("guard: {max_removed: 101%}", "must be a whole percentage"),
            ("guard: {max_changed: 0.1}", "must be a whole percentage"),
            ("guard: {max_added: 1}", "unknown field `max_added`"),
            ("drift: mend", "expected `report` or `heal`"),
            ("history: -1", "history: `-1` must be an integer of at least 0"),
            (
                "limits: {depth: 129}",
                "limits.depth: `129` must be an integer from 1 to 128",
            ),
            ("limits: {nodes: 0}", "`0` must be an integer of at least 1"),
            ("limits: {nodes: [1]}", "expected an integer of at least 1"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn words_and_numbers_are_read_with_and_without_quotes() {
        for text in ["20%", "20", "\"20\"", "20 %"] {
            let guard = read(&format!("guard: {{max_removed: {text}}}")).expect(text).guard;
            let expected = Guard {
                max_removed: Share::new(20).expect("a share"),
                ..Guard::default()
            };
            assert_eq!(guard, expected, "{text}");
        }
        for text in ["kuma: {version: 2.13}", "kuma: {version: \"2.13\"}"] {
            assert_eq!(read(text).expect(text).kuma.version, Version::V2_13);
        }
        assert_eq!(read("history: \"3\"").expect("a number").history.get(), 3);
    }

    #[test]
    fn a_variable_overrides_a_key_and_its_own_errors_name_it() {
        let settings = read_with(
            "kuma: {zone: a}\nhistory: 3",
            &[
                ("MESHTRACED_HISTORY", "4"),
                ("MESHTRACED_KUMA_UNIFIED_NAMING", "true"),
                ("MESHTRACED_KUMA_ZONE", "b"),
                ("MESHTRACED_POLICIES", "a"),
                ("MESHTRACED_SERVICES", "{backend: http}"),
            ],
        );
        let settings = settings.expect("settings");
        assert_eq!((settings.kuma.zone.as_str(), settings.history.get()), ("b", 4));
        assert_eq!(settings.kuma.unified_naming, Some(true));
        assert_eq!(settings.policies, Policies::of(["a".into()]));
        assert!(settings.services.contains_key("backend"));
        for (name, text, expected) in [
            ("MESHTRACED_POLICES", "x", "did you mean MESHTRACED_POLICIES?"),
            (
                "MESHTRACED_DEBOUNCE",
                "x",
                "settings: MESHTRACED_DEBOUNCE: `x` is not a duration",
            ),
            ("MESHTRACED_SELECT", "[", "settings: MESHTRACED_SELECT: "),
            ("MESHTRACED_KUMA", "{}", "not a setting"),
        ] {
            let error = read_with("debounce: 1s", &[(name, text)]).expect_err(name);
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn values_of_templates_are_flat() {
        let settings = read("policies: {path: a, vars: {name: x, a: {b: 1, c: {d: true}}}}").expect("settings");
        let vars = settings.policies.roots()[0].vars.clone().expect("variables");
        let vars: Vec<_> = vars.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(vars, [("a.b", "1"), ("a.c.d", "true"), ("name", "x")]);
        assert!(read("policies: {path: a, vars: {name: [x]}}").is_err());
    }

    #[test]
    fn sampling_is_hitless_only_where_the_bootstrap_is_known() {
        let load = |text: &str| {
            let file = tempfile::NamedTempFile::new().expect("a file");
            fs::write(file.path(), text).expect("written");
            Settings::load(Some(file.path()), &Overrides::default()).map_err(|error| error.to_string())
        };
        let overlay = "shapes: [{overlay: {cds: /a/cds.yaml, lds: /a/lds.yaml}";
        let error = load(&format!("sampling: hitless\n{overlay}}}]")).expect_err("no bootstrap");
        assert!(error.contains("needs the bootstrap"), "{error}");
        assert!(load(&format!("sampling: hitless\n{overlay}, sampling: drain}}]")).is_ok());
        assert!(load("sampling: hitless\nshapes: [{fragment: {}}]").is_ok());
        let error = load("sampling: hitless\nenvoy: {admin: none}").expect_err("no admin interface");
        assert!(error.contains("needs the admin interface"), "{error}");
    }

    #[test]
    fn the_longest_postponement_is_no_shorter_than_the_shortest() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "debounce: 5s").expect("written");
        let settings = Settings::load(Some(file.path()), &Overrides::default()).expect("settings");
        assert_eq!(settings.debounce_max, HumanDuration::from_secs(5));
    }
}
