//! Files that an Envoy refuses before they are published, and validators that are none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use meshtraced::apply::{self, ApplyError, Bases, Delivery, Publication, Session, Target};
use meshtraced::envoy::artifact::{Artifact, Files, Fragments};
use meshtraced::envoy::xds;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::admin::Silent;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::publish::{self, key, plan};
use crate::kit::tools;
use crate::publish::tree;

/// A directory for output and for validators.
struct Place {
    dir: TempDir,
    target: Target,
    bases: Bases,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut target = publish::target(&dir.path().join("envoy"));
        target.envoy.answer_timeout = Duration::from_millis(500);
        let bases = Bases::new();
        Self { dir, target, bases }
    }

    /// Validates by this shell script from now on, with the configuration in `$file` and an Envoy in `$envoy`.
    fn validate_by(&mut self, script: &str) {
        let path = self.dir.path().join("validator");
        let text = format!(
            "#!/bin/sh\nenvoy='{}'\nfor file; do :; done\nprintf '%s\\n' \"$file\" | head -n 1 >> '{}'\n{script}\n",
            tools::envoy().display(),
            self.log().display(),
        );
        // By another process: this one might hand the open file down to a child that another test starts just now,
        // and then it could not be executed.
        let write = "rm -f \"$2\" && printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"";
        let status = Command::new("sh").args(["-c", write, "sh", &text]).arg(&path).status();
        assert!(status.expect("there is a shell").success());
        self.target.validator = Some(path);
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("validator.log")
    }

    /// How many configurations of proxies were validated since this was asked last.
    fn asked(&self) -> usize {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let _ = fs::remove_file(self.log());
        let own = |line: &&str| {
            ["good", "bad"]
                .iter()
                .any(|name| line.ends_with(&format!("validate-{name}.yaml")))
        };
        log.lines().filter(|line| !own(line)).count()
    }

    fn publish(&self, desired: &Fragments) -> Result<Publication, ApplyError> {
        let session = Session::open(&self.target).expect("nobody else publishes there");
        self.publish_with(&session, desired)
    }

    fn publish_with(&self, session: &Session, desired: &Fragments) -> Result<Publication, ApplyError> {
        let observed = apply::observe(&self.target.out)?;
        publish::apply(&plan(&observed, desired), &self.bases, &self.target, session)
    }

    fn has(&self, dataplane: &str) -> bool {
        self.target
            .out
            .root
            .join(key(dataplane).directory())
            .join("xds/lds.yaml")
            .exists()
    }
}

const THROUGH: &str = "exec \"$envoy\" \"$@\"";

/// The files of a proxy whose listener traces to a cluster of that name, beside the cluster `tracing:z`.
fn files(collector: &str, port: u16) -> Files {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let cluster = json!({
        "name": "tracing:z",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "tracing:z",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"name": "in"},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config":
            {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        "tracing": {"provider": {"name": "envoy.tracers.zipkin", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
            "collector_cluster": collector,
            "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
        }}},
    });
    let listener = json!({
        "name": "in",
        "address": address,
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    });
    let typed = |kind: &str, message: Value| {
        let of = format!("type.googleapis.com/envoy.config.{}.v3.{kind}", kind.to_lowercase());
        let mut typed = json!({"@type": of});
        let fields = message.as_object().expect("a message").clone();
        typed.as_object_mut().expect("a message").extend(fields);
        xds::response(&[typed])
    };
    Files::from([
        (Artifact::Cds, typed("Cluster", cluster).into()),
        (Artifact::Lds, typed("Listener", listener).into()),
        (Artifact::Bootstrap, BOOTSTRAP.into()),
    ])
}

/// A bootstrap that leads to files which are not there yet.
const BOOTSTRAP: &str = "node: {id: a, cluster: b}\ndynamic_resources:\n  cds_config: {path_config_source: {path: \
                         /nonexistent/cds.yaml}}\n  lds_config: {path_config_source: {path: /nonexistent/lds.yaml}}\n";

/// The same files with another bootstrap, and with a fragment that has a cluster of that name.
fn with(files: Files, bootstrap: &str, cluster: &str) -> Files {
    let fragment = format!("static_resources: {{clusters: [{{name: {cluster}, type: STATIC}}]}}\n");
    let own = [
        (Artifact::Bootstrap, bootstrap.into()),
        (Artifact::Fragment, fragment.into()),
    ];
    files.into_iter().chain(own).collect()
}

fn good(port: u16) -> Files {
    files("tracing:z", port)
}

fn bad(port: u16) -> Files {
    files("tracing:nope", port)
}

