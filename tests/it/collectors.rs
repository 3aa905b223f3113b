//! `collectors` of the settings: keys, TLS, timeouts, and the networks that spans may go to.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use serde_json::json;
use tempfile::TempDir;

use meshtraced::compile::{Options, compile};
use meshtraced::envoy::artifact::{Artifact, ProxyKey};
use meshtraced::kuma::Fidelity;
use meshtraced::source::Snapshot;

use crate::kit::collector::{Collector, FORMS, Store};
use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::Mesh;
use crate::kit::parallel::in_parallel;
use crate::kit::process::Process;
use crate::kit::program::{meshtraced, said};
use crate::kit::{ports, tools, wait};

/// The name of the collector in its certificate.
const NAME: &str = "collector.example";

/// An authority, with the files of the certificates that it signed.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(dir.path().join("ca.pem"), certificate.pem()).expect("a file");
        Self {
            dir,
            issuer: Issuer::new(params, key),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The files of a certificate for a name and of its key; it was valid until a year.
    fn sign(&self, name: &str, until: i32) -> [PathBuf; 2] {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let paths = ["crt", "key"].map(|kind| self.file(&format!("{name}-{until}.{kind}")));
        fs::write(&paths[0], certificate.pem()).expect("a file");
        fs::write(&paths[1], key.serialize_pem()).expect("a file");
        paths
    }
}

/// The key that the front wants in the header `x-api-key`.
const KEY: &str = "hidden-1";

/// An Envoy in front of a collector, which takes TLS 1.3 from those who have a certificate of an authority, and the key.
struct Front {
    address: SocketAddr,
    _dir: TempDir,
    _envoy: Envoy,
}

impl Front {
    fn start(collector: SocketAddr, [chain, key]: &[PathBuf; 2], clients: &Path) -> Self {
        let address = ports::socket(19_443);
        let dir = tempfile::tempdir().expect("a directory");
        let socket =
            |address: SocketAddr| json!({"socket_address": {"address": address.ip(), "port_value": address.port()}});
        let with_key = json!({"name": "x-api-key", "string_match": {"exact": KEY}});
        let options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let bootstrap = json!({"static_resources": {
            "listeners": [{
                "name": "front",
                "address": socket(address),
                "filter_chains": [{
                    "transport_socket": {
                        "name": "envoy.transport_sockets.tls",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                            "require_client_certificate": true,
                            "common_tls_context": {
                                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                                "tls_certificates": [{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}],
                                "validation_context": {"trusted_ca": {"filename": clients}},
                            },
                        },
                    },
                    "filters": [{
                        "name": "http",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                            "stat_prefix": "front",
                            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                                {"match": {"prefix": "/", "headers": [with_key]}, "route": {"cluster": "collector"}},
                                {"match": {"prefix": "/"}, "direct_response": {"status": 403}},
                            ]}]},
                            "http_filters": [{"name": "router", "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                            }}],
                        },
                    }],
                }],
            }],
            "clusters": [{
                "name": "collector",
                "load_assignment": {
                    "cluster_name": "collector",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(collector)}}]}],
                },
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": options,
                        "use_downstream_protocol_config": {"http2_protocol_options": {}},
                    },
                },
            }],
        }});
        let path = dir.path().join("front.json");
        fs::write(&path, bootstrap.to_string()).expect("a file");
        let envoy = Envoy::start(&path);
        Self {
            address,
            _dir: dir,
            _envoy: envoy,
        }
    }
}

/// Every form of spans reaches a collector that wants TLS 1.3, a certificate and a key, from both releases of Envoy.
#[test]
fn spans_reach_a_collector_behind_tls() {
    let authority = Authority::new();
    let (server, [chain, key]) = (authority.sign(NAME, 2090), authority.sign("proxy", 2090));
    let tls = json!({"ca": authority.file("ca.pem"), "sni": NAME, "certificate": chain, "key": key});
    let settings = |form: &str| {
        let mut entry = json!({"tls": tls, "headers": {"x-api-key": {"value": KEY}}});
        if form.starts_with("OTLP") {
            entry["timeout"] = json!("3s");
        }
        json!({"collectors": [entry]})
    };
    in_parallel(&tools::with_releases(FORMS), |(form, release)| {
        let collector = Store::for_form(form);
        let front = Front::start(collector.address(), &server, &authority.file("ca.pem"));
        let mesh = Mesh::sending(form, front.address, &settings(form));
        let [web, _backend] = mesh.envoys_of(release);
        assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
        collector.wait_for(|spans| spans.iter().any(|span| span.service == "web").then_some(()));
        let provider = match *form {
            "Zipkin" => "zipkin",
            "Datadog" => "datadog",
            _ => "opentelemetry",
        };
        let handshakes = web.stat(&format!("cluster.meshtrace_{provider}.ssl.handshake"));
        assert!(handshakes.is_some_and(|count| count > 0), "{form}: {handshakes:?}");
    });
}

