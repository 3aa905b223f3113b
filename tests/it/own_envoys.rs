//! Envoys that somebody configured: they come out with tracing, and with nothing else changed.
//!
//! Each directory of `tests/envoys` has the files of such an Envoy, a Dataplane for it and what is expected. `HOST` stands for
//! a loopback address.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::start_with;
use crate::kit::app::App;
use crate::kit::collector::{Collector, Span};
use crate::kit::envoy::Envoy;
use crate::kit::http::get;
use crate::kit::mesh::{Backend, Mesh};
use crate::kit::parallel::in_parallel;
use crate::kit::program::{meshtraced, said};
use crate::kit::validate::{validate, validate_resources};
use crate::kit::{ports, tools, wait, yaml};

/// The files of an Envoy, and those that are published for them.
const FILES: [(&str, &str, &str); 3] = [
    ("bootstrap", "bootstrap.", "bootstrap.yaml"),
    ("cds", "cds.", "xds/cds.yaml"),
    ("lds", "lds.", "xds/lds.yaml"),
];

const TRACE_ALL: &str = "type: TrafficTrace\nmesh: default\nname: trace-all\nselectors:\n- match: {kuma.io/service: '*'}\nconf: {backend: first}\n";

const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// A bootstrap with one listener, whose connection manager has the given field, and a cluster of the given name.
fn bootstrap(field: &str, cluster: &str) -> String {
    let manager = format!("\"@type\": {MANAGER}, stat_prefix: in, {field}route_config: {{}}");
    with_filter(&format!("typed_config: {{{manager}}}"), cluster)
}

/// A bootstrap with one listener, which has the given filter.
fn with_filter(filter: &str, cluster: &str) -> String {
    format!(
        "static_resources:\n  listeners:\n  - name: in\n    address: {{socket_address: {{address: 10.0.0.1, port_value: 8080}}}}\n    filter_chains: [{{filters: [{{name: f, {filter}}}]}}]\n  clusters:\n  - name: {cluster}\n"
    )
}

/// A case in a directory of its own: `base` with the files, `policies`, `envoy` and `settings.yaml`.
struct Case {
    name: String,
    dir: TempDir,
    host: Ipv4Addr,
    expected: Value,
    /// The dataplane.
    dataplane: String,
    /// The files by their keys in the settings, with the names of those that are published.
    files: BTreeMap<&'static str, (PathBuf, &'static str)>,
}

impl Case {
    fn all() -> Vec<PathBuf> {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/envoys");
        let cases = fs::read_dir(cases).expect("the cases");
        let cases: Vec<PathBuf> = cases.map(|entry| entry.expect("a case").path()).collect();
        assert!(cases.len() >= 11, "{cases:?}");
        cases
    }

    fn new(case: &Path, backend: &Backend) -> Self {
        let (dir, host) = (tempfile::tempdir().expect("a directory"), ports::address());
        for name in ["base", "policies"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        let read = |path: &Path| {
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            text.replace("HOST", &host.to_string())
        };
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(case).expect("the case") {
            let path = entry.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if let Some((key, _, published)) = FILES.iter().find(|(_, begin, _)| name.starts_with(begin)) {
                let to = dir.path().join("base").join(&name);
                fs::write(&to, read(&path)).expect("a file");
                files.insert(*key, (to, *published));
            }
        }
        let dataplane = read(&case.join("dataplane.yaml"));
        let more = fs::read_to_string(case.join("settings.yaml")).unwrap_or_default();
        let mut overlay: Value = serde_yaml::from_str(&more).unwrap_or_default();
        if overlay.is_null() {
            overlay = json!({});
        }
        for (key, (path, _)) in &files {
            overlay[*key] = json!(path);
        }
        let case = Self {
            name: case.file_name().expect("a name").to_string_lossy().into_owned(),
            expected: yaml::read(&case.join("expect.yaml")),
            dataplane,
            files,
            host,
            dir,
        };
        case.write("settings.yaml", &json!({"shapes": [{"overlay": overlay}]}).to_string());
        case.write(
            "policies/all.yaml",
            &(Backend::mesh(std::slice::from_ref(backend)) + "---\n" + &case.dataplane),
        );
        case.trace();
        case
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.dir.path().join(path), text).expect("a file");
    }

