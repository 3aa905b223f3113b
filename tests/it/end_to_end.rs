//! From policies to spans: the program, real Envoys, and collectors that look at what arrives.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use crate::kit::datadog::Datadog;
use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::{Mesh, zipkin_backend};
use crate::kit::otlp::Otlp;
use crate::kit::wait;
use crate::kit::zipkin::{Span, Zipkin};

const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
const PARENT: &str = "0020000000000001";

/// Service and kind of a span, as a sorted list of them is compared.
fn service_and_kind(span: &Span) -> (String, String) {
    (
        span.local_endpoint.service_name.clone(),
        span.kind.clone().unwrap_or_default(),
    )
}

#[test]
fn spans_reach_zipkin_with_service_operation_and_parent() {
    let zipkin = Zipkin::start();
    let mesh = Mesh::new(&zipkin_backend("first", zipkin.address()), "http2");
    mesh.publish();
    let _envoys = mesh.envoys();

    let request = get(format!("http://{}/orders", mesh.web)).header("host", "shop.test");
    let request = request
        .header("x-b3-traceid", TRACE)
        .header("x-b3-spanid", PARENT)
        .header("x-b3-sampled", "1");
    let answer = request.send();

    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["called"]["body"]["app"], "backend");
    // The outbound cluster of an http2 service speaks HTTP/2, and so does that of its application.
    assert_eq!(answer.json()["called"]["body"]["version"], "HTTP/2.0");
    let spans = zipkin.wait_for(|spans| {
        let of_trace: Vec<Span> = spans.iter().filter(|span| span.trace_id == TRACE).cloned().collect();
        (of_trace.len() == 3).then_some(of_trace)
    });
    let mut found: Vec<_> = spans.iter().map(service_and_kind).collect();
    found.sort();
    let pair = |service: &str, kind: &str| (service.to_owned(), kind.to_owned());
    assert_eq!(
        found,
        [pair("backend", "SERVER"), pair("web", "CLIENT"), pair("web", "SERVER")]
    );
    let find = |service: &str, kind: &str| {
        spans
            .iter()
            .find(|span| service_and_kind(span) == pair(service, kind))
            .expect("one of each")
    };
    let (inbound, outbound, backend) = (find("web", "SERVER"), find("web", "CLIENT"), find("backend", "SERVER"));
    assert_eq!(
        (inbound.id.as_str(), inbound.shared, inbound.name.as_str()),
        (PARENT, true, "shop.test")
    );
    assert_eq!(outbound.parent_id.as_deref(), Some(PARENT));
    assert_eq!((&backend.id, backend.shared), (&outbound.id, true));
    assert_eq!(inbound.tags["node_id"], "default.web-01");
    let report = &zipkin.reports()[0];
    assert_eq!(
        (report.path.as_str(), report.host.as_str()),
        ("/api/v2/spans", zipkin.address().to_string().as_str())
    );
}

#[test]
fn spans_reach_datadog_and_pass_its_checks() {
    let agent = Datadog::start();
    let address = agent.address();
    let backend = format!(
        "  - name: first\n    type: datadog\n    conf: {{address: {}, port: {}, splitService: true}}\n",
        address.ip(),
        address.port(),
    );
    let mesh = Mesh::new(&backend, "http");
    mesh.publish();
    let envoys = mesh.envoys();

    let request = get(format!("http://{}/orders", mesh.web)).header("x-datadog-trace-id", "4711");
    let answer = request
        .header("x-datadog-parent-id", "42")
        .header("x-datadog-sampling-priority", "2")
        .send();

    assert_eq!(answer.status, 200, "{}", answer.body);
    let spans = agent.wait_for(|spans| {
        let of_trace: Vec<_> = spans.iter().filter(|span| span["trace_id"] == 4711).cloned().collect();
        (of_trace.len() == 3).then_some(of_trace)
    });
    let find = |service: &str| {
        spans
            .iter()
            .find(|span| span["service"] == service)
            .unwrap_or_else(|| panic!("{service}: {spans:#?}"))
    };
    let (inbound, outbound, backend) = (
        find("web_INBOUND"),
        find("web_OUTBOUND_backend"),
        find("backend_INBOUND"),
    );
    assert_eq!(
        (&inbound["parent_id"], &inbound["resource"]),
        (&json!(42), &json!("ingress"))
    );
    assert_eq!(outbound["parent_id"], inbound["span_id"]);
    assert!(
        outbound["resource"]
            .as_str()
            .is_some_and(|resource| resource.starts_with("egress"))
    );
    assert_eq!(backend["parent_id"], outbound["span_id"]);
    agent.assert_checks_green();
    for envoy in &envoys {
        assert_eq!(envoy.stat("tracing.datadog.reports_dropped"), Some(0));
    }
}

