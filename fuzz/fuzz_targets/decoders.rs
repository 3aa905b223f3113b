//! A resource of some kind with any fields: no panic, and every finding has a place in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtraced::diag::{Diagnostics, Place};
use meshtraced::kuma::{Fidelity, Kuma, Version};
use meshtraced::resource::{Cache, Contributions, Kind, ParseOptions, parse};
use meshtraced::source::Snapshot;
use meshtraced::yaml::Limits;

fuzz_target!(|input: (u8, bool, &str)| {
    let (kind, kubernetes, fields) = input;
    let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()].as_str();
    let head = if kubernetes {
        format!(
            "apiVersion: kuma.io/v1alpha1\nkind: {kind}\nmesh: default\nmetadata: {{name: x, namespace: kuma-system}}\n"
        )
    } else {
        format!("type: {kind}\nmesh: default\nname: x\n")
    };
    let text = format!("{head}{fields}\n");
    let snapshot = Snapshot::from_texts([("a.yaml", text.as_str())]);
    for (version, fidelity) in [
        (Version::V2_13, Fidelity::Exact),
        (Version::V2_14, Fidelity::Documented),
        (Version::V3_0, Fidelity::Exact),
    ] {
        let kuma = Kuma {
            version,
            fidelity,
            ..Kuma::default()
        };
        let mut found = Diagnostics::default();
        let options = ParseOptions {
            kuma: &kuma,
            limits: &Limits::default(),
            known: &Contributions::default(),
        };
        parse(&snapshot, &options, &mut Cache::default(), &mut found);
        for finding in found.into_sorted() {
            let Place::In(at) = &finding.place else {
                panic!("{finding:?}")
            };
            assert!(text.contains(&*at.text()), "{finding:?}");
        }
    }
});
