//! The same policies give the same bytes, however they are spread over files.

use std::collections::BTreeMap;

use meshtraced::compile::{Compiled, compile};
use meshtraced::envoy::artifact::{Artifact, Files};
use meshtraced::kuma::{Fidelity, Version};
use meshtraced::select::scope::Rule;
use meshtraced::source::Snapshot;
use proptest::prelude::*;

use crate::props::compile::options;

/// The documents of a fleet with two meshes, several policies and a tie.
fn documents(dataplanes: usize) -> Vec<String> {
    let mut documents = vec![
        "type: Mesh\nname: default\ntracing:\n  defaultBackend: z\n  backends:\n  - {name: z, type: zipkin, sampling: 12.5, conf: {url: 'http://z:9411/api/v2/spans'}}\n  - {name: d, type: datadog, conf: {address: d.example, port: 8126, splitService: true}}".to_owned(),
        "type: Mesh\nname: payments\ntracing:\n  backends:\n  - {name: z, type: zipkin, conf: {url: 'https://z.eu:9411/x'}}".to_owned(),
        "type: TrafficTrace\nname: all\nmesh: default\nselectors:\n- match: {kuma.io/service: '*'}".to_owned(),
        "type: TrafficTrace\nname: canary\nmesh: default\nselectors:\n- match: {kuma.io/service: '*', version: canary}\nconf: {backend: d}".to_owned(),
        "type: TrafficTrace\nname: also-all\nmesh: default\nselectors:\n- match: {kuma.io/service: '*'}\nconf: {backend: d}".to_owned(),
        "type: TrafficTrace\nname: broken\nmesh: payments\nselectors:\n- match: {kuma.io/service: '*'}\nconf: {backend: nope}".to_owned(),
    ];
    for i in 0..dataplanes {
        let (mesh, version) = (["default", "payments"][i % 2], ["v1", "canary", "v2"][i % 3]);
        documents.push(format!("type: Dataplane\nname: web-{i}\nmesh: {mesh}\nnetworking:\n  address: 10.0.0.{i}\n  inbound:\n  - port: 80\n    tags: {{kuma.io/service: web-{i}, kuma.io/protocol: http, version: {version}}}\n  outbound:\n  - port: {}\n    tags: {{kuma.io/service: web-{}}}", 8000 + 100 * i, (i + 2) % dataplanes));
    }
    documents
}

/// Each document in a file of its own.
fn files(documents: Vec<String>) -> Vec<(String, String)> {
    let numbered = documents.into_iter().enumerate();
    numbered.map(|(i, text)| (format!("{i:03}.yaml"), text)).collect()
}

fn compiled(files: &[(String, String)]) -> Compiled {
    let options = options(Fidelity::Documented, Version::V2_14);
    compile(&Snapshot::from_texts(files.iter().cloned()), &options)
}

/// The output and the files of a run, without places, which move with the files.
fn essence(compiled: &Compiled) -> String {
    let mut findings: Vec<String> = (compiled.diagnostics.iter().chain(&compiled.unpublishable))
        .map(|finding| {
            format!(
                "{} {} {:?} {}",
                finding.severity, finding.code, finding.resource, finding.message
            )
        })
        .collect();
    findings.sort();
    format!("{:#?}\n{findings:#?}", compiled.fragments)
}

proptest! {
    #[test]
    fn order_and_split_of_documents_change_no_byte(
        order in Just(documents(6)).prop_shuffle(),
        cuts in proptest::collection::vec(any::<bool>(), 32),
        names in proptest::collection::vec("[a-z]{1,8}", 32),
    ) {
        let alone = files(documents(6));
        let mut split: Vec<(String, String)> = Vec::new();
        for (i, document) in order.into_iter().enumerate() {
            match split.last_mut() {
                Some((_, text)) if !cuts[i] => {
                    text.push_str("\n---\n");
                    text.push_str(&document);
                }
                _ => split.push((format!("{}/{i}.yaml", names[i]), document)),
            }
        }
        prop_assert_eq!(essence(&compiled(&split)), essence(&compiled(&alone)));
    }
}

/// Texts of many proxies are kept as differences from those of one.
#[test]
fn a_proxy_among_many_gets_the_files_that_it_gets_alone() {
    let files = files(documents(100));
    let all = compiled(&files);
    assert_eq!(all.fragments.len(), 100);
    let texts = |files: &Files| -> Vec<(Artifact, String)> {
        files
            .iter()
            .map(|(artifact, text)| (*artifact, text.to_string()))
            .collect()
    };
    for (proxy, among_many) in all.fragments.iter().step_by(7) {
        let mut options = options(Fidelity::Documented, Version::V2_14);
        options.scope = vec![Rule {
            mesh: Some(proxy.mesh.clone()),
            name: Some(proxy.dataplane.clone()),
            tags: BTreeMap::new(),
        }];
        let alone = &compile(&Snapshot::from_texts(files.iter().cloned()), &options).fragments[proxy];
        assert_eq!(texts(among_many), texts(alone));
        assert_eq!(among_many, alone);
    }
}

#[test]
fn the_fleet_is_worth_comparing() {
    let compiled = compiled(&files(documents(6)));
    assert_eq!(compiled.fragments.len(), 6);
    let codes: Vec<&str> = compiled
        .diagnostics
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    assert!(
        codes.contains(&"ambiguous-policies") && codes.contains(&"backend-not-found"),
        "{codes:?}"
    );
}
