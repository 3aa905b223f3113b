//! Compiles a snapshot in every version and fidelity, and looks at what must hold.

use meshtraced::compile::{Options, compile};
use meshtraced::diag::{Holds, Place, Severity};
use meshtraced::kuma::{Fidelity, Kuma, Version};
use meshtraced::source::Snapshot;
use meshtraced::yaml::{Limits, json};

pub fn every_way(snapshot: &Snapshot) {
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
        let options = Options {
            kuma,
            ..Options::for_out("/out")
        };
        let compiled = compile(snapshot, &options);
        for finding in compiled.diagnostics.iter().chain(&compiled.unpublishable) {
            assert_eq!(
                finding.severity == Severity::Error,
                finding.holds != Holds::Nothing,
                "{finding:?}"
            );
            if let Place::In(at) = &finding.place {
                let _ = (at.text(), at.line(), at.column());
            }
        }
        for text in compiled.fragments.values().flat_map(|files| files.values()) {
            assert!(json::read_one(&text.text(), &Limits::default()).is_some(), "{text}");
        }
    }
}
