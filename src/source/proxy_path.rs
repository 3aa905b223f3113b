//! The path of a file of each proxy, in which names of meshes and dataplanes are filled in.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use schemars::{Schema, json_schema};

use crate::settings_value::SettingValue;

/// The placeholders in braces, each for the encoded name of a mesh or a dataplane, which is one file name.
const PLACEHOLDERS: [&str; 2] = ["{mesh}", "{dataplane}"];

/// The absolute path of a file of each proxy, with the placeholders `{mesh}` and `{dataplane}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProxyPath(String);

impl ProxyPath {
    /// The path for the proxy of a dataplane, by the encoded names.
    #[must_use]
    pub fn fill(&self, mesh: &str, dataplane: &str) -> String {
        let with_mesh = self.0.split(PLACEHOLDERS[0]);
        let filled: Vec<String> = with_mesh.map(|part| part.replace(PLACEHOLDERS[1], dataplane)).collect();
        filled.join(mesh)
    }

    /// The path with its placeholders.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory above the first placeholder with a glob for the paths below it; without a placeholder, the file.
    pub(super) fn parts(&self) -> (&Path, Option<String>) {
        let Some(first) = self.0.find('{') else {
            return (Path::new(&self.0), None);
        };
        let (directory, below) = self.0.split_at(self.0[..first].rfind('/').unwrap_or(0));
        let plain: String = (below.trim_start_matches('/').chars())
            .flat_map(|c| "*?[]!\\".contains(c).then_some('\\').into_iter().chain([c]))
            .collect();
        let glob = PLACEHOLDERS.iter().fold(plain, |glob, name| glob.replace(name, "*"));
        (Path::new(directory), Some(glob))
    }
}

impl FromStr for ProxyPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = PLACEHOLDERS
            .iter()
            .fold(text.to_owned(), |text, name| text.replace(name, "x"));
        let mut parts = text.split('/');
        let (is_absolute, first) = (parts.next() == Some(""), parts.next().unwrap_or_default());
        match plain.find(['{', '}']) {
            _ if !is_absolute => Err(format!("`{text}` must be an absolute path")),
            Some(_) => Err(format!(
                "`{text}` has braces that are neither {{mesh}} nor {{dataplane}}"
            )),
            None if plain.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) => Err(format!(
                "`{text}` must be a path of a file, without `.`, `..` and empty parts"
            )),
            None if first.contains('{') => Err(format!("`{text}` must begin with a directory, such as /etc/envoy")),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for ProxyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SettingValue for ProxyPath {
    fn name() -> Cow<'static, str> {
        "an absolute path with placeholders for mesh and dataplane".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^/[^/{]+(/[^/]+)*$"})
    }
}

setting_value!(ProxyPath);

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ProxyPath {
        text.parse().expect(text)
    }

    #[test]
    fn a_path_is_filled_in_once() {
        let filled = path("/etc/envoy/{mesh}/{dataplane}.yaml").fill("{dataplane}", "%2e");
        assert_eq!(filled, "/etc/envoy/{dataplane}/%2e.yaml");
    }

    #[test]
    fn a_path_leads_to_files_below_a_directory() {
        for (text, root, glob) in [
            ("/etc/envoy/envoy.yaml", "/etc/envoy/envoy.yaml", None),
            ("/etc/envoy/{dataplane}.yaml", "/etc/envoy", Some("*.yaml")),
            (
                "/srv/a-{mesh}/b/{dataplane}/[c].json",
                "/srv",
                Some("a-*/b/*/\\[c\\].json"),
            ),
        ] {
            assert_eq!(path(text).parts(), (Path::new(root), glob.map(str::to_owned)), "{text}");
        }
        for text in [
            "envoy.yaml",
            "/etc/../x",
            "/etc/{path}/x",
            "/{dataplane}/x",
            "/etc//x",
            "/etc/x/",
            "/etc/{mesh",
        ] {
            assert!(text.parse::<ProxyPath>().is_err(), "{text}");
        }
    }
}
