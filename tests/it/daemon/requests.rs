//! Freezing, rolling back, approving and healing: with a daemon and without one, each confirmed by the status.

use std::fs;

use super::{ask, clusters, start};
use crate::kit::mesh::{Backend, Mesh};

/// Whether the collector of `web` is 127.0.0.`host`.
fn sends_to(mesh: &Mesh, host: u8) -> bool {
    clusters(mesh).contains(&format!("127.0.0.{host}"))
}

#[test]
fn while_frozen_nothing_is_published_and_thawing_catches_up() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let (code, said, _) = ask(&mesh, &["freeze", "--why", "release day"]);
    assert_eq!((code, said.contains("frozen")), (Some(0), true), "{said}");
    mesh.send_to(&[Backend::nowhere(9)]);
    let status = daemon.until("the change is seen and kept back", |status| {
        status["frozen"]["would_change"] == 2
    });
    assert_eq!(status["frozen"]["why"], "release day");
    assert!(sends_to(&mesh, 1));
    daemon.until_said("not published: frozen; it would change 2 proxies");
    let (code, text, _) = ask(&mesh, &["status"]);
    assert_eq!(code, Some(1), "somebody has to know: {text}");
    assert!(
        text.contains("release day") && text.contains("2 proxies would change"),
        "{text}"
    );

    let (code, said, _) = ask(&mesh, &["thaw"]);
    assert_eq!((code, said.contains("2 proxies change")), (Some(0), true), "{said}");
    assert!(sends_to(&mesh, 9));
    daemon.until("it is as the policies want it", |status| status["frozen"].is_null());
    let (code, _, said) = ask(&mesh, &["thaw"]);
    assert_eq!((code, said.contains("nothing is frozen")), (Some(2), true), "{said}");
}

#[test]
fn a_freeze_outlives_the_daemon() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    assert_eq!(ask(&mesh, &["freeze"]).0, Some(0));
    assert_eq!(daemon.end(), Some(0));
    mesh.send_to(&[Backend::nowhere(9)]);
    let daemon = start(&mesh);
    daemon.until("it still is frozen", |status| status["frozen"]["would_change"] == 2);
    assert!(sends_to(&mesh, 1));
    let (_, text, _) = ask(&mesh, &["status"]);
    assert!(text.contains("nothing published since it started"), "{text}");
    daemon.until_said("not published: frozen; it would change 2 proxies");
    let (code, said) = {
        daemon.end();
        mesh.run_once()
    };
    assert_eq!(code, Some(0), "{said}");
    assert!(sends_to(&mesh, 1), "nor does a single run publish");
    // Without a daemon the command does it by itself.
    assert_eq!(ask(&mesh, &["thaw"]).0, Some(0));
    assert!(sends_to(&mesh, 9));
}

