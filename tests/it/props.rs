//! What holds for every input, tried with many and with the nastiest that are known.

pub(crate) mod compile;
mod nasty;
mod selection;
mod yaml_read;
mod yaml_write;
