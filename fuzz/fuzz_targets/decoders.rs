//! A resource of some kind with any fields, beside resources that are sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtraced::source::Snapshot;

#[path = "../compile.rs"]
mod compile;

const KINDS: [&str; 13] = [
    "Dataplane",
    "ExternalService",
    "Mesh",
    "MeshExternalService",
    "MeshGateway",
    "MeshHTTPRoute",
    "MeshMultiZoneService",
    "MeshOpenTelemetryBackend",
    "MeshService",
    "MeshTCPRoute",
    "MeshTrace",
    "TrafficRoute",
    "TrafficTrace",
];

const SOUND: &str = include_str!("../../tests/it/props/compile.yaml");

fuzz_target!(|input: (u8, bool, &str)| {
    let (kind, kubernetes, fields) = input;
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let head = if kubernetes {
        format!("apiVersion: kuma.io/v1alpha1\nkind: {kind}\nmesh: newer\nmetadata: {{name: x, namespace: kuma-system}}\n")
    } else {
        format!("type: {kind}\nmesh: newer\nname: x\n")
    };
    let text = format!("{head}{fields}\n");
    let snapshot = Snapshot::from_texts([("a.yaml", text.as_str()), ("b.yaml", SOUND)]);
    compile::every_way(&snapshot);
});
