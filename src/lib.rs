//! meshtraced compiles Kuma tracing policies into Envoy configuration, without a control plane.
