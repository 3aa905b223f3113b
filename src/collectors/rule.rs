//! The entries of `collectors` in the settings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file_path::FilePath;
use super::header::{HeaderSource, Headers};
use super::network::Network;
use super::secret::Secret;
use super::tls::{TlsConf, TrustedCa};
use crate::settings_value::HumanDuration;
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

impl CollectorRule {
    /// The sources of the headers.
    pub fn header_sources(&self) -> impl Iterator<Item = &HeaderSource> {
        self.headers.iter().flat_map(Headers::values)
    }

    /// The files that connections to the collectors need.
    pub fn files(&self) -> impl Iterator<Item = &FilePath> {
        let keys = self.header_sources().filter_map(|source| match source {
            HeaderSource::File(path) => Some(path),
            HeaderSource::Env(_) | HeaderSource::Value(_) => None,
        });
        let tls = self.tls.iter();
        keys.chain(tls.flat_map(|tls| [&tls.ca, &tls.certificate, &tls.key]).flatten())
    }
}

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
        let is_in = |network: &Network| address.is_some_and(|address| network.contains(&address));
        self.first(collector, |rule| {
            let forbids = !rule.allow.is_empty() && !rule.allow.iter().any(is_in);
            forbids.then_some(&rule.allow)
        })
    }

    /// The certificates that are trusted where nothing else is said.
    #[must_use]
    pub fn trusted_ca(&self) -> TrustedCa {
        let own = self.machine.trusted_ca.clone();
        TrustedCa::OfMachine(own.unwrap_or_else(|| TRUSTED_CAS[0].into()))
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
            ("{certificate: /a/b}", "belong together"),
            ("{verify: false, ca: /a/b}", "trusts all"),
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
