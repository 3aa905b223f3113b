//! Requests through a real Envoy go where Kuma sends them: to the endpoints with all tags of an outbound, and along
//! routes by their weights.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::kit::app::App;
use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::ports;

/// The dataplane of an application, whose inbound is at the address of the application itself.
fn dataplane(name: &str, at: SocketAddr, tags: &str) -> String {
    let (address, port) = (at.ip(), at.port());
    format!(
        "type: Dataplane\nmesh: default\nname: {name}\nnetworking:\n  address: {address}\n  inbound:\n  - port: {port}\n    servicePort: 1\n    tags: {{{tags}, kuma.io/protocol: http}}\n"
    )
}

/// Three applications and the dataplanes that declare them: two of the service `backend`, one of `backend-new`.
fn applications(mesh: &Mesh) -> [App; 3] {
    let all = [
        ("backend-1", "kuma.io/service: backend, version: \"1.0\""),
        ("backend-2", "kuma.io/service: backend, version: \"2.0\""),
        ("new-1", "kuma.io/service: backend-new, version: \"2.0\""),
    ];
    all.map(|(name, tags)| {
        let app = App::named(name).start();
        mesh.write(&format!("{name}.yaml"), &dataplane(name, app.address(), tags));
        app
    })
}

/// The numbers of requests that reach each application, of 200 through an outbound.
fn reached(outbound: SocketAddr) -> BTreeMap<String, usize> {
    let mut reached = BTreeMap::new();
    for _ in 0..200 {
        let answer = get(format!("http://{outbound}/")).send();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let app = answer.json()["app"].as_str().expect("a name").to_owned();
        *reached.entry(app).or_default() += 1;
    }
    reached
}

fn names(reached: &BTreeMap<String, usize>) -> Vec<&str> {
    reached.keys().map(String::as_str).collect()
}

/// A dataplane with an outbound to `backend`, and one to its version 2.0.
fn client(mesh: &Mesh) -> [SocketAddr; 2] {
    let [any, narrow] = [ports::socket(10001), ports::socket(10002)];
    let entry = |at: SocketAddr, more: &str| {
        let (address, port) = (at.ip(), at.port());
        format!("  - {{address: {address}, port: {port}, tags: {{kuma.io/service: backend{more}}}}}\n")
    };
    let text = format!(
        "type: Dataplane\nmesh: default\nname: client\nnetworking:\n  address: 127.0.0.1\n  gateway: {{tags: {{kuma.io/service: client}}}}\n  outbound:\n{}{}",
        entry(any, ""),
        entry(narrow, ", version: \"2.0\""),
    );
    mesh.write("client.yaml", &text);
    [any, narrow]
}

#[test]
fn requests_reach_the_endpoints_that_tags_and_routes_choose() {
    let mesh = Mesh::builder().backends(&[Backend::nowhere(1)]).start();
    for file in ["web.yaml", "backend.yaml"] {
        mesh.remove(file);
    }
    let _applications = applications(&mesh);
    let [any, narrow] = client(&mesh);
    mesh.publish();
    let envoy = Envoy::start(&mesh.published("client").join("bootstrap.yaml"));

    assert_eq!(names(&reached(any)), ["backend-1", "backend-2"]);
    assert_eq!(names(&reached(narrow)), ["backend-2"]);

    // Kuma adds the tags of the outbound to those of the route.
    mesh.write(
        "route.yaml",
        "type: TrafficRoute\nmesh: default\nname: split\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: backend}}]\nconf:\n  split:\n  - {weight: 1, destination: {kuma.io/service: '*'}}\n  - {weight: 9, destination: {kuma.io/service: backend-new}}\n  - {weight: 0, destination: {kuma.io/service: nobody}}\n",
    );
    mesh.publish();
    drop(envoy);
    let envoy = Envoy::start(&mesh.published("client").join("bootstrap.yaml"));
    let split = reached(narrow);
    assert_eq!(names(&split), ["backend-2", "new-1"]);
    assert!(split["new-1"] > split["backend-2"], "{split:?}");

    // A route of the newer kind replaces the older one. Of several, the strongest decides.
    for (name, kind, to) in [
        ("weaker", "Mesh}", "backend"),
        ("stronger", "MeshService, name: client}", "backend-new"),
    ] {
        mesh.write(
            &format!("{name}.yaml"),
            &format!(
                "type: MeshHTTPRoute\nmesh: default\nname: {name}\nspec:\n  targetRef: {{kind: {kind}\n  to:\n  - targetRef: {{kind: MeshService, name: backend}}\n    rules:\n    - matches: [{{path: {{type: PathPrefix, value: /}}}}]\n      default:\n        backendRefs: [{{kind: MeshService, name: {to}, weight: 1}}]\n"
            ),
        );
    }
    mesh.publish();
    drop(envoy);
    let _envoy = Envoy::start(&mesh.published("client").join("bootstrap.yaml"));
    assert_eq!(names(&reached(any)), ["new-1"]);
}
