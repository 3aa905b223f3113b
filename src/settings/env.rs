//! The environment variables that set settings.

use serde_yaml::{Mapping, Value};

use super::error::{SettingsError, invalid};
use crate::words::closest;

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

/// Variables with the prefix that are not settings: the command line reads them.
const OTHER_VARIABLES: [&str; 3] = ["CONFIG", "COLOR", "LOG"];

pub(super) const PREFIX: &str = "MESHTRACED_";

pub(super) fn apply_variable(settings: &mut Value, name: &str, text: &str) -> Result<(), SettingsError> {
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
