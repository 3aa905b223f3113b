//! Selection with random policies: the order of files has no effect, weaker policies change nothing, values are
//! those at their origins, and the advice of `explain` makes a policy win.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use meshtraced::compile::{Compiled, compile_with};
use meshtraced::explain::policies::{Candidate, Outcome};
use meshtraced::explain::values::ValueOf;
use meshtraced::explain::{Explanation, explain};
use meshtraced::kuma::{Fidelity, Version};
use meshtraced::source::Snapshot;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::compile::options;

type Tags = BTreeMap<&'static str, &'static str>;

#[derive(Debug, Clone)]
struct Fleet {
    dataplanes: Vec<Dataplane>,
    traffic_traces: Vec<TrafficTrace>,
    mesh_traces: Vec<MeshTrace>,
}

#[derive(Debug, Clone)]
struct Dataplane {
    name: String,
    labels: Tags,
    inbounds: Vec<Tags>,
}

#[derive(Debug, Clone)]
struct TrafficTrace {
    name: String,
    selectors: Vec<Tags>,
    backend: &'static str,
}

#[derive(Debug, Clone)]
struct MeshTrace {
    name: String,
    labels: Tags,
    target: Value,
    traces: bool,
    sampling: Option<Value>,
    tag: bool,
}

/// Tags that every inbound has, so that there are always enough of them.
const SPARE: [&str; 6] = ["t1", "t2", "t3", "t4", "t5", "t6"];

fn tags(service: &'static str, version: Option<&'static str>) -> Tags {
    let version = version.map(|version| ("version", version));
    [("kuma.io/service", service)].into_iter().chain(version).collect()
}

fn dataplane() -> impl Strategy<Value = (Tags, Vec<Tags>)> {
    let inbound =
        (select(vec!["a", "b"]), select(vec![None, Some("v1"), Some("v2")])).prop_map(|(service, version)| {
            let mut tags = tags(service, version);
            tags.extend(SPARE.map(|tag| (tag, "x")));
            tags.insert("kuma.io/protocol", "http");
            tags
        });
    let labels = select(vec!["x", "y"]).prop_map(|team| Tags::from([("team", team)]));
    (labels, prop::collection::vec(inbound, 1..3))
}

fn selector() -> impl Strategy<Value = Tags> {
    let service = select(vec!["a", "b", "*"]);
    (service, select(vec![None, Some("v1"), Some("v2"), Some("*")]))
        .prop_map(|(service, version)| tags(service, version))
}

fn target() -> impl Strategy<Value = Value> {
    select(vec![
        json!({"kind": "Mesh"}),
        json!({"kind": "MeshSubset", "tags": {"version": "v1"}}),
        json!({"kind": "MeshSubset", "tags": {}}),
        json!({"kind": "MeshService", "name": "a"}),
        json!({"kind": "MeshService", "name": "b"}),
        json!({"kind": "MeshServiceSubset", "name": "a", "tags": {"version": "v2"}}),
        json!({"kind": "Dataplane", "name": "dp-0"}),
        json!({"kind": "Dataplane", "labels": {"team": "x"}}),
    ])
}

fn mesh_trace() -> impl Strategy<Value = MeshTrace> {
    let labels = select(vec![
        Tags::new(),
        Tags::from([("kuma.io/origin", "global")]),
        Tags::from([("kuma.io/policy-role", "producer")]),
        Tags::from([("kuma.io/origin", "zone"), ("kuma.io/zone", "default")]),
    ]);
    let sampling = select(vec![
        None,
        Some(json!({"overall": 10})),
        Some(json!({"random": "12.5", "client": 7})),
        Some(json!({"overall": 20, "random": 30})),
    ]);
    (labels, target(), prop::bool::weighted(0.8), sampling, any::<bool>()).prop_map(
        |(labels, target, traces, sampling, tag)| MeshTrace {
            name: String::new(),
            labels,
            target,
            traces,
            sampling,
            tag,
        },
    )
}