#[test]
fn what_was_published_before_comes_back_and_stays() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    for host in [2, 3] {
        let before = daemon.status().expect("a status")["revisions"]["published"].clone();
        mesh.send_to(&[Backend::nowhere(host)]);
        daemon.until("it is published", |_| sends_to(&mesh, host));
        daemon.until("the reconciliation has ended", |status| {
            status["revisions"]["published"] != before
        });
    }
    let (_, history, _) = ask(&mesh, &["history", "-o", "json"]);
    let history: Vec<serde_json::Value> = serde_json::from_str(&history).expect("JSON");
    let ids: Vec<u64> = history
        .iter()
        .filter_map(|generation| generation["id"].as_u64())
        .collect();
    assert_eq!(ids, [1, 2, 3]);

    let (code, said, error) = ask(&mesh, &["rollback"]);
    assert_eq!(
        (code, said.contains("back to generation 2")),
        (Some(0), true),
        "{said}{error}"
    );
    assert!(sends_to(&mesh, 2));
    // Further back, and forward again.
    assert_eq!(ask(&mesh, &["rollback"]).0, Some(0));
    assert!(sends_to(&mesh, 1));
    assert_eq!(ask(&mesh, &["rollback", "3"]).0, Some(0));
    assert!(sends_to(&mesh, 3));
    assert_eq!(ask(&mesh, &["rollback", "2"]).0, Some(0));
    // Neither a change of the policies nor a restart moves it.
    mesh.send_to(&[Backend::nowhere(4)]);
    let status = daemon.until("the change is seen", |status| status["frozen"]["would_change"] == 2);
    assert_eq!(status["frozen"]["generation"], 2);
    assert_eq!(daemon.end(), Some(0));
    let daemon = start(&mesh);
    assert!(sends_to(&mesh, 2));
    let (code, _, said) = ask(&mesh, &["rollback", "77"]);
    assert_eq!((code, said.contains("77")), (Some(2), true), "{said}");
    assert!(sends_to(&mesh, 2), "what is not there changes nothing");
    assert_eq!(ask(&mesh, &["thaw"]).0, Some(0));
    assert!(sends_to(&mesh, 4));
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn a_change_that_would_remove_too_much_waits_for_approval() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let [web, back] = ["web.yaml", "backend.yaml"].map(|name| mesh.read(name));
    for name in ["web.yaml", "backend.yaml"] {
        mesh.write(name, "# gone\n");
    }
    let status = daemon.until("it waits", |status| status["guarded"].is_object());
    daemon.until_said("not published: the change waits for approval");
    let id = status["guarded"]["id"].as_str().expect("an id").to_owned();
    assert!(mesh.published("web-01").join("xds/lds.yaml").exists());
    let (code, text, _) = ask(&mesh, &["status"]);
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("meshtraced approve {id}")), "{text}");
    // Another id is not this change, and a single run does not go behind it.
    let (code, _, said) = ask(&mesh, &["approve", "0000"]);
    assert_eq!((code, said.contains(&id)), (Some(2), true), "{said}");
    assert_eq!(daemon.end(), Some(0));
    let (code, said) = mesh.run_once();
    assert_eq!((code, said.contains("meshtraced approve")), (Some(1), true), "{said}");
    assert!(mesh.published("web-01").exists());

    // It waits until it is taken back ...
    let daemon = start(&mesh);
    mesh.write("web.yaml", &web);
    mesh.write("backend.yaml", &back);
    daemon.until("it does not wait any more", |status| status["guarded"].is_null());
    assert_eq!(ask(&mesh, &["approve"]).0, Some(2), "nothing waits");
    // ... or approved.
    for name in ["web.yaml", "backend.yaml"] {
        mesh.write(name, "# gone\n");
    }
    daemon.until("it waits again", |status| status["guarded"].is_object());
    let (code, said, error) = ask(&mesh, &["approve"]);
    assert_eq!((code, said.contains("2 proxies go")), (Some(0), true), "{said}{error}");
    assert!(!mesh.published("web-01").exists());
    let status = daemon.until("it is done", |status| status["guarded"].is_null());
    // Who is gone does not count any more.
    let counts = status["proxies"].as_object().expect("counts");
    assert!(counts.values().all(|count| *count == 0), "{counts:?}");
}

#[test]
fn an_edited_file_is_told_of_and_restored_on_request() {
    let mesh = Mesh::start();
    let daemon = start(&mesh);
    let file = mesh.published("web-01").join("xds/lds.yaml");
    let published = fs::read_to_string(&file).expect("published");
    fs::write(&file, published.replace("value: 100", "value: 50")).expect("an edit");
    daemon.signal(rustix::process::Signal::HUP);
    let status = daemon.until("it is seen", |status| {
        status["drift"].as_array().is_some_and(|drift| !drift.is_empty())
    });
    assert_eq!(status["drift"][0]["path"], "default/web-01/xds/lds.yaml");
    assert_ne!(fs::read_to_string(&file).expect("there"), published, "it stays");
    let (code, text, _) = ask(&mesh, &["status"]);
    assert_eq!((code, text.contains("meshtraced heal")), (Some(1), true), "{text}");
    let (code, said, error) = ask(&mesh, &["heal"]);
    assert_eq!(
        (code, said.contains("restored 1 file")),
        (Some(0), true),
        "{said}{error}"
    );
    assert_eq!(fs::read_to_string(&file).expect("there"), published);
    daemon.until("nothing is left", |status| {
        status["drift"].as_array().is_some_and(Vec::is_empty)
    });
    // A missing file comes back without being asked for.
    fs::remove_file(&file).expect("removed");
    daemon.signal(rustix::process::Signal::HUP);
    crate::kit::wait::until("it is restored", || {
        (fs::read_to_string(&file).ok().as_deref() == Some(&*published))
            .then_some(())
            .ok_or_else(|| daemon.process.log())
    });
}
