//! The stable names of all findings.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $kind:literal;)+) => {
        /// Which rule a finding comes from; its text form is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The kebab-case name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it is about, in a sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The kind of violation that Kuma would speak of, or the nearest one.
            #[must_use]
            pub fn kind(self) -> &'static str {
                match self { $(Self::$variant => $kind,)+ }
            }
        }
    };
}

codes! {
    /// The text is not YAML.
    SyntaxError = "syntax-error", "malformed";
    /// A template of another program that was not rendered.
    UnrenderedTemplate = "unrendered-template", "malformed";
    /// A variable that the settings have no value for.
    MissingVariable = "missing-variable", "required";
    /// A document, file or alias goes beyond a limit of the reader.
    LimitExceeded = "limit-exceeded", "malformed";
    /// A file is there but its text could not be read.
    UnreadableFile = "unreadable-file", "malformed";
    /// No resource was found at all.
    NoResources = "no-resources", "required";
    /// A key stands twice in one mapping; the last one counts.
    DuplicateKey = "duplicate-key", "duplicate";
    /// A field that Kuma does not know and ignores.
    UnknownField = "unknown-field", "unknown-value";
    /// A plain scalar that YAML 1.1 (Kuma) and YAML 1.2 read differently.
    AmbiguousScalar = "ambiguous-scalar", "malformed";
    /// A value of another type than the field takes.
    WrongType = "wrong-type", "malformed";
    /// A field that must be there is not.
    MissingField = "missing-field", "required";
    /// A field that must have a value is empty.
    EmptyField = "empty-field", "empty";
    /// A field that is not allowed here, or not with its neighbours.
    NotAllowed = "not-allowed", "not-allowed";
    /// Characters, lengths or forms that the field does not take.
    InvalidValue = "invalid-value", "malformed";
    /// A text that is longer than the field takes.
    TooLong = "too-long", "out-of-range";
    /// A text that is shorter than the field takes.
    TooShort = "too-short", "out-of-range";
    /// A word that is not one of those the field takes.
    UnknownValue = "unknown-value", "unknown-value";
    /// A resource type that Kuma does not have.
    UnknownType = "unknown-type", "unsupported-kind";
    /// A sampling percentage outside 0 to 100.
    SamplingOutOfRange = "sampling-out-of-range", "out-of-range";
    /// Sampling 0, which does not switch tracing off.
    SamplingZero = "sampling-zero", "out-of-range";
    /// A port outside its range.
    PortOutOfRange = "port-out-of-range", "out-of-range";
    /// A collector URL that cannot be used.
    InvalidUrl = "invalid-url", "malformed";
    /// A collector address that cannot be one.
    InvalidAddress = "invalid-address", "malformed";
    /// Two resources with the same type, mesh and name.
    DuplicateResource = "duplicate-resource", "duplicate";
    /// Two backends of a mesh with the same name.
    DuplicateBackend = "duplicate-backend", "duplicate";
    /// A resource in a mesh that does not exist.
    UnknownMesh = "unknown-mesh", "unresolved-reference";
    /// `defaultBackend` names a backend that the mesh does not have.
    UnknownDefaultBackend = "unknown-default-backend", "unresolved-reference";
    /// A policy names a backend that its mesh does not have.
    BackendNotFound = "backend-not-found", "backend-not-found";
    /// Two policies tie for a dataplane; the smaller name wins.
    AmbiguousPolicies = "ambiguous-policies", "duplicate";
    /// A policy that selects no dataplane.
    SelectsNothing = "selects-nothing", "unresolved-reference";
    /// A dataplane for which there are policies of both kinds.
    BothPolicies = "both-policies", "duplicate";
    /// A proxy calls another one whose tracer does not read the headers that its own writes.
    MixedPropagation = "mixed-propagation", "not-allowed";
    /// A selected dataplane without any HTTP listener.
    NoHttpListener = "no-http-listener", "not-allowed";
    /// An outbound whose destination service is not in the repository.
    UnknownDestination = "unknown-destination", "unresolved-reference";
    /// Outbounds that only a control plane can know.
    TransparentProxyOutbounds = "transparent-proxy-outbounds", "not-allowed";
    /// The listeners of a zone proxy, which only a control plane makes.
    ZoneProxy = "zone-proxy", "not-allowed";
    /// A built-in gateway, whose routes only a control plane compiles.
    BuiltinGateway = "builtin-gateway", "not-allowed";
    /// An inbound that would forward to itself.
    ForwardsToItself = "forwards-to-itself", "not-allowed";
    /// Two listeners of one proxy at the same address and port.
    ListenerConflict = "listener-conflict", "duplicate";
    /// A listener would name a cluster that is not there, or take the name of another one.
    DanglingReference = "dangling-reference", "unresolved-reference";
    /// The socket path of Envoy's admin interface is too long for the operating system.
    AdminPathTooLong = "admin-path-too-long", "out-of-range";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