fn fleet() -> impl Strategy<Value = Fleet> {
    let traffic_trace = (prop::collection::vec(selector(), 1..3), select(vec!["z", "d"]));
    let names: Vec<String> = (0..7).map(|i| format!("p{i}")).collect();
    (
        prop::collection::vec(dataplane(), 1..4),
        prop::collection::vec(traffic_trace, 0..7),
        prop::collection::vec(mesh_trace(), 0..7),
        Just(names).prop_shuffle(),
    )
        .prop_map(|(dataplanes, traffic_traces, mesh_traces, names)| Fleet {
            dataplanes: (dataplanes.into_iter().enumerate())
                .map(|(i, (labels, inbounds))| Dataplane {
                    name: format!("dp-{i}"),
                    labels,
                    inbounds,
                })
                .collect(),
            traffic_traces: (traffic_traces.into_iter().zip(&names))
                .map(|((selectors, backend), name)| TrafficTrace {
                    name: name.clone(),
                    selectors,
                    backend,
                })
                .collect(),
            mesh_traces: (mesh_traces.into_iter().zip(&names))
                .map(|(policy, name)| MeshTrace {
                    name: name.clone(),
                    ..policy
                })
                .collect(),
        })
}

impl Dataplane {
    fn document(&self) -> Value {
        let inbounds: Vec<Value> = (self.inbounds.iter().enumerate())
            .map(|(i, tags)| json!({"port": 8080 + i, "servicePort": 18080 + i, "tags": tags}))
            .collect();
        json!({
            "type": "Dataplane", "mesh": "default", "name": self.name, "labels": self.labels,
            "networking": {"address": "10.0.0.1", "inbound": inbounds},
        })
    }
}

impl TrafficTrace {
    fn document(&self) -> Value {
        let selectors: Vec<Value> = self.selectors.iter().map(|tags| json!({"match": tags})).collect();
        json!({
            "type": "TrafficTrace", "mesh": "default", "name": self.name, "selectors": selectors,
            "conf": {"backend": self.backend},
        })
    }

    /// How many tags its best matching selector has, and how many of them without a wildcard.
    fn rank(&self, dataplane: &Dataplane) -> Option<(usize, usize)> {
        let matches = |selector: &&Tags| {
            dataplane.inbounds.iter().any(|tags| {
                (selector.iter())
                    .all(|(tag, wanted)| tags.get(tag).is_some_and(|found| *wanted == "*" || found == wanted))
            })
        };
        let rank = |selector: &Tags| {
            (
                selector.len(),
                selector.values().filter(|wanted| **wanted != "*").count(),
            )
        };
        self.selectors.iter().filter(matches).map(rank).max()
    }
}

impl MeshTrace {
    fn document(&self) -> Value {
        let backends = match self.traces {
            true => json!([{"type": "Zipkin", "zipkin": {"url": format!("http://{}:9411/x", self.name)}}]),
            false => json!([]),
        };
        let mut default = json!({"backends": backends});
        if let Some(sampling) = &self.sampling {
            default["sampling"] = sampling.clone();
        }
        if self.tag {
            default["tags"] = json!([{"name": "by", "literal": self.name}]);
        }
        json!({
            "type": "MeshTrace", "mesh": "default", "name": self.name, "labels": self.labels,
            "spec": {"targetRef": self.target, "default": default},
        })
    }
}

impl Fleet {
    /// Its documents by the files that hold them.
    fn documents(&self) -> BTreeMap<String, Value> {
        let mesh = json!({
            "type": "Mesh", "name": "default",
            "tracing": {"backends": [
                {"name": "z", "type": "zipkin", "sampling": 12.5, "conf": {"url": "http://z:9411/api/v2/spans"}},
                {"name": "d", "type": "datadog", "conf": {"address": "d.example", "port": 8126, "splitService": true}},
            ]},
        });
        let documents = (self.dataplanes.iter().map(Dataplane::document))
            .chain(self.traffic_traces.iter().map(TrafficTrace::document))
            .chain(self.mesh_traces.iter().map(MeshTrace::document))
            .chain([mesh]);
        let file = |document: &Value| {
            let word = |key: &str| document[key].as_str().expect("text").to_owned();
            format!("{}-{}.yaml", word("type"), word("name"))
        };
        documents.map(|document| (file(&document), document)).collect()
    }

    fn compile(&self) -> (Compiled, Vec<Explanation>) {
        compile_files(self.files())
    }

    /// Its files, with one value in a line.
    fn files(&self) -> Vec<(String, String)> {
        let documents = self.documents().into_iter();
        documents
            .map(|(file, document)| (file, format!("{document:#}")))
            .collect()
    }
}

fn compile_files(files: Vec<(String, String)>) -> (Compiled, Vec<Explanation>) {
    compile_with(
        &Snapshot::from_texts(files),
        &options(Fidelity::Documented, Version::V2_14),
        |world| {
            world
                .pairs()
                .map(|(governed, proxy)| explain(world, governed, proxy, ""))
                .collect()
        },
    )
}

