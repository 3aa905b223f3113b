//! Tests of the kit itself, with hand-written Envoy configuration: a faulty tool makes every other test worthless.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::kit::app::App;
use crate::kit::collector::{Collector, DatadogAgent, Kind, of_trace};
use crate::kit::envoy::Envoy;
use crate::kit::full_disk::FullDisk;
use crate::kit::http::{get, post};
use crate::kit::parallel::in_parallel;
use crate::kit::unprivileged::Unprivileged;
use crate::kit::validate::{validate, validate_many, validate_resources};
use crate::kit::{ports, tools, wait};

const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
const PARENT: &str = "0020000000000001";

fn zipkin_provider() -> Value {
    json!({"name": "envoy.tracers.zipkin", "typed_config": {
        "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
        "collector_cluster": "tracing:collector",
        "collector_endpoint": "/api/v2/spans",
        "collector_endpoint_version": "HTTP_JSON",
        "collector_hostname": "zipkin.test:9411",
        "trace_id_128bit": true,
        "shared_span_context": true,
    }})
}

fn datadog_provider(agent: SocketAddr) -> Value {
    json!({"name": "envoy.tracers.datadog", "typed_config": {
        "@type": "type.googleapis.com/envoy.config.trace.v3.DatadogConfig",
        "collector_cluster": "tracing:collector",
        "collector_hostname": agent.to_string(),
        "service_name": "web",
    }})
}

fn listener(at: SocketAddr, cluster: &str, direction: &str, provider: &Value) -> Value {
    json!({
        "name": format!("{}:{at}", direction.to_lowercase()),
        "traffic_direction": direction,
        "address": {"socket_address": {"address": at.ip(), "port_value": at.port()}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": cluster,
                "tracing": {"provider": provider, "spawn_upstream_span": false},
                "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
                "route_config": {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]}]},
            },
        }]}],
    })
}

fn cluster(name: &str, to: SocketAddr) -> Value {
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address":
            {"socket_address": {"address": to.ip(), "port_value": to.port()}}}}]}]},
    })
}

