//! Template expressions in documents that nobody has rendered.

use crate::diag::Diagnostic;
use crate::source::Location;
use crate::yaml::{Node, Scalar, Value, template};

/// Whether a file may have template expressions at all.
pub(in crate::resource) fn may_have_templates(file: &str) -> bool {
    file.contains(['{', '$'])
}

/// The template expressions in the texts of a document.
pub(in crate::resource) fn unrendered(root: &Node) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    collect(root, &mut found);
    found
}

fn collect(node: &Node, found: &mut Vec<Diagnostic>) {
    match &node.value {
        Value::Scalar(scalar) => found.extend(expression(scalar, &node.at)),
        Value::List(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Map(map) => {
            for entry in &map.entries {
                found.extend(expression(&entry.key, &entry.key_at));
                collect(&entry.value, found);
            }
        }
    }
}

/// The finding for a template expression in a text; values of variables are not templates.
fn expression(scalar: &Scalar, at: &Location) -> Option<Diagnostic> {
    template::find(&scalar.text)?;
    let (range, dialect) = template::find(&at.text())?;
    if at.file.vars.is_some() && template::is_mustache(dialect) {
        return None;
    }
    let place = at.bytes().start + range.start..at.bytes().start + range.end;
    Some(template::unrendered(&Location::new(&at.file, place), dialect))
}