/// A certificate of another authority, of another name, or of the past, or a wrong key: no span arrives, and a statistic says why.
#[test]
fn no_span_reaches_a_collector_with_a_wrong_certificate_or_key() {
    let (authority, other) = (Authority::new(), Authority::new());
    let [chain, key] = authority.sign("proxy", 2090);
    let cases = [
        (other.sign(NAME, 2090), KEY, "ssl.fail_verify_error"),
        (authority.sign("other.example", 2090), KEY, "ssl.fail_verify_san"),
        (authority.sign(NAME, 2002), KEY, "ssl.fail_verify_error"),
        (authority.sign(NAME, 2090), "hidden-0", "upstream_rq_403"),
    ];
    in_parallel(&cases, |(server, api_key, statistic)| {
        let collector = Collector::start();
        let front = Front::start(collector.address(), server, &authority.file("ca.pem"));
        let tls = json!({"ca": authority.file("ca.pem"), "sni": NAME, "certificate": chain, "key": key});
        let headers = json!({"x-api-key": {"value": api_key}});
        let settings = json!({"collectors": [{"tls": tls, "headers": headers}]});
        let mesh = Mesh::sending("Zipkin", front.address, &settings);
        let [web, _backend] = mesh.envoys();
        assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
        let statistic = format!("cluster.meshtrace_zipkin.{statistic}");
        wait::until("a statistic says why", || match web.stat(&statistic) {
            Some(count) if count > 0 => Ok(()),
            count => Err(format!("{statistic}: {count:?}")),
        });
        assert!(collector.reports().is_empty(), "{statistic}");
    });
}

/// Waits for a request of a tracer with a header of this value.
fn wait_for_header(collector: &Collector, name: &str, value: &str) {
    wait::until("spans come with the header", || {
        let reports = collector.reports();
        let values: Vec<_> = reports.iter().map(|report| report.headers.get(name).cloned()).collect();
        let is_there = values
            .iter()
            .any(|found| found.as_ref().is_some_and(|found| found == value));
        is_there.then_some(()).ok_or_else(|| format!("{values:?}"))
    });
}

/// A key in a file, with a line end behind it, goes with every form of spans, from both releases of Envoy.
#[test]
fn spans_have_the_key_of_their_collector() {
    let all = tools::with_releases(["Zipkin", "OTLP over gRPC", "OTLP over HTTP"]);
    in_parallel(&all, |(form, release)| {
        let (collector, dir) = (Collector::start(), tempfile::tempdir().expect("a directory"));
        let key = dir.path().join("key");
        fs::write(&key, "hidden-1\n").expect("a key");
        let headers = json!({"x-api-key": {"file": key}, "x-region": {"value": "eu"}});
        let mesh = Mesh::sending(
            form,
            collector.address(),
            &json!({"collectors": [{"headers": headers}]}),
        );
        let _envoys = mesh.envoys_of(release);
        assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
        wait_for_header(&collector, "x-api-key", "hidden-1");
        wait_for_header(&collector, "x-region", "eu");
        collector.wait_for(|spans| spans.iter().any(|span| span.service == "web").then_some(()));
    });
}

