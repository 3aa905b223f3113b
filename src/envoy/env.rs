//! The facts of the machine that reach the bytes of the files.

/// The facts of the machine that reach the bytes of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderEnv {
    /// The output directory; absolute, since Envoy would read other paths from where it was started.
    pub out: String,
    /// Whether the bootstraps have an admin interface on a socket file.
    pub admin_pipe: bool,
}
