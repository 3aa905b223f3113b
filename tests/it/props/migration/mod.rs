//! A migration keeps the tracing of every proxy of which it says so, in any tree.

mod canonical;
mod corpus;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshtraced::compile::{Extent, Options, compile};
use meshtraced::diag::{Code, Diagnostic, ResourceId, Severity};
use meshtraced::kuma::{Fidelity, Version};
use meshtraced::migrate::proof::{Class, Difference};
use meshtraced::migrate::{self, FileEdit, Migration};
use meshtraced::source::Snapshot;
use proptest::prelude::*;

use self::canonical::canonical;
use self::tree::{Kind, tree};
use super::compile::options;

/// The migration, and the tree after it.
fn migrated(snapshot: &Snapshot, version: Version, to: Version, keep: bool) -> (Migration, Snapshot) {
    let options = migrate::Options {
        compile: options(Fidelity::Documented, version),
        to,
        keep,
    };
    let migration = migrate::migrate(snapshot, &options).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let after = edited(snapshot, &migration.files);
    (migration, after)
}

/// The texts of a snapshot with the edits of a migration.
fn edited(snapshot: &Snapshot, edits: &[FileEdit]) -> Snapshot {
    let texts = snapshot
        .files
        .iter()
        .map(|file| ((&file.path).into(), file.text().into_owned()));
    let mut texts: BTreeMap<String, String> = texts.collect();
    for edit in edits {
        let before = texts.remove(&edit.path);
        assert_eq!(
            before.as_ref(),
            edit.before.as_ref().map(|file| file.text().into_owned()).as_ref()
        );
        texts.extend(edit.after.clone().map(|text| (edit.path.clone(), text)));
    }
    Snapshot::from_texts(texts)
}

/// All texts, each below its path.
fn shown(snapshot: &Snapshot) -> String {
    let files = snapshot.files.iter();
    files.map(|file| format!("# {}\n{}", file.path, file.text())).collect()
}

fn exact(version: Version) -> Options {
    Options {
        extent: Extent::Findings,
        ..options(Fidelity::Exact, version)
    }
}

/// The tracing of each proxy in a form in which only what people would notice counts.
fn tracing(snapshot: &Snapshot, version: Version) -> BTreeMap<String, serde_json::Value> {
    let compiled = compile(snapshot, &exact(version));
    let proxies = compiled.proxies.iter();
    proxies.map(|proxy| (proxy.key.to_string(), canonical(proxy))).collect()
}