fn http2(mut cluster: Value) -> Value {
    cluster["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }});
    cluster
}

/// A bootstrap of proxy `name`, as a file in `dir`.
fn bootstrap(dir: &Path, name: &str, listeners: &[Value], clusters: &[Value]) -> PathBuf {
    let path = dir.join(format!("{name}.yaml"));
    let text = json!({
        "node": {"id": format!("default.{name}-01"), "cluster": name},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    });
    fs::write(&path, text.to_string()).expect("written");
    path
}

/// An xDS file: resources of one type.
fn discovery_response(path: &Path, version: &str, kind: &str, mut resources: Vec<Value>) {
    for resource in &mut resources {
        resource["@type"] = json!(format!("type.googleapis.com/envoy.config.{kind}"));
    }
    let temporary = path.with_extension("new");
    fs::write(
        &temporary,
        json!({"version_info": version, "resources": resources}).to_string(),
    )
    .expect("written");
    fs::rename(&temporary, path).expect("renamed");
}

#[test]
fn a_span_at_zipkin_continues_the_trace_of_the_request() {
    let (dir, app, zipkin) = (
        tempfile::tempdir().unwrap(),
        App::named("web").start(),
        Collector::start(),
    );
    let at = ports::socket(10000);
    let listeners = [listener(at, "app", "INBOUND", &zipkin_provider())];
    let clusters = [
        cluster("app", app.address()),
        cluster("tracing:collector", zipkin.address()),
    ];
    let envoy = Envoy::start(&bootstrap(dir.path(), "web", &listeners, &clusters));

    let request = get(format!("http://{at}/orders?id=1"))
        .header("x-b3-traceid", TRACE)
        .header("x-b3-spanid", PARENT);
    let answer = request.header("x-b3-sampled", "1").header("host", "web.test").send();

    assert_eq!(
        (answer.status, &answer.headers["server"]),
        (200, &"envoy".parse().unwrap())
    );
    let echo = answer.json();
    assert_eq!((&echo["app"], &echo["path"]), (&json!("web"), &json!("/orders?id=1")));
    assert_eq!(echo["headers"]["x-b3-traceid"], TRACE);
    let span = zipkin.wait_for(|spans| spans.iter().find(|span| span.trace_id == TRACE).cloned());
    assert_eq!((span.id.as_str(), span.shared), (PARENT, true));
    assert_eq!(
        (span.kind, span.name.as_str(), span.parent_id),
        (Some(Kind::Server), "web.test", None)
    );
    assert_eq!(span.service, "web");
    assert_eq!(span.tags["http.status_code"], "200");
    let report = &zipkin.reports()[0];
    assert_eq!(
        (report.path.as_str(), report.host.as_str()),
        ("/api/v2/spans", "zipkin.test:9411")
    );
    assert_eq!(report.spans, 1);
    wait::until("Envoy counts the report", || {
        let sent = envoy.stat("tracing.zipkin.reports_sent");
        (sent == Some(1)).then_some(()).ok_or(format!("{sent:?}"))
    });
    assert_eq!(envoy.stat("no.such.stat"), None);
    assert!(envoy.log().contains("starting main dispatch loop"));
}

#[test]
fn spans_of_two_applications_join_into_one_trace() {
    let (dir, zipkin) = (tempfile::tempdir().unwrap(), Collector::start());
    let (web_in, web_out, backend_in) = (ports::socket(10000), ports::socket(10001), ports::socket(10000));
    let backend = App::named("backend").start();
    let web = App::named("web").calls(format!("http://{web_out}/stock")).start();
    let collector = cluster("tracing:collector", zipkin.address());
    let web_listeners = [
        listener(web_in, "app", "INBOUND", &zipkin_provider()),
        listener(web_out, "backend", "OUTBOUND", &zipkin_provider()),
    ];
    let web_clusters = [
        cluster("app", web.address()),
        cluster("backend", backend_in),
        collector.clone(),
    ];
    let _web = Envoy::start(&bootstrap(dir.path(), "web", &web_listeners, &web_clusters));
    let backend_listeners = [listener(backend_in, "app", "INBOUND", &zipkin_provider())];
    let backend_clusters = [http2(cluster("app", backend.address())), collector];
    let _backend = Envoy::start(&bootstrap(dir.path(), "backend", &backend_listeners, &backend_clusters));

    let echo = get(format!("http://{web_in}/")).send().json();

    assert_eq!(echo["called"]["body"]["app"], "backend");
    assert_eq!(echo["called"]["body"]["version"], "HTTP/2.0");
    let trace = echo["headers"]["x-b3-traceid"]
        .as_str()
        .expect("Envoy starts a trace")
        .to_owned();
    let spans = zipkin.wait_for(|spans| of_trace(spans, &trace, 3));
    let mut reported: Vec<_> = spans.iter().map(|span| (span.service.as_str(), span.kind)).collect();
    reported.sort_unstable();
    let [client, server] = [Some(Kind::Client), Some(Kind::Server)];
    assert_eq!(reported, [("backend", server), ("web", client), ("web", server)]);
}

#[test]
fn a_span_at_datadog_continues_the_trace_and_passes_the_checks() {
    let (dir, app, agent) = (
        tempfile::tempdir().unwrap(),
        App::named("web").start(),
        DatadogAgent::start(),
    );
    let at = ports::socket(10000);
    let listeners = [listener(at, "app", "INBOUND", &datadog_provider(agent.address()))];
    let clusters = [
        cluster("app", app.address()),
        cluster("tracing:collector", agent.address()),
    ];
    let envoy = Envoy::start(&bootstrap(dir.path(), "web", &listeners, &clusters));

    let request = get(format!("http://{at}/")).header("x-datadog-trace-id", "4711");
    let answer = request
        .header("x-datadog-parent-id", "42")
        .header("x-datadog-sampling-priority", "2")
        .send();

    assert_eq!(answer.status, 200);
    let span = agent.wait_for(|spans| spans.iter().find(|span| span.trace_id == "4711").cloned());
    assert_eq!((span.parent_id.as_deref(), span.service.as_str()), (Some("42"), "web"));
    agent.assert_checks_green();
    let checks = agent.checks();
    for name in [
        "trace_count_header",
        "meta_tracer_version_header",
        "meta_events_is_valid_json",
    ] {
        assert!(
            checks.get(name).is_some_and(|outcomes| outcomes.passed > 0),
            "{name} passed: {checks:?}"
        );
    }
    assert_eq!(checks["trace_peer_service"].skipped, 1);
    assert!(!checks.contains_key("trace_content_length"));
    assert_eq!(envoy.stat("tracing.datadog.reports_dropped"), Some(0));
}

#[test]
#[should_panic(expected = "trace_count_header")]
fn a_trace_that_breaks_a_rule_of_datadog_is_seen() {
    let agent = DatadogAgent::start();
    // An empty list of traces, without a count.
    post(format!("http://{}/v0.4/traces", agent.address()), vec![0x90])
        .header("content-type", "application/msgpack")
        .send();
    agent.assert_checks_green();
}

#[test]
fn envoy_takes_listeners_from_files_and_its_admin_from_a_port_or_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let (at, admin) = (ports::socket(10000), ports::socket(9901));
    let app = App::named("web").start();
    let (cds, lds) = (dir.path().join("cds.yaml"), dir.path().join("lds.yaml"));
    discovery_response(&cds, "r-1", "cluster.v3.Cluster", vec![cluster("app", app.address())]);
    let mut inbound = listener(at, "app", "INBOUND", &Value::Null);
    inbound["filter_chains"][0]["filters"][0]["typed_config"]["tracing"] = Value::Null;
    discovery_response(&lds, "r-1", "listener.v3.Listener", vec![inbound.clone()]);
    let file = |path: &str| json!({"resource_api_version": "V3", "path_config_source": {"path": path}});
    for (name, address) in [
        (
            "port.yaml",
            json!({"socket_address": {"address": admin.ip(), "port_value": admin.port()}}),
        ),
        ("pipe.yaml", json!({"pipe": {"path": dir.path().join("admin.sock")}})),
    ] {
        let path = dir.path().join(name);
        let text = json!({
            "node": {"id": "default.web-01", "cluster": "web"}, "admin": {"address": address},
            "dynamic_resources": {"cds_config": file("./cds.yaml"), "lds_config": file("./lds.yaml")},
        });
        fs::write(&path, text.to_string()).unwrap();
        let mut envoy = Envoy::start(&path);
        assert_eq!(get(format!("http://{at}/")).send().json()["app"], "web");
        assert_eq!(
            envoy.stat_text("listener_manager.lds.version_text").as_deref(),
            Some("r-1")
        );
        assert_eq!(envoy.admin_post("/drain_listeners?graceful").trim(), "OK");

        let other = ports::socket(10000);
        let added = listener(other, "app", "OUTBOUND", &zipkin_provider());
        let collector = cluster("tracing:collector", app.address());
        discovery_response(
            &cds,
            "r-2",
            "cluster.v3.Cluster",
            vec![cluster("app", app.address()), collector],
        );
        wait::until("CDS is taken", || {
            let version = envoy.stat_text("cluster_manager.cds.version_text");
            (version.as_deref() == Some("r-2"))
                .then_some(())
                .ok_or(format!("{version:?}"))
        });
        discovery_response(&lds, "r-2", "listener.v3.Listener", vec![inbound.clone(), added]);
        envoy.wait_for_listeners(&[format!("outbound:{other}")]);
        assert_eq!(validate_resources(tools::envoy(), &cds, &lds), Ok(()));
        discovery_response(&lds, "r-1", "listener.v3.Listener", vec![inbound.clone()]);
        discovery_response(&cds, "r-1", "cluster.v3.Cluster", vec![cluster("app", app.address())]);
    }
}

