//! The report of a migration: the proof, and what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::kuma::Version;
use crate::migrate::Migration;
use crate::migrate::proof::{Class, Counts, Difference};
use crate::migrate::report::{self, Merged, Unmigrated};
use crate::words::{below, counted, few, plural, printable};

/// Result of `meshtraced migrate -o json`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Result of `meshtraced migrate -o json`")]
pub(in crate::cli) struct MigrationReport {
    /// The version of this form, 1.
    version: u32,
    /// The version of Kuma that the policies are for afterwards.
    to: String,
    /// The number of proxies in each class.
    pub(super) proxies: Counts,
    /// All differences, by mesh, dataplane and listener.
    pub(super) differences: Vec<Difference>,
    /// The files that change, by path.
    written: Vec<WrittenFile>,
    /// The resources that have no place in the new policies.
    pub(super) unmigrated: Vec<Unmigrated>,
    /// The new policies that stand for several.
    pub(super) merged: Vec<Merged>,
    #[serde(skip)]
    counts: report::Counts,
}

/// A file that changes.
#[derive(Debug, Serialize, JsonSchema)]
struct WrittenFile {
    /// The path, as it can be opened.
    file: String,
    /// The change of the file.
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    Edit,
    Add,
    Remove,
}

impl MigrationReport {
    pub(super) fn of(migration: &Migration, to: Version, prefix: &str) -> Self {
        let written = migration.files.iter().map(|file| WrittenFile {
            file: below(prefix, &file.path),
            action: match (&file.before, &file.after) {
                (None, _) => Action::Add,
                (Some(_), None) => Action::Remove,
                (Some(_), Some(_)) => Action::Edit,
            },
        });
        let placed = |unmigrated: &Unmigrated| Unmigrated {
            file: below(prefix, &unmigrated.file),
            ..unmigrated.clone()
        };
        Self {
            version: 1,
            to: to.to_string(),
            proxies: migration.proof.proxies,
            differences: migration.proof.differences.clone(),
            written: written.collect(),
            unmigrated: migration.unmigrated.iter().map(placed).collect(),
            merged: migration.merged.clone(),
            counts: migration.counts,
        }
    }

    /// The change in one line: policies and files.
    pub(super) fn summary(&self) -> String {
        let counts = &self.counts;
        let (new, files) = (self.new_resources(), self.files());
        let older = match counts.older {
            0 => String::new(),
            older => format!(
                "{} of before Kuma 0.7 in the form of today; ",
                plural(older, "document")
            ),
        };
        let policies = match (counts.traffic_traces, new.is_empty()) {
            (0, true) => "no TrafficTrace is left to migrate".to_owned(),
            (0, false) => new,
            (traces, _) => format!(
                "{} TrafficTrace of {} -> {new}",
                counted(traces),
                plural(counts.meshes, "mesh")
            ),
        };
        format!("{older}{policies}; {files}")
    }

    /// The number of files by what happens to them.
    fn files(&self) -> String {
        let all = [
            (Action::Edit, "edited"),
            (Action::Add, "new"),
            (Action::Remove, "removed"),
        ];
        let mut parts = Vec::new();
        for (action, word) in all {
            let number = self.written.iter().filter(|file| file.action == action).count();
            match (number, parts.is_empty()) {
                (0, _) => {}
                (_, true) => parts.push(format!("{} {word}", plural(number, "file"))),
                (_, false) => parts.push(format!("{} {word}", counted(number))),
            }
        }
        match parts.is_empty() {
            true => "no file changes".to_owned(),
            false => parts.join(", "),
        }
    }

    /// The number of new resources of each kind, and of new labels.
    fn new_resources(&self) -> String {
        let counts = &self.counts;
        let label = if counts.labels == 1 {
            "Dataplane label"
        } else {
            "Dataplane labels"
        };
        let mut parts = Vec::new();
        if counts.traffic_traces > 0 || counts.mesh_traces > 0 {
            parts.push(format!("{} MeshTrace", counted(counts.mesh_traces)));
        }
        let others = [
            (counts.rewritten, "MeshTrace rewritten for 3.0"),
            (counts.otel_backends, "MeshOpenTelemetryBackend"),
            (counts.labels, label),
        ];
        let others = others.into_iter().filter(|(number, _)| *number > 0);
        parts.extend(others.map(|(number, what)| format!("{} {what}", counted(number))));
        parts.join(", ")
    }

