//! The shape `overlay`: an Envoy that somebody configured, with tracing on the connection managers of a dataplane, and
//! nothing else changed.

mod message;

mod listener;

mod document;

mod claim;

mod untraced;

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::claim::{Claims, Part, parts};
use self::document::Document;
use self::listener::{BaseListener, Manager};
use self::message::{field, list, text};
use super::artifact::{Artifact, Files};
use super::bootstrap;
use super::cluster;
use super::env::RenderEnv;
use super::layout::listener_name;
use super::shape::{Base, ExistingTracing, Overlay, SamplingChange, Shaped};
use super::tracing;
use crate::diag::{Code, Diagnostic, Place, Severity};
use crate::ir::{Listener, Proxy};
use crate::source::{Location, Opened};
use crate::words::{closest, few};
use crate::yaml::Limits;
use crate::yaml::edit::{self, Edit};
use crate::yaml::written::Way;

/// The number of entries without a listener that get advice.
const MOST_ADVICE: usize = 20;

/// The files of an overlay; `None`, with the reasons in `findings`, when tracing cannot be added.
pub(super) fn files(
    shaped: &Shaped,
    overlay: &Overlay,
    env: &RenderEnv,
    findings: &mut Vec<Diagnostic>,
) -> Option<Files> {
    let limits = &env.limits;
    let opened = shaped.bases.iter().map(|base| base.file.as_ref().map(Opened::from));
    let opened: Vec<_> = opened.collect();
    let (documents, mut errors) = read(&shaped.bases, &opened, limits);
    if !errors.is_empty() {
        findings.extend(errors);
        return None;
    }
    let listeners = all_listeners(&documents);
    check_names(&listeners, &mut errors);
    let claims = Claims::of(&shaped.proxy, &listeners, &overlay.listeners);
    let mut work = Work {
        shaped,
        proxy: &shaped.proxy,
        overlay,
        documents: &documents,
        limits,
        out: &env.out,
        edits: documents.iter().map(|_| Vec::new()).collect(),
        needs_cluster: BTreeSet::new(),
        findings,
    };
    work.trace_all(&listeners, &claims);
    // Without it, no listener waits for a runtime that the bootstrap does not have.
    let needs_runtime = shaped.sampling == SamplingChange::Hitless && !work.needs_cluster.is_empty();
    if needs_runtime {
        work.add_runtime(&bootstrap::runtime_layer(shaped, env), &mut errors);
    }
    let clusters = work.clusters(&mut errors);
    let mut files = Files::new();
    if needs_runtime {
        files.insert(Artifact::Rtds, tracing::rtds(&shaped.proxy));
    }
    for ((document, edits), clusters) in documents.iter().zip(work.edits).zip(clusters) {
        match document.edited(edits, clusters, limits) {
            Ok(text) => drop(files.insert(document.artifact, text.into())),
            Err(error) => errors.push(document.refuse(format!("tracing cannot be added to this file: {error}"))),
        }
    }
    let is_sound = errors.is_empty();
    work.findings.extend(errors);
    is_sound.then_some(files)
}

/// The listeners of all documents.
fn all_listeners<'w, 't>(documents: &'w [Document<'t>]) -> Vec<BaseListener<'w, 't>> {
    let all = documents.iter().enumerate();
    all.flat_map(|(i, document)| document.listeners(i)).collect()
}

/// The documents of base files, and the findings about those that are none.
fn read<'t>(
    bases: &[Base],
    files: &'t [Result<Opened, &Cow<str>>],
    limits: &'t Limits,
) -> (Vec<Document<'t>>, Vec<Diagnostic>) {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for (base, file) in bases.iter().zip(files) {
        let document = match file {
            Ok(file) => Document::read(base.artifact, file, limits),
            Err(reason) => Err(unusable(base, reason)),
        };
        match document {
            Ok(document) => documents.push(document),
            Err(finding) => errors.push(*finding),
        }
    }
    (documents, errors)
}

fn unusable(base: &Base, reason: &str) -> Box<Diagnostic> {
    let place = Place::File(base.path.clone());
    let message = format!("the Envoy that tracing should be added to cannot be read: {reason}");
    let finding = Diagnostic::new(Severity::Error, Code::UnusableBase, place, message);
    Box::new(finding.help("put the file in its place, or name another one in `shapes` of the settings"))
}

/// Reports listeners of one name, of which Envoy takes one and ignores the others.
fn check_names(listeners: &[BaseListener], errors: &mut Vec<Diagnostic>) {
    let mut names = BTreeSet::new();
    for listener in listeners.iter().filter(|listener| !listener.name.is_empty()) {
        if !names.insert(listener.name) {
            let message = format!(
                "another listener is also named `{}`, and Envoy takes only one of them",
                listener.name
            );
            let finding = Diagnostic::error(Code::UnusableBase, &listener.message.at(), message);
            errors.push(finding.help("rename one of them"));
        }
    }
}

