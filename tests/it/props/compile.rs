//! Compiling any input ends with a result, and every finding has a place in a file.

use meshtraced::compile::{Extent, Options, compile};
use meshtraced::diag::render::{json, text};
use meshtraced::diag::{Code, Place};
use meshtraced::kuma::{Fidelity, Kuma, Version};
use meshtraced::settings_value::Integer;
use meshtraced::source::{self, Consistency, Snapshot, Sources};
use proptest::prelude::*;
use proptest::sample::Index;

use super::mistakes::{make, mistake};
use super::references::missing_clusters;

const POLICIES: &str = include_str!("compile.yaml");

/// How to compile into `/out`.
pub(crate) fn options(fidelity: Fidelity, version: Version) -> Options {
    Options {
        kuma: Kuma {
            fidelity,
            version,
            ..Kuma::default()
        },
        ..Options::for_out("/out")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_finding_has_a_place_and_an_error_holds_something(
        mistakes in proptest::collection::vec(mistake(), 0..6),
        exact in any::<bool>(),
        old in any::<bool>(),
    ) {
        let mut lines: Vec<String> = POLICIES.lines().map(str::to_owned).collect();
        for mistake in &mistakes {
            make(mistake, &mut lines);
        }
        let snapshot = Snapshot::from_texts([("a.yaml", lines.join("\n"))]);
        let fidelity = if exact { Fidelity::Exact } else { Fidelity::Documented };
        let version = if old { Version::V2_13 } else { Version::V2_14 };
        let compiled = compile(&snapshot, &options(fidelity, version));
        let looked_at = compile(&snapshot, &Options { extent: Extent::Findings, ..options(fidelity, version) });
        prop_assert_eq!(&looked_at.diagnostics, &compiled.diagnostics);
        prop_assert_eq!(&looked_at.unpublishable, &compiled.unpublishable);
        prop_assert_eq!(&looked_at.without_files, &compiled.without_files);
        for (proxy, files) in &*compiled.fragments {
            prop_assert_eq!(missing_clusters(files), Vec::<String>::new(), "{}", proxy);
        }
        let findings: Vec<_> = compiled.diagnostics.into_iter().chain(compiled.unpublishable).collect();
        for finding in &findings {
            if let Place::In(at) = &finding.place {
                prop_assert!(snapshot.files[0].text().get(at.bytes().clone()).is_some());
            }
            let is_error = finding.severity == meshtraced::diag::Severity::Error;
            prop_assert_eq!(is_error, finding.holds != meshtraced::diag::Holds::Nothing, "{:?}", finding);
            serde_json::to_string(&json::entry(finding, "")).expect("JSON");
        }
        let shown = text::render(&findings, "policies/", 20, false);
        prop_assert!(!shown.contains('\u{1b}'), "{}", shown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_bytes_a_file_has_there_is_an_answer(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<Index>(),
        alone in any::<bool>(),
    ) {
        let mut bytes = POLICIES.as_bytes().to_vec();
        let start = at.index(bytes.len());
        let end = (start + garbage.len()).min(bytes.len());
        bytes.splice(start..end, garbage.iter().copied());
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("a.yaml"), if alone { &garbage } else { &bytes }).expect("a file");
        let snapshot = source::read(&Sources::one(dir.path()), 1 << 20, Consistency::Dirty).expect("it can be read");
        let compiled = compile(&snapshot, &options(Fidelity::Documented, Version::V2_14));
        let findings: Vec<_> = compiled.diagnostics.into_iter().chain(compiled.unpublishable).collect();
        let shown = text::render(&findings, "policies/", 20, false);
        prop_assert_eq!(shown.is_empty(), findings.is_empty());
    }
}

#[test]
fn the_deepest_that_may_be_allowed_fits_the_stack_of_a_thread() {
    const DEEPEST: usize = 128;
    let nested = |open: &str, close: &str| {
        let times = (DEEPEST - 3) / close.len();
        format!("{}x{}", open.repeat(times), close.repeat(times))
    };
    for inside in [nested("[", "]"), nested("{a: ", "}"), nested("[{a: ", "}]")] {
        for text in [
            format!("type: MeshTrace\nname: a\nspec: {{default: {inside}}}\n"),
            format!("apiVersion: v1\nkind: List\nitems: [{inside}]\n"),
            format!("items: {inside}\n"),
            inside.clone(),
        ] {
            let mut options = options(Fidelity::Documented, Version::V2_14);
            options.env.limits.depth = Integer::new(DEEPEST);
            let snapshot = Snapshot::from_texts([("a.yaml", text)]);
            let compiling = move || compile(&snapshot, &options).diagnostics;
            let thread = std::thread::Builder::new().stack_size(2 << 20);
            let found = thread.spawn(compiling).expect("a thread").join().expect("no overflow");
            assert!(
                found.iter().all(|finding| finding.code != Code::LimitExceeded),
                "{found:?}"
            );
        }
    }
}

#[test]
fn without_a_mistake_there_is_nothing_to_say() {
    let compiled = compile(
        &Snapshot::from_texts([("a.yaml", POLICIES)]),
        &options(Fidelity::Documented, Version::V2_14),
    );
    // The first mesh has a backend of each kind, which is what this says.
    let findings = compiled.diagnostics.iter().chain(&compiled.unpublishable);
    let others: Vec<_> = findings
        .filter(|finding| finding.code != Code::MixedPropagation)
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(compiled.fragments.len(), 5);
}
