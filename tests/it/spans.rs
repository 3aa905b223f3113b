//! `spans` and `untraced` of the settings: names, attributes, tags, propagation, samplers, and requests that nobody wants traced.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::kit::collector::{Collector, FORMS, Span, Store, of_trace};
use crate::kit::http::get;
use crate::kit::mesh::Mesh;
use crate::kit::parallel::in_parallel;
use crate::kit::{tools, wait};

/// The headers of tracing that the application behind the first proxy sees.
fn seen_behind(mesh: &Mesh, path: &str, headers: &[(&str, &str)]) -> BTreeMap<String, String> {
    let request = get(format!("http://{}{path}", mesh.web));
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(name, value));
    let answer = request.send();
    assert_eq!(answer.status, 200);
    let seen = answer.json()["headers"].as_object().expect("headers").clone();
    let text = |(name, value): (String, Value)| (name, value.as_str().unwrap_or_default().to_owned());
    seen.into_iter().map(text).collect()
}

/// What each provider can carry arrives, from both releases.
#[test]
fn spans_have_the_names_and_attributes_of_the_settings() {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    in_parallel(&tools::with_releases(FORMS), |(form, release)| {
        let store = Store::for_form(form);
        let settings = json!({
            "kuma": {"zone": "east"},
            "spans": [
                {"service_name": "{tag:nobody-has-this}", "sampler": null},
                {
                    "select": {"name": "web-*"},
                    "service_name": "{mesh}.{service}.{zone}",
                    "resource_attributes": {
                        "service.namespace": "{mesh}",
                        "service.version": "{tag:kuma.io/protocol}",
                        "left.out": "{tag:nobody-has-this}",
                    },
                    "resource_detectors": ["environment", "host"],
                    "tags": {
                        "directory": {"env": "CARGO_MANIFEST_DIR"},
                        "rack": {"env": "NO_SUCH_VARIABLE", "default": "none"},
                        "tenant": {"header": "x-tenant"},
                        "by": {"value": "{dataplane}"},
                        "route": {"metadata": {"kind": "route", "key": "a", "path": ["b"]}, "default": "plain"},
                        "left out": {"value": "{tag:nobody-has-this}"},
                    },
                },
            ],
        });
        let mesh = Mesh::sending(form, store.address(), &settings);
        let _envoys = mesh.envoys_of(release);
        seen_behind(&mesh, "/orders", &[("x-tenant", "blue")]);
        let of = |spans: &[Span], service: &str| spans.iter().find(|span| span.service == service).cloned();
        let web = store.wait_for(|spans| {
            let inbound = spans
                .iter()
                .filter(|span| span.tags.values().any(|value| value.ends_with("/orders")));
            of(&inbound.cloned().collect::<Vec<_>>(), "default.web.east")
        });
        let tag = |name: &str| web.tags.get(name).map(String::as_str);
        let found = ["directory", "rack", "tenant", "by", "route", "left out"].map(tag);
        let directory = env!("CARGO_MANIFEST_DIR");
        let expected = [
            Some(directory),
            Some("none"),
            Some("blue"),
            Some("web-01"),
            Some("plain"),
            None,
        ];
        assert_eq!(found, expected, "{form}");
        if form.starts_with("OTLP") {
            let attribute = |name: &str| web.resource.get(name).map(String::as_str);
            let found = [
                "service.namespace",
                "service.version",
                "left.out",
                "host.name",
                "os.type",
            ]
            .map(attribute);
            let expected = [Some("default"), Some("http"), None, Some(host.as_str()), Some("linux")];
            assert_eq!(found, expected, "{form}");
        }
        // An entry that does not fit changes nothing.
        let backend = store.wait_for(|spans| of(spans, "backend"));
        assert!(!backend.tags.contains_key("rack") && !backend.resource.contains_key("service.namespace"));
    });
}

/// The requests of `untraced`, with what the entry says of them.
const NOT_WANTED: [(&str, &[(&str, &str)]); 6] = [
    ("/healthz", &[]),
    ("/healthz?full=1", &[]),
    ("/metrics/all", &[]),
    ("/", &[("user-agent", "ELB-HealthChecker/2.0")]),
    ("/", &[("x-probe", "1")]),
    ("/ready", &[("x-check", "deep-1")]),
];

