//! How compiling grows with the mesh, in one run: ten times the dataplanes should take about ten times as long.

use std::time::{Duration, Instant};

use meshtraced::compile::{Options, compile};
use meshtraced::source::Snapshot;

const ROUNDS: usize = 3;

fn main() {
    let (few, many) = (500, 5_000);
    let (few_took, many_took) = (took(few), took(many));
    let ratio = many_took.as_secs_f64() / few_took.as_secs_f64();
    println!("{few} dataplanes {few_took:.0?}, {many} dataplanes {many_took:.0?}: {ratio:.1} times as long");
}

/// The shortest of some rounds.
fn took(dataplanes: usize) -> Duration {
    let snapshot = Snapshot::from_texts([("mesh.yaml", mesh(dataplanes))]);
    let options = Options::for_out("/out");
    let round = || {
        let start = Instant::now();
        let compiled = compile(&snapshot, &options);
        assert_eq!(compiled.fragments.len(), dataplanes);
        start.elapsed()
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

/// A mesh in which every dataplane calls three services, with a policy and a route for every hundredth of them.
fn mesh(dataplanes: usize) -> String {
    let services = dataplanes / 5;
    let mut text = "type: Mesh\nname: default\nmeshServices: {mode: Exclusive}\n".to_owned();
    let mut add = |document: String| text.push_str(&format!("---\nmesh: default\n{document}"));
    add(trace("all", "Mesh", "", "z"));
    for i in 0..dataplanes {
        let calls: String = (1..4)
            .map(|k| {
                let service = (i + k) % services;
                format!(
                    "  - {{port: {}, backendRef: {{kind: MeshService, name: svc-{service}, port: 8080}}}}\n",
                    20000 + k
                )
            })
            .collect();
        add(format!(
            "type: Dataplane\nname: dp-{i}\nnetworking:\n  address: 10.0.{}.{}\n  inbound:\n  - {{port: 8080, servicePort: 18080, \
             tags: {{kuma.io/service: svc-{}, kuma.io/protocol: http}}}}\n  outbound:\n{calls}",
            i / 256,
            i % 256,
            i % services
        ));
    }
    for i in (0..services).step_by(100) {
        add(trace(
            &format!("t-{i}"),
            "MeshService",
            &format!(", name: svc-{i}"),
            &format!("z-{i}"),
        ));
        add(format!(
            "type: MeshHTTPRoute\nname: r-{i}\nspec:\n  to:\n  - targetRef: {{kind: MeshService, name: svc-{i}}}\n    rules: []\n"
        ));
    }
    text
}

fn trace(name: &str, kind: &str, rest: &str, host: &str) -> String {
    format!(
        "type: MeshTrace\nname: {name}\nspec:\n  targetRef: {{kind: {kind}{rest}}}\n  default:\n    backends:\n    \
         - {{type: Zipkin, zipkin: {{url: \"http://{host}:9411/api/v2/spans\"}}}}\n"
    )
}