/// A key that is written anew in its place goes with the next spans, without a change of clusters or listeners.
#[test]
fn a_new_key_needs_no_new_files() {
    let (collector, dir) = (Collector::start(), tempfile::tempdir().expect("a directory"));
    let key = dir.path().join("key");
    fs::write(&key, "hidden-1").expect("a key");
    let settings = json!({"collectors": [{"headers": {"x-api-key": {"file": key}}}]});
    let mesh = Mesh::sending("Zipkin", collector.address(), &settings);
    let [web, _backend] = mesh.envoys();
    let clusters = || fs::read_to_string(mesh.published("web-01").join("xds/cds.yaml")).expect("clusters");
    let before = (clusters(), web.stat("cluster_manager.cds.update_attempt"));
    let _daemon = Process::spawn(
        mesh.meshtraced(&["run", "--config", "settings.yaml"]),
        mesh.dir().join("daemon.log"),
    );
    assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
    wait_for_header(&collector, "x-api-key", "hidden-1");
    fs::write(&key, "hidden-2\n").expect("a key");
    wait::until("the new key goes with spans", || {
        assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
        let last = collector.reports().pop().expect("a request").headers["x-api-key"].clone();
        (last == "hidden-2").then_some(()).ok_or_else(|| format!("{last:?}"))
    });
    assert_eq!((clusters(), web.stat("cluster_manager.cds.update_attempt")), before);
    let status = mesh.meshtraced(&["status", "--config", "settings.yaml"]).output();
    let status = String::from_utf8(status.expect("it starts").stdout).expect("text");
    let holders = format!(
        "key       {}: 2 proxies: default/backend-01, default/web-01\n",
        key.display()
    );
    assert!(status.contains(&holders), "{status}");
}

/// Certificates that are written anew in their places are used for the next connections, without a change of clusters or listeners.
#[test]
fn new_certificates_need_no_new_files() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.sign(NAME, 2090);
    let releases: Vec<&Path> = tools::releases().into_iter().collect();
    in_parallel(&releases, |release| {
        let (collector, dir) = (Collector::start(), tempfile::tempdir().expect("a directory"));
        let front = Front::start(collector.address(), &server, &authority.file("ca.pem"));
        let own = ["ca.pem", "proxy.crt", "proxy.key"].map(|name| dir.path().join(name));
        let take = |authority: &Authority, name: &str| {
            let [chain, key] = authority.sign(name, 2090);
            for (from, to) in [&authority.file("ca.pem"), &chain, &key].into_iter().zip(&own) {
                fs::write(to, fs::read(from).expect("a file")).expect("a file");
            }
        };
        // The authority keeps the files of each name.
        let name = format!("proxy-{}", front.address.port());
        take(&other, &name);
        let tls = json!({"ca": own[0], "sni": NAME, "certificate": own[1], "key": own[2]});
        let headers = json!({"x-api-key": {"value": KEY}});
        let settings = json!({"collectors": [{"tls": tls, "headers": headers}]});
        let mesh = Mesh::sending("Zipkin", front.address, &settings);
        let explained = mesh
            .meshtraced(&["explain", "default/web-01", "--config", "settings.yaml"])
            .output();
        let explained = explained.expect("it starts").stdout;
        let verified = format!("certificate verified: {NAME}, by {}", own[0].display());
        assert!(String::from_utf8_lossy(&explained).contains(&verified), "{explained:?}");
        let [web, _backend] = mesh.envoys_of(release);
        let clusters = || fs::read_to_string(mesh.published("web-01").join("xds/cds.yaml")).expect("clusters");
        let before = (clusters(), web.stat("cluster_manager.cds.update_attempt"));
        let _daemon = Process::spawn(
            mesh.meshtraced(&["run", "--config", "settings.yaml"]),
            mesh.dir().join("daemon.log"),
        );
        let request = || assert_eq!(get(format!("http://{}/", mesh.web)).send().status, 200);
        request();
        wait::until("Envoy refuses the certificate", || {
            let count = web.stat("cluster.meshtrace_zipkin.ssl.fail_verify_error");
            count.filter(|count| *count > 0).ok_or_else(|| format!("{count:?}"))
        });
        assert!(collector.reports().is_empty());
        take(&authority, &name);
        wait::until("spans arrive", || {
            request();
            (!collector.reports().is_empty())
                .then_some(())
                .ok_or_else(|| "none".to_owned())
        });
        assert_eq!((clusters(), web.stat("cluster_manager.cds.update_attempt")), before);
    });
}