/// The tracing that is added to the documents of one proxy.
struct Work<'w, 't, 'f> {
    shaped: &'w Shaped,
    proxy: &'w Proxy,
    overlay: &'w Overlay,
    documents: &'w [Document<'t>],
    limits: &'w Limits,
    /// The output directory.
    out: &'w str,
    /// The edits of each document.
    edits: Vec<Vec<(Way, Edit)>>,
    /// The files that need the cluster of the collector: listeners of the bootstrap need it in the bootstrap, and others do
    /// not wait for a restart.
    needs_cluster: BTreeSet<Artifact>,
    findings: &'f mut Vec<Diagnostic>,
}

impl<'w> Work<'w, '_, '_> {
    /// Traces all parts as the entries that claim them ask for.
    fn trace_all(&mut self, listeners: &[BaseListener], claims: &Claims<'w>) {
        for (i, base) in listeners.iter().enumerate() {
            let all: Vec<_> = parts(i, base).map(|part| (part, claims.parts.get(&part))).collect();
            all.iter()
                .for_each(|(part, entry)| entry.iter().for_each(|entry| self.trace(base, *part, entry)));
            if all.iter().any(|(part, entry)| part.1.is_some() && entry.is_none()) {
                self.report_unclaimed(base);
            }
        }
        for (i, entry) in claims.unmatched.iter().enumerate() {
            // Advice compares an entry with all listeners, so only the first findings have it.
            let near = if i < MOST_ADVICE {
                nearest(entry, listeners)
            } else {
                Vec::new()
            };
            self.report_unmatched(entry, near);
        }
    }

    /// Traces a part as its entry asks for.
    fn trace(&mut self, base: &BaseListener, (_, manager): Part, entry: &'w Listener) {
        let Some(wanted) = tracing::of_shape(self.shaped, entry) else {
            return;
        };
        let Some(manager) = manager.map(|manager| &base.managers[manager]) else {
            let at = base.describe();
            let (message, help) = if base.has_remote_manager {
                let message =
                    format!("the connection manager of {at} comes from extension discovery, so it cannot be traced");
                (message, "put the connection manager into the file")
            } else {
                let message = format!("{at} has no HTTP connection manager that could be traced");
                (
                    message,
                    "correct the protocol of the entry, or give the listener a connection manager",
                )
            };
            self.findings.push(not_in_base(entry, message).help(help));
            return;
        };
        let wanted = json!(wanted);
        if !self.set(base, manager, "tracing", wanted) {
            return;
        }
        let request_ids = json!(tracing::request_ids(self.proxy, entry, None));
        for (key, value) in request_ids.as_object().into_iter().flatten() {
            self.set(base, manager, key, value.clone());
        }
        self.leave_out_untraced(base, manager);
        self.needs_cluster.insert(match self.documents[base.document].artifact {
            Artifact::Bootstrap => Artifact::Bootstrap,
            _ => Artifact::Cds,
        });
    }

    /// Adds routes for the requests that are not traced.
    fn leave_out_untraced(&mut self, base: &BaseListener, manager: &Manager) {
        let entries = &self.proxy.additions.untraced;
        if entries.is_empty() {
            return;
        }
        match untraced::edits(manager, entries, self.limits) {
            Some(edits) => self.edits[base.document].extend(edits),
            None => {
                let message = format!(
                    "`untraced` has no effect on {}: its routes are not all in the file",
                    base.describe()
                );
                let finding = Diagnostic::warning(Code::NotInBase, &manager.message.at(), message);
                self.findings
                    .push(finding.help("put them into `route_config` of its connection manager"));
            }
        }
    }

    /// Sets a field of a connection manager; `false` if another value stays.
    fn set(&mut self, base: &BaseListener, manager: &Manager, key: &str, wanted: Value) -> bool {
        let own = field(&manager.message, key);
        if own.as_ref().is_some_and(|own| edit::means(own, &wanted, self.limits)) {
            return true;
        }
        if let Some(own) = own {
            self.findings
                .push(existing(base, (key, own.at()), self.overlay.existing));
            if self.overlay.existing == ExistingTracing::Keep {
                return false;
            }
        }
        let set = Edit::set(key, wanted, "stat_prefix");
        self.edits[base.document].push((manager.message.way().clone(), set));
        true
    }

    /// Adds the layer of the runtime that has the sampling to the bootstrap, before all others, which it does not overrule.
    fn add_runtime(&mut self, layer: &Value, errors: &mut Vec<Diagnostic>) {
        let is_bootstrap = |document: &Document| document.artifact == Artifact::Bootstrap;
        let Some(index) = self.documents.iter().position(is_bootstrap) else {
            return;
        };
        let document = &self.documents[index];
        let top = document.written.top();
        if ["node.id", "node.cluster"]
            .iter()
            .any(|path| text(&top, path).is_none_or(str::is_empty))
        {
            let message =
                "with `sampling: hitless`, Envoy reads a file that needs `node.id` and `node.cluster` in the bootstrap";
            errors.push(document.refuse(message.to_owned()).help("add both to the file"));
            return;
        }
        let layers =
            field(&top, "layered_runtime.layers").filter(|layers| layers.items().is_some_and(|all| !all.is_empty()));
        let edit = match layers {
            Some(layers)
                if list(&top, "layered_runtime.layers")
                    .iter()
                    .any(|own| edit::means(own, layer, self.limits)) =>
            {
                drop(layers);
                return;
            }
            Some(layers) => (layers.way().clone(), Edit::Prepend(vec![layer.clone()])),
            None => {
                let admin = json!({"name": "admin", "admin_layer": {}});
                let is_camel = top.get("layeredRuntime").is_some();
                let key = if is_camel { "layeredRuntime" } else { "layered_runtime" };
                let set = Edit::set(key, json!({"layers": [layer, admin]}), "admin");
                (top.way().clone(), set)
            }
        };
        self.edits[index].push(edit);
    }

