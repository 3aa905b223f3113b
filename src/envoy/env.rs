//! The properties of the machine, and of its settings, that the files depend on.

use std::collections::BTreeSet;

use crate::resource::value::feature::Feature;
use crate::yaml::Limits;

/// The properties of the machine, and of its settings, that the files depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderEnv {
    /// The absolute path of the output directory: Envoy would resolve a relative one against its own working
    /// directory. Files that are only looked at have `.`.
    pub out: String,
    /// Whether the bootstraps have an admin interface on a socket file.
    pub admin_pipe: bool,
    /// The features that proxies may lack.
    pub without: BTreeSet<Feature>,
    /// The limits of a file that is read.
    pub limits: Limits,
}
