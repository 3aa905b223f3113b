//! The machine: threads, child processes and sockets, for all edges that need them.

pub mod parallel;

pub mod process;

pub mod http_client;
