//! The compilation that the questions are asked of, and words that their findings share.

use crate::compilation::Compilation;
use crate::diag::Diagnostic;
use crate::kuma::Fidelity;
use crate::resource::{Header, Resources};
use crate::select::Selection;

/// A compilation with the parts of it that most questions need.
pub(super) struct Subject<'c, 'a> {
    pub(super) compilation: &'c Compilation<'c, 'a>,
    pub(super) resources: &'c Resources,
    pub(super) selection: &'c Selection<'a>,
    pub(super) fidelity: Fidelity,
}

/// The end of a list that names only its first: ` and 3 others`; empty if there are no others.
pub(super) fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " and one other".to_owned(),
        n => format!(" and {n} others"),
    }
}

/// The finding with the resource of that header.
pub(super) fn about(header: &Header, diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.resource(header.document, &header.id)
}