fn of<'e>(explanations: &'e [Explanation], dataplane: &Dataplane) -> &'e Explanation {
    let found = explanations
        .iter()
        .find(|explanation| explanation.name == dataplane.name);
    found.expect("every dataplane is explained")
}

/// The policies of a kind that are for the dataplane, the one that decides first.
fn chosen<'e>(explanation: &'e Explanation, kind: &str) -> Vec<&'e Candidate> {
    let candidates = explanation.policies.iter();
    candidates
        .filter(|candidate| candidate.kind == kind && candidate.outcome != Outcome::NotForIt)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_files_says_nothing(fleet in fleet(), seed in any::<prop::sample::Index>()) {
        let files = fleet.files();
        let mut turned = files.clone();
        turned.rotate_left(seed.index(files.len()));
        turned[..files.len() / 2].reverse();
        let (one, explained) = compile_files(files);
        let (other, explained_again) = compile_files(turned);
        prop_assert_eq!(format!("{:?}", one.fragments), format!("{:?}", other.fragments));
        prop_assert_eq!(explained, explained_again);
    }

    #[test]
    fn the_most_specific_traffic_trace_wins(fleet in fleet()) {
        let (_, explained) = fleet.compile();
        for dataplane in &fleet.dataplanes {
            let ranked = fleet.traffic_traces.iter().filter_map(|policy| Some((policy.rank(dataplane)?, policy)));
            let best = ranked.min_by_key(|(rank, policy)| (Reverse(*rank), policy.name.clone()));
            let best = best.map(|(_, policy)| policy.name.as_str());
            let first = chosen(of(&explained, dataplane), "TrafficTrace").into_iter().next();
            prop_assert_eq!(first.map(|policy| policy.name.as_str()), best);
        }
    }

    #[test]
    fn a_weaker_policy_changes_nothing(fleet in fleet(), selectors in prop::collection::vec(selector(), 1..3)) {
        let (before, explained) = fleet.compile();
        let weaker = TrafficTrace { name: "zz".to_owned(), selectors, backend: "d" };
        let mut more = fleet.clone();
        more.traffic_traces.push(weaker.clone());
        more.mesh_traces.push(MeshTrace {
            name: "zz".to_owned(),
            labels: Tags::from([("kuma.io/origin", "global")]),
            target: json!({"kind": "Mesh"}),
            traces: true,
            sampling: None,
            tag: false,
        });
        let (after, _) = more.compile();
        for dataplane in &fleet.dataplanes {
            let best = fleet.traffic_traces.iter().filter_map(|policy| policy.rank(dataplane)).max();
            let has_mesh_trace = !chosen(of(&explained, dataplane), "MeshTrace").is_empty();
            if weaker.rank(dataplane) <= best && has_mesh_trace {
                let files = |compiled: &Compiled| {
                    let key = compiled.fragments.keys().find(|key| key.dataplane == dataplane.name).cloned();
                    format!("{:?}", &compiled.fragments[&key.expect("it has files")])
                };
                prop_assert_eq!(files(&before), files(&after));
            }
        }
    }

    #[test]
    fn values_are_those_of_the_text(fleet in fleet()) {
        let (_, explained) = fleet.compile();
        let documents = fleet.documents();
        let mut seen = 0;
        for value in explained.iter().flat_map(|explanation| &explanation.values) {
            let (Some(at), Some(path)) = (&value.at, &value.path) else { continue };
            let document = &documents[&at.file];
            let written = look_up(document, path);
            let text = format!("{document:#}");
            let line = text.lines().nth(at.line - 1).expect("the line is in the file");
            prop_assert!(is_said(value, written), "{value:?} is {written}");
            let scalar = if written.is_object() || written.is_array() { path.rsplit('.').next().unwrap_or(path).to_owned() } else { written.to_string() };
            prop_assert!(line.contains(&scalar), "{value:?} is not in `{line}`");
            seen += 1;
        }
        prop_assert!(seen > 0 || explained.iter().all(|explanation| !explanation.traced));
    }

    #[test]
    fn what_would_win_wins(fleet in fleet()) {
        let (_, explained) = fleet.compile();
        for dataplane in &fleet.dataplanes {
            let explanation = of(&explained, dataplane);
            for kind in ["TrafficTrace", "MeshTrace"] {
                for candidate in chosen(explanation, kind) {
                    let Some(advice) = &candidate.would_win else { continue };
                    let (first, rest) = advice.split_once(", and ").unwrap_or(("", advice));
                    for way in rest.split(", or ") {
                        let mut other = fleet.clone();
                        let mut name = candidate.name.clone();
                        for step in [first, way].into_iter().filter(|step| !step.is_empty()) {
                            follow(step, &mut other, explanation, dataplane, kind, &mut name);
                        }
                        let (_, explained) = other.compile();
                        let now = of(&explained, dataplane);
                        let best = chosen(now, kind).into_iter().next();
                        let is_first = best.is_some_and(|best| best.name == name && best.outcome != Outcome::Displaced);
                        prop_assert!(is_first, "{} `{}`: {:#?}\n{:#?}", candidate.name, way, explanation.policies, now.policies);
                    }
                }
            }
        }
    }
}

