//! `HttpConnectionManager.tracing`.

use serde_json::{Map, Value, json};

use super::{Dialect, cluster, datadog, zipkin};
use crate::ir::{Listener, Provider, Proxy};
use crate::resource::percent::Percent;

/// The tracing block of a listener; `None` when it is not traced, which is the only way to say so to Envoy.
#[must_use]
pub fn block(proxy: &Proxy, listener: &Listener, dialect: Dialect) -> Option<Value> {
    let (tracer, reports_as) = (proxy.tracer.as_ref()?, listener.reports_as.as_ref()?);
    let mut block = Map::new();
    if tracer.sampling.is_written() {
        let sampling = json!({"value": number(tracer.sampling.value)});
        block.insert("overall_sampling".to_owned(), sampling);
    }
    let cluster = cluster::collector_name(tracer);
    let provider = match &tracer.provider {
        Provider::Zipkin(conf) => zipkin::provider(conf, &tracer.collector, &cluster),
        Provider::Datadog(_) => datadog::provider(&tracer.collector, &cluster, reports_as, dialect.fidelity),
    };
    block.insert("provider".to_owned(), provider);
    block.insert("spawn_upstream_span".to_owned(), json!(false));
    Some(Value::Object(block))
}

/// A percentage without a fraction that says nothing.
pub(super) fn number(percent: Percent) -> Value {
    let value = percent.get();
    if value.fract() == 0.0 {
        json!(value as u64)
    } else {
        json!(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_percentages_are_written_whole() {
        let written = |value| number(Percent::new(value).expect("a percentage")).to_string();
        assert_eq!([written(100.0), written(0.0), written(12.5)], ["100", "0", "12.5"]);
    }
}
