//! Properties of all inputs, tried with random and with the most difficult known ones.

pub(crate) mod compile;
mod faults;
mod incremental;
mod migration;
mod mistakes;
mod nasty;
mod one_plan;
mod overlay;
mod own_files;
mod references;
mod selection;
mod yaml_edit;
mod yaml_read;
mod yaml_write;
