//! The meaning of a sampling percentage of 0, by tracer, as `tests/it/envoy_says/mod.rs` measures it on a real Envoy.

/// The requests that a provider's tracer traces although a share of the sampling is 0. `share` is `overall`, `client` or
/// `random`.
#[must_use]
pub fn at_zero(provider: &str, share: &str) -> &'static str {
    match (provider, share) {
        ("zipkin", "overall") => "requests whose caller decided to sample them are traced",
        ("zipkin", "random") => "requests whose caller decided to sample them, or that ask for it, are traced",
        ("datadog", "overall" | "random") => "Datadog gets spans of all requests",
        ("opentelemetry", "overall") => {
            "nothing is traced; before Envoy 1.39, requests whose caller decided to sample them are"
        }
        ("opentelemetry", "random") => {
            "requests that ask for tracing are traced; before Envoy 1.39, those whose caller decided to sample them, too"
        }
        _ => "requests that ask for tracing are not traced for that alone",
    }
}