/// All that is written and said, but for the file that Envoys read the key from, which others cannot read.
#[test]
fn a_key_is_nowhere_but_in_its_file() {
    let (mesh, authority) = (Mesh::start(), Authority::new());
    let [chain, private] = authority.sign("proxy", 2090);
    let private_text = fs::read_to_string(&private).expect("a key");
    let keys = [
        "a-key-that-nobody-shows",
        private_text.lines().nth(1).expect("a key of lines"),
    ];
    fs::write(mesh.dir().join("key"), keys[0]).expect("a key");
    let headers = json!({"x-api-key": {"file": mesh.dir().join("key")}, "x-other": {"env": "OTHER_KEY"}});
    let tls = json!({"ca": authority.file("ca.pem"), "certificate": chain, "key": private});
    let listen = ports::socket(9902);
    mesh.settings(&json!({
        "mode": "0644",
        "collectors": [{"headers": headers, "tls": tls}],
        "control": {"listen": listen.to_string()},
    }));
    let meshtraced = |command: &[&str]| {
        let mut started = mesh.meshtraced(&[command, &["--config", "settings.yaml"]].concat());
        started.env("OTHER_KEY", keys[0]);
        started
    };
    let mut said = String::new();
    for command in [
        &["run", "--once", "-vv"][..],
        &["compile", "--to", "compiled"],
        &["compile"],
        &["diff"],
        &["check"],
        &["explain", "default/web-01"],
        &["history"],
    ] {
        let output = meshtraced(command).output().expect("it starts");
        assert!(output.status.success(), "{command:?}: {output:?}");
        said += &format!("{output:?}");
    }
    let daemon = Process::spawn(meshtraced(&["run", "-vv"]), mesh.dir().join("daemon.log"));
    let ask = |path: &str| {
        wait::until("the daemon answers", || {
            get(format!("http://{listen}{path}")).try_send()
        })
        .body
    };
    said += &(ask("/status") + &ask("/metrics"));
    let [web, backend] = mesh.envoys();
    for envoy in [&web, &backend] {
        said += &(envoy.admin("/config_dump") + &envoy.admin("/stats") + &envoy.log());
    }
    drop(daemon);
    let is_told = |key: &&str| said.contains(*key);
    assert!(
        said.contains("x-api-key from /") && said.contains("x-other from $OTHER_KEY") && !keys.iter().any(is_told),
        "{said}"
    );
    let mut secrets = 0;
    for entry in walkdir::WalkDir::new(mesh.dir()) {
        let entry = entry.expect("an entry");
        let bytes = fs::read(entry.path()).unwrap_or_default();
        let has = |key: &&str| bytes.windows(key.len()).any(|window| window == key.as_bytes());
        if !keys.iter().any(has) {
            continue;
        }
        let mode = entry.metadata().expect("metadata").permissions().mode();
        let is_secret = entry.path().parent() == Some(&mesh.dir().join("envoy/.secrets")) && mode & 0o7777 == 0o640;
        assert!(
            is_secret || entry.path() == mesh.dir().join("key"),
            "{entry:?} {mode:o}"
        );
        secrets += usize::from(is_secret);
    }
    assert_eq!(secrets, 3);
    // One that somebody removed or changed comes back, although nothing else has changed.
    let files = || -> Vec<PathBuf> {
        let entries = fs::read_dir(mesh.dir().join("envoy/.secrets")).expect("keys");
        entries.map(|entry| entry.expect("a key").path()).collect()
    };
    let all = files();
    fs::remove_file(&all[0]).expect("a key");
    fs::write(&all[1], "nothing").expect("a key");
    let once = || {
        let output = meshtraced(&["run", "--once"]).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
    };
    once();
    assert_eq!(files().len(), all.len());
    assert_ne!(fs::read_to_string(&all[1]).expect("a key"), "nothing");
    // Nobody needs them any more.
    mesh.settings(&json!({}));
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    assert!(!mesh.dir().join("envoy/.secrets").exists());
}

/// A run that remembers the last one sees that a variable has another value, and a freeze keeps the key as it is.
#[test]
fn a_variable_with_another_value_is_a_new_key() {
    let mesh = Mesh::start();
    mesh.settings(&json!({"collectors": [{"headers": {"x-api-key": {"env": "API_KEY"}}}]}));
    let with = |key: &str, arguments: &[&str]| {
        let mut command = mesh.meshtraced(&[arguments, &["--config", "settings.yaml"]].concat());
        let output = command.env("API_KEY", key).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        let secrets = fs::read_dir(mesh.dir().join("envoy/.secrets")).expect("keys");
        let texts = secrets.map(|file| fs::read_to_string(file.expect("a key").path()).expect("a text"));
        texts.collect::<String>()
    };
    let run = ["run", "--once"];
    assert!(with("first", &run).contains("first"));
    assert!(with("first", &run).contains("first"));
    assert!(with("second", &run).contains("second"));
    with("second", &["freeze", "--why", "a change"]);
    assert!(with("third", &run).contains("second"));
    with("third", &["thaw"]);
    assert!(with("third", &run).contains("third"));
}

