//! Reads a directory into a [`Snapshot`](super::Snapshot).
