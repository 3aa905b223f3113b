//! The loop: when to compile and publish again.
