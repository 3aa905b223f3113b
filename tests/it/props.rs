//! What holds for every input, tried with many and with the nastiest that are known.

mod nasty;
mod tools;
mod yaml_read;
mod yaml_write;