/// Checks what must hold of every migration.
fn check(snapshot: &Snapshot, version: Version, to: Version) -> Migration {
    let (migration, after) = migrated(snapshot, version, to, false);
    let texts = || shown(&after);
    let (old, new) = (tracing(snapshot, version.min(Version::V2_14)), tracing(&after, to));
    let named: BTreeMap<String, Class> = migration
        .proof
        .differences
        .iter()
        .fold(BTreeMap::new(), |mut named, one| {
            let class = named
                .entry(format!("{}/{}", one.mesh, one.dataplane))
                .or_insert(one.class);
            *class = one.class.max(*class);
            named
        });
    for (name, old) in &old {
        let is_same = new.get(name) == Some(old);
        let is_claimed = named.get(name) != Some(&Class::Different);
        assert_eq!(is_claimed, is_same, "{name}: {old:#} {:#?}\n{}", new.get(name), texts());
    }
    let counts = migration.proof.proxies;
    assert_eq!(counts.identical + counts.equivalent + counts.different, old.len());
    assert_eq!(
        counts.different,
        named.values().filter(|class| **class == Class::Different).count()
    );
    let findings = compile(&after, &exact(to)).diagnostics;
    // What 3.0 no longer has is named, and stays.
    let named: BTreeSet<(&str, &str, &str)> = migration
        .unmigrated
        .iter()
        .map(|one| (one.kind.as_str(), one.mesh.as_str(), one.name.as_str()))
        .collect();
    let is_named = |finding: &Diagnostic| {
        let of = |id: &Arc<ResourceId>| named.contains(&(id.kind.as_str(), id.mesh.as_str(), id.name.as_str()));
        let is_kind =
            finding.code == Code::UnknownType && named.iter().any(|(kind, ..)| finding.message.contains(kind));
        to >= Version::V3_0 && (is_kind || finding.resource.as_ref().is_some_and(of))
    };
    // What nobody reads is as it was.
    let known = compile(snapshot, &exact(version.min(Version::V2_14))).diagnostics;
    let is_wrong = |finding: &&Arc<Diagnostic>| {
        let is_strict = matches!(finding.code, Code::UnknownField | Code::DuplicateKey);
        let is_new = !known.iter().any(|known| known.message == finding.message);
        (finding.severity == Severity::Error || (is_strict && is_new)) && !is_named(finding)
    };
    let wrong: Vec<_> = findings.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", texts());
    let (again, _) = migrated(&after, to, to, false);
    assert!(again.files.is_empty(), "{:#?}\n{}", again.files, texts());
    if to < Version::V3_0 {
        // By way of drafts, which come once.
        let (_, kept) = migrated(snapshot, version, to, true);
        let (again, _) = migrated(&kept, version, to, true);
        assert!(again.files.is_empty(), "{:#?}\n{}", again.files, shown(&kept));
        assert_eq!(shown(&migrated(&kept, version, to, false).1), texts());
    }
    migration
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Where nothing of Kuma stands in the way, every proxy keeps its tracing.
    #[test]
    fn every_proxy_keeps_its_tracing(tree in tree(Kind::Plain)) {
        let snapshot = Snapshot::from_texts(tree.files);
        let migration = check(&snapshot, Version::V2_14, Version::V2_14);
        let different: Vec<_> = (migration.proof.differences.iter()).filter(|one| one.class == Class::Different).collect();
        let (texts, after) = (shown(&snapshot), shown(&edited(&snapshot, &migration.files)));
        prop_assert!(different.is_empty(), "{different:#?}\n{texts}\n>>>\n{after}");
    }

    #[test]
    fn no_report_claims_what_a_comparison_denies(tree in tree(Kind::Any), old in any::<bool>()) {
        let version = if old { Version::V2_13 } else { Version::V2_14 };
        check(&Snapshot::from_texts(tree.files), version, Version::V2_14);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Services are other resources in 3.0, so names of services change; the collectors, and what is traced, stay.
    #[test]
    fn spans_go_where_they_went_in_3_0(tree in tree(Kind::Plain)) {
        let snapshot = Snapshot::from_texts(tree.files);
        let migration = check(&snapshot, Version::V2_14, Version::V3_0);
        let is_moved = |one: &&Difference| {
            let is_name = one.field == "node.cluster" || one.field.ends_with("service_name");
            // No MeshService can have the name of such a service, or there is no dataplane of it.
            let is_lost = one.field == "tracing" && one.reason.contains("its destination is not known");
            one.class == Class::Different && !is_name && !is_lost
        };
        let moved: Vec<_> = migration.proof.differences.iter().filter(is_moved).collect();
        let (texts, after) = (shown(&snapshot), shown(&edited(&snapshot, &migration.files)));
        prop_assert!(moved.is_empty(), "{moved:#?}\n{texts}\n>>>\n{after}");
    }

    #[test]
    fn no_report_claims_what_a_comparison_denies_in_3_0(tree in tree(Kind::Any)) {
        check(&Snapshot::from_texts(tree.files), Version::V2_14, Version::V3_0);
    }
}

/// Many policies that say the same become few.
#[test]
fn policies_that_say_the_same_become_one() {
    let services = 0..1_000;
    let policies = services.clone().map(|i| {
        format!("type: TrafficTrace\nmesh: default\nname: trace-{i}\nselectors:\n- match: {{kuma.io/service: s-{i}}}\nconf: {{backend: z}}\n---\n")
    });
    let dataplanes = services.map(|i| {
        format!(
            "type: Dataplane\nmesh: default\nname: dp-{i}\nnetworking:\n  address: 10.0.{}.{}\n  inbound:\n  - {{port: 80, tags: {{kuma.io/service: s-{i}, kuma.io/protocol: http}}}}\n---\n",
            i / 250,
            i % 250 + 1
        )
    });
    let mesh = "type: Mesh\nname: default\ntracing:\n  backends:\n  - {name: z, type: zipkin, conf: {url: http://z:9411/api}}\n";
    let files = [
        ("mesh.yaml", mesh.to_owned()),
        ("policies.yaml", policies.collect::<String>()),
        ("dataplanes.yaml", dataplanes.collect::<String>()),
    ];
    let migration = check(&Snapshot::from_texts(files), Version::V2_14, Version::V2_14);
    assert_eq!(
        (migration.counts.traffic_traces, migration.counts.mesh_traces),
        (1_000, 1)
    );
    assert_eq!(migration.proof.proxies.equivalent, 1_000);
    let names: BTreeSet<&str> = migration.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["mesh.yaml", "policies.yaml"]));
}
