//! The machine: threads, their progress, child processes and sockets, for all edges that need them.

pub mod progress;

pub mod parallel;

pub mod beacon;

pub mod process;

pub mod http_client;