    fn trace(&self) {
        self.write("policies/trace.yaml", TRACE_ALL);
    }

    fn untrace(&self) {
        fs::remove_file(self.dir.path().join("policies/trace.yaml")).expect("a policy");
    }

    /// Publishes, and returns the codes of all findings.
    fn publish(&self) -> Vec<String> {
        let ran = meshtraced(self.dir.path(), &["run", "--once", "--config", "settings.yaml"]);
        let (code, said) = said(&ran);
        assert_eq!(code, Some(0), "{}: {said}", self.name);
        let code = |line: &str| Some(line.split_once('[')?.1.split_once("]:")?.0.to_owned());
        let mut codes: Vec<String> = said
            .lines()
            .filter(|line| line.starts_with("warning["))
            .filter_map(code)
            .collect();
        codes.dedup();
        codes.sort();
        codes
    }

    /// The directory of the published files.
    fn published(&self) -> PathBuf {
        let name = self
            .dataplane
            .lines()
            .find_map(|line| line.strip_prefix("name: "))
            .expect("a name");
        self.dir.path().join("envoy/default").join(name)
    }

    /// The base files and the published files, as texts, by their keys in the settings.
    fn texts(&self) -> BTreeMap<&'static str, (String, String)> {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let files = self.files.iter();
        files
            .map(|(key, (base, name))| (*key, (read(base), read(&self.published().join(name)))))
            .collect()
    }

    /// A bootstrap for what is published, and the application behind it.
    fn runnable(&self) -> (PathBuf, App) {
        let bootstrap = self.published().join("bootstrap.yaml");
        if !self.files.contains_key("bootstrap") {
            let source = |name: &str| json!({"path_config_source": {"path": self.published().join("xds").join(name)}});
            let dynamic = json!({"cds_config": source("cds.yaml"), "lds_config": source("lds.yaml")});
            let text = json!({"node": {"id": "web", "cluster": "web"}, "dynamic_resources": dynamic}).to_string();
            fs::write(&bootstrap, text).expect("a bootstrap");
        }
        (bootstrap, App::named("app").on((self.host, 18080).into()).start())
    }

    /// An error of a real Envoy that validates what is published.
    fn validate(&self) -> Result<(), String> {
        match self.files.contains_key("bootstrap") {
            true => validate(&self.published().join("bootstrap.yaml")),
            false => {
                let [cds, lds] = ["xds/cds.yaml", "xds/lds.yaml"].map(|name| self.published().join(name));
                validate_resources(tools::envoy(), &cds, &lds)
            }
        }
    }
}

/// A document without the tracing of the given listeners and without the cluster of the collector, and the number of
/// managers of each listener whose tracing it had.
fn without_tracing(document: &Value) -> (Value, BTreeMap<String, u64>) {
    let mut document = document.clone();
    let mut traced = BTreeMap::new();
    for list in ["listeners", "clusters", "resources"] {
        let holder = match list {
            "resources" => Some(&mut document),
            _ if document.get("staticResources").is_some() => document.get_mut("staticResources"),
            _ => document.get_mut("static_resources"),
        };
        let resources = holder.and_then(|holder| holder.get_mut(list)?.as_array_mut());
        let Some(resources) = resources else { continue };
        resources.retain(|resource| resource["name"] != "tracing:first");
        for resource in resources {
            let removed = remove_tracing(resource);
            if removed > 0 {
                traced.insert(resource["name"].as_str().expect("a name").to_owned(), removed);
            }
        }
    }
    if let Some(fields) = document.as_object_mut()
        && fields.contains_key("resources")
    {
        let version = fields
            .shift_remove("version_info")
            .or_else(|| fields.shift_remove("versionInfo"));
        assert!(version.is_some_and(|version| version.as_str().is_some_and(|version| version.starts_with("r-"))));
    }
    (document, traced)
}