    /// The differences of the proxies of a class, in words.
    fn words(&self, class: Class) -> String {
        let worst = self.worst();
        let of_class = self
            .differences
            .iter()
            .filter(|one| worst[&key(one)] == class && one.class == class);
        let (mut words, mut tags) = (BTreeSet::new(), BTreeSet::new());
        for one in of_class {
            match tag(one) {
                Some(tag) => drop(tags.insert(tag)),
                None => drop(words.insert(word(one))),
            }
        }
        let tags = (!tags.is_empty()).then(|| format!("tags {}", tags.into_iter().collect::<Vec<_>>().join(" and ")));
        words
            .into_iter()
            .map(str::to_owned)
            .chain(tags)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The class of each proxy that differs.
    fn worst(&self) -> BTreeMap<(&str, &str), Class> {
        let mut worst: BTreeMap<(&str, &str), Class> = BTreeMap::new();
        for one in &self.differences {
            let class = worst.entry(key(one)).or_insert(one.class);
            *class = one.class.max(*class);
        }
        worst
    }

    /// The reasons why proxies do not keep their tracing, each with its proxies.
    pub(super) fn reasons(&self) -> Vec<Reason<'_>> {
        let mut reasons: BTreeMap<(&str, &str), Reason> = BTreeMap::new();
        for one in self.differences.iter().filter(|one| one.class == Class::Different) {
            let reason = reasons.entry((&one.field, &one.reason)).or_insert(Reason {
                example: one,
                proxies: BTreeSet::new(),
            });
            reason.proxies.insert(format!("{}/{}", one.mesh, one.dataplane));
        }
        let mut reasons: Vec<Reason> = reasons.into_values().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.proxies.len()));
        reasons
    }

    /// The report for people. `list` names all proxies and differences, `is_written` tells whether the files are edited.
    pub(super) fn text(&self, list: bool, is_written: bool) -> String {
        let mut out = format!("{}\n\n", self.summary());
        let Counts {
            identical,
            equivalent,
            different,
        } = self.proxies;
        let width = [identical, equivalent, different]
            .map(|number| counted(number).len())
            .into_iter()
            .max()
            .unwrap_or(1);
        for (class, number, words) in [
            ("identical", identical, String::new()),
            ("equivalent", equivalent, self.words(Class::Equivalent)),
            ("different", different, self.words(Class::Different)),
        ] {
            let noun = if number == 1 { "proxy" } else { "proxies" };
            let line = format!(
                "  {class:<12} {:>width$} {noun:<7}   {}",
                counted(number),
                printable(&words)
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out.push('\n');
        for reason in self.reasons() {
            out.push_str(&reason.text(list));
        }
        if list {
            for one in self.differences.iter().filter(|one| one.class == Class::Equivalent) {
                let _ = writeln!(out, "equivalent: {}", line(one));
            }
        }
        for one in &self.merged {
            let _ = writeln!(out, "merged: {}", printable(&merged(one)));
        }
        for one in &self.unmigrated {
            let what = format!(
                "{} `{}` ({}:{}): {}",
                one.kind, one.name, one.file, one.line, one.reason
            );
            let _ = writeln!(out, "unmigrated: {}", printable(&what));
        }
        out.push_str(match (different, is_written, self.written.is_empty()) {
            (0, _, true) => "Nothing is to be changed.\n",
            (0, true, _) => "Every proxy keeps its tracing. `git diff` shows the change.\n",
            (0, false, _) => "Every proxy keeps its tracing. `--write` edits the files.\n",
            (_, true, _) => "The files are edited although some proxies do not keep their tracing.\n",
            (_, false, _) => {
                "Some proxies do not keep their tracing; `--allow-changes` writes the closest that there is.\n"
            }
        });
        out
    }
}

/// A policy in the place of several, for people.
pub(super) fn merged(one: &Merged) -> String {
    let Merged {
        mesh,
        name,
        target,
        policies,
    } = one;
    format!(
        "{} of mesh {mesh} became `{name}`, for {target}: {}. It is for dataplanes that come later, too",
        plural(policies.len(), "policy"),
        few(policies)
    )
}

fn key(one: &Difference) -> (&str, &str) {
    (&one.mesh, &one.dataplane)
}

/// The name of the tag on spans that a difference is about.
fn tag(one: &Difference) -> Option<&str> {
    let (_, rest) = one.field.split_once("custom_tags[")?;
    Some(rest.split_once(']')?.0)
}

/// The field of a difference, for people.
fn word(one: &Difference) -> &str {
    let field = one.field.as_str();
    let last = field.rsplit('.').next().unwrap_or(field);
    match (field, last) {
        ("cluster", _) if one.listener.is_none() => "clusters without use",
        ("cluster", _) | (_, "alt_stat_name") => "names of clusters",
        ("name", _) => "names of listeners",
        ("tracing", _) => "listeners that are traced",
        (_, "shared_span_context") if one.class == Class::Equivalent => "explicit defaults",
        (field, "value") => match field.rsplit('.').nth(1) {
            Some(_) if one.class == Class::Equivalent => "explicit defaults",
            Some(sampling) => sampling,
            None => field,
        },
        (_, last) => last,
    }
}

fn line(one: &Difference) -> String {
    let listener = one.listener.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let (before, after) = (value(&one.before), value(&one.after));
    printable(&format!(
        "{}/{}{listener}: {} {before} -> {after} ({})",
        one.mesh, one.dataplane, one.field, one.reason
    ))
}

/// The reason why proxies do not keep their tracing.
pub(super) struct Reason<'r> {
    /// One of the differences.
    pub(super) example: &'r Difference,
    /// The proxies, as MESH/NAME.
    pub(super) proxies: BTreeSet<String>,
}

impl Reason<'_> {
    fn text(&self, list: bool) -> String {
        let names: Vec<&String> = self.proxies.iter().collect();
        let names = match list {
            true => names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "),
            false => few(&names),
        };
        let of = format!("{}: {names}", plural(self.proxies.len(), "proxy"));
        format!("different: {}\n           {}\n", line(self.example), printable(&of))
    }
}