#[test]
fn validation_repeats_what_envoy_says() {
    let dir = tempfile::tempdir().unwrap();
    let at = ports::socket(10000);
    let traced = [listener(at, "app", "INBOUND", &zipkin_provider())];
    let good = bootstrap(
        dir.path(),
        "good",
        &traced,
        &[cluster("app", at), cluster("tracing:collector", at)],
    );
    let bad = bootstrap(dir.path(), "bad", &traced, &[cluster("app", at)]);
    assert_eq!(validate(&good), Ok(()));

    let all = validate_many(&[good.clone(), bad.clone(), good, bad]);
    let unknown = |result: &Result<(), String>| {
        result
            .as_ref()
            .is_err_and(|why| why.contains("unknown cluster 'tracing:collector'"))
    };
    assert_eq!(all.iter().map(unknown).collect::<Vec<_>>(), [false, true, false, true]);
    assert!(all[0].is_ok() && all[2].is_ok());

    let (cds, lds) = (dir.path().join("cds.yaml"), dir.path().join("lds.yaml"));
    discovery_response(&cds, "r-1", "cluster.v3.Cluster", vec![cluster("app", at)]);
    discovery_response(&lds, "r-1", "listener.v3.Listener", traced.to_vec());
    assert!(unknown(&validate_resources(tools::envoy(), &cds, &lds)));
}

#[test]
fn applications_speak_http_2_and_grpc_and_call_what_they_are_told() {
    let (first, second) = (
        App::named("first").on(ports::socket(8080)).start(),
        App::named("second").start(),
    );
    let url = format!("http://{}/call?url=h2c://{}/b?c=d&e", first.address(), second.address());
    let echo = get(url)
        .header("x-request-id", "r")
        .header("x-b3-traceid", TRACE)
        .header("x-other", "o")
        .send()
        .json();
    assert_eq!(
        (&echo["version"], &echo["headers"]["x-other"]),
        (&json!("HTTP/1.1"), &json!("o"))
    );
    let called = &echo["called"]["body"];
    assert_eq!(
        (&called["version"], &called["path"]),
        (&json!("HTTP/2.0"), &json!("/b?c=d&e"))
    );
    assert_eq!(called["headers"], json!({"x-request-id": "r", "x-b3-traceid": TRACE}));

    let grpc = post(format!("h2c://{}/pkg.Service/Method", second.address()), "message");
    let answer = grpc.header("content-type", "application/grpc").send();
    assert_eq!(
        (answer.body.as_str(), &answer.trailers["grpc-status"]),
        ("message", &"0".parse().unwrap())
    );

    let address = second.address();
    drop(second);
    assert!(
        get(format!("http://{address}/")).try_send().is_err(),
        "its port is closed"
    );
    assert!(
        get(format!("http://{}/call?url=http://{address}/", first.address()))
            .send()
            .json()["called"]["failed"]
            .is_string()
    );
}

