//! From policies to spans: the program, real Envoys, and collectors that check the received spans.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::kit::collector::{Collector, DatadogAgent, Kind, Span, of_trace};
use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::wait;

const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
const PARENT: &str = "0020000000000001";

/// The span of a service and a kind.
#[track_caller]
fn span_of<'s>(spans: &'s [Span], service: &str, kind: Option<Kind>) -> &'s Span {
    let found = spans.iter().find(|span| span.service == service && span.kind == kind);
    found.unwrap_or_else(|| panic!("{service} {kind:?}: {spans:#?}"))
}

#[test]
fn spans_reach_zipkin_with_service_operation_and_parent() {
    let zipkin = Collector::start();
    let mesh = Mesh::builder()
        .backends(&[Backend::zipkin("first", zipkin.address())])
        .protocol("http2")
        .start();
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
    let spans = zipkin.wait_for(|spans| of_trace(spans, TRACE, 3));
    let inbound = span_of(&spans, "web", Some(Kind::Server));
    let outbound = span_of(&spans, "web", Some(Kind::Client));
    let backend = span_of(&spans, "backend", Some(Kind::Server));
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
    let agent = DatadogAgent::start();
    let backend = Backend::datadog("first", agent.address());
    let mesh = Mesh::builder().backends(&[backend]).start();
    mesh.publish();
    let envoys = mesh.envoys();

    let request = get(format!("http://{}/orders", mesh.web)).header("x-datadog-trace-id", "4711");
    let answer = request
        .header("x-datadog-parent-id", "42")
        .header("x-datadog-sampling-priority", "2")
        .send();

    assert_eq!(answer.status, 200, "{}", answer.body);
    let spans = agent.wait_for(|spans| of_trace(spans, "4711", 3));
    let inbound = span_of(&spans, "web_INBOUND", None);
    let outbound = span_of(&spans, "web_OUTBOUND_backend", None);
    let backend = span_of(&spans, "backend_INBOUND", None);
    assert_eq!(
        (inbound.parent_id.as_deref(), inbound.name.as_str()),
        (Some("42"), "ingress")
    );
    assert_eq!(outbound.parent_id.as_ref(), Some(&inbound.id));
    assert!(outbound.name.starts_with("egress"), "{}", outbound.name);
    assert_eq!(backend.parent_id.as_ref(), Some(&outbound.id));
    agent.assert_checks_green();
    for envoy in &envoys {
        assert_eq!(envoy.stat("tracing.datadog.reports_dropped"), Some(0));
    }
}

#[test]
fn an_edit_reaches_running_envoys_without_restart_or_failed_request() {
    let (first, second) = (Collector::start(), Collector::start());
    let backends = [("first", &first), ("second", &second)];
    let backends = backends.map(|(name, collector)| Backend::zipkin(name, collector.address()));
    let mesh = Mesh::builder().backends(&backends).start();
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
            let services: Vec<_> = spans.iter().map(|span| span.service.as_str()).collect();
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

/// Checks that one process ran all the time and rejected no update.
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
    let zipkin = Collector::start();
    let mesh = Mesh::builder()
        .backends(&[Backend::zipkin("first", zipkin.address())])
        .start();
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
fn spans_continue_the_context(mesh: &Mesh, collector: &Collector) {
    let request = get(format!("http://{}/orders", mesh.web)).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    let answer = request.header("x-tenant", "acme").send();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let spans = collector.wait_for(|spans| of_trace(spans, TRACE, 3));
    let inbound = span_of(&spans, "web", Some(Kind::Server));
    let outbound = span_of(&spans, "web", Some(Kind::Client));
    let backend = span_of(&spans, "backend", Some(Kind::Server));
    assert_eq!(inbound.parent_id.as_deref(), Some(PARENT));
    assert_eq!(outbound.parent_id.as_ref(), Some(&inbound.id));
    assert_eq!(backend.parent_id.as_ref(), Some(&outbound.id));
    for (name, value) in [
        ("team", "core"),
        ("tenant", "acme"),
        ("kuma.mesh", "default"),
        ("kuma.zone", "default"),
    ] {
        assert_eq!(
            inbound.tags.get(name).map(String::as_str),
            Some(value),
            "{name}: {:?}",
            inbound.tags
        );
    }
}

#[test]
fn spans_reach_opentelemetry_over_grpc() {
    let collector = Collector::start();
    let mesh = Mesh::builder()
        .backends(&[Backend::zipkin("first", collector.address())])
        .protocol("grpc")
        .start();
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
    let (zipkin, collector) = (Collector::start(), Collector::start());
    let mesh = Mesh::builder()
        .backends(&[Backend::zipkin("first", zipkin.address())])
        .start();
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
