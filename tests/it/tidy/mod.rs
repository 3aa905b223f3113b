//! The rules about the tree itself, each a test that names the file, the line and the rule.
//!
//! The sources are parsed by `syn`, so that a rule sees what the compiler sees: no comment, no string and no test
//! below the code is taken for code.

mod comments;
mod definitions;
mod edges;
mod lexicon;
mod order;
mod prose;
mod size;
mod source;

/// Fails with one line for each breach.
fn none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}