/// Removes the tracing of all connection managers at or below a value, and returns their number.
fn remove_tracing(value: &mut Value) -> u64 {
    match value {
        Value::Array(items) => items.iter_mut().map(remove_tracing).sum(),
        Value::Object(fields) => {
            let is_manager = fields.contains_key("stat_prefix") || fields.contains_key("statPrefix");
            let tracing = fields.shift_remove("tracing").filter(|_| is_manager);
            if let Some(tracing) = &tracing {
                assert_eq!(
                    tracing["provider"]["typed_config"]["collector_cluster"],
                    "tracing:first"
                );
            }
            u64::from(tracing.is_some()) + fields.values_mut().map(remove_tracing).sum::<u64>()
        }
        _ => 0,
    }
}

/// A base file in the form in which it is published.
fn as_published(base: &str, key: &str) -> Value {
    let base: Value = serde_yaml::from_str(base).expect("YAML");
    let typed = |mut resource: Value| {
        let kind = if key == "lds" {
            "listener.v3.Listener"
        } else {
            "cluster.v3.Cluster"
        };
        let fields = resource.as_object_mut().expect("a resource");
        if !fields.contains_key("@type") {
            fields.insert(
                "@type".to_owned(),
                json!(format!("type.googleapis.com/envoy.config.{kind}")),
            );
        }
        resource
    };
    match base {
        Value::Array(all) => json!({"resources": all.into_iter().map(typed).collect::<Vec<_>>()}),
        one if key != "bootstrap" && one.get("resources").is_none() => json!({"resources": [typed(one)]}),
        mut whole => {
            if let Some(fields) = whole.as_object_mut().filter(|_| key != "bootstrap") {
                fields.shift_remove("versionInfo");
            }
            whole
        }
    }
}

