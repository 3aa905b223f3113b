//! An overlay adds tracing to the connection managers of a dataplane, and nothing else, whatever the Envoy is like.

use std::sync::Arc;

use meshtraced::compile::{Compiled, Options, compile};
use meshtraced::envoy::artifact::Artifact;
use meshtraced::envoy::shape::{ExistingTracing, Form, Overlay, Shape};
use meshtraced::select::scope::Rule;
use meshtraced::source::Snapshot;
use meshtraced::yaml::write::write;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kit::mesh::Backend;

const BASE: &str = "/etc/envoy/base.yaml";
const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const PROXY: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// A filter chain of a listener.
#[derive(Debug, Clone)]
enum Chain {
    /// A connection manager, with tracing of its own or without.
    Http {
        is_traced: bool,
    },
    Tcp,
    /// The same chains as those of the first listener, by an alias if the style has aliases.
    Same,
}

/// A listener at a port of the dataplane, or at another one.
#[derive(Debug, Clone)]
struct Case {
    port: u16,
    chains: Vec<Chain>,
    has_default: bool,
}

fn listener() -> impl Strategy<Value = Case> {
    let chain = prop_oneof![
        4 => any::<bool>().prop_map(|is_traced| Chain::Http { is_traced }),
        1 => Just(Chain::Tcp),
        2 => Just(Chain::Same),
    ];
    let port = prop_oneof![Just(8080), Just(8081), Just(9001), Just(9002), Just(7000)];
    let parts = (port, vec(chain, 1..4), any::<bool>());
    parts.prop_map(|(port, chains, has_default)| Case {
        port,
        chains,
        has_default,
    })
}

/// The name of a field in one of its spellings.
fn spelled(name: &str, is_camel: bool) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    let upper = |word: &str| word[..1].to_uppercase() + &word[1..];
    words.fold(first, |name, word| {
        if is_camel {
            name + &upper(word)
        } else {
            name + "_" + word
        }
    })
}

/// The bootstrap with some listeners; a list of chains that is meant to be an alias is the text `*chains`.
fn bootstrap(listeners: &[Case], is_camel: bool) -> Value {
    let field = |name: &str| spelled(name, is_camel);
    let filter = |config: Value| json!({"filters": [{"name": "f", field("typed_config"): config}]});
    let chain = |chain: &Chain, i: usize| match chain {
        Chain::Http { is_traced } => {
            let mut manager =
                json!({"@type": MANAGER, field("stat_prefix"): format!("l{i}"), "odd": "0x1F, 'q' # no comment"});
            if *is_traced {
                manager["tracing"] = json!({field("random_sampling"): {"value": 7}});
            }
            filter(manager)
        }
        Chain::Tcp | Chain::Same => filter(json!({"@type": PROXY, field("stat_prefix"): "tcp", "cluster": "c"})),
    };
    let listeners = listeners.iter().enumerate().map(|(i, case)| {
        let address = json!({field("socket_address"): {"address": "10.0.0.1", field("port_value"): case.port}});
        let mut listener = json!({"name": format!("l{i}"), "address": address});
        let is_same = i > 0 && case.chains.iter().any(|chain| matches!(chain, Chain::Same));
        listener[field("filter_chains")] = match is_same {
            true => json!("*chains"),
            false => case.chains.iter().map(|one| chain(one, i)).collect(),
        };
        if case.has_default {
            listener[field("default_filter_chain")] = chain(&Chain::Http { is_traced: false }, i);
        }
        listener
    });
    let listeners: Vec<Value> = listeners.collect();
    json!({"node": {"id": "web", "cluster": "web"}, field("static_resources"): {"listeners": listeners, "clusters": [{"name": "c"}]}})
}

/// The text of a bootstrap in one of the layouts that people have, all with aliases but JSON, in which there are none.
fn text(value: &Value, style: u8, is_camel: bool) -> String {
    let chains = spelled("filter_chains", is_camel);
    match style {
        0 | 1 => {
            let text = write(value).replacen(&format!("{chains}:\n"), &format!("{chains}: &chains   # all\n"), 1);
            let text = text.replace("\"*chains\"", "*chains");
            if style == 0 { text } else { text.replace('\n', "\r\n") }
        }
        2 => {
            let text = value
                .to_string()
                .replacen(&format!("\"{chains}\":"), &format!("\"{chains}\": &chains "), 1);
            text.replace("\"*chains\"", "*chains")
        }
        _ => serde_json::to_string_pretty(value)
            .expect("JSON")
            .replace("\"*chains\"", "[]"),
    }
}

