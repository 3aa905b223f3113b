//! Limits on the size of files and functions.

use super::none;
use super::source::Sources;

/// Lines of a file without its tests.
const FILE: usize = 500;
/// Lines of a function.
const FUNCTION: usize = 60;
/// Parameters of a function, besides `self`.
const PARAMETERS: usize = 5;

/// Functions that are one long table, which would only be harder to read in parts.
const TABLES: [&str; 2] = ["daemon/metrics.rs: new", "yaml/syntax/kind.rs: by_kind"];

#[test]
fn no_file_is_long() {
    let sources = Sources::read();
    let long = sources.iter().filter_map(|module| {
        let lines = module.without_tests().lines().count();
        (lines > FILE).then(|| {
            format!(
                "src/{}: {lines} lines; which second noun is in it?",
                module.file.display()
            )
        })
    });
    none(&long.collect::<Vec<_>>());
}

#[test]
fn no_function_is_long() {
    let mut long = Vec::new();
    let mut tables = Vec::new();
    for module in Sources::read().iter() {
        for definition in module.definitions() {
            let Some(lines) = definition.length.filter(|lines| *lines > FUNCTION) else {
                continue;
            };
            let (file, name) = (module.file.display(), definition.name);
            let function = format!("{file}: {name}");
            if TABLES.contains(&function.as_str()) {
                tables.push(function);
            } else {
                let line = definition.line;
                long.push(format!(
                    "src/{file}:{line}: `{name}` has {lines} lines; which step has a name?"
                ));
            }
        }
    }
    none(&long);
    assert_eq!(tables, TABLES, "the list of tables is not true any more");
}

#[test]
fn no_function_takes_many_parameters() {
    let mut many = Vec::new();
    for module in Sources::read().iter() {
        for definition in module.definitions() {
            let (name, parameters) = (&definition.name, definition.parameters);
            if parameters > PARAMETERS {
                let (file, line) = (module.file.display(), definition.line);
                many.push(format!(
                    "src/{file}:{line}: `{name}` takes {parameters} parameters; which of them belong together?"
                ));
            }
        }
    }
    none(&many);
}