#[test]
fn what_it_refuses_is_not_published_and_not_tried_again_by_the_same_one() {
    let mut place = Place::new();
    place.validate_by(THROUGH);
    let desired = BTreeMap::from([(key("bad"), bad(1)), (key("good"), good(2)), (key("other"), good(3))]);
    for asked in [3, 0] {
        let outcome = place.publish(&desired).expect("it validates");
        let Ok(Delivery::Nacked(why)) = &outcome.proxies[&key("bad")].delivery else {
            panic!("{outcome:?}");
        };
        assert_eq!(why, "envoy.tracers.zipkin: unknown cluster 'tracing:nope'");
        assert_eq!(
            (place.has("bad"), place.has("good"), place.has("other")),
            (false, true, true)
        );
        assert_eq!(place.asked(), asked);
    }
    // Another validator may think otherwise, and no validator leaves it to the proxy.
    place.validate_by(&format!("# another one\n{THROUGH}"));
    place.publish(&desired).expect("it validates");
    assert_eq!((place.asked(), place.has("bad")), (1, false));
    // What is there already stays when it cannot be replaced.
    let next = BTreeMap::from([(key("bad"), good(4)), (key("good"), bad(2)), (key("other"), good(3))]);
    place.publish(&next).expect("it validates");
    let lds = |dataplane: &str| {
        let path = place
            .target
            .out
            .root
            .join(key(dataplane).directory())
            .join("xds/lds.yaml");
        fs::read_to_string(path).expect("published")
    };
    assert_eq!(lds("bad"), good(4)[&Artifact::Lds].text());
    assert_eq!(lds("good"), good(2)[&Artifact::Lds].text());
    assert_eq!(place.asked(), 2);
    // Somebody asks for another attempt.
    let session = Session::open(&place.target).expect("nobody else");
    assert_eq!(
        apply::forget_nacks(&place.target.out, session.lock()).expect("it is ours"),
        1
    );
    place.publish_with(&session, &next).expect("it validates");
    assert_eq!(place.asked(), 1);
    drop(session);
    place.target.validator = None;
    place.publish(&next).expect("nobody objects");
    assert_eq!(
        fs::read_to_string(place.target.out.root.join("default/good/xds/lds.yaml")).expect("published"),
        bad(2)[&Artifact::Lds].text()
    );
}

#[test]
fn a_bootstrap_is_judged_too() {
    let mut place = Place::new();
    place.validate_by(THROUGH);
    let odd = BOOTSTRAP.replace("node: {", "node: {no_such_field: 1, ");
    for (bootstrap, expected) in [(&*odd, "no_such_field"), ("{}", "no bootstrap")] {
        let desired = BTreeMap::from([(key("web"), with(good(1), bootstrap, "tracing:z"))]);
        let outcome = place.publish(&desired).expect("it validates");
        assert!(
            matches!(&outcome.proxies[&key("web")].delivery, Ok(Delivery::Nacked(why)) if why.contains(expected)),
            "{outcome:?}"
        );
        assert!(!place.has("web"));
    }
}

#[test]
fn a_fragment_is_judged_with_what_it_is_merged_into() {
    let mut place = Place::new();
    place.validate_by(THROUGH);
    let base = place.dir.path().join("base.yaml");
    place.bases = BTreeMap::from([(key("web"), base.clone())]);
    let publish = |place: &Place, cluster: &str| {
        let desired = BTreeMap::from([(key("web"), with(good(1), BOOTSTRAP, cluster))]);
        let mut outcome = place.publish(&desired).expect("it validates");
        let result = outcome.proxies.remove(&key("web")).expect("it is in the plan").delivery;
        result.expect("somebody's word")
    };
    // A listener of its own that sends to a cluster of the fragment.
    let own = |cluster: &str| {
        let listeners = files(cluster, 2)[&Artifact::Lds].to_string();
        let listeners = listeners.split_once("resources:\n").expect("a list").1.to_owned();
        let lines = listeners.lines().filter(|line| !line.contains("envoy.config.listener"));
        let indented: String = lines.map(|line| format!("  {line}\n")).collect();
        format!(
            "static_resources:\n  listeners:\n{}",
            indented.replacen("    name:", "  - name:", 1)
        )
    };
    let refused = |word: &Delivery, words: &str| matches!(word, Delivery::Nacked(why) if why.contains(words));
    let word = publish(&place, "tracing:z");
    assert!(
        matches!(&word, Delivery::Pending(why) if why.contains("cannot read") && why.contains("base.yaml: No such file")),
        "{word:?}"
    );
    fs::write(&base, own("tracing:z")).expect("a file");
    assert_eq!(publish(&place, "tracing:z"), Delivery::NotRunning);
    place.asked();
    for asked in [1, 0] {
        let word = publish(&place, "tracing:other");
        assert!(
            refused(&word, "unknown cluster 'tracing:z' (fragment.yaml merged into "),
            "{word:?}"
        );
        assert_eq!(place.asked(), asked);
    }
    // Its bootstrap changes to fit.
    fs::write(&base, own("tracing:other")).expect("a file");
    assert_eq!(publish(&place, "tracing:other"), Delivery::NotApplicable);
    let long = "x".repeat(200_000);
    assert!(refused(&publish(&place, &long), "longer than an argument"));
}

