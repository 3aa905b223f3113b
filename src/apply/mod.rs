//! The application of a plan: to the output directory, and to the Envoys that read it.
//!
//! `store` knows our disk and no Envoy, `envoy` knows the Envoys and no disk, and `publish` brings the two together.
//! `reload` tells Envoys that do not watch their files. Start with [`apply`]; why something changes is not known
//! here.

pub mod error;

mod clock;

pub mod store;

pub mod envoy;

pub mod target;

pub mod session;

pub mod publish;

pub mod reload;

pub use clock::now;
pub use envoy::{EnvoyAdmin, ProxyHealth};
pub use error::ApplyError;
pub use publish::{Bases, Delivery, Looks, ProxyResult, Publication, Request, apply, forget_nacks};
pub use session::{Session, probe_all};
pub use store::disposable::Disposable;
pub use store::files::Places;
pub use store::intent::{Frozen, Intent};
pub use store::inventory::{inventory_seal, published_places};
pub use store::observe::{observe, observe_those};
pub use store::output::is_output;
pub use store::secrets::{remove_other_secrets, save_secrets, secrets_seal};
pub use store::watch::{OutputWatch, Touched};
pub use store::{Lock, OutputDir, file_meshes, history};
pub use target::Target;