fn compiled(base: &str, is_traced: bool, existing: ExistingTracing) -> Compiled {
    let dataplane = "type: Dataplane\nmesh: default\nname: web\nnetworking:\n  address: 10.0.0.1\n  inbound:\n\
        \x20 - {port: 8080, tags: {kuma.io/service: web, kuma.io/protocol: http}}\n\
        \x20 - {port: 8081, tags: {kuma.io/service: web, kuma.io/protocol: tcp}}\n  outbound:\n\
        \x20 - {port: 9001, address: 10.0.0.1, tags: {kuma.io/service: a, kuma.io/protocol: http}}\n\
        \x20 - {port: 9002, address: 10.0.0.1, tags: {kuma.io/service: b, kuma.io/protocol: grpc}}\n";
    let policy = "type: TrafficTrace\nmesh: default\nname: all\nselectors: [{match: {kuma.io/service: '*'}}]\nconf: {backend: first}\n";
    let mut files = vec![
        ("mesh.yaml", Backend::mesh(&[Backend::nowhere(1)])),
        ("web.yaml", dataplane.to_owned()),
    ];
    files.extend(is_traced.then(|| ("policy.yaml", policy.to_owned())));
    let snapshot = Snapshot::from_texts(files).with_base(BASE, base);
    let overlay = Overlay {
        bases: vec![(Artifact::Bootstrap, BASE.parse().expect("a path"))],
        listeners: Vec::new(),
        existing,
    };
    let mut options = Options::for_out("/out");
    options.shapes = vec![(
        Rule::default(),
        Form {
            shape: Shape::Overlay(Arc::new(overlay)),
            ..Form::default()
        },
    )];
    compile(&snapshot, &options)
}

/// The bootstrap that is published.
#[track_caller]
fn published(compiled: &Compiled) -> String {
    let files = compiled.fragments.values().next();
    let files = files.unwrap_or_else(|| panic!("{:#?}", compiled.unpublishable));
    files[&Artifact::Bootstrap].to_string()
}

/// Whether the policies trace the listeners of a port.
fn is_meant(port: &Value) -> bool {
    [8080, 9001, 9002].iter().any(|meant| port == meant)
}

/// What an overlay makes of a bootstrap, by an independent reading of the rules.
fn expected(mut whole: Value, existing: ExistingTracing, tracing: &Value, is_camel: bool) -> Value {
    let field = |name: &str| spelled(name, is_camel);
    let resources = &mut whole[field("static_resources")];
    let mut is_needed = false;
    for listener in resources["listeners"].as_array_mut().expect("listeners") {
        if !is_meant(&listener["address"][field("socket_address")][field("port_value")]) {
            continue;
        }
        let fields = listener.as_object_mut().expect("a listener");
        for (name, chains) in fields.iter_mut() {
            let chains: Vec<&mut Value> = match chains {
                Value::Array(chains) if *name == field("filter_chains") => chains.iter_mut().collect(),
                chain if *name == field("default_filter_chain") => vec![chain],
                _ => continue,
            };
            for chain in chains {
                let manager = &mut chain["filters"][0][field("typed_config")];
                let is_kept = manager.get("tracing").is_some() && existing == ExistingTracing::Keep;
                if manager["@type"] == MANAGER && !is_kept {
                    manager["tracing"] = tracing.clone();
                    is_needed = true;
                }
            }
        }
    }
    if is_needed {
        resources["clusters"]
            .as_array_mut()
            .expect("clusters")
            .insert(0, json!("collector"));
    }
    whole
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tracing_comes_and_goes_and_leaves_no_trace(
        listeners in vec(listener(), 1..6), style in 0_u8..4, is_camel: bool, replaces: bool,
    ) {
        let existing = if replaces { ExistingTracing::Replace } else { ExistingTracing::Keep };
        let base = text(&bootstrap(&listeners, is_camel), style, is_camel);
        let traced = published(&compiled(&base, true, existing));
        let mut found: Value = serde_yaml::from_str(&traced).expect("YAML");
        let resources = &mut found[spelled("static_resources", is_camel)];
        let clusters = resources["clusters"].as_array_mut().expect("clusters");
        if clusters[0]["name"] == "tracing:first" {
            clusters[0] = json!("collector");
        }
        let value: Value = serde_yaml::from_str(&base).expect("YAML");
        let tracing = first_tracing(&found).unwrap_or_default();
        prop_assert_eq!(&found, &expected(value, existing, &tracing, is_camel), "{}\n->\n{}", base, traced);

        // What was published is a base that changes no more, and without a policy nothing changes at all.
        prop_assert_eq!(published(&compiled(&traced, true, existing)), traced);
        prop_assert_eq!(published(&compiled(&base, false, existing)), base);
    }
}

/// The tracing of the policies, wherever it is.
fn first_tracing(value: &Value) -> Option<Value> {
    match value {
        Value::Array(items) => items.iter().find_map(first_tracing),
        Value::Object(fields) => {
            let own = fields
                .get("tracing")
                .filter(|tracing| tracing["provider"]["typed_config"]["collector_cluster"] == "tracing:first");
            own.cloned().or_else(|| fields.values().find_map(first_tracing))
        }
        _ => None,
    }
}
