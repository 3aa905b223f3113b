//! The kinds of resources, one file each.

pub mod mesh;

pub mod target_ref;

pub mod other_policy;

pub mod traffic_trace;

pub mod traffic_route;

pub mod dataplane;

pub mod external_service;

pub mod mesh_gateway;

pub mod mesh_open_telemetry_backend;

pub mod mesh_service;

pub mod mesh_route;

pub mod mesh_trace;
