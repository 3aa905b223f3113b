//! The collectors as the settings describe them: keys, TLS, timeouts, and the networks that spans may go to.
//!
//! Policies are in a repository that many may write to; what stands here is for those who run the machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use crate::settings_value::{HumanDuration, SettingValue};
use crate::source::BaseFiles;
use crate::words;

/// The collectors as the settings describe them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collectors {
    /// The entries of `collectors`; the first that fits a collector and has a part decides about that part.
    pub rules: Vec<CollectorRule>,
    /// The properties of this machine that they depend on.
    pub machine: Machine,
}

/// The properties of a machine that its way to collectors depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The file with the certificates that it trusts, if it has one.
    pub trusted_ca: Option<PathBuf>,
    /// The variables of the environment that headers come from, those that are set.
    pub environment: BTreeMap<String, Secret>,
}

/// The files with the certificates that a machine trusts: of Debian and its derivatives, of Red Hat's, of Alpine and others.
pub const TRUSTED_CAS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The text of a key, which nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A text that nothing shows.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the file that Envoys read it from.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Headers by their names.
pub type Headers = BTreeMap<HeaderName, HeaderSource>;

/// The headers in words: their names, and where their values come from.
#[must_use]
pub fn in_words(headers: &Headers) -> String {
    let each = headers.iter().map(|(name, source)| format!("{name} from {source}"));
    each.collect::<Vec<_>>().join(", ")
}

/// Keys, TLS, timeout and limits of some collectors, whichever policy names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectorRule {
    /// The collectors that the entry is for; without keys, all.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// Headers of the requests that take spans to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Headers>,
    /// The encryption of connections to them. Without a value, the URL of the backend decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConf>,
    /// The time in which an OpenTelemetry collector has to take spans. Envoy has none to set for Zipkin and Datadog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// The networks that spans may go to: those of every entry that fits. A collector elsewhere is an error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
}

/// A choice of collectors. In patterns, `*` stands for any characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// A pattern of the host: a name or an address, without brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port that receives spans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A pattern of the mesh whose policies name the collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
    /// A pattern of the backend: its name in a Mesh, the name of a MeshOpenTelemetryBackend, or the URL or endpoint in a
    /// MeshTrace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// The name of a header, in lower case as HTTP/2 has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(String);

/// The headers that make a request what it is; Envoy sets them.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl FromStr for HeaderName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "!#$%&'*+-.^_`|~".contains(c);
        if text.chars().any(|c| c.is_ascii_uppercase()) {
            let lower = text.to_ascii_lowercase();
            Err(format!(
                "`{text}` has capital letters, which HTTP/2 forbids; write `{lower}`"
            ))
        } else if text.is_empty() || !text.chars().all(fits) {
            Err(format!("`{text}` is not the name of a header; example: x-api-key"))
        } else if OWN_HEADERS.contains(&text) || text.starts_with("grpc-") || text.starts_with("proxy-") {
            Err(format!("`{text}` is a header that Envoy sets"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SettingValue for HeaderName {
    fn name() -> Cow<'static, str> {
        "the name of a header".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z0-9!#$%&'*+.^_`|~-]+$"})
    }
}

setting_value!(HeaderName);

/// The source of the value of a header: exactly one of the keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderSource {
    /// The file with the value; a line end behind it is not part of it. Envoys get a change at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The variable of the environment of meshtraced with the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The value itself, for what is no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl HeaderSource {
    /// The mistake in the source; `None` if there is none.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        match (&self.file, &self.env, &self.value) {
            (Some(path), None, None) => (!is_plain(path) || path.to_string_lossy().contains(['{', '}'])).then(|| {
                let path = path.display();
                format!("`{path}` in `file` must be an absolute path in UTF-8, without braces")
            }),
            (None, Some(_), None) => None,
            (None, None, Some(value)) => unsendable(value).map(|why| format!("`value` {why}")),
            _ => Some("exactly one of `file`, `env` and `value` must be set".to_owned()),
        }
    }
}

impl fmt::Display for HeaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, &self.env) {
            (Some(path), _) => path.display().fmt(f),
            (None, Some(name)) => write!(f, "${name}"),
            (None, None) => f.write_str("the settings"),
        }
    }
}

/// The reason why a text cannot be the value of a header; it does not show the text.
fn unsendable(value: &str) -> Option<&'static str> {
    match value {
        "" => Some("is empty"),
        value if value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) => None,
        _ => Some("has characters that no header can have"),
    }
}

