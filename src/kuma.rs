//! The control plane whose behaviour is compiled.

/// A control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kuma {
    /// The version of Kuma.
    pub version: Version,
    /// The authority where the documentation and the control plane differ.
    pub fidelity: Fidelity,
    /// The zone of the control plane that is stood in for.
    pub zone: String,
    /// The namespace whose policies may select every dataplane.
    pub system_namespace: String,
    /// Whether listeners and clusters are named after resources rather than addresses; `None` means as the version
    /// does.
    pub unified_naming: Option<bool>,
    /// The winner among policies that are equally specific.
    pub ties: Ties,
}

impl Default for Kuma {
    fn default() -> Self {
        Self {
            version: Version::V2_14,
            fidelity: Fidelity::Documented,
            zone: "default".to_owned(),
            system_namespace: "kuma-system".to_owned(),
            unified_naming: None,
            ties: Ties::Name,
        }
    }
}

/// A version of Kuma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 2.13.
    V2_13,
    /// 2.14.
    V2_14,
    /// 3.0, as far as it is known.
    V3_0,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V2_13 => "2.13",
            Self::V2_14 => "2.14",
            Self::V3_0 => "3.0",
        })
    }
}

/// The authority where the documentation and the control plane differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fidelity {
    /// The documentation.
    Documented,
    /// The control plane.
    Exact,
}

/// The winner among policies that are equally specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The smallest name.
    Name,
    /// The latest `creationTime`, then the smallest name.
    CreationTime,
}