#[test]
fn every_envoy_comes_out_with_tracing_and_nothing_else() {
    let wrong = in_parallel(&Case::all(), |path| {
        let case = Case::new(path, &Backend::nowhere(1));
        let name = &case.name;
        assert_eq!(json!(case.publish()), case.expected["findings"], "{name}");
        case.validate()?;
        let mut traced = BTreeMap::new();
        let texts = case.texts();
        for (key, (base, published)) in &texts {
            let whole: Value = serde_yaml::from_str(published).map_err(|error| format!("{name} {key}: {error}"))?;
            let (rest, found) = without_tracing(&whole);
            assert_eq!(rest, as_published(base, key), "{name} {key}");
            traced.extend(found);
        }
        assert_eq!(json!(traced), case.expected["traced"], "{name}");

        // What was published is a base that changes no more.
        for (key, (base, _)) in &case.files {
            fs::write(base, &texts[key].1).expect("the base");
        }
        case.publish();
        for (key, (base, published)) in case.texts() {
            assert_eq!(base, published, "{name} {key}");
        }

        // Without a policy the Envoy is as it was.
        for (key, (base, _)) in &case.files {
            fs::write(base, &texts[key].0).expect("the base");
        }
        case.untrace();
        case.publish();
        for (key, (base, published)) in case.texts() {
            let whole: Value = serde_yaml::from_str(&published).expect("YAML");
            assert_eq!(
                without_tracing(&whole),
                (as_published(&base, key), BTreeMap::new()),
                "{name} {key}"
            );
            assert!(key != "bootstrap" || base == published, "{name}");
        }
        Ok(())
    });
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_envoy_sends_spans_where_the_policies_say() {
    in_parallel(&Case::all(), |path| {
        let collector = Collector::start();
        let case = Case::new(path, &Backend::zipkin("first", collector.address()));
        case.publish();
        let (bootstrap, _app) = case.runnable();
        let _envoy = Envoy::spawn(&bootstrap);
        let requests = yaml::items(&case.expected["requests"]);
        let ports: Vec<u64> = requests.map(|port| port.as_u64().expect("a port")).collect();
        for port in &ports {
            let url = format!("http://{}:{port}/orders", case.host);
            let answer = wait::until(&format!("{} answers at {url}", case.name), || {
                get(url.clone()).try_send()
            });
            assert_eq!(answer.status, 200, "{} {port}: {}", case.name, answer.body);
        }
        collector.wait_for(|spans| (spans.len() >= ports.len()).then_some(()));
    });
}

/// Requests that nobody wants traced take the way that they took before, and leave no span.
#[test]
fn every_envoy_leaves_out_what_nobody_wants_traced() {
    in_parallel(&Case::all(), |path| {
        let collector = Collector::start();
        let case = Case::new(path, &Backend::zipkin("first", collector.address()));
        let mut settings = yaml::read(&case.dir.path().join("settings.yaml"));
        settings["untraced"] = json!([{"path": "/orders", "header": {"name": "x-probe"}}, {"path_prefix": "/nobody"}]);
        case.write("settings.yaml", &settings.to_string());
        case.publish();
        case.validate().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let texts = case.texts();
        let added = texts.values().map(|(base, published)| {
            let count = |text: &str| text.matches("x-probe").count();
            count(published) - count(base)
        });
        assert!(added.sum::<usize>() > 0, "{}", case.name);

        // What was published is a base that changes no more.
        for (key, (base, _)) in &case.files {
            fs::write(base, &texts[key].1).expect("the base");
        }
        case.publish();
        for (key, (base, published)) in case.texts() {
            assert_eq!(base, published, "{} {key}", case.name);
        }

        let (bootstrap, _app) = case.runnable();
        let _envoy = Envoy::spawn(&bootstrap);
        let ports: Vec<u64> = yaml::items(&case.expected["requests"])
            .filter_map(Value::as_u64)
            .collect();
        for port in &ports {
            let url = format!("http://{}:{port}/orders", case.host);
            let probe = || get(url.clone()).header("x-probe", "1").try_send();
            let probed = wait::until(&format!("{} answers at {url}", case.name), probe);
            let answer = get(url).send();
            assert_eq!(
                (probed.status, answer.status),
                (200, 200),
                "{} {port}: {}",
                case.name,
                probed.body
            );
        }
        // Nobody sees what is in a tunnel.
        let is_tunnel = |span: &Span| span.tags["http.method"] == "CONNECT";
        let found = collector.wait_for(|spans| {
            let of_requests = spans.iter().filter(|span| !is_tunnel(span)).count();
            let all = of_requests + usize::from(spans.iter().any(is_tunnel));
            (all >= ports.len()).then_some(all)
        });
        assert_eq!(found, ports.len(), "{}", case.name);
    });
}

/// A directory with policies for the dataplanes `web-01`, which is an overlay of `base/web-01.yaml`, and `other`, which is a
/// sidecar.
fn two_proxies() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("base")).expect("a directory");
    fs::create_dir(dir.path().join("policies")).expect("a directory");
    let dataplane = |name: &str, host: u8| {
        format!(
            "---\ntype: Dataplane\nmesh: default\nname: {name}\nnetworking:\n  address: 10.0.0.{host}\n  inbound:\n  - {{port: 8080, tags: {{kuma.io/service: {name}, kuma.io/protocol: http}}}}\n"
        )
    };
    let mesh = Backend::mesh(&[Backend::nowhere(1)]);
    let policies = [
        mesh,
        "---\n".to_owned(),
        TRACE_ALL.to_owned(),
        dataplane("web-01", 1),
        dataplane("other", 2),
    ];
    fs::write(dir.path().join("policies/all.yaml"), policies.concat()).expect("policies");
    settings(dir.path(), &json!({}));
    dir
}