/// The encryption of connections to a collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConf {
    /// Whether the certificate of the collector is verified, which it is without this key.
    pub verify: bool,
    /// The file with the certificates that are trusted. Without a value, these are those that the machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name that is asked for, and that the certificate must have. Without a value, this is the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The file with the certificate of the proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The file with the key of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl Default for TlsConf {
    fn default() -> Self {
        Self {
            verify: true,
            ca: None,
            sni: None,
            certificate: None,
            key: None,
        }
    }
}

impl TlsConf {
    /// The mistake in the conf; `None` if there is none.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        if self.certificate.is_some() != self.key.is_some() {
            return Some("`certificate` and `key` belong together".to_owned());
        }
        if self.ca.is_some() && !self.verify {
            return Some("`ca` says what is trusted, and `verify: false` trusts all".to_owned());
        }
        let files = [("ca", &self.ca), ("certificate", &self.certificate), ("key", &self.key)];
        let files = files
            .into_iter()
            .filter_map(|(name, path)| Some((name, path.as_ref()?)));
        let mut wrong = files.filter(|(_, path)| !is_plain(path));
        let (name, path) = wrong.next()?;
        let path = path.display();
        Some(format!("`{path}` in `{name}` must be an absolute path in UTF-8"))
    }
}

/// Whether Envoy can be told the path, wherever it runs.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.to_str().is_some()
}

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        match text.parse::<IpNet>().or_else(|_| single()) {
            // A host with the length of its network would stand for something else than it says.
            Ok(network) if network.addr() != network.network() => {
                let meant = network.trunc();
                Err(format!("`{text}` is an address within a network, which is {meant}"))
            }
            Ok(network) => Ok(Self(network)),
            Err(_) => Err(format!(
                "`{text}` is not a network; example: 10.0.0.0/8. A name can resolve to any address, so it is no limit"
            )),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

impl SettingValue for Network {
    fn name() -> Cow<'static, str> {
        "a network, such as 10.0.0.0/8".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]+)?$"})
    }
}

setting_value!(Network);

/// A collector as a policy names it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The mesh of the policy.
    pub mesh: &'a str,
    /// The name of the backend, or its URL or endpoint where it has no name.
    pub backend: &'a str,
    /// The host, a name or an address, without brackets.
    pub host: &'a str,
    /// The port that receives spans.
    pub port: u16,
}

impl Match {
    fn fits(&self, collector: &Named) -> bool {
        let patterns = [
            (&self.host, collector.host),
            (&self.mesh, collector.mesh),
            (&self.backend, collector.backend),
        ];
        self.port.is_none_or(|port| port == collector.port)
            && patterns
                .iter()
                .all(|(pattern, text)| words::fits_if_any(pattern.as_deref(), text))
    }
}

/// A part of an entry that decides about a collector.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a, T> {
    /// The number of the entry, from 0.
    pub entry: usize,
    /// The value in that entry.
    pub part: &'a T,
}

impl Collectors {
    /// The entries that fit a collector, with their numbers. The cost grows with the entries.
    pub fn of<'a>(&'a self, collector: Named<'a>) -> impl Iterator<Item = (usize, &'a CollectorRule)> {
        let all = self.rules.iter().enumerate();
        all.filter(move |(_, rule)| rule.matching.fits(&collector))
    }

    /// A part of the first entry that fits a collector and has it.
    pub fn first<'a, T>(
        &'a self,
        collector: Named<'a>,
        part: impl Fn(&'a CollectorRule) -> Option<&'a T>,
    ) -> Option<Decided<'a, T>> {
        let mut all = self.of(collector);
        all.find_map(|(entry, rule)| part(rule).map(|part| Decided { entry, part }))
    }

    /// The networks of the first entry that fits a collector and that it is not in.
    #[must_use]
    pub fn forbidding<'a>(&'a self, collector: Named<'a>) -> Option<Decided<'a, Vec<Network>>> {
        let address: Option<IpAddr> = collector.host.parse().ok();
        let is_in = |network: &Network| address.is_some_and(|address| network.0.contains(&address));
        self.first(collector, |rule| {
            let forbids = !rule.allow.is_empty() && !rule.allow.iter().any(is_in);
            forbids.then_some(&rule.allow)
        })
    }

    /// The file with the certificates that are trusted where nothing else is said.
    #[must_use]
    pub fn trusted_ca(&self) -> &Path {
        let own = self.machine.trusted_ca.as_deref();
        own.unwrap_or_else(|| Path::new(TRUSTED_CAS[0]))
    }
}

/// The values of all headers, each with the reason if it cannot be had.
#[derive(Debug, Default)]
pub struct Keys(BTreeMap<HeaderSource, Result<Secret, String>>);

