//! The parts of a document around the fields of its kind: its classification, its header in either form, and the
//! meshes of a broken text.

pub(in crate::resource) mod kind;

pub(in crate::resource) mod list;

pub(in crate::resource) mod labels;

pub(in crate::resource) mod header;

pub(in crate::resource) mod identity;

pub(in crate::resource) mod glued;

pub(in crate::resource) mod encryption;

pub(in crate::resource) mod envelope;

pub(in crate::resource) mod salvage;

pub(in crate::resource) mod kustomization;

pub(in crate::resource) mod old_form;

pub(in crate::resource) mod unrendered;

pub use header::{Header, Role};
pub use kind::{Form, Kind};
pub use labels::{
    DISPLAY_NAME, MESH as MESH_LABEL, NAMESPACE, VERIFY_COLLECTOR, WORKLOAD, ZONE_LABEL, is_qualified_name,
};