#[test]
fn a_collector_can_come_back_at_its_address() {
    let zipkin = Collector::start();
    let address = zipkin.address();
    drop(zipkin);
    let zipkin = Collector::start_on(address);
    let span = r#"[{"traceId":"1","id":"2","parentId":"3"}]"#;
    assert_eq!(post(format!("http://{address}/api/v2/spans"), span).send().status, 202);
    assert_eq!(zipkin.wait_for(|spans| spans.first()?.parent_id.clone()), "3");
}

#[test]
#[should_panic(expected = "cannot decode")]
fn what_is_no_list_of_spans_is_not_overlooked() {
    let zipkin = Collector::start();
    assert_eq!(
        post(format!("http://{}/api/v2/spans", zipkin.address()), "{")
            .send()
            .status,
        400
    );
    zipkin.wait_for(|_| None::<()>);
}

#[test]
fn every_address_is_handed_out_once() {
    let mut all: Vec<_> = in_parallel(&[(); 300], |()| ports::address());
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 300);
    assert!(all.iter().all(|address| address.is_loopback()));
}

#[test]
fn a_tool_is_made_once_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tool.part")).unwrap();
    fs::write(dir.path().join("tool.part/leftover"), "").unwrap();
    let made = AtomicU32::new(0);
    let make = || {
        tools::make_once(dir.path(), "tool", |part| {
            made.fetch_add(1, Ordering::SeqCst);
            fs::create_dir(part).map_err(|e| e.to_string())
        })
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(make))));
    assert_eq!(made.into_inner(), 1);
    assert_eq!(
        fs::read_dir(dir.path().join("tool")).unwrap().count(),
        0,
        "nothing of the killed run is left"
    );

    let failed = tools::make_once(dir.path(), "other", |_| Err("no network".into()));
    assert_eq!(failed, Err("no network".into()));
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_full_disk_is_full_keeps_what_it_had_and_can_be_freed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("old"), "good").unwrap();
    let mut write = Command::new("dd");
    write
        .args(["if=/dev/zero", "of=new", "bs=1k", "count=8"])
        .current_dir(dir.path())
        .env("LC_ALL", "C");

    let ended = FullDisk::at(dir.path()).run(&write);
    assert!(!ended.status.success());
    assert!(
        ended.stderr.contains("No space left on device"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    assert_eq!(fs::read_to_string(ended.kept.path().join("old")).unwrap(), "good");
    assert_eq!(fs::metadata(ended.kept.path().join("new")).unwrap().len(), 0);
    assert!(!dir.path().join("new").exists(), "nobody else sees that file system");

    let half = FullDisk::at(dir.path()).with_room(4).run(&write);
    assert!(!half.status.success());
    assert_eq!(fs::metadata(half.kept.path().join("new")).unwrap().len(), 4096);

    assert!(FullDisk::at(dir.path()).with_room(8).run(&write).status.success());

    let mut patient = Command::new("sh");
    patient
        .args([
            "-c",
            "until head -c 4096 /dev/zero > new; do sleep 0.01; done; sleep 600",
        ])
        .current_dir(dir.path());
    let log = tempfile::NamedTempFile::new().unwrap();
    let running = FullDisk::at(dir.path()).spawn(&patient, log.path().to_owned());
    let new = running.inside(&dir.path().join("new"));
    wait::until("it has tried", || {
        running
            .process
            .log()
            .contains("No space")
            .then_some(())
            .ok_or(running.process.log())
    });
    running.free();
    wait::until("it has written", || {
        let len = fs::metadata(&new).map(|m| m.len());
        len.as_ref()
            .is_ok_and(|len| *len == 4096)
            .then_some(())
            .ok_or(format!("{len:?}"))
    });
}

#[test]
fn an_unprivileged_program_is_refused_what_it_may_not_do() {
    let cat = Unprivileged::new(Path::new("/bin/cat"));
    let secret = cat.dir().join("secret");
    fs::write(&secret, "words").unwrap();
    let run = || {
        cat.command()
            .arg("secret")
            .env("LC_ALL", "C")
            .output()
            .expect("it can be started")
    };

    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let refused = run();
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("Permission denied"),
        "{refused:?}"
    );
    assert!(!refused.status.success());

    cat.give(&secret);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(run().stdout, b"words");
}