#[test]
fn an_edit_reaches_running_envoys_without_restart_or_failed_request() {
    let (first, second) = (Zipkin::start(), Zipkin::start());
    let backends = zipkin_backend("first", first.address()) + &zipkin_backend("second", second.address());
    let mesh = Mesh::new(&backends, "http");
    let daemon = mesh.daemon();
    wait::until("the daemon publishes", || {
        let there = mesh.published("web-01").join("effective.yaml").exists()
            && mesh.published("backend-01").join("effective.yaml").exists();
        there.then_some(()).ok_or_else(|| daemon.log())
    });
    let envoys = mesh.envoys();
    let (stop, sent, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let answer = get(format!("http://{}/", mesh.web)).try_send();
                sent.fetch_add(1, Ordering::SeqCst);
                if !answer.is_ok_and(|answer| answer.status == 200) {
                    failed.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let _stop = StopOnDrop(&stop);
        first.wait_for(|spans| (spans.len() >= 3).then_some(()));
        mesh.trace_all("second");
        let from_both = |spans: &[Span]| {
            let services: Vec<_> = spans
                .iter()
                .map(|span| span.local_endpoint.service_name.as_str())
                .collect();
            (services.contains(&"web") && services.contains(&"backend")).then_some(())
        };
        second.wait_for(from_both);
    });
    assert!(sent.load(Ordering::SeqCst) > 10, "there was traffic");
    assert_eq!(
        failed.load(Ordering::SeqCst),
        0,
        "of {} requests",
        sent.load(Ordering::SeqCst)
    );
    for envoy in &envoys {
        took_everything(envoy);
        let clusters = envoy.admin("/clusters");
        assert!(
            clusters.contains("tracing:second::") && !clusters.contains("tracing:first::"),
            "{clusters}"
        );
    }
    let log = daemon.log();
    assert!(
        log.contains("default: backend-01, web-01: collector") && log.contains("confirmed by 2 in"),
        "{log}"
    );
}

/// Ends the traffic when the test is over, however it ends.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One process, which never refused anything.
fn took_everything(envoy: &Envoy) {
    for stat in [
        "listener_manager.lds.update_rejected",
        "listener_manager.lds.update_failure",
        "cluster_manager.cds.update_rejected",
        "cluster_manager.cds.update_failure",
    ] {
        assert_eq!(envoy.stat(stat), Some(0), "{stat}");
    }
    assert_eq!(envoy.stat("listener_manager.listener_create_failure"), Some(0));
}

#[test]
fn policies_that_become_wrong_leave_running_envoys_alone() {
    let zipkin = Zipkin::start();
    let mesh = Mesh::new(&zipkin_backend("first", zipkin.address()), "http");
    mesh.publish();
    let [web, _backend] = mesh.envoys();
    let before = std::fs::read(mesh.published("web-01").join("xds/lds.yaml")).expect("published");
    mesh.trace_all("frist");
    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("did you mean `first`?") && said.contains("nothing was written for mesh default"),
        "{said}"
    );
    assert_eq!(
        std::fs::read(mesh.published("web-01").join("xds/lds.yaml")).expect("still there"),
        before
    );
    assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
    took_everything(&web);
}

