//! Fields of a `MeshTrace`, as a control plane accepts them.

use serde_json::{Map, Number, Value, json};

use crate::resource::Located;
use crate::resource::kinds::mesh::ZipkinApiVersion;
use crate::resource::value::percent::Percent;

/// A percentage as a `MeshTrace` writes it: an integer, or a decimal in text.
pub(super) fn share(percent: Percent) -> Value {
    let value = percent.get();
    match value.fract() == 0.0 {
        true => Value::Number(Number::from(value as u64)),
        false => Value::String(value.to_string()),
    }
}

/// A field that may be absent.
fn flag(written: Option<&Located<bool>>) -> Option<Value> {
    written.map(|written| json!(written.value))
}

/// A mapping of the fields that are there.
pub(super) fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// An entry of `backends` of the type `Zipkin`; the flags are `traceId128bit` and `sharedSpanContext`.
pub(super) fn zipkin(
    url: &str,
    version: Option<&Located<ZipkinApiVersion>>,
    [trace_id_128bit, shared_span_context]: [Option<&Located<bool>>; 2],
) -> Value {
    let version = version.map(|version| match version.value {
        // Envoy gets the same for both.
        ZipkinApiVersion::HttpJsonV1 | ZipkinApiVersion::HttpJson => "httpJson",
        ZipkinApiVersion::HttpProto => "httpProto",
    });
    let fields = [
        ("url", Some(json!(url))),
        ("traceId128bit", flag(trace_id_128bit)),
        ("apiVersion", version.map(|version| json!(version))),
        ("sharedSpanContext", flag(shared_span_context)),
    ];
    json!({"type": "Zipkin", "zipkin": present(fields)})
}

/// An entry of `backends` of the type `Datadog`.
pub(super) fn datadog(url: &str, split_service: Option<&Located<bool>>) -> Value {
    let fields = [("url", Some(json!(url))), ("splitService", flag(split_service))];
    json!({"type": "Datadog", "datadog": present(fields)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_an_integer_or_a_decimal_in_text() {
        let check = |value, expected: Value| assert_eq!(Percent::new(value).map(share), Some(expected));
        check(100.0, json!(100));
        check(0.0, json!(0));
        check(60.1, json!("60.1"));
        check(0.000_000_1, json!("0.0000001"));
    }
}
