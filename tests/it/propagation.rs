//! The headers that a real Envoy reads and writes, by tracer, compared with those of `explain`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use meshtraced::explain::propagation::{Headers, ZIPKIN_WITH_W3C, of_provider};
use serde_json::{Value, json};

use crate::kit::collector::Collector;
use crate::kit::http::get;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::tools;

/// A backend of each provider, and Zipkin's once more for settings that ask for W3C's header. Where nobody is at home headers are the
/// same.
fn backends(zipkin: SocketAddr) -> [(&'static str, String); 4] {
    let of_zipkin =
        format!("type: Zipkin\n      zipkin: {{url: \"http://{zipkin}/api/v2/spans\", traceId128bit: true}}");
    [
        ("zipkin", of_zipkin.clone()),
        (ZIPKIN_WITH_W3C, of_zipkin),
        (
            "datadog",
            "type: Datadog\n      datadog: {url: \"http://127.0.0.1:1\"}".to_owned(),
        ),
        (
            "opentelemetry",
            "type: OpenTelemetry\n      openTelemetry: {endpoint: \"127.0.0.1:1\"}".to_owned(),
        ),
    ]
}

/// Headers that continue a trace, as programs write them together, and the id of the trace.
const INCOMING: [(&[(&str, &str)], &str); 4] = [
    (
        &[
            ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
            ("x-b3-spanid", "0020000000000001"),
            ("x-b3-sampled", "1"),
        ],
        "463ac35c9f6413ad48485a3953bb6124",
    ),
    (
        &[("b3", "463ac35c9f6413ad48485a3953bb6125-0020000000000001-1")],
        "463ac35c9f6413ad48485a3953bb6125",
    ),
    (
        &[
            ("x-datadog-trace-id", "4711471147114711"),
            ("x-datadog-parent-id", "42"),
            ("x-datadog-sampling-priority", "2"),
        ],
        "4711471147114711",
    ),
    (
        &[("traceparent", "00-463ac35c9f6413ad48485a3953bb6126-0020000000000001-01")],
        "463ac35c9f6413ad48485a3953bb6126",
    ),
];

#[test]
fn headers_are_read_and_written_as_explain_says() {
    for release in tools::releases() {
        headers_of(release);
    }
}

fn headers_of(release: &Path) {
    let zipkin = Collector::start();
    for (provider, backend) in backends(zipkin.address()) {
        let mesh = Mesh::builder()
            .backends(&[Backend::zipkin("first", zipkin.address())])
            .start();
        let policy = format!(
            "type: MeshTrace\nmesh: default\nname: trace-all\nspec:\n  default:\n    backends:\n    - {backend}\n"
        );
        mesh.write("trace-all.yaml", &policy);
        let is_w3c = provider == ZIPKIN_WITH_W3C;
        mesh.settings(&json!({"spans": [{"w3c": is_w3c}]}));
        assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
        let explained = mesh
            .meshtraced(&["explain", "default/web-01", "--config", "settings.yaml"])
            .output();
        let explained = String::from_utf8(explained.expect("it starts").stdout).expect("text");
        let _envoys = mesh.envoys_of(release);
        let Headers { reads, writes } = of_provider(provider);
        assert!(
            explained.contains(&format!("reads   {}\n", reads.join(", "))),
            "{explained}"
        );

        let seen = behind(&get(format!("http://{}/", mesh.web)).send().json());
        let found: BTreeSet<&str> = seen.keys().map(String::as_str).collect();
        assert_eq!(found, writes.iter().copied().collect(), "written by {provider}");

        for (headers, id) in INCOMING {
            let request = get(format!("http://{}/", mesh.web));
            let request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(name, value));
            let seen = behind(&request.send().json());
            let continued = continues(&seen, headers, id);
            // A server span of Zipkin has the ids of its caller, so its headers stay as they were.
            let passed_on = provider.starts_with("zipkin") && zipkin_continues(&zipkin, &seen, id);
            let is_read = reads.contains(&headers[0].0);
            assert_eq!(
                continued || passed_on,
                is_read,
                "{} by {provider}: {seen:?}",
                headers[0].0
            );
        }
    }
}

/// Whether a header that the proxy wrote belongs to the trace that came in.
fn continues(seen: &BTreeMap<String, String>, sent: &[(&str, &str)], id: &str) -> bool {
    let is_written = |name: &str, value: &str| !sent.contains(&(name, value));
    let names_it = seen
        .iter()
        .any(|(name, value)| is_written(name, value) && value.contains(id));
    let new_span = seen
        .get("x-datadog-parent-id")
        .is_some_and(|parent| is_written("x-datadog-parent-id", parent));
    names_it || (new_span && seen.get("x-datadog-trace-id").is_some_and(|own| own == id))
}

/// Whether a span of the trace that came in arrives at Zipkin, rather than one of a trace of its own.
fn zipkin_continues(zipkin: &Collector, seen: &BTreeMap<String, String>, id: &str) -> bool {
    let own = seen.get("x-b3-traceid").map_or(id, String::as_str);
    zipkin.wait_for(|spans| spans.iter().any(|span| span.trace_id == own).then_some(own == id))
}

/// The headers of tracing that the application behind the first proxy sees.
fn behind(answer: &Value) -> BTreeMap<String, String> {
    let headers = answer["headers"].as_object().expect("headers");
    let concerns = |name: &str| {
        name.starts_with("x-b3-")
            || name.starts_with("x-datadog-")
            || ["b3", "traceparent", "tracestate"].contains(&name)
    };
    headers
        .iter()
        .filter(|(name, _)| concerns(name))
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}
