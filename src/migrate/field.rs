//! Fields of a `MeshTrace`, as a control plane accepts them.

use serde_json::{Map, Number, Value, json};

use crate::resource::Located;
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
pub(super) fn flag(written: Option<&Located<bool>>) -> Option<Value> {
    written.map(|written| json!(written.value))
}

/// A mapping of the fields that are there.
pub(super) fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
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
