//! Tells when a directory may have changed.
