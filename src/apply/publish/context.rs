//! The surroundings of a publication.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::apply::envoy::{Cache, EnvoyAdmin};
use crate::apply::store::OpenOutput;
use crate::envoy::artifact::ProxyKey;

/// The users' own bootstraps into which the Envoys of some proxies merge their `fragment.yaml`.
pub type Bases = BTreeMap<ProxyKey, PathBuf>;

/// The disk, the Envoys and the memory that a publication works with.
#[derive(Debug)]
pub(super) struct PublishContext<'t> {
    pub(super) output: OpenOutput<'t>,
    pub(super) envoy: &'t EnvoyAdmin,
    pub(super) cache: &'t Cache,
}
