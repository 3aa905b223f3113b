//! Any value, written and read back: it is the same, in YAML 1.1 as in 1.2.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtraced::yaml::{Limits, json, write};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    // A document is a list or a mapping, and numbers beyond 64 bits are no values of ours.
    if !(value.is_object() || value.is_array()) || !is_ours(&value, 0) {
        return;
    }
    let text = write::write(&value);
    let read = json::read_one(&text, &Limits::default());
    assert_eq!(read.as_ref(), Some(&value), "{text}");
});

fn is_ours(value: &Value, depth: usize) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.as_f64().is_some_and(|n| n.fract() != 0.0 && n.abs() < 1e15),
        Value::Array(items) => depth < 60 && items.iter().all(|item| is_ours(item, depth + 1)),
        Value::Object(map) => depth < 60 && map.values().all(|value| is_ours(value, depth + 1)),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}
