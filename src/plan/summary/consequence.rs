//! The consequences of a change that a reviewer must not miss: spans that go elsewhere, end, or become more.

use schemars::JsonSchema;
use serde::Serialize;

use crate::envoy::effective::{Backend, EffectiveTracing};

/// A consequence of a change that deserves a line of its own.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Consequence {
    /// The spans go to another host, maybe in another region.
    OtherHost {
        /// The host that got the spans before.
        before: String,
        /// The host that gets them after.
        after: String,
    },
    /// The proxy was traced before, and is not any more.
    TracingStops,
    /// More requests are traced.
    MoreTraces {
        /// The percentage of requests before.
        before: f64,
        /// The percentage of requests after.
        after: f64,
    },
}

impl Consequence {
    /// The consequences of one tracing after another.
    pub(super) fn of(old: &EffectiveTracing, new: &EffectiveTracing) -> Vec<Self> {
        let (Some(before), Some(after)) = (&old.backend, &new.backend) else {
            let stops = old.backend.is_some() && new.backend.is_none();
            return stops.then_some(Self::TracingStops).into_iter().collect();
        };
        let mut all = Vec::new();
        let [from, to] = [before, after].map(host);
        if from != to {
            all.push(Self::OtherHost {
                before: from.to_owned(),
                after: to.to_owned(),
            });
        }
        let [before, after] = [before, after].map(|backend| backend.sampling.value);
        if after > before {
            all.push(Self::MoreTraces { before, after });
        }
        all
    }

    /// The consequence in words.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::OtherHost { before, after } => format!("spans go to host {after} instead of {before}"),
            Self::TracingStops => "tracing stops".to_owned(),
            Self::MoreTraces { before, after } if *before > 0.0 => {
                format!("{} times as many traces", short(after / before))
            }
            Self::MoreTraces { .. } => "traces where there were none".to_owned(),
        }
    }
}

/// A factor with two decimals at most.
fn short(factor: f64) -> String {
    let text = format!("{factor:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The host of the collector, without its port.
fn host(backend: &Backend) -> &str {
    let authority = backend.collector.value.as_str();
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_short() {
        for (before, after, expected) in [
            (10.0, 100.0, "10 times as many traces"),
            (12.5, 100.0, "8 times as many traces"),
            (3.0, 10.0, "3.33 times as many traces"),
            (99.0, 100.0, "1.01 times as many traces"),
            (0.0, 1.0, "traces where there were none"),
        ] {
            assert_eq!(Consequence::MoreTraces { before, after }.text(), expected);
        }
    }
}
