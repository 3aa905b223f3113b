//! How long our YAML takes beside libraries that do less, in one run: the ratios are what counts.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshtraced::diag::Diagnostics;
use meshtraced::source::SourceFile;
use meshtraced::yaml::Limits;
use meshtraced::yaml::read::Prepared;
use meshtraced::yaml::write::write;
use serde_json::{Value, json};

const DOCUMENTS: usize = 20_000;
const ROUNDS: usize = 5;

fn main() {
    let listeners: Vec<Value> = (0..DOCUMENTS).map(listener).collect();
    let json = || {
        listeners
            .iter()
            .map(|v| serde_json::to_string_pretty(v).map_or(0, |t| t.len()))
            .sum()
    };
    let yaml = || listeners.iter().map(|v| write(v).len()).sum();
    compare("write", ("serde_json pretty", &json), ("yaml::write", &yaml));

    let files: Vec<Arc<SourceFile>> = (0..DOCUMENTS)
        .map(|i| SourceFile::new(format!("{i}.yaml"), dataplane(i)))
        .collect();
    let theirs = || {
        let size = |file: &Arc<SourceFile>| match serde_yaml::from_str::<serde_yaml::Value>(&file.text()) {
            Ok(value) => {
                black_box(value);
                file.size()
            }
            Err(e) => panic!("{e}"),
        };
        files.iter().map(size).sum()
    };
    let ours = || {
        let size = |file: &Arc<SourceFile>| {
            let mut found = Diagnostics::default();
            let (prepared, limits) = (Prepared::new(file), Limits::default());
            assert_eq!(black_box(prepared.read(&limits, &mut found)).documents.len(), 1);
            file.size()
        };
        files.iter().map(size).sum()
    };
    compare("read", ("serde_yaml Value", &theirs), ("yaml::read", &ours));
}

type Work<'a> = (&'a str, &'a dyn Fn() -> usize);

/// Prints the best time of each and their ratio; the two take turns, so that a busy machine slows both.
fn compare(what: &str, (other, theirs): Work, (name, ours): Work) {
    let mut best = [Duration::MAX; 2];
    let mut bytes = [0; 2];
    for _ in 0..ROUNDS {
        for (i, work) in [theirs, ours].into_iter().enumerate() {
            let start = Instant::now();
            bytes[i] = black_box(work());
            best[i] = best[i].min(start.elapsed());
        }
    }
    let line = |i: usize, name: &str| {
        let mb_per_second = bytes[i] as f64 / 1e6 / best[i].as_secs_f64();
        println!("{what:<6} {name:<18} {:>8.1?} {mb_per_second:>7.0} MB/s", best[i]);
    };
    line(0, other);
    line(1, name);
    println!(
        "{what:<6} time of {name} / {other}: {:.2}",
        best[1].as_secs_f64() / best[0].as_secs_f64()
    );
}

fn listener(i: usize) -> Value {
    let route = |n: usize| json!({"match": {"prefix": format!("/api/{n}")}, "route": {"cluster": format!("backend_{n}"), "timeout": "0s"}});
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": format!("inbound:10.0.{}.{}:8080", i / 256, i % 256),
        "traffic_direction": "INBOUND",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1024 + i % 60_000}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": format!("localhost_{}", 1024 + i % 60_000),
                "tracing": {
                    "client_sampling": {"value": 100.0},
                    "random_sampling": {"value": 12.5},
                    "overall_sampling": {"value": 100.0},
                    "provider": {
                        "name": "envoy.tracers.zipkin",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                            "collector_cluster": "tracing:zipkin",
                            "collector_endpoint": "/api/v2/spans",
                            "collector_hostname": "zipkin.internal:9411",
                            "trace_id_128bit": true,
                        },
                    },
                },
                "http_filters": [{"name": "envoy.filters.http.router"}],
                "route_config": {"name": "inbound:web", "virtual_hosts": [{"name": "web", "domains": ["*"], "routes": [route(i), route(i + 1)]}]},
            },
        }]}],
    })
}

fn dataplane(i: usize) -> String {
    let outbounds: String = (0..8)
        .map(|n| {
            format!(
                "  - port: {}\n    tags:\n      kuma.io/service: backend-{n}\n",
                10_000 + n
            )
        })
        .collect();
    format!(
        "# machine {i}\ntype: Dataplane\nmesh: default\nname: web-{i:05}\nnetworking:\n  address: 10.0.{}.{}\n  inbound:\n  \
         - port: 8080\n    servicePort: 80\n    tags: {{kuma.io/service: web, kuma.io/protocol: http, version: \"1.{}\"}}\n  \
         outbound:\n{outbounds}",
        i / 256,
        i % 256,
        i % 10,
    )
}