/// A load of health checks beside requests: only requests are in the store, with all of their spans. Datadog's agent gets all, and is
/// told which ones to drop.
#[test]
fn requests_that_nobody_wants_traced_are_in_no_store() {
    in_parallel(&tools::with_releases(FORMS), |(form, release)| {
        let store = Store::for_form(form);
        let settings = json!({"untraced": [
            {"path": "/healthz"},
            {"path_prefix": "/metrics"},
            {"user_agent": "ELB-*"},
            {"header": {"name": "x-probe"}},
            {"path": "/ready", "header": {"name": "x-check", "value": "*deep*"}},
            {"path": "/orders", "select": {"name": "nobody"}},
        ]});
        let mesh = Mesh::sending(form, store.address(), &settings);
        let [web, _backend] = mesh.envoys_of(release);
        for _ in 0..10 {
            for (path, headers) in NOT_WANTED {
                let seen = seen_behind(&mesh, path, headers);
                if *form == "Datadog" {
                    assert_eq!(seen["x-datadog-sampling-priority"], "-1", "{path}");
                }
            }
            // Almost what an entry says.
            seen_behind(&mesh, "/orders", &[("x-check", "deep-1")]);
            seen_behind(&mesh, "/healthzz/orders", &[]);
        }
        // Each traced request has a span at each end of its two calls, and the last ones are sent after all others.
        let is_wanted = |span: &Span| {
            let url = span
                .tags
                .iter()
                .find(|(name, _)| *name == "http.url")
                .map(|(_, url)| url.as_str());
            url.is_some_and(|url| url.ends_with("orders") || url.ends_with("/stock"))
        };
        let traced = |spans: &[Span]| {
            spans
                .iter()
                .filter(|span| span.tags["http.url"].ends_with("orders"))
                .count()
        };
        store.wait_for(|spans| (traced(spans) == 20).then_some(()));
        if *form != "Datadog" {
            let spans = store.wait_for(|spans| (spans.len() >= 60).then(|| spans.to_vec()));
            assert_eq!(spans.iter().filter(|span| is_wanted(span)).count(), 60, "{form}");
            assert_eq!(spans.len(), 60, "{form}");
        }
        let inbound = "http.localhost_18080.tracing";
        let [not_traceable, sampled] =
            ["not_traceable", "random_sampling"].map(|name| web.stat(&format!("{inbound}.{name}")));
        assert_eq!((not_traceable, sampled), (Some(60), Some(20)), "{form}");
    });
}

/// The ids that come with requests: a UUID, and one of another kind.
const IDS: [&str; 2] = ["11111111-2222-4333-8444-555555555555", "order-7"];

