//! `no-resources`: nothing in the policies is a resource of Kuma.

use crate::compilation::Compilation;
use crate::diag::{Code, Diagnostic, Diagnostics, Holds, Place, Severity};
use crate::source::{Snapshot, UnreadableReason};

/// The smallest files that would do something.
const SMALLEST: &str = "the smallest policies that work are three documents:

type: Mesh
name: default
tracing:
  defaultBackend: zipkin
  backends:
  - {name: zipkin, type: zipkin, conf: {url: \"http://127.0.0.1:9411/api/v2/spans\"}}
---
type: TrafficTrace
mesh: default
name: trace-all
selectors:
- match: {kuma.io/service: \"*\"}
---
type: Dataplane
mesh: default
name: web-01
networking:
  address: 127.0.0.1
  inbound:
  - {port: 8080, servicePort: 18080, tags: {kuma.io/service: web, kuma.io/protocol: http}}";

/// One finding for a snapshot in which nothing is a resource of Kuma. A file that cannot be read has a finding of its
/// own.
pub fn no_resources(snapshot: &Snapshot, compilation: &Compilation, diagnostics: &mut Diagnostics) {
    let is_readable = (snapshot.unreadable.iter()).all(|file| file.reason == UnreadableReason::Empty);
    if compilation.resources.seen > 0 || !is_readable || diagnostics.has_errors() {
        return;
    }
    let message = match snapshot.len() {
        0 => "no .yaml, .yml or .json file here; hidden files and directories are passed over".to_owned(),
        1 => "nothing that concerns tracing in the one file here".to_owned(),
        n => format!("nothing that concerns tracing in the {n} files here"),
    };
    let place = Place::File(String::new());
    let finding = Diagnostic::new(Severity::Error, Code::NoResources, place, message);
    diagnostics.push(finding.holds(Holds::All).help(SMALLEST));
}