/// A `MeshTrace` that sends everything to OpenTelemetry; what stands in `openTelemetry` is `conf`.
fn otel_policy(conf: &str) -> String {
    format!(
        "type: MeshTrace\nmesh: default\nname: otel\nspec:\n  default:\n    backends:\n    - type: OpenTelemetry\n      openTelemetry: {conf}\n    tags:\n    - {{name: team, literal: core}}\n    - {{name: tenant, header: {{name: x-tenant, default: none}}}}\n"
    )
}

/// Sends a request with a context of W3C, and looks at the three spans that come of it.
#[track_caller]
fn spans_continue_the_context(mesh: &Mesh, collector: &Otlp) {
    let request = get(format!("http://{}/orders", mesh.web)).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    let answer = request.header("x-tenant", "acme").send();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let spans = collector.wait_for(|spans| {
        let of_trace: Vec<_> = spans.iter().filter(|span| span.trace_id == TRACE).cloned().collect();
        (of_trace.len() == 3).then_some(of_trace)
    });
    let (server, client) = (2, 3);
    let find = |service: &str, kind: i32| {
        let found = spans
            .iter()
            .find(|span| (span.service.as_str(), span.kind) == (service, kind));
        found.unwrap_or_else(|| panic!("{service} {kind}: {spans:#?}"))
    };
    let (inbound, outbound, backend) = (find("web", server), find("web", client), find("backend", server));
    assert_eq!(inbound.parent_id, PARENT);
    assert_eq!((&outbound.parent_id, &backend.parent_id), (&inbound.id, &outbound.id));
    for (name, value) in [
        ("team", "core"),
        ("tenant", "acme"),
        ("kuma.mesh", "default"),
        ("kuma.zone", "default"),
    ] {
        let attribute = (name.to_owned(), value.to_owned());
        assert!(
            inbound.attributes.contains(&attribute),
            "{name}: {:?}",
            inbound.attributes
        );
    }
}

#[test]
fn spans_reach_opentelemetry_over_grpc() {
    let collector = Otlp::start();
    let mesh = Mesh::new(&zipkin_backend("first", collector.address()), "grpc");
    mesh.write(
        "trace-all.yaml",
        &otel_policy(&format!("{{endpoint: \"{}\"}}", collector.address())),
    );
    mesh.publish();
    let _envoys = mesh.envoys();
    spans_continue_the_context(&mesh, &collector);
    let report = &collector.reports()[0];
    assert!(
        report.path.ends_with("TraceService/Export") && report.version == "HTTP/2.0",
        "{report:?}"
    );
}

#[test]
fn spans_reach_opentelemetry_over_http_and_a_switch_from_zipkin_loses_no_request() {
    let (zipkin, collector) = (Zipkin::start(), Otlp::start());
    let mesh = Mesh::new(&zipkin_backend("first", zipkin.address()), "http");
    mesh.publish();
    let envoys = mesh.envoys();
    assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
    zipkin.wait_for(|spans| (spans.len() >= 3).then_some(()));

    let address = collector.address();
    let backend = format!(
        "type: MeshOpenTelemetryBackend\nmesh: default\nname: collector\nspec:\n  endpoint: {{address: {}, port: {}, path: /tenant-a/}}\n  protocol: http\n",
        address.ip(),
        address.port(),
    );
    mesh.write("collector.yaml", &backend);
    let reference = "{backendRef: {kind: MeshOpenTelemetryBackend, labels: {kuma.io/display-name: collector}}}";
    mesh.write("trace-all.yaml", &otel_policy(reference));
    mesh.publish();
    // The proxies keep the connection between them, and what it was traced by, until it drains.
    wait::until("both proxies send to the new collector", || {
        assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
        let services =
            collector.wait_for(|spans| Some(spans.iter().map(|span| span.service.clone()).collect::<Vec<_>>()));
        let both = ["web", "backend"]
            .iter()
            .all(|service| services.iter().any(|own| own == service));
        both.then_some(()).ok_or_else(|| services.join(", "))
    });
    spans_continue_the_context(&mesh, &collector);
    let report = &collector.reports()[0];
    assert_eq!(
        (report.path.as_str(), report.version.as_str()),
        ("/tenant-a/v1/traces", "HTTP/1.1")
    );
    envoys.iter().for_each(took_everything);
}
