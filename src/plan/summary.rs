//! A plan in the words of tracing: what changes for which proxies, and because of which policy.
//!
//! Proxies that get the same changes form a group, so that one edit of a policy reads as one change.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::because::{Because, place, policy_name};
use super::change::{Action, Change, Plan};
use crate::compile::Compiled;
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::envoy::effective::{Backend, EffectiveTracing, ListenerTracing};
use crate::ir::Proxy;
use crate::resource::Provenance;
use crate::words::{few, plural, printable};

/// The proxies of one mesh that get the same changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Group {
    /// The kind of change.
    pub action: Action,
    /// The mesh of the proxies.
    pub mesh: String,
    /// The names of their dataplanes, sorted.
    pub dataplanes: Vec<String>,
    /// The effect on running proxies.
    pub impact: Impact,
    /// The differences in tracing.
    #[serde(rename = "differences")]
    pub lines: Vec<Line>,
}

impl Group {
    /// The names of the dataplanes, all or the first few.
    #[must_use]
    pub fn names(&self, all: bool) -> String {
        printable(&if all {
            self.dataplanes.join(", ")
        } else {
            few(&self.dataplanes)
        })
    }

    /// The group in one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        let lines: Vec<String> = (self.lines.iter())
            .map(|line| {
                let before = line
                    .before
                    .as_ref()
                    .map_or(String::new(), |before| format!("{before} -> "));
                let origin = line
                    .origin
                    .as_ref()
                    .map_or(String::new(), |origin| format!(" by {origin}"));
                format!("{} {before}{}{origin}", line.label, line.after)
                    .trim_start()
                    .to_owned()
            })
            .collect();
        let names = self.names(false);
        printable(&format!("{}: {names}: {}", self.mesh, lines.join("; ")))
    }
}

/// One difference in tracing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Line {
    /// The name of the property, such as `sampling`; empty for a statement about the proxy as a whole.
    pub label: String,
    /// The old value; `None` where only the new value says something.
    pub before: Option<String>,
    /// The new value.
    pub after: String,
    /// The resource and the place of the new value: `Mesh payments (mesh.yaml:9)`.
    pub origin: Option<String>,
}

/// The effect of a change on the connections of a running proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Impact {
    /// None: Envoy does not read the files that change.
    None,
    /// Only clusters change: connections stay.
    Clusters,
    /// Listeners change: open connections drain.
    Drain,
    /// The bootstrap changes, which Envoy reads only when it starts.
    Restart,
}

impl Impact {
    /// The effect in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "nothing that a running Envoy reads",
            Self::Clusters => "no connection is touched",
            Self::Drain => "new connections only; old ones drain for up to 600 s",
            Self::Restart => "takes effect when Envoy starts again",
        }
    }
}

/// The changes of a plan in groups: proxies that change first, then new ones, then removed ones. `compiled` is the
/// compile that the plan comes from.
#[must_use]
pub fn summarize(plan: &Plan, compiled: &Compiled) -> Vec<Group> {
    let proxies: BTreeMap<ProxyKey, &Proxy> = (compiled.proxies)
        .iter()
        .map(|proxy| (ProxyKey::new(&proxy.mesh, &proxy.name), &**proxy))
        .collect();
    let because = Because { compiled };
    let mut groups: BTreeMap<(u8, String, Impact, Vec<Line>), Vec<String>> = BTreeMap::new();
    for change in &plan.changes {
        let proxy = proxies.get(&change.proxy).copied();
        let (order, lines) = match change.action {
            Action::Change => (0, lines_of_change(change, proxy, &because)),
            Action::Add => (
                1,
                effective(change, Artifact::Effective)
                    .1
                    .map(|new| describe(&new, proxy))
                    .into_iter()
                    .collect(),
            ),
            Action::Remove => (2, vec![line("", None, because.removed(&change.proxy, proxy), None)]),
        };
        let key = (order, change.proxy.mesh.clone(), impact(change), lines);
        groups.entry(key).or_default().push(change.proxy.dataplane.clone());
    }
    let actions = [Action::Change, Action::Add, Action::Remove];
    let group = |((order, mesh, impact, lines), dataplanes): ((u8, String, Impact, Vec<Line>), Vec<String>)| Group {
        action: actions[usize::from(order)],
        mesh,
        dataplanes,
        impact,
        lines,
    };
    groups.into_iter().map(group).collect()
}

/// The numbers of a plan, where `published` proxies are published: `4 proxies change, 2 are new, 1 goes, 3 stay`.
#[must_use]
pub fn count(plan: &Plan, published: usize) -> String {
    let of = |action| plan.changes.iter().filter(|change| change.action == action).count();
    let (change, add, remove) = (of(Action::Change), of(Action::Add), of(Action::Remove));
    let stay = published - change - remove;
    let mut parts = Vec::new();
    let mut say = |n: usize, one: &str, many: &str| {
        if n > 0 {
            let verb = if n == 1 { one } else { many };
            let noun = if parts.is_empty() {
                plural(n, "proxy")
            } else {
                n.to_string()
            };
            parts.push(format!("{noun} {verb}"));
        }
    };
    say(change, "changes", "change");
    say(add, "is new", "are new");
    say(remove, "goes", "go");
    say(stay, "stays", "stay");
    parts.join(", ")
}

fn impact(change: &Change) -> Impact {
    let differs = |artifact: Artifact| change.before.get(&artifact) != change.after.get(&artifact);
    match change.action {
        Action::Add | Action::Remove => Impact::None,
        Action::Change if differs(Artifact::Bootstrap) => Impact::Restart,
        Action::Change if differs(Artifact::Lds) => Impact::Drain,
        Action::Change if differs(Artifact::Cds) => Impact::Clusters,
        Action::Change => Impact::None,
    }
}