#[test]
fn blocks_are_judged_with_the_clusters_of_the_fragment() {
    let mut place = Place::new();
    place.validate_by(THROUGH);
    let block = Artifact::at("tracing/inbound-8080.yaml").expect("the file of a block");
    let other = Artifact::at("tracing/inbound-8081.yaml").expect("the file of a block");
    let lds = files("tracing:z", 1)[&Artifact::Lds].to_string();
    let text = |collector: &str| {
        let provider = format!(
            "{{name: envoy.tracers.zipkin, typed_config: {{'@type': type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, \
             collector_cluster: {collector}, collector_endpoint: /, collector_endpoint_version: HTTP_JSON}}}}"
        );
        format!("tracing: {{provider: {provider}}}\n")
    };
    assert!(lds.contains("envoy.tracers.zipkin"), "the same provider: {lds}");
    let publish = |place: &Place, texts: [String; 2], cluster: &str| {
        let mut files = with(Files::new(), "", cluster);
        files.remove(&Artifact::Bootstrap);
        files.extend([block, other].into_iter().zip(texts.map(Into::into)));
        let mut outcome = place
            .publish(&BTreeMap::from([(key("web"), files)]))
            .expect("it validates");
        let result = outcome.proxies.remove(&key("web")).expect("it is in the plan").delivery;
        result.expect("somebody's word")
    };
    let unset = || "tracing: null\n".to_owned();
    let word = publish(&place, [text("tracing:z"), unset()], "tracing:z");
    assert_eq!(word, Delivery::NotApplicable);
    assert_eq!(place.asked(), 1, "one configuration for all blocks");
    for (texts, cluster) in [
        ([text("tracing:z"), text("tracing:nope")], "tracing:z"),
        ([text("tracing:nope"), unset()], "tracing:other"),
    ] {
        let word = publish(&place, texts, cluster);
        let is_told = |why: &String| why.contains("unknown cluster 'tracing:nope'");
        assert!(matches!(&word, Delivery::Nacked(why) if is_told(why)), "{word:?}");
    }
    let word = publish(
        &place,
        [unset(), "tracing: {no_such_field: 1}\n".to_owned()],
        "tracing:z",
    );
    assert!(
        matches!(&word, Delivery::Nacked(why) if why.contains("no_such_field")),
        "{word:?}"
    );
}

#[test]
fn what_never_was_published_leaves_nothing_when_it_goes() {
    let mut place = Place::new();
    place.validate_by(THROUGH);
    place
        .publish(&BTreeMap::from([(key("bad"), bad(1))]))
        .expect("it validates");
    let inventory = || {
        let files = fs::read_dir(place.target.out.root.join(".meshtraced/inventory")).expect("written");
        let text = |file: std::io::Result<fs::DirEntry>| fs::read_to_string(file.expect("a file").path());
        let texts: Result<Vec<String>, _> = files.map(text).collect();
        texts.expect("texts").concat()
    };
    assert!(inventory().contains("unknown cluster"));
    place.publish(&BTreeMap::new()).expect("nothing to do");
    assert!(!inventory().contains("bad"), "{}", inventory());
    let staging = fs::read_dir(place.target.out.root.join(".meshtraced/staging")).expect("a directory");
    assert_eq!(staging.count(), 0);
}

#[test]
fn a_validator_that_is_none_keeps_everything_from_being_published() {
    let mut place = Place::new();
    place
        .publish(&BTreeMap::from([(key("goes"), good(1)), (key("stays"), good(2))]))
        .expect("published");
    let next = BTreeMap::from([(key("stays"), good(3)), (key("comes"), good(4))]);
    let check = |place: &Place, expected: &str| {
        let error = place.publish(&next).expect_err(expected);
        let said = error.to_string();
        assert!(matches!(error, ApplyError::Validator { .. }), "{said}");
        assert!(
            said.contains("`envoy.validate`") && said.contains(expected),
            "{expected}: {said}"
        );
        assert_eq!((place.has("comes"), place.has("goes")), (false, true));
    };
    for (path, expected) in [
        ("/nonexistent/envoy", "No such file"),
        ("/etc/passwd", "ermission denied"),
        ("/", "ermission denied"),
        ("/bin/true", "it accepts an invalid configuration"),
        ("/bin/false", "exit status: 1"),
    ] {
        place.target.validator = Some(Path::new(path).to_owned());
        check(&place, expected);
    }
    for (script, expected) in [
        (
            "echo 'libc.so.6: version not found' >&2; exit 127",
            "libc.so.6: version not found",
        ),
        ("kill -9 $$", "signal 9"),
    ] {
        place.validate_by(script);
        check(&place, expected);
    }
    place.validate_by(THROUGH);
    place.publish(&next).expect("it validates");
    assert_eq!((place.has("comes"), place.has("goes")), (true, false));
}

