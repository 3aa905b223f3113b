//! A publication as it is asked for, and its surroundings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::apply::envoy::{Cache, EnvoyAdmin};
use crate::apply::store::OpenOutput;
use crate::apply::store::files::Places;
use crate::envoy::artifact::ProxyKey;
use crate::plan::Plan;

/// The users' own bootstraps into which the Envoys of some proxies merge their `fragment.yaml`.
pub type Bases = BTreeMap<ProxyKey, PathBuf>;

/// The plan of a publication with what it is recorded under.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// The plan to carry out.
    pub plan: &'r Plan,
    /// The revision of the policies that the generation is recorded under.
    pub revision: &'r str,
    /// The places of the files of desired proxies; `None` leaves all where they are.
    pub places: Option<Places<'r>>,
    /// The bootstraps that fragments are validated with.
    pub bases: &'r Bases,
    /// The proxies that are looked at: their mode and owner, and what an earlier publication may have left behind.
    pub looks: Looks,
}

/// The proxies that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// All proxies.
    All,
    /// The proxies that the plan changes.
    Changes,
}

/// The disk, the Envoys and the memory that a publication works with.
#[derive(Debug)]
pub(super) struct PublishContext<'t> {
    pub(super) output: OpenOutput<'t>,
    pub(super) envoy: &'t EnvoyAdmin,
    pub(super) cache: &'t Cache,
}