/// The effective tracing before and after.
fn effective(change: &Change, artifact: Artifact) -> (Option<EffectiveTracing>, Option<EffectiveTracing>) {
    let read =
        |files: &crate::envoy::artifact::Files| files.get(&artifact).and_then(|text| EffectiveTracing::read(text));
    (read(&change.before), read(&change.after))
}

fn line(label: &str, before: Option<String>, after: impl Into<String>, origin: Option<String>) -> Line {
    Line {
        label: label.to_owned(),
        before,
        after: after.into(),
        origin,
    }
}

/// One line for a new proxy: `zipkin us-east, 100 %, by trace-all (trace-all.yaml:4)`.
fn describe(new: &EffectiveTracing, proxy: Option<&Proxy>) -> Line {
    let Some(backend) = &new.backend else {
        return line("", None, "not traced", None);
    };
    let by = new
        .policy
        .as_ref()
        .map_or(String::new(), |policy| format!(", by {}", policy_name(policy, proxy)));
    line("", None, format!("{}, {}{by}", named(backend), sampling(backend)), None)
}

/// Type and name of a backend, one word where they are the same.
fn named(backend: &Backend) -> String {
    let (kind, name) = (&backend.kind, &backend.name.value);
    if kind == name {
        kind.clone()
    } else {
        format!("{kind} {name}")
    }
}

fn collector(backend: &Backend) -> String {
    format!("{} ({})", named(backend), backend.collector.value)
}

fn sampling(backend: &Backend) -> String {
    format!("{} %", backend.sampling.value)
}

fn lines_of_change(change: &Change, proxy: Option<&Proxy>, because: &Because) -> Vec<Line> {
    let (Some(old), Some(new)) = effective(change, Artifact::Effective) else {
        return vec![line("files", None, changed_files(change), None)];
    };
    let mut lines = Vec::new();
    lines_of_backend(old.backend.as_ref(), new.backend.as_ref(), proxy, &mut lines);
    lines_of_listeners(&old.listeners, &new.listeners, &mut lines);
    if old.service != new.service {
        lines.push(line("service", Some(old.service.clone()), new.service.clone(), None));
    }
    let reason = because.policy_changed(&change.proxy.mesh, old.policy.as_ref(), new.policy.as_ref(), proxy);
    lines.extend(reason.map(|text| line("because", None, text, None)));
    if lines.is_empty() {
        lines.push(line(
            "files",
            None,
            format!("{}; the tracing stays as it is", changed_files(change)),
            None,
        ));
    }
    lines
}

fn changed_files(change: &Change) -> String {
    change.changed().map(Artifact::path).collect::<Vec<_>>().join(", ")
}

fn lines_of_backend(old: Option<&Backend>, new: Option<&Backend>, proxy: Option<&Proxy>, lines: &mut Vec<Line>) {
    let text = |backend: Option<&Backend>| backend.map_or("not traced".to_owned(), collector);
    let tracer = proxy.and_then(|proxy| proxy.tracer.as_ref());
    if text(old) != text(new) {
        // Another backend was chosen, or the same one leads elsewhere.
        let is_same = old.zip(new).is_some_and(|(old, new)| old.name.value == new.name.value);
        let origin = tracer.map(|tracer| match &tracer.export {
            Some(export) if is_same => &export.collector.origin,
            Some(_) | None => &tracer.backend.origin,
        });
        lines.push(line("collector", Some(text(old)), text(new), origin.map(written_in)));
    }
    let (Some(old), Some(new)) = (old, new) else { return };
    if sampling(old) != sampling(new) {
        let origin = tracer.and_then(|tracer| match &tracer.sampling.overall.source {
            Provenance::Written(origin) => Some(written_in(origin)),
            Provenance::Setting(_) | Provenance::Default => None,
        });
        lines.push(line("sampling", Some(sampling(old)), sampling(new), origin));
    }
    for (key, value) in &new.options {
        if let Some(before) = old.options.get(key).filter(|before| before.value != value.value) {
            lines.push(line(key, Some(plain(&before.value)), plain(&value.value), None));
        }
    }
}

fn written_in(origin: &crate::resource::Origin) -> String {
    format!("{} ({})", origin.resource, place(&origin.at))
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn lines_of_listeners(old: &[ListenerTracing], new: &[ListenerTracing], lines: &mut Vec<Line>) {
    let find = |all: &[ListenerTracing], one: &ListenerTracing| {
        all.iter()
            .find(|other| (&other.direction, &other.address) == (&one.direction, &one.address))
            .cloned()
    };
    // Without the host, which differs from proxy to proxy.
    let label = |listener: &ListenerTracing| {
        let port = listener.address.rsplit(':').next().unwrap_or("");
        format!("{} {port}", listener.direction)
    };
    let state = |listener: &ListenerTracing| match (&listener.reports_as, &listener.not_traced) {
        (Some(name), _) => format!("{}, traced as `{name}`", listener.protocol.value),
        (None, Some(why)) => format!("{}, not traced: {why}", listener.protocol.value),
        (None, None) => format!("{}, not traced", listener.protocol.value),
    };
    for listener in new {
        match find(old, listener) {
            None => lines.push(line(
                &label(listener),
                Some("not there".to_owned()),
                format!("{}, {}", listener.service, state(listener)),
                None,
            )),
            Some(before) if state(&before) != state(listener) => {
                lines.push(line(&label(listener), Some(state(&before)), state(listener), None))
            }
            Some(before) if before.service != listener.service => lines.push(line(
                &label(listener),
                Some(before.service),
                listener.service.clone(),
                None,
            )),
            Some(_) => {}
        }
    }
    for listener in old.iter().filter(|listener| find(new, listener).is_none()) {
        lines.push(line(&label(listener), Some(listener.service.clone()), "gone", None));
    }
}