/// An id stays as it came. Where all requests are sampled, one whose id is no UUID is traced as well; where not, ids decide, as in Envoy alone.
#[test]
fn ids_of_requests_are_kept() {
    in_parallel(&tools::with_releases(FORMS), |(form, release)| {
        let store = Store::for_form(form);
        let kept = json!({"spans": [{"request_id": "keep"}]});
        let mesh = Mesh::sending(form, store.address(), &kept);
        let [web, _backend] = mesh.envoys_of(release);
        for id in IDS {
            assert_eq!(seen_behind(&mesh, "/", &[("x-request-id", id)])["x-request-id"], id);
        }
        store.wait_for(|spans| {
            let ids = spans.iter().filter_map(|span| span.tags.get("guid:x-request-id"));
            let ids: BTreeSet<&str> = ids.map(String::as_str).collect();
            IDS.iter().all(|id| ids.contains(id)).then_some(())
        });
        drop(web);
    });
    // With a sampling of 0, the ids must not make Envoy trace everything.
    let collector = Collector::start();
    let mesh = Mesh::sending(
        "Zipkin",
        collector.address(),
        &json!({"spans": [{"request_id": "keep"}]}),
    );
    let policy = mesh
        .read("all.yaml")
        .replace(r#""default":{"#, r#""default":{"sampling":{"overall":0},"#);
    mesh.write("all.yaml", &policy);
    assert_eq!(mesh.run_with_settings().0, Some(0));
    let [web, _backend] = mesh.envoys();
    for id in IDS {
        assert_eq!(
            seen_behind(&mesh, "/", &[("x-request-id", id)])["x-b3-sampled"],
            "0",
            "{id}"
        );
    }
    assert_eq!(web.stat("http.localhost_18080.tracing.random_sampling"), Some(0));
}

/// Half of all traces, each with all of its spans, although the two proxies decide for themselves.
#[test]
fn a_sampler_keeps_traces_whole() {
    let all = tools::with_releases([("OTLP over gRPC", "parent-based"), ("OTLP over HTTP", "trace-id-ratio")]);
    in_parallel(&all, |((form, sampler), release)| {
        let collector = Collector::start();
        let settings = json!({"spans": [{"sampler": sampler}]});
        let mesh = Mesh::sending(form, collector.address(), &settings);
        let policy = mesh
            .read("all.yaml")
            .replace(r#""default":{"#, r#""default":{"sampling":{"overall":50},"#);
        mesh.write("all.yaml", &policy);
        assert_eq!(mesh.run_with_settings().0, Some(0));
        let _envoys = mesh.envoys_of(release);
        let requests = 200;
        for _ in 0..requests {
            seen_behind(&mesh, "/", &[]);
        }
        // The decision of a caller holds with the one, and not with the other.
        let with_flag = |flag: &str| {
            let parent = format!(
                "00-ffffffffffffffffffffffffffffff{}-0020000000000001-{flag}",
                if flag == "01" { "ff" } else { "fe" }
            );
            seen_behind(&mesh, "/", &[("traceparent", &parent)])["traceparent"].ends_with("-01")
        };
        let decided = [with_flag("01"), with_flag("00")];
        match *sampler {
            "parent-based" => assert_eq!(decided, [true, false]),
            _ => assert_eq!(decided[0], decided[1]),
        }
        // Later than all of them.
        let last = wait::until("the last trace is sampled", || {
            let seen = seen_behind(&mesh, "/last", &[]);
            let parent = &seen["traceparent"];
            parent
                .ends_with("-01")
                .then(|| parent[3..35].to_owned())
                .ok_or_else(|| parent.clone())
        });
        let spans = collector.wait_for(|spans| {
            let is_there = of_trace(spans, &last, 3).is_some();
            is_there.then(|| spans.to_vec())
        });
        let mut traces: BTreeMap<&str, usize> = BTreeMap::new();
        for span in &spans {
            *traces.entry(&span.trace_id).or_default() += 1;
        }
        assert!(
            (60..=150).contains(&traces.len()),
            "{sampler}: {} of {requests}",
            traces.len()
        );
        assert!(traces.values().all(|count| *count == 3), "{sampler}: {traces:?}");
    });
}

#[test]
fn mistakes_in_the_settings_are_named() {
    let mesh = Mesh::start();
    for (settings, expected) in [
        (
            json!({"spans": [{"service_name": "{servce}"}]}),
            "spans[0].service_name: `{servce}` in `{servce}` is none of",
        ),
        (
            json!({"spans": [{"resource_attributes": {"service.name": "web"}}]}),
            "spans[0].resource_attributes: `service.name` is what `service_name` sets",
        ),
        (
            json!({"spans": [{"tags": {"": {"value": "a"}}}]}),
            "spans[0].tags: the name of a tag is empty",
        ),
        (
            json!({"spans": [{"tags": {"a": {"env": "A", "header": "b"}}}]}),
            "exactly one of `value`, `env`",
        ),
        (
            json!({"spans": [{"tags": {"a": {"value": "A", "default": "b"}}}]}),
            "a `value` has no `default`",
        ),
        (
            json!({"spans": [{"tags": {"a": {"metadata": {"kind": "route", "key": "a", "path": [""]}}}}]}),
            "`metadata` needs a `key` and a `path`",
        ),
        (json!({"spans": [{"sampler": "always"}]}), "spans[0].sampler"),
        (
            json!({"untraced": [{}]}),
            "untraced[0]: one of `path`, `path_prefix`, `user_agent` and `header`",
        ),
        (
            json!({"untraced": [{"path": "healthz"}]}),
            "untraced[0]: `healthz` in `path` must begin with `/`",
        ),
        (
            json!({"untraced": [{"path": "/a?b"}]}),
            "has a query, which does not count",
        ),
        (
            json!({"untraced": [{"header": {"name": "X-Probe"}}]}),
            "write `x-probe`",
        ),
        (
            json!({"untraced": [{"path": "/a"}], "sampling": "hitless"}),
            "untraced: needs `sampling: drain`",
        ),
    ] {
        mesh.settings(&settings);
        let (exit, text) = mesh.run_with_settings();
        assert!(
            exit == Some(2) && text.contains(expected),
            "{settings}: {exit:?} {text}"
        );
    }
}

/// Before Envoy 1.39, a sampler decides without a look at the route.
#[test]
fn a_sampler_and_requests_that_nobody_wants_traced() {
    in_parallel(&tools::releases(), |release| {
        let collector = Collector::start();
        let settings = json!({"spans": [{"sampler": "parent-based"}], "untraced": [{"path": "/healthz"}]});
        let mesh = Mesh::sending("OTLP over gRPC", collector.address(), &settings);
        let _envoys = mesh.envoys_of(release);
        seen_behind(&mesh, "/healthz", &[]);
        seen_behind(&mesh, "/orders", &[]);
        let is_at = |span: &Span, path: &str| span.tags["http.url"].ends_with(path);
        let spans = collector.wait_for(|spans| {
            let is_there = spans.iter().any(|span| is_at(span, "/orders"));
            is_there.then(|| spans.to_vec())
        });
        let is_older = *release == tools::older_envoy();
        assert_eq!(
            spans.iter().any(|span| is_at(span, "/healthz")),
            is_older,
            "{}",
            release.display()
        );
    });
}

#[test]
fn a_difference_of_the_settings_is_told_as_such() {
    let mesh = Mesh::start();
    mesh.publish();
    mesh.settings(&json!({"spans": [{"tags": {"rack": {"env": "RACK"}}}], "untraced": [{"path": "/healthz"}]}));
    let output = mesh
        .meshtraced(&["diff", "--config", "settings.yaml"])
        .output()
        .expect("it starts");
    let text = String::from_utf8(output.stdout).expect("text");
    for expected in [
        "tag rack   none  ->  $RACK of Envoy",
        "untraced   none  ->  /healthz",
        "because    the settings changed\n",
    ] {
        assert!(text.contains(expected), "{text}");
    }
}
