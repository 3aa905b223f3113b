//! The collectors as the settings describe them: keys, TLS, timeouts, and the networks that spans may go to.
//!
//! Policies are in a repository that many may write to; what stands here is for those who run the machine.

mod secret;

mod file_path;

mod network;

mod header;

mod tls;

mod rule;

mod material;

pub use file_path::FilePath;
pub use header::{HeaderName, HeaderSource, Headers, in_words};
pub use material::Material;
pub use network::Network;
pub use rule::{CollectorRule, Collectors, Decided, Machine, Match, Named, TRUSTED_CAS};
pub use secret::Secret;
pub use tls::{ClientCertificate, TlsConf, TrustedCa};
