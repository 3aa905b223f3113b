//! Text that YAML 1.1, YAML 1.2 and Envoy read as the same value.
