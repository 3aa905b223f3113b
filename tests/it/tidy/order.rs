//! The order of the modules is the order in which they may use each other, at the root and inside every folder.

use super::none;
use super::source::{Module, Sources};

#[test]
fn a_module_uses_only_those_above_it() {
    none(&breaches(&Sources::read(), Level::Modules));
}

#[test]
fn a_file_uses_only_those_that_stand_before_it() {
    none(&breaches(&Sources::read(), Level::Files));
}

#[test]
fn every_file_is_declared() {
    let sources = Sources::read();
    let undeclared = sources.iter().filter(|module| {
        module
            .path
            .split_last()
            .is_some_and(|(name, parent)| !sources.get(parent).is_some_and(|parent| parent.children.contains(name)))
    });
    none(
        &undeclared
            .map(|module| format!("src/{}: no `mod` line names it", module.file.display()))
            .collect::<Vec<_>>(),
    );
}

/// The two levels at which order is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    /// Between the modules of `lib.rs`.
    Modules,
    /// Between files inside one of these modules.
    Files,
}

/// What breaks the order at one level, one line for each mention.
///
/// Among the `mod` lines of a file, a module may use those before it and all that is inside of them. A file may use
/// its own children, and no child may use what is written in the file that declares it: so no circle of files is
/// possible.
fn breaches(sources: &Sources, level: Level) -> Vec<String> {
    let mut found = Vec::new();
    for module in sources.iter() {
        for (path, line) in module.mentions() {
            let used = sources.definition(&path);
            let is_inside = !module.path.is_empty() && module.path.first() == used.path.first();
            if is_inside != (level == Level::Files) {
                continue;
            }
            if let Some(why) = breach(sources, module, used) {
                let at = format!("src/{}:{line}", module.file.display());
                found.push(format!("{at}: {} uses `{}`: {why}", module.name(), path.join("::")));
            }
        }
    }
    found
}

fn breach(sources: &Sources, user: &Module, used: &Module) -> Option<String> {
    let common = (user.path.iter().zip(&used.path)).take_while(|(a, b)| a == b).count();
    if common == user.path.len() {
        return None; // itself, or a child
    }
    if common == used.path.len() {
        return Some(format!(
            "what stands in src/{} is for those above, not for its own children; move it to a file of its own",
            used.file.display()
        ));
    }
    let parent = sources.get(&user.path[..common]).expect("a folder has a file");
    let position = |name: &String| {
        let at = parent.children.iter().position(|child| child == name);
        at.unwrap_or_else(|| panic!("`{name}` is not declared in src/{}", parent.file.display()))
    };
    let (mine, theirs) = (&user.path[common], &used.path[common]);
    (position(theirs) > position(mine)).then(|| {
        let file = parent.file.display();
        format!("`{theirs}` stands after `{mine}` in src/{file}")
    })
}

/// The files of a small tree, with the body of one of them; what is wrong with it.
fn check(file: &str, body: &str, expected: &[&str]) {
    let mut files = vec![
        ("lib.rs", "pub mod low; pub mod high;"),
        ("low.rs", "pub fn low() {}"),
        (
            "high/mod.rs",
            "mod first; mod second; mod room; pub use first::First; pub fn own() {}",
        ),
        ("high/first.rs", "pub struct First;"),
        ("high/second.rs", "pub struct Second;"),
        ("high/room/mod.rs", "mod inner;"),
        ("high/room/inner.rs", ""),
    ];
    let place = files
        .iter_mut()
        .find(|(name, _)| *name == file)
        .expect("a file of the tree");
    let whole = format!("{} {body}", place.1);
    place.1 = &whole;
    let sources = Sources::of(&files);
    let found: Vec<String> = [Level::Modules, Level::Files]
        .into_iter()
        .flat_map(|level| breaches(&sources, level))
        .collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn what_is_above_may_be_used() {
    check("high/second.rs", "use super::first::First; use crate::low::low;", &[]);
    check(
        "high/room/inner.rs",
        "use crate::high::First; use super::super::second::Second;",
        &[],
    );
    check("high/mod.rs", "use self::second::Second; fn f() { room::x(); }", &[]);
}

#[test]
fn what_is_below_may_not() {
    let after = "`second` stands after `first` in src/high/mod.rs";
    check("high/first.rs", "use super::second::Second;", &[after]);
    check("high/first.rs", "fn f() { dbg!(crate::high::second::x()); }", &[after]);
    check(
        "low.rs",
        "use crate::high::First;",
        &["`high` stands after `low` in src/lib.rs"],
    );
    check(
        "high/first.rs",
        "use super::room::inner;",
        &["`room` stands after `first`"],
    );
    check(
        "high/room/inner.rs",
        "use super::super::own;",
        &["what stands in src/high/mod.rs"],
    );
}

#[test]
fn tests_below_the_code_may_use_all() {
    check("high/first.rs", "#[cfg(test)] mod tests { use crate::high::own; }", &[]);
}
