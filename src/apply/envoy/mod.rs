//! The Envoys of the proxies, as their admin interfaces describe them; our disk is not known here.

mod admin;

mod cache;

mod health;

pub use admin::EnvoyAdmin;
pub(in crate::apply) use admin::{Ack, AdminProbe, Envoy, Stats};
pub(in crate::apply) use cache::Cache;
pub use health::ProxyHealth;
pub(in crate::apply) use health::probe_all;