/// The value at a path such as `tracing.backends[0].conf.url`.
fn look_up<'d>(document: &'d Value, path: &str) -> &'d Value {
    let pointer: String = path
        .split('.')
        .map(|part| format!("/{}", part.replace('[', "/").replace(']', "")))
        .collect();
    document
        .pointer(&pointer)
        .unwrap_or_else(|| panic!("{path} is not in {document}"))
}

/// Whether what is shown of a value says what is written.
fn is_said(value: &ValueOf, written: &Value) -> bool {
    match written {
        Value::String(text) => value.value.contains(text.as_str()),
        Value::Object(_) | Value::Array(_) => true,
        other => value.value.contains(&other.to_string()),
    }
}

/// Does to the policies what is said would help.
fn follow(
    step: &str,
    fleet: &mut Fleet,
    explanation: &Explanation,
    dataplane: &Dataplane,
    kind: &str,
    name: &mut String,
) {
    let (step, first) = match step.split_once("with a name before ") {
        Some((step, _)) => (step.trim(), true),
        None => match step.strip_prefix("a name before ") {
            Some(_) => ("", true),
            None => (step, false),
        },
    };
    if let Some(names) = step.strip_prefix("without MeshTrace ") {
        remove(names, &mut fleet.mesh_traces, |policy| &policy.name, |_| true);
    } else if let Some(names) = step.strip_prefix("without ") {
        let above = |other: &str| {
            let mut above = chosen(explanation, kind)
                .into_iter()
                .take_while(|policy| policy.name != *name);
            above.any(|policy| policy.name == other)
        };
        match kind {
            "TrafficTrace" => remove(names, &mut fleet.traffic_traces, |policy| &policy.name, above),
            _ => remove(names, &mut fleet.mesh_traces, |policy| &policy.name, above),
        }
    } else if let Some(more) = step.strip_prefix("with ") {
        let count: usize = more
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number of tags");
        let policy = fleet.traffic_traces.iter_mut().find(|policy| policy.name == *name);
        policy.expect("it is there").selectors = vec![
            dataplane.inbounds[0]
                .iter()
                .take(count)
                .map(|(k, v)| (*k, *v))
                .collect(),
        ];
    } else if let Some(kinds) = step.strip_prefix("as ") {
        let service = dataplane.inbounds[0]["kuma.io/service"];
        let target = match kinds.rsplit(' ').next().expect("a kind") {
            "MeshService" => json!({"kind": "MeshService", "name": service}),
            "MeshServiceSubset" => json!({"kind": "MeshServiceSubset", "name": service, "tags": {}}),
            other => panic!("as {other}"),
        };
        let policy = fleet.mesh_traces.iter_mut().find(|policy| policy.name == *name);
        policy.expect("it is there").target = target;
    } else {
        assert!(step.is_empty() && first, "{step}");
    }
    if first {
        let new = "a-first".to_owned();
        let traffic_traces = fleet.traffic_traces.iter_mut().map(|policy| &mut policy.name);
        let mesh_traces = fleet.mesh_traces.iter_mut().map(|policy| &mut policy.name);
        let mut names: Box<dyn Iterator<Item = &mut String>> = match kind {
            "TrafficTrace" => Box::new(traffic_traces),
            _ => Box::new(mesh_traces),
        };
        *names.find(|own| *own == name).expect("it is there") = new.clone();
        *name = new;
    }
}

/// Removes the policies of these names, or the stronger ones where only their number is said.
fn remove<P>(names: &str, policies: &mut Vec<P>, name: impl Fn(&P) -> &String, is_stronger: impl Fn(&str) -> bool) {
    let listed: Vec<&str> = names.split(" and ").collect();
    let is_count = names.ends_with(" stronger ones");
    policies.retain(|policy| {
        let name = name(policy).as_str();
        !(if is_count {
            is_stronger(name)
        } else {
            listed.contains(&name)
        })
    });
}
