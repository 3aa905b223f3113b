//! Any text, as a file with and without variables: no panic, and every place lies in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtraced::diag::render::text;
use meshtraced::diag::{Diagnostics, Place};
use meshtraced::source::SourceFile;
use meshtraced::yaml::{Limits, Node, Value, read};

fuzz_target!(|text: &str| {
    let vars = [
        ("name".to_owned(), "a: {b".to_owned()),
        ("a.b".to_owned(), "8080".to_owned()),
    ];
    for vars in [None, Some(vars.into())] {
        let file = SourceFile::with_vars("a.yaml", text, vars);
        let mut diagnostics = Diagnostics::default();
        let (prepared, limits) = (read::Prepared::new(&file), Limits::default());
        let stream = prepared.read(&limits, &mut diagnostics);
        for document in &stream.documents {
            look(&document.root);
        }
        let found = diagnostics.into_sorted();
        for finding in &found {
            let Place::In(at) = &finding.place else {
                panic!("{finding:?}")
            };
            let _ = (at.text(), at.line(), at.column());
        }
        assert!(!text::render(&found, "", 20, false).contains('\u{1b}'));
    }
});

fn look(node: &Node) {
    let _ = node.at.text();
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(look),
        Value::Map(map) => map.entries.iter().for_each(|entry| {
            let _ = entry.key_at.text();
            look(&entry.value);
        }),
    }
}