#[test]
fn a_key_that_cannot_be_had_holds_the_proxies_that_need_it() {
    let mesh = Mesh::start();
    let key = mesh.dir().join("key");
    mesh.settings(&json!({"collectors": [{"headers": {"x-api-key": {"file": key}}}]}));
    let is_published = || mesh.published("web-01").join("xds/cds.yaml").exists();
    for (content, why) in [
        (None, "does not exist"),
        (Some(&b""[..]), "the file is empty"),
        (Some(b"\n"), "is empty"),
        (Some(b"two\nlines"), "no header can have"),
        (Some(b"\xff"), "not UTF-8"),
    ] {
        content
            .into_iter()
            .for_each(|content| fs::write(&key, content).expect("a key"));
        let (exit, text) = mesh.run_with_settings();
        assert!(
            exit == Some(1) && text.contains("error[missing-secret]") && text.contains(why),
            "{exit:?} {text}"
        );
        assert!(!is_published(), "{text}");
    }
    fs::remove_file(&key).expect("it was there");
    fs::create_dir(&key).expect("a directory");
    let (exit, text) = mesh.run_with_settings();
    assert!(exit == Some(1) && text.contains("or is no file"), "{exit:?} {text}");
    fs::remove_dir(&key).expect("it was there");
    let keys = mesh.dir().join("keys");
    fs::write(&keys, "hidden").expect("a key");
    symlink(&keys, &key).expect("a link");
    assert_eq!(mesh.run_with_settings(), (Some(0), String::new()));
    assert!(is_published());
}