#[test]
fn a_validation_without_a_verdict_is_made_again_and_holds_up_no_other() {
    let mut place = Place::new();
    // The machine kills it, once.
    let marker = place.dir.path().join("killed");
    place.validate_by(&format!(
        "if grep -q 4711 \"$file\" && ! [ -e '{0}' ]; then touch '{0}'; kill -9 $$; fi\n{THROUGH}",
        marker.display()
    ));
    let desired = BTreeMap::from([(key("a"), good(4711)), (key("b"), good(2))]);
    let outcome = place.publish(&desired).expect("it validates");
    let result = &outcome.proxies[&key("a")].delivery;
    assert!(
        matches!(result, Ok(Delivery::Pending(why)) if why.contains("signal 9")),
        "{outcome:?}"
    );
    assert_eq!((place.has("a"), place.has("b")), (false, true));
    place.publish(&desired).expect("it validates");
    assert!(place.has("a"));
}

#[test]
fn what_waits_for_its_envoy_is_validated_once() {
    let mut place = Place::new();
    place
        .publish(&BTreeMap::from([(key("web"), good(1))]))
        .expect("published");
    let _silent = Silent::listen(&place.target.out.root.join("default/web"));
    place.validate_by(THROUGH);
    let next = BTreeMap::from([(key("web"), good(2))]);
    let session = Session::open(&place.target).expect("nobody else");
    for asked in [1, 0, 0] {
        let outcome = place.publish_with(&session, &next).expect("it validates");
        assert!(
            matches!(outcome.proxies[&key("web")].delivery, Ok(Delivery::Pending(_))),
            "{outcome:?}"
        );
        assert_eq!(place.asked(), asked);
    }
}

#[test]
fn with_an_empty_cache_the_same_is_published() {
    let runs = [false, true].map(|forgets| {
        let mut place = Place::new();
        let first = [("silent", good(1)), ("web", good(2))].map(|(name, files)| (key(name), files));
        place.publish(&BTreeMap::from(first)).expect("published");
        let _silent = Silent::listen(&place.target.out.root.join("default/silent"));
        place.validate_by(THROUGH);
        let next = [("silent", good(3)), ("web", bad(4)), ("new", good(5))].map(|(name, files)| (key(name), files));
        let last = [("silent", good(3)), ("web", good(6))].map(|(name, files)| (key(name), files));
        let mut session = Session::open(&place.target).expect("nobody else");
        let desired = [BTreeMap::from(next.clone()), BTreeMap::from(next), BTreeMap::from(last)];
        let outcomes = desired.map(|desired| {
            if forgets {
                session.forget();
            }
            let outcome = place.publish_with(&session, &desired).expect("it validates");
            format!("{:?}", outcome.proxies).replace(&place.dir.path().display().to_string(), "DIR")
        });
        let mut files = tree(&place.target.out.root);
        files.retain(|path, _| !path.starts_with(".meshtraced"));
        (outcomes, files, place.asked())
    });
    let [(outcomes, files, asked), emptied] = runs;
    assert_eq!((outcomes, files), (emptied.0, emptied.1));
    assert!(
        asked < emptied.2,
        "the cache saves nothing: {asked} and {} validations",
        emptied.2
    );
}

#[test]
fn every_setting_of_it_is_told_and_what_meshtraced_writes_is_accepted() {
    let mesh = Mesh::builder()
        .backends(&[Backend::zipkin("first", ([127, 0, 0, 1], 9411).into())])
        .start();
    let run = |validator: &Path| {
        let mut command = mesh.meshtraced(&["run", "--once"]);
        let output = command
            .env("MESHTRACED_ENVOY_VALIDATE", validator)
            .output()
            .expect("the program starts");
        (
            output.status.code(),
            String::from_utf8(output.stderr).expect("messages are UTF-8"),
        )
    };
    let (code, said) = run(Path::new("/nonexistent/envoy"));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("cannot validate with /nonexistent/envoy (setting `envoy.validate`)"),
        "{said}"
    );
    assert!(!mesh.published("web-01").exists());
    let (code, said) = run(Path::new("envoy"));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.starts_with("error: settings: MESHTRACED_ENVOY_VALIDATE: "),
        "{said}"
    );
    for envoy in tools::releases() {
        assert_eq!(run(envoy), (Some(0), String::new()));
        let diff = mesh.meshtraced(&["diff"]).output().expect("the program starts");
        assert_eq!(diff.status.code(), Some(0));
        // Something for the next one.
        let other = mesh
            .read("web.yaml")
            .replace("servicePort: 18080", "servicePort: 18081");
        mesh.write("web.yaml", &other);
    }
}
