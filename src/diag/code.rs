//! The stable names of all findings.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $kind:literal;)+) => {
        /// The rule that a finding comes from; the text form of a code is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// All codes, in the order of `docs/findings.md`.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in kebab case, such as `sampling-out-of-range`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The rule in one sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The kind of violation that Kuma reports for the same mistake, or the nearest one.
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
    /// A template of another tool that was not rendered.
    UnrenderedTemplate = "unrendered-template", "malformed";
    /// A variable that the settings have no value for.
    MissingVariable = "missing-variable", "required";
    /// A document, file or alias goes beyond a limit of the reader.
    LimitExceeded = "limit-exceeded", "malformed";
    /// A file exists but cannot be read as text.
    UnreadableFile = "unreadable-file", "malformed";
    /// A document whose values are encrypted.
    EncryptedDocument = "encrypted-document", "malformed";
    /// No resource was found.
    NoResources = "no-resources", "required";
    /// A key that appears twice in one mapping; the last one counts.
    DuplicateKey = "duplicate-key", "duplicate";
    /// A field that Kuma does not know and ignores.
    UnknownField = "unknown-field", "unknown-value";
    /// A field that Kuma reads elsewhere in the version of the settings.
    SupersededField = "superseded-field", "not-allowed";
    /// A plain scalar that YAML 1.1 (Kuma) and YAML 1.2 read differently.
    AmbiguousScalar = "ambiguous-scalar", "malformed";
    /// A value whose type the field does not accept.
    WrongType = "wrong-type", "malformed";
    /// A required field is missing.
    MissingField = "missing-field", "required";
    /// A field that must have a value is empty.
    EmptyField = "empty-field", "empty";
    /// A field that is not allowed here, or not together with another field.
    NotAllowed = "not-allowed", "not-allowed";
    /// A value with characters or a form that the field does not accept.
    InvalidValue = "invalid-value", "malformed";
    /// A text that is longer than the field allows.
    TooLong = "too-long", "out-of-range";
    /// A text that is shorter than the field allows.
    TooShort = "too-short", "out-of-range";
    /// A value that is not among those the field accepts.
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
    /// A collector address that is not valid.
    InvalidAddress = "invalid-address", "malformed";
    /// A part of a collector URL that is not sent to the collector.
    UnsentUrlPart = "unsent-url-part", "not-allowed";
    /// A collector that probably cannot receive the spans that Envoy sends.
    CollectorMismatch = "collector-mismatch", "not-allowed";
    /// A collector outside the networks that the settings allow.
    CollectorNotAllowed = "collector-not-allowed", "not-allowed";
    /// An entry of `collectors` in the settings that fits no collector.
    UnusedCollectorEntry = "unused-collector-entry", "unresolved-reference";
    /// Two resources with the same type, mesh and name.
    DuplicateResource = "duplicate-resource", "duplicate";
    /// Two backends of a mesh with the same name.
    DuplicateBackend = "duplicate-backend", "duplicate";
    /// A resource in a mesh that does not exist.
    UnknownMesh = "unknown-mesh", "unresolved-reference";
    /// A `defaultBackend` that the mesh does not have.
    UnknownDefaultBackend = "unknown-default-backend", "unresolved-reference";
    /// A policy that names a backend its mesh does not have.
    BackendNotFound = "backend-not-found", "backend-not-found";
    /// Policies that tie for a dataplane; the smallest name wins.
    AmbiguousPolicies = "ambiguous-policies", "duplicate";
    /// A policy that selects no dataplane.
    SelectsNothing = "selects-nothing", "unresolved-reference";
    /// A dataplane that both a `TrafficTrace` and a `MeshTrace` select.
    BothPolicies = "both-policies", "duplicate";
    /// A proxy that calls another one whose tracer does not read the headers that the caller's tracer writes.
    MixedPropagation = "mixed-propagation", "not-allowed";
    /// An inbound or outbound without a listener, because another one has its address and port.
    HiddenListener = "hidden-listener", "duplicate";
    /// An inbound whose spans have the name of another service.
    SpanName = "span-name", "duplicate";
    /// A selected dataplane without any HTTP listener.
    NoHttpListener = "no-http-listener", "not-allowed";
    /// An outbound whose destination service is not in the repository.
    UnknownDestination = "unknown-destination", "unresolved-reference";
    /// Outbounds that only a control plane can know.
    TransparentProxyOutbounds = "transparent-proxy-outbounds", "not-allowed";
    /// Listeners of a zone proxy, which only a control plane can generate.
    ZoneProxy = "zone-proxy", "not-allowed";
    /// A built-in gateway, whose routes only a control plane compiles.
    BuiltinGateway = "builtin-gateway", "not-allowed";
    /// A feature of a Kuma proxy that a sidecar lacks.
    NotCarriedOver = "not-carried-over", "not-allowed";
    /// An inbound that would forward to itself.
    ForwardsToItself = "forwards-to-itself", "not-allowed";
    /// Two listeners of one proxy at the same address and port.
    ListenerConflict = "listener-conflict", "duplicate";
    /// A listener that refers to a cluster that does not exist, or two clusters that share a name.
    DanglingReference = "dangling-reference", "unresolved-reference";
    /// A path of Envoy's admin socket that is too long for the operating system.
    AdminPathTooLong = "admin-path-too-long", "out-of-range";
    /// A file of an Envoy that tracing cannot be added to.
    UnusableBase = "unusable-base", "malformed";
    /// A key that the settings name for a collector, and that cannot be had.
    MissingSecret = "missing-secret", "required";
    /// A place for files that is taken.
    UnusablePlace = "unusable-place", "duplicate";
    /// An entry of a dataplane that no listener of its Envoy belongs to.
    NotInBase = "not-in-base", "unresolved-reference";
    /// A listener of an Envoy that belongs to no entry of its dataplane.
    UnclaimedListener = "unclaimed-listener", "unresolved-reference";
    /// Tracing that the files of an Envoy set already.
    TracingInBase = "tracing-in-base", "duplicate";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
