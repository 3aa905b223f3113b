//! Datadog's own test agent, which receives traces like the real agent and checks the rules for tracers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use serde::Deserialize;
use tempfile::TempDir;

use super::span::Span;
use crate::kit::http::get;
use crate::kit::process::Process;
use crate::kit::{ports, tools, wait};

/// Enables every check of the agent except that of the content length, which Envoy's chunked requests do not have.
const LAUNCHER: &str = r#"
import os
from ddapm_test_agent import agent, trace_checks
names = [known.name for known in vars(trace_checks).values() if hasattr(known, "name") and hasattr(known, "check")]
names.remove("trace_content_length")
os.environ["ENABLED_CHECKS"] = ",".join(names)
agent.main()
"#;

/// The number of results of a check, by outcome.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(crate) struct Outcomes {
    #[serde(rename = "Passed_Checks")]
    pub(crate) passed: u64,
    #[serde(rename = "Failed_Checks")]
    pub(crate) failed: u64,
    #[serde(rename = "Skipped_Checks")]
    pub(crate) skipped: u64,
}

/// A span in the form of the agent, with the fields that Envoy sets.
#[derive(Deserialize)]
struct DatadogSpan {
    trace_id: u64,
    span_id: u64,
    #[serde(default)]
    parent_id: u64,
    service: String,
    resource: String,
    #[serde(default)]
    meta: BTreeMap<String, String>,
}

impl From<DatadogSpan> for Span {
    fn from(span: DatadogSpan) -> Self {
        Self {
            trace_id: span.trace_id.to_string(),
            id: span.span_id.to_string(),
            parent_id: (span.parent_id != 0).then(|| span.parent_id.to_string()),
            service: span.service,
            name: span.resource,
            // Envoy does not send the kind to Datadog.
            kind: None,
            shared: false,
            tags: span.meta,
            resource: BTreeMap::new(),
        }
    }
}

/// The running agent; killed when dropped.
pub(crate) struct DatadogAgent {
    process: Process,
    address: SocketAddr,
    _dir: TempDir,
}

impl DatadogAgent {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = ports::socket(8126);
        let mut command = Command::new(tools::datadog_python());
        command.args([
            "-c",
            LAUNCHER,
            "--host",
            &address.ip().to_string(),
            "--port",
            &address.port().to_string(),
        ]);
        command.args([
            "--pool-trace-check-failures",
            "true",
            "--disable-llmobs-data-forwarding",
        ]);
        command.current_dir(dir.path());
        let process = Process::spawn(command, dir.path().join("agent.log"));
        let mut agent = Self {
            process,
            address,
            _dir: dir,
        };
        wait::until("Datadog's test agent answers", || {
            agent.process.assert_alive();
            get(agent.url("/info")).try_send()
        });
        agent
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All spans so far.
    #[track_caller]
    pub(crate) fn spans(&self) -> Vec<Span> {
        let traces = get(self.url("/test/traces")).send().json();
        let traces: Vec<Vec<DatadogSpan>> = serde_json::from_value(traces).expect("traces, each a list of spans");
        traces.into_iter().flatten().map(Span::from).collect()
    }

    /// Waits until `find` returns a value for all spans received so far.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, mut find: impl FnMut(&[Span]) -> Option<T>) -> T {
        wait::until("a span at Datadog's test agent", || {
            let spans = self.spans();
            find(&spans).ok_or_else(|| format!("{spans:#?}\nagent:\n{}", self.process.last_lines(20)))
        })
    }

    /// The results of all checks so far, by name.
    #[track_caller]
    pub(crate) fn checks(&self) -> BTreeMap<String, Outcomes> {
        let summary = get(self.url("/test/trace_check/summary?return_all=true")).send().json();
        serde_json::from_value(summary).expect("outcomes by name")
    }

    /// Panics unless checks were made and all succeeded.
    #[track_caller]
    pub(crate) fn assert_checks_green(&self) {
        let failures = get(self.url("/test/trace_check/failures?return_all=true")).send();
        assert_eq!(failures.status, 200, "{}", failures.body);
        let checks = self.checks();
        assert!(
            checks.values().any(|outcomes| outcomes.passed > 0),
            "no check was made: {checks:?}"
        );
        assert!(checks.values().all(|outcomes| outcomes.failed == 0), "{checks:#?}");
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