#[test]
fn certificates_that_cannot_be_had_hold_the_proxies_that_need_them() {
    let authority = Authority::new();
    let [chain, key] = authority.sign("proxy", 2090);
    let (mesh, ca) = (Mesh::start(), authority.file("ca.pem"));
    let none = mesh.dir().join("none.pem");
    fs::write(&none, "no certificate\n").expect("a file");
    let damaged = mesh.dir().join("damaged.pem");
    fs::write(&damaged, "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n").expect("a file");
    let locked = mesh.dir().join("locked.pem");
    fs::write(
        &locked,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .expect("a file");
    let nowhere = mesh.dir().join("nowhere.pem");
    for (tls, path, why) in [
        (json!({"ca": none}), &none, "has no certificate"),
        (json!({"ca": damaged}), &damaged, "is no valid PEM"),
        (json!({"ca": nowhere}), &nowhere, "does not exist"),
        (
            json!({"ca": ca, "certificate": none, "key": key}),
            &none,
            "has no certificate",
        ),
        (
            json!({"ca": ca, "certificate": chain, "key": locked}),
            &locked,
            "has no private key",
        ),
        (
            json!({"ca": ca, "certificate": chain, "key": chain}),
            &chain,
            "has no private key",
        ),
    ] {
        mesh.settings(&json!({"collectors": [{"tls": tls}]}));
        let (exit, text) = mesh.run_with_settings();
        let why = format!("{} {why}", path.display());
        assert!(
            exit == Some(1) && text.contains("error[missing-secret]") && text.contains(&why),
            "{why}: {exit:?} {text}"
        );
        assert!(!mesh.published("web-01").join("xds/cds.yaml").exists(), "{text}");
    }
}

/// `check` of a tree whose only backend is at a place.
fn checked(host: &str, collectors: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let mesh = format!(
        "type: Mesh\nname: default\ntracing:\n  defaultBackend: z\n  backends:\n  - {{name: z, type: zipkin, conf: {{url: 'http://{host}:9411/api/v2/spans'}}}}\n"
    );
    fs::create_dir(dir.path().join("policies")).expect("a directory");
    fs::write(dir.path().join("policies/mesh.yaml"), mesh).expect("a file");
    fs::write(
        dir.path().join("settings.yaml"),
        format!("collectors: [{collectors}]\n"),
    )
    .expect("a file");
    let output = meshtraced(dir.path(), &["check", "--config", "settings.yaml"]);
    let (exit, mistake) = said(&output);
    (exit, String::from_utf8_lossy(&output.stdout).into_owned() + &mistake)
}

#[test]
fn a_collector_outside_the_allowed_networks_is_an_error() {
    let allow = "{match: {mesh: default}, allow: [10.0.0.0/8]}";
    for (host, code) in [("10.1.2.3", 0), ("192.168.1.1", 1), ("zipkin.eu", 1)] {
        let (exit, text) = checked(host, allow);
        assert_eq!(exit, Some(code), "{text}");
        assert_eq!(text.contains("error[collector-not-allowed]"), code == 1, "{text}");
        assert!(code == 0 || text.contains("mesh.yaml:6"), "{text}");
    }
}

#[test]
fn an_entry_without_a_collector_is_a_finding() {
    let (_, text) = checked(
        "10.1.2.3",
        "{match: {host: '*.eu'}, timeout: 1s}, {match: {port: 9411}, timeout: 1s}, {headers: {x-region: {value: eu}}}",
    );
    assert!(
        text.contains("warning[unused-collector-entry]: `collectors[0]` of the settings fits no collector"),
        "{text}"
    );
    assert!(
        !text.contains("`collectors[1]`") && !text.contains("collectors[2]"),
        "{text}"
    );
    assert!(
        text.contains("`collectors[1].timeout` of the settings is for collectors of Zipkin or Datadog alone"),
        "{text}"
    );
}

#[test]
fn mistakes_in_the_settings_are_named() {
    for (collectors, expected) in [
        ("{allow: [zipkin.eu]}", "A name can resolve to any address"),
        (
            "{tls: {certificate: /a}}",
            "collectors[0].tls: `certificate` and `key` belong together",
        ),
        ("{tls: {verfy: true}}", "verfy"),
        ("{headers: {X-Key: {value: a}}}", "write `x-key`"),
        (
            "{headers: {':path': {value: a}}}",
            "`:path` is not the name of a header",
        ),
        ("{headers: {grpc-status: {value: a}}}", "is a header that Envoy sets"),
        ("{headers: {x-key: {}}}", "exactly one of `file`, `env` and `value`"),
        ("{headers: {x-key: {file: key}}}", "must be an absolute path"),
    ] {
        let (exit, text) = checked("10.1.2.3", collectors);
        assert!(exit == Some(2) && text.contains(expected), "{exit:?} {text}");
    }
}

/// The clusters of a proxy whose collector has an https URL, or the finding that holds it.
fn clusters_by_default(labels: &str, fidelity: Fidelity, ca: Option<&str>) -> String {
    let text = format!(
        "type: Mesh\nname: default\nlabels: {{{labels}}}\ntracing:\n  defaultBackend: z\n  backends:\n  - {{name: z, type: zipkin, conf: {{url: 'https://zipkin.eu:443/x'}}}}\n---\ntype: TrafficTrace\nmesh: default\nname: all\nselectors:\n- match: {{kuma.io/service: '*'}}\n---\ntype: Dataplane\nmesh: default\nname: web-01\nnetworking:\n  address: 10.0.0.1\n  inbound:\n  - {{port: 80, tags: {{kuma.io/service: web, kuma.io/protocol: http}}}}\n"
    );
    let mut options = Options::for_out("/out");
    options.kuma.fidelity = fidelity;
    options.collectors.machine.trusted_ca = ca.map(PathBuf::from);
    let compiled = compile(&Snapshot::from_texts([("all.yaml", text.as_str())]), &options);
    match compiled.unpublishable.as_slice() {
        [] => compiled.fragments[&ProxyKey::new("default", "web-01")][&Artifact::Cds].to_string(),
        [finding] => format!("{} {}", finding.code, finding.message),
        more => panic!("{more:?}"),
    }
}

/// An https collector without an entry: its certificate is verified where Kuma's documentation is followed and the machine trusts any, and
/// where a label asks for it.
#[test]
fn certificates_are_verified_by_default_where_the_machine_can() {
    let (trusted, label) = (Some("/etc/trusted.pem"), "meshtraced/verify-collector: 'true'");
    for verified in [
        clusters_by_default("", Fidelity::Documented, trusted),
        clusters_by_default(label, Fidelity::Documented, trusted),
        clusters_by_default(label, Fidelity::Exact, trusted),
    ] {
        let expected = ["/out/.secrets/machine-ca-", "san_type: DNS", "exact: zipkin.eu"];
        assert!(expected.iter().all(|part| verified.contains(part)), "{verified}");
    }
    for unverified in [
        clusters_by_default("", Fidelity::Documented, None),
        clusters_by_default("", Fidelity::Exact, trusted),
    ] {
        assert!(
            !unverified.contains("validation_context") && unverified.contains("transport_socket_matches"),
            "{unverified}"
        );
    }
    let held = clusters_by_default(label, Fidelity::Documented, None);
    assert!(
        held.starts_with("missing-secret") && held.contains("install `ca-certificates`"),
        "{held}"
    );
}
