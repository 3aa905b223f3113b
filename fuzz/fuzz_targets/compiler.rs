//! Any text, compiled: no panic, errors hold something, and what is written can be read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtraced::source::Snapshot;

#[path = "../compile.rs"]
mod compile;

fuzz_target!(|text: &str| {
    let snapshot = Snapshot::from_texts([("a.yaml", text)]);
    compile::every_way(&snapshot);
});