    /// The clusters that are added to each document.
    fn clusters(&self, errors: &mut Vec<Diagnostic>) -> Vec<Vec<Value>> {
        let export = self.proxy.tracer.as_ref().and_then(|tracer| tracer.export.as_ref());
        let Some(export) = export else {
            return self.documents.iter().map(|_| Vec::new()).collect();
        };
        let [plain, typed] = [false, true].map(|is_typed| {
            let message = cluster::collector(self.proxy, export, self.out);
            json!(if is_typed { message.typed() } else { message })
        });
        let name = export.cluster_name.as_str();
        let mut added = |document: &Document| {
            if !self.needs_cluster.contains(&document.artifact) {
                return Vec::new();
            }
            let mut clusters = document.clusters().into_iter();
            let Some(own) = clusters.find(|message| text(message, "name") == Some(name)) else {
                return vec![match document.artifact {
                    Artifact::Bootstrap => plain.clone(),
                    _ => typed.clone(),
                }];
            };
            if ![&plain, &typed]
                .into_iter()
                .any(|message| edit::means(&own, message, self.limits))
            {
                let message =
                    format!("this cluster has the name of the collector's cluster, `{name}`, and another content");
                let finding = Diagnostic::error(Code::UnusableBase, &own.at(), message);
                errors.push(finding.help("rename it, or remove it if it is that collector"));
            }
            Vec::new()
        };
        self.documents.iter().map(&mut added).collect()
    }

    fn report_unclaimed(&mut self, base: &BaseListener) {
        let is_meant = |name: &str| self.overlay.listeners.iter().any(|rule| rule.is_for_nothing(name));
        if self.proxy.tracer.is_none() || is_meant(base.name) {
            return;
        }
        let message = format!(
            "{} belongs to no inbound or outbound of dataplane `{}`, so it is not traced",
            base.describe(),
            self.proxy.key.dataplane
        );
        let help = format!(
            "add it to the Dataplane; or say what it belongs to with `listeners: [{{name: {0}, inbound: PORT}}]` in `shapes` of the settings; or leave it out with `{{name: {0}}}`",
            if base.name.is_empty() { "NAME" } else { base.name }
        );
        let finding = Diagnostic::warning(Code::UnclaimedListener, &base.message.at(), message);
        self.findings.push(finding.help(help));
    }

    fn report_unmatched(&mut self, entry: &Listener, nearest: Vec<String>) {
        if tracing::block(self.proxy, entry).is_none() {
            return;
        }
        let name = listener_name(entry);
        let message = format!("no listener of its Envoy has the address or the name of `{name}`, so it is not traced");
        let rule = "`listeners` in `shapes` of the settings can say which one it is";
        let help = match nearest.as_slice() {
            [] => rule.to_owned(),
            nearest => format!("the nearest: {}; {rule}", few(nearest)),
        };
        self.findings.push(not_in_base(entry, message).help(help));
    }
}

/// The listeners that an entry may be meant for, for a person: those of its port, else that of a similar name, else the first.
fn nearest(entry: &Listener, listeners: &[BaseListener]) -> Vec<String> {
    let has_port = |base: &&BaseListener| base.addresses.iter().any(|address| address.port == entry.port);
    let mut near: Vec<&BaseListener> = listeners.iter().filter(has_port).collect();
    if near.is_empty() {
        let closest = closest(&listener_name(entry), listeners.iter().map(|base| base.name));
        let is_close = |base: &&BaseListener| closest.is_none_or(|closest| base.name == closest);
        near = listeners.iter().filter(is_close).collect();
    }
    near.into_iter().map(BaseListener::describe).collect()
}

fn not_in_base(entry: &Listener, message: String) -> Diagnostic {
    Diagnostic::warning(Code::NotInBase, &entry.at, message).path(entry.path.as_str())
}

/// The finding about tracing that a base file sets already.
fn existing(base: &BaseListener, (key, at): (&str, Location), existing: ExistingTracing) -> Diagnostic {
    let (what, help) = match existing {
        ExistingTracing::Keep => (
            "stays, whatever the policies say",
            "remove it, or set `existing: replace` in `shapes` of the settings",
        ),
        ExistingTracing::Replace => (
            "is replaced by that of the policies",
            "remove it, so that the file does not promise what Envoy does not get",
        ),
    };
    let message = format!("the {key} that {} has already {what}", base.describe());
    Diagnostic::warning(Code::TracingInBase, &at, message).help(help)
}
