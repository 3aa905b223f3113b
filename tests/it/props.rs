//! What holds for every input, tried with many and with the nastiest that are known.

pub(crate) mod compile;
mod mistakes;
mod nasty;
mod own_files;
mod selection;
mod yaml_read;
mod yaml_write;
