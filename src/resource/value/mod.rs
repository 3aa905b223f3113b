//! Values of fields whose grammar several kinds share.

pub mod names;

pub mod address;

pub mod feature;

pub mod percent;

pub mod protocol;

pub mod tags;

pub mod collector_url;

pub mod otlp_endpoint;

pub use address::WrittenIp;
