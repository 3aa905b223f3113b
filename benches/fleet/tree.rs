//! A directory of policies for a fleet.

use std::fs;
use std::path::Path;

const TEAMS: usize = 40;
const ZONES: [&str; 3] = ["eu-west", "us-east", "ap-south"];

/// The policy that decides for every dataplane, except for one in a hundred.
pub(crate) const ALL: &str = "policies/all.yaml";
/// The policy that decides for one dataplane in a hundred.
pub(crate) const PART: &str = "policies/part.yaml";
/// The number of files beside those of dataplanes and of the policies that the caller asks for.
pub(crate) const OTHERS: usize = 3;

/// The path of a dataplane.
pub(crate) fn dataplane(i: usize) -> String {
    format!("dataplanes/{:05}/dp-{i}.yaml", i / 100)
}

/// A selector of dataplanes by their share of the fleet, with more tags than those of other policies.
fn of_all(share: &str) -> String {
    format!("kuma.io/service: '*', kuma.io/zone: '*', team: '*', share: {share}")
}

fn policy(name: &str, selector: &str, backend: &str) -> String {
    format!(
        "type: TrafficTrace\nmesh: default\nname: {name}\nselectors:\n- match: {{{selector}}}\nconf: {{backend: {backend}}}\n"
    )
}

/// A fleet with one file for each dataplane and policy: services of ten instances that call three others, and policies of
/// mixed specificity, some of which match nothing.
pub(crate) fn write(dir: &Path, dataplanes: usize, policies: usize) {
    let put = |path: String, text: String| {
        let path = dir.join(path);
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
    put(ALL.to_owned(), policy("all", &of_all("'*'"), ZONES[0]));
    put(PART.to_owned(), policy("part", &of_all("share-7"), ZONES[0]));
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
        put(
            format!("policies/tt-{i}.yaml"),
            policy(&format!("tt-{i}"), &selector, zone),
        );
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
             kuma.io/zone: {zone}\n      team: team-{}\n      share: share-{}\n  outbound:\n{calls}",
            i / 65_536,
            i / 256 % 256,
            i % 256,
            service % TEAMS,
            i % 100,
        );
        put(dataplane(i), text);
    }
}

/// Gives a dataplane another port, or a policy another backend.
pub(crate) fn edit(path: &Path, i: usize) {
    let text = fs::read_to_string(path).expect("a file");
    let zones = ["eu-west", "us-east"];
    let edited = text.lines().map(|line| match line.split_once(':') {
        Some((key, _)) if key.trim() == "servicePort" => format!("{key}: {}", 20_000 + i),
        Some(("conf", _)) => format!("conf: {{backend: {}}}", zones[(i + 1) % 2]),
        _ => line.to_owned(),
    });
    let edited: Vec<String> = edited.collect();
    let beside = path.with_extension("tmp");
    fs::write(&beside, edited.join("\n") + "\n").expect("a file");
    fs::rename(beside, path).expect("a file");
}
