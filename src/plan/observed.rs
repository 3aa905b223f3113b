//! What is published.

use std::collections::BTreeMap;

use crate::envoy::artifact::{Files, ProxyKey};

/// What is on disk and ours.
pub type Applied = BTreeMap<ProxyKey, Files>;