/// Writes settings in which `web-01` is an overlay, with more keys for its entry of `shapes`.
fn settings(dir: &Path, more: &Value) {
    let mut shape = json!({"select": {"name": "web-*"}, "overlay": {"bootstrap": dir.join("base/{dataplane}.yaml")}});
    for (key, value) in more.as_object().expect("keys") {
        shape[key] = value.clone();
    }
    fs::write(dir.join("settings.yaml"), json!({"shapes": [shape]}).to_string()).expect("settings");
}

fn publish(dir: &Path) -> (Option<i32>, String) {
    said(&meshtraced(dir, &["run", "--once", "--config", "settings.yaml"]))
}

fn published(dir: &Path, file: &str) -> Option<String> {
    fs::read_to_string(dir.join("envoy/default").join(file)).ok()
}

/// Takes the policy out of the policies, and gives them as they were.
fn untrace(dir: &Path) -> String {
    let path = dir.join("policies/all.yaml");
    let policies = fs::read_to_string(&path).expect("policies");
    fs::write(path, policies.replace(TRACE_ALL, "null\n")).expect("policies");
    policies
}

#[test]
fn an_envoy_that_cannot_be_traced_holds_its_own_proxy_alone() {
    let good = bootstrap("", "app");
    let twice = good.replace("  clusters:", "  - name: in\n  clusters:");
    let huge = "# too much\n".repeat(3 << 20);
    let deep = format!("a: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    for (base, expected) in [
        (None, "the file does not exist"),
        (Some(""), "the file is empty"),
        (Some("static_resources: {"), "this `{` is not closed"),
        (Some("resources: []\n"), "should be a bootstrap"),
        (Some("- name: in\n"), "should be a bootstrap"),
        (Some(&*format!("{good}---\na: 1\n")), "a second document begins here"),
        (Some(&*twice), "another listener is also named `in`"),
        (
            Some(&*bootstrap("", "'tracing:first'")),
            "has the name of the collector's cluster, `tracing:first`",
        ),
        (Some("a: &a [*a]\n"), "inside of the value that it repeats"),
        (Some(&*huge), "more than the limit of 33554432"),
        (Some(&*deep), "nested too deeply"),
    ] {
        let dir = two_proxies();
        if let Some(base) = base {
            fs::write(dir.path().join("base/web-01.yaml"), base).expect("a file");
        }
        let (code, said) = publish(dir.path());
        let base = base.map(|base| base.chars().take(200).collect::<String>());
        assert_eq!(code, Some(1), "{base:?}: {said}");
        let error = said.lines().next().expect("an error");
        assert!(
            said.contains("base/web-01.yaml") && said.contains(expected),
            "{base:?}: {said}"
        );
        assert!(
            ["unusable-base", "syntax-error", "limit-exceeded"]
                .iter()
                .any(|code| error.starts_with(&format!("error[{code}]"))),
            "{said}"
        );
        assert_eq!(published(dir.path(), "web-01/bootstrap.yaml"), None, "{base:?}");
        assert!(published(dir.path(), "other/xds/lds.yaml").is_some(), "{base:?}");
    }
}

#[test]
fn an_envoy_belongs_to_one_dataplane() {
    let dir = two_proxies();
    fs::write(dir.path().join("base/envoy.yaml"), bootstrap("", "app")).expect("a file");
    let shapes = json!({"shapes": [{"overlay": {"bootstrap": dir.path().join("base/envoy.yaml")}}]});
    fs::write(dir.path().join("settings.yaml"), shapes.to_string()).expect("settings");
    let (code, said) = publish(dir.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("it is that of 2 dataplanes: default/other, default/web-01"),
        "{said}"
    );
}

