//! The cost of a fleet in a directory, beside its floor in the same run: walking, reading and parsing the same files to
//! events on one core.
//!
//! `cargo bench --bench fleet -- 1000 10000 100000` takes other numbers of dataplanes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use granit_parser::{Event, Parser};
use meshtraced::compile::{Compiled, Extent, Options, compile};
use meshtraced::select::scope::Rule;
use meshtraced::source::{self, Consistency, Snapshot, Sources};
use walkdir::WalkDir;

const ROUNDS: usize = 3;
const POLICIES: usize = 1_000;
const TEAMS: usize = 40;
const ZONES: [&str; 3] = ["eu-west", "us-east", "ap-south"];

fn main() {
    let numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let mut sizes: Vec<usize> = numbers.collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000];
    }
    println!("dataplanes   floor      findings     one proxy   all files");
    for dataplanes in sizes {
        row(dataplanes);
    }
    growth_with_policies(10_000);
}

/// One line of the table: the floor, and the ratios to it.
fn row(dataplanes: usize) {
    let dir = fleet(dataplanes, POLICIES);
    let floor = shortest(|| assert_eq!(parse_all(dir.path()), dataplanes + POLICIES + 1));
    let of = |options: &Options, check: &dyn Fn(&Compiled)| {
        let took = shortest(|| check(&compile(&snapshot(dir.path()), options)));
        format!("{:.2}", took.as_secs_f64() / floor.as_secs_f64())
    };
    let findings = of(&options(Extent::Findings, None), &|compiled| {
        assert_eq!(compiled.proxies.len(), dataplanes);
    });
    let one = of(&options(Extent::Files, Some("dp-77")), &|compiled| {
        assert_eq!(compiled.fragments.len(), 1);
    });
    let all = of(&options(Extent::Files, None), &|compiled| {
        assert_eq!(compiled.fragments.len(), dataplanes);
    });
    println!("{dataplanes:>10}   {floor:>7.0?}   {findings:>8}   {one:>9}   {all:>9}");
}

/// The growth of the time for findings with the number of policies.
fn growth_with_policies(dataplanes: usize) {
    let took = [10, 10_000].map(|policies| {
        let dir = fleet(dataplanes, policies);
        let snapshot = snapshot(dir.path());
        shortest(|| drop(compile(&snapshot, &options(Extent::Findings, None))))
    });
    let ratio = took[1].as_secs_f64() / took[0].as_secs_f64();
    println!("{dataplanes} dataplanes, 10 to 10,000 policies: compiling takes {ratio:.2} times as long");
}

/// The shortest of some rounds.
fn shortest(work: impl Fn()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn snapshot(dir: &Path) -> Snapshot {
    source::read(&Sources::one(dir), 1 << 20, Consistency::Dirty).expect("the fleet can be read")
}

fn options(extent: Extent, name: Option<&str>) -> Options {
    let rule = name.map(|name| Rule {
        name: Some(name.to_owned()),
        ..Rule::default()
    });
    Options {
        scope: rule.into_iter().collect(),
        extent,
        ..Options::for_out("/out")
    }
}

/// The number of documents below a directory: what nobody can do without.
fn parse_all(dir: &Path) -> usize {
    let files = WalkDir::new(dir).sort_by_file_name().into_iter().filter_map(Result::ok);
    let files = files.filter(|entry| entry.file_type().is_file());
    let texts: Vec<String> = files
        .map(|entry| fs::read_to_string(entry.path()).expect("a text"))
        .collect();
    let documents = |text: &String| {
        let mut parser = Parser::new_from_str(text);
        let events = std::iter::from_fn(|| parser.next_event());
        let starts = events.filter(|event| matches!(event, Ok((Event::DocumentStart(..), _))));
        starts.count()
    };
    texts.iter().map(documents).sum()
}

/// A fleet with one file for each dataplane and policy: services of ten instances that call three others, and policies of
/// mixed specificity, some of which match nothing.
fn fleet(dataplanes: usize, policies: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let put = |path: String, text: String| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    let backend =
        |zone: &&str| format!("  - {{name: {zone}, type: zipkin, conf: {{url: 'http://{zone}:9411/api/v2/spans'}}}}\n");
    let backends: String = ZONES.iter().map(backend).collect();
    put(
        "mesh.yaml".to_owned(),
        format!("type: Mesh\nname: default\ntracing:\n  defaultBackend: eu-west\n  backends:\n{backends}"),
    );
    let services = (dataplanes / 10).max(1);
    for i in 0..policies {
        let (service, zone, team) = (i * 7919 % services, ZONES[i % 3], i % TEAMS);
        let selector = match i % 4 {
            _ if i == 0 => "kuma.io/service: '*'".to_owned(),
            0 => format!("kuma.io/service: svc-{service}"),
            1 => format!("kuma.io/service: svc-{service}, kuma.io/zone: {zone}"),
            2 => format!("kuma.io/service: svc-{service}, team: team-{team}"),
            _ => format!("team: team-{team}, u{i}: '*'"),
        };
        let text = format!(
            "type: TrafficTrace\nmesh: default\nname: tt-{i}\nselectors:\n- match: {{{selector}}}\nconf: {{backend: {zone}}}\n"
        );
        put(format!("policies/tt-{i}.yaml"), text);
    }
    for i in 0..dataplanes {
        let (service, zone) = (i % services, ZONES[i % 3]);
        let calls: String = (0..3)
            .map(|k| {
                let called = (i * 31 + k * 17) % services;
                format!(
                    "  - port: {}\n    tags:\n      kuma.io/service: svc-{called}\n",
                    10_001 + k
                )
            })
            .collect();
        let text = format!(
            "type: Dataplane\nmesh: default\nname: dp-{i}\nnetworking:\n  address: 10.{}.{}.{}\n  inbound:\n  - port: 8080\n    \
             servicePort: 18080\n    tags:\n      kuma.io/service: svc-{service}\n      kuma.io/protocol: http\n      \
             kuma.io/zone: {zone}\n      team: team-{}\n  outbound:\n{calls}",
            i / 65_536,
            i / 256 % 256,
            i % 256,
            service % TEAMS,
        );
        put(format!("dataplanes/{:05}/dp-{i}.yaml", i / 100), text);
    }
    dir
}