impl Keys {
    /// The values, from the files as of the moment of the policies.
    #[must_use]
    pub fn of(collectors: &Collectors, files: &BaseFiles) -> Self {
        let sources = collectors.rules.iter().filter_map(|rule| rule.headers.as_ref());
        let sources = sources.flat_map(Headers::values);
        let keys = sources.map(|source| (source.clone(), value(source, collectors, files)));
        Self(keys.collect())
    }

    /// Whether no collector has headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value from a source.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn get(&self, source: &HeaderSource) -> Result<&Secret, &str> {
        match self.0.get(source) {
            Some(found) => found.as_ref().map_err(String::as_str),
            None => Err("is not in the settings"),
        }
    }
}

fn value(source: &HeaderSource, collectors: &Collectors, files: &BaseFiles) -> Result<Secret, String> {
    let text = match (&source.file, &source.env) {
        (Some(path), _) => match files.get(&path.to_string_lossy()) {
            Ok(file) => {
                let text = file.text.as_str();
                let text = text.strip_suffix('\n').unwrap_or(text);
                text.strip_suffix('\r').unwrap_or(text)
            }
            Err(None) => return Err("does not exist".to_owned()),
            Err(Some(reason)) => return Err(format!("cannot be used: {reason}")),
        },
        (None, Some(name)) => {
            let value = collectors.machine.environment.get(name);
            value.map(Secret::expose).ok_or_else(|| "is not set".to_owned())?
        }
        (None, None) => source.value.as_deref().unwrap_or_default(),
    };
    match unsendable(text) {
        Some(why) => Err(why.to_owned()),
        None => Ok(Secret::new(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(host: &'a str, mesh: &'a str) -> Named<'a> {
        Named {
            mesh,
            backend: "zipkin",
            host,
            port: 9411,
        }
    }

    fn collectors(yaml: &str) -> Collectors {
        Collectors {
            rules: serde_yaml::from_str(yaml).expect("entries"),
            ..Collectors::default()
        }
    }

    #[test]
    fn each_part_comes_from_the_first_entry_that_fits_and_has_it() {
        let collectors = collectors(
            "- {match: {host: '*.eu'}, timeout: 1s}
- {match: {mesh: payments}, timeout: 2s, tls: {verify: false}}
- tls: {}",
        );
        let seconds = |named| {
            let timeout = collectors.first(named, |rule| rule.timeout.as_ref());
            timeout.map(|timeout| timeout.part.0.as_secs())
        };
        let verified = |named| {
            let tls = collectors.first(named, |rule| rule.tls.as_ref());
            tls.map(|tls| (tls.entry, tls.part.verify))
        };
        assert_eq!(seconds(named("a.eu", "payments")), Some(1));
        assert_eq!(verified(named("a.eu", "payments")), Some((1, false)));
        assert_eq!(verified(named("a.eu", "default")), Some((2, true)));
        assert_eq!(seconds(named("a.us", "default")), None);
    }

    #[test]
    fn every_entry_that_fits_must_allow_a_collector() {
        let collectors = collectors(
            "- allow: [10.0.0.0/8, 'fd00::/8', 192.168.1.1]
- {match: {mesh: payments}, allow: [10.1.0.0/16]}",
        );
        let forbidding = |host, mesh| collectors.forbidding(named(host, mesh)).map(|entry| entry.entry);
        assert_eq!(forbidding("10.2.0.1", "default"), None);
        assert_eq!(forbidding("fd00::1", "default"), None);
        assert_eq!(forbidding("192.168.1.1", "default"), None);
        assert_eq!(forbidding("192.168.1.2", "default"), Some(0));
        assert_eq!(forbidding("10.2.0.1", "payments"), Some(1));
        assert_eq!(forbidding("10.1.2.3", "payments"), None);
        assert_eq!(forbidding("collector.eu", "default"), Some(0));
    }

    #[test]
    fn mistakes_are_named() {
        for (yaml, said) in [
            ("{ca: ca.pem}", "must be an absolute path"),
            ("{certificate: /a}", "belong together"),
            ("{verify: false, ca: /a}", "trusts all"),
        ] {
            let conf: TlsConf = serde_yaml::from_str(yaml).expect(yaml);
            let mistake = conf.mistake().expect(yaml);
            assert!(mistake.contains(said), "{mistake}");
        }
        for (text, said) in [
            ("zipkin.eu", "A name can resolve to any address"),
            ("10.0.0.1/8", "which is 10.0.0.0/8"),
        ] {
            let mistake = text.parse::<Network>().expect_err(text);
            assert!(mistake.contains(said), "{mistake}");
        }
        assert_eq!(
            "10.0.0.1/32".parse().map(|network: Network| network.to_string()),
            Ok("10.0.0.1".to_owned())
        );
    }
}