#[test]
fn tracing_of_its_own_is_kept_or_replaced_and_either_is_told() {
    let dir = two_proxies();
    let own = bootstrap("tracing: {random_sampling: {value: 7}}, ", "app");
    fs::write(dir.path().join("base/web-01.yaml"), &own).expect("a file");
    let (code, said) = publish(dir.path());
    assert!(
        code == Some(0) && said.contains("warning[tracing-in-base]") && said.contains("stays"),
        "{said}"
    );
    // Nothing is added that nothing refers to.
    assert_eq!(
        published(dir.path(), "web-01/bootstrap.yaml").as_deref(),
        Some(own.as_str())
    );

    settings(dir.path(), &json!({"existing": "replace"}));
    let (code, said) = publish(dir.path());
    assert!(
        code == Some(0) && said.contains("is replaced by that of the policies"),
        "{said}"
    );
    let replaced = published(dir.path(), "web-01/bootstrap.yaml").expect("a file");
    assert!(
        !replaced.contains("random_sampling") && replaced.contains("collector_cluster: \"tracing:first\""),
        "{replaced}"
    );

    // Where no policy traces, there is nothing to replace it with.
    untrace(dir.path());
    assert_eq!(publish(dir.path()).0, Some(0));
    assert_eq!(
        published(dir.path(), "web-01/bootstrap.yaml").as_deref(),
        Some(own.as_str())
    );
}

#[test]
fn what_belongs_to_nothing_is_told_with_the_nearest() {
    let dir = two_proxies();
    let base = bootstrap("", "app").replace("10.0.0.1", "10.9.9.9");
    fs::write(dir.path().join("base/web-01.yaml"), &base).expect("a file");
    let (code, said) = publish(dir.path());
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "warning[not-in-base]: no listener of its Envoy has the address or the name of `inbound:10.0.0.1:8080`",
        "the nearest: `in` (10.9.9.9:8080)",
        "warning[unclaimed-listener]: `in` (10.9.9.9:8080) belongs to no inbound or outbound of dataplane `web-01`",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(
        published(dir.path(), "web-01/bootstrap.yaml").as_deref(),
        Some(base.as_str())
    );
}

#[test]
fn routes_from_elsewhere_are_told_where_some_requests_are_not_traced() {
    let dir = two_proxies();
    let path = dir.path().join("settings.yaml");
    let mut settings = yaml::read(&path);
    settings["untraced"] = json!([{"path": "/healthz"}]);
    fs::write(&path, settings.to_string()).expect("settings");
    let manager = |routes: &str| format!("typed_config: {{\"@type\": {MANAGER}, stat_prefix: in, {routes}}}");
    let inline =
        "{virtual_hosts: [{name: a, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]}";
    for (routes, is_told) in [
        ("rds: {route_config_name: a, config_source: {ads: {}}}".to_owned(), true),
        (
            format!("route_config: {}", inline.replace("{match:", "{<<: {name: r}, match:")),
            true,
        ),
        (format!("route_config: {inline}"), false),
    ] {
        let base = with_filter(&manager(&routes), "app");
        fs::write(dir.path().join("base/web-01.yaml"), &base).expect("a file");
        let (code, said) = publish(dir.path());
        let told = "warning[not-in-base]: `untraced` has no effect on `in` (10.0.0.1:8080)";
        assert!(code == Some(0) && said.contains(told) == is_told, "{said}\n{base}");
        let published = published(dir.path(), "web-01/bootstrap.yaml").expect("a bootstrap");
        assert!(
            published.contains("tracing:first") && published.contains("healthz") != is_told,
            "{published}"
        );
    }
}

#[test]
fn a_listener_without_a_connection_manager_is_told() {
    let opaque = "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: in, cluster: app}";
    let remote = format!("config_discovery: {{type_urls: [{MANAGER}]}}");
    for (filter, expected) in [
        (
            opaque,
            "`in` (10.0.0.1:8080) has no HTTP connection manager that could be traced",
        ),
        (
            &remote,
            "the connection manager of `in` (10.0.0.1:8080) comes from extension discovery",
        ),
    ] {
        let dir = two_proxies();
        let base = with_filter(filter, "app");
        fs::write(dir.path().join("base/web-01.yaml"), &base).expect("a file");
        let (code, said) = publish(dir.path());
        assert!(
            code == Some(0) && said.contains("warning[not-in-base]") && said.contains(expected),
            "{said}\n{base}"
        );
        assert_eq!(
            published(dir.path(), "web-01/bootstrap.yaml").as_deref(),
            Some(base.as_str())
        );
    }
}

