//! A proxy that an error about it alone holds keeps what is published, and other proxies of its mesh go on.

use std::fs;

use crate::kit::daemon::Daemon;
use crate::kit::mesh::{Backend, Mesh, published_files};

/// Backends of the mesh, with mutual TLS between its proxies.
fn with_mtls(backends: &[Backend]) -> String {
    Backend::mesh(backends) + "mtls:\n  enabledBackend: ca\n  backends: [{name: ca, type: builtin}]\n"
}

#[test]
fn a_proxy_that_would_lose_protection_keeps_what_is_published() {
    let mesh = Mesh::start();
    mesh.publish();
    let out = mesh.dir().join("envoy");
    let before = published_files(&out);

    mesh.write("mesh.yaml", &with_mtls(&[Backend::nowhere(2)]));
    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("mesh.yaml") && said.contains("sidecar: {without: [mtls]}"),
        "{said}"
    );
    assert!(
        said.contains("nothing was written for the proxies default/backend-01, default/web-01"),
        "{said}"
    );
    assert_eq!(published_files(&out), before);

    // The daemon says so, too.
    let daemon = Daemon {
        process: mesh.daemon(),
        socket: out.join(".meshtraced/control.sock"),
    };
    let held = daemon.until("two proxies are held", |status| {
        status["held"].as_array().is_some_and(|held| held.len() == 1)
    });
    assert_eq!(
        (&held["held"][0]["mesh"], &held["held"][0]["proxies"]),
        (&"default".into(), &2.into())
    );
    assert_eq!(published_files(&out), before);
    drop(daemon);

    fs::write(mesh.dir().join("settings.yaml"), "sidecar: {without: [mtls]}\n").expect("a file");
    let output = mesh
        .meshtraced(&["run", "--once", "--config", "settings.yaml"])
        .output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(published_files(&out), before);
}

#[test]
fn an_error_about_one_proxy_leaves_the_others_of_its_mesh_alone() {
    let mesh = Mesh::start();
    mesh.publish();
    let [web, backend] = ["web-01", "backend-01"].map(|name| mesh.published(name).join("xds/cds.yaml"));
    let before = [&web, &backend].map(|path| fs::read(path).expect("a file"));
    mesh.send_to(&[Backend::nowhere(2)]);
    let text = mesh.read("backend.yaml");
    mesh.write(
        "backend.yaml",
        &(text + "  transparentProxying: {redirectPortOutbound: 15001}\n"),
    );
    let patch = "type: MeshProxyPatch\nmesh: default\nname: patch\nspec:\n  targetRef: {kind: MeshService, name: backend}\n  default: {appendModifications: []}\n";
    mesh.write("patch.yaml", patch);
    let (code, said) = mesh.run_once();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("nothing was written for proxy default/backend-01"),
        "{said}"
    );
    assert_ne!(fs::read(&web).expect("a file"), before[0]);
    assert_eq!(fs::read(&backend).expect("a file"), before[1]);
}