#[test]
fn thousands_of_listeners_are_traced_each_by_its_own_entry() {
    const COUNT: usize = 2000;
    let dir = two_proxies();
    let (mut listeners, mut outbounds) = (String::new(), String::new());
    for i in 0..COUNT {
        let port = 20_000 + i;
        let manager = format!("\"@type\": {MANAGER}, stat_prefix: l{i}, route_config: {{}}");
        listeners += &format!(
            "  - {{name: l{i}, address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}, filter_chains: [{{filters: [{{name: hcm, typed_config: {{{manager}}}}}]}}]}}\n"
        );
        outbounds += &format!("  - {{port: {port}, tags: {{kuma.io/service: s{i}, kuma.io/protocol: http}}}}\n");
    }
    fs::write(
        dir.path().join("base/web-01.yaml"),
        format!("static_resources:\n  listeners:\n{listeners}"),
    )
    .expect("a file");
    let policies = fs::read_to_string(dir.path().join("policies/all.yaml")).expect("policies");
    let inbound = "  - {port: 8080, tags: {kuma.io/service: web-01, kuma.io/protocol: http}}\n";
    let with = policies.replace(inbound, &format!("{inbound}  outbound:\n{outbounds}"));
    fs::write(dir.path().join("policies/all.yaml"), with).expect("policies");
    let (code, said) = publish(dir.path());
    assert_eq!(code, Some(0), "{said}");
    let text = published(dir.path(), "web-01/bootstrap.yaml").expect("a file");
    assert_eq!(text.matches("collector_cluster: \"tracing:first\"").count(), COUNT);
    validate(&dir.path().join("envoy/default/web-01/bootstrap.yaml")).expect("a bootstrap");
}

#[test]
fn a_change_of_the_envoy_is_published_like_one_of_the_policies() {
    let mesh = Mesh::start();
    let base = mesh.dir().join("base/web-01.yaml");
    fs::create_dir(mesh.dir().join("base")).expect("a directory");
    let put = |text: &str| {
        fs::write(base.with_extension("new"), text).expect("a file");
        fs::rename(base.with_extension("new"), &base).expect("a file with its name");
    };
    let text = bootstrap("", "app").replace("10.0.0.1", &mesh.web.ip().to_string());
    put(&text);
    settings(mesh.dir(), &json!({}));
    let daemon = start_with(&mesh, |command| {
        command
            .env("MESHTRACED_RESCAN", "1h")
            .args(["--config", "settings.yaml"]);
    });
    let published = || published(mesh.dir(), "web-01/bootstrap.yaml").unwrap_or_default();
    assert!(published().contains("tracing:first"), "{}", published());

    put(&text.replace("name: app", "name: application"));
    daemon.until("it is published", |_| published().contains("name: application"));
    let good = published();

    // As an editor or a full disk leaves it, in place.
    fs::write(&base, &text[..text.len() / 2]).expect("a file");
    daemon.until("it is held", |status| status["findings"]["errors"].as_u64() > Some(0));
    assert_eq!(published(), good);
    fs::remove_file(&base).expect("the base");
    daemon.until_said("the file does not exist");
    assert_eq!(published(), good);
    put(&text);
    daemon.until("it is published again", |status| {
        published().contains("name: app\n") && status["findings"]["errors"] == 0
    });
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn the_sampling_of_an_envoy_of_its_own_changes_without_its_bootstrap() {
    let dir = two_proxies();
    let base = bootstrap("", "app");
    fs::write(dir.path().join("base/web-01.yaml"), &base).expect("a file");
    settings(dir.path(), &json!({"sampling": "hitless"}));
    let (code, said) = publish(dir.path());
    assert!(
        code == Some(1) && said.contains("needs `node.id` and `node.cluster`"),
        "{said}"
    );

    for (runtime, layers) in [
        ("", 2),
        ("layered_runtime: {layers: [{name: own, static_layer: {a: 1}}]}\n", 2),
        (
            "layeredRuntime:\n  layers:\n  - name: own\n    static_layer: {a: 1}\n",
            2,
        ),
    ] {
        let base = format!("node: {{id: web, cluster: web}}\n{runtime}{base}");
        fs::write(dir.path().join("base/web-01.yaml"), &base).expect("a file");
        assert_eq!(publish(dir.path()), (Some(0), String::new()));
        let text = published(dir.path(), "web-01/bootstrap.yaml").expect("a file");
        let whole: Value = serde_yaml::from_str(&text).expect("YAML");
        let found = whole.get("layered_runtime").unwrap_or(&whole["layeredRuntime"]);
        assert_eq!(found["layers"].as_array().map(Vec::len), Some(layers), "{text}");
        assert_eq!(found["layers"][0]["name"], "meshtraced", "{text}");
        assert!(!text.contains("overall_sampling"), "{text}");
        validate(&dir.path().join("envoy/default/web-01/bootstrap.yaml")).expect("a bootstrap");

        // Another sampling is another file.
        let policies = fs::read_to_string(dir.path().join("policies/all.yaml")).expect("policies");
        let (from, to) = if policies.contains("sampling: 100") {
            ("100", "5")
        } else {
            ("5", "100")
        };
        let other = policies.replace(&format!("sampling: {from},"), &format!("sampling: {to},"));
        fs::write(dir.path().join("policies/all.yaml"), other).expect("policies");
        assert_eq!(publish(dir.path()), (Some(0), String::new()));
        assert_eq!(
            published(dir.path(), "web-01/bootstrap.yaml").as_deref(),
            Some(text.as_str())
        );
        let rtds = published(dir.path(), "web-01/xds/rtds.yaml").expect("a file");
        assert!(rtds.contains(&format!("tracing.global_enabled: {to}\n")), "{rtds}");

        // What nothing traces needs no file of a sampling.
        let policies = untrace(dir.path());
        assert_eq!(publish(dir.path()).0, Some(0));
        assert_eq!(published(dir.path(), "web-01/xds/rtds.yaml"), None);
        assert_eq!(
            published(dir.path(), "web-01/bootstrap.yaml").as_deref(),
            Some(base.as_str())
        );
        fs::write(dir.path().join("policies/all.yaml"), policies).expect("policies");

        // What was published is a base that changes no more.
        fs::write(dir.path().join("base/web-01.yaml"), &text).expect("a file");
        assert_eq!(publish(dir.path()), (Some(0), String::new()));
        assert_eq!(
            published(dir.path(), "web-01/bootstrap.yaml").as_deref(),
            Some(text.as_str())
        );
    }
}

#[test]
fn an_envoy_that_runs_already_is_reloaded_the_first_time_too() {
    let dir = two_proxies();
    fs::write(dir.path().join("base/web-01.yaml"), bootstrap("", "app")).expect("a file");
    let overlay = json!({"bootstrap": dir.path().join("base/{dataplane}.yaml")});
    let reloads = dir.path().join("reloads");
    let command = format!("echo {{dataplane}} >>{}", reloads.display());
    let settings = json!({
        "shapes": [{"select": {"name": "web-*"}, "overlay": overlay}],
        "reload": [{"exec": {"argv": ["sh", "-c", command]}}],
    });
    fs::write(dir.path().join("settings.yaml"), settings.to_string()).expect("settings");
    // A sidecar starts from what is published.
    for _ in 0..2 {
        assert_eq!(publish(dir.path()), (Some(0), String::new()));
        assert_eq!(fs::read_to_string(&reloads).expect("a reload"), "web-01\n");
    }
}
