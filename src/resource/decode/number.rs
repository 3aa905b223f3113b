//! Numbers in quotes and in other texts.

/// A JSON number, possibly with white space around, or one of the names that proto-JSON accepts.
pub(in crate::resource) fn json_number(text: &str) -> Option<f64> {
    let text = text.trim();
    match text {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(f64::INFINITY),
        "-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    serde_json::from_str::<serde_json::Number>(text).ok()?.as_f64()
}

/// The number in a text such as `60 %` or `12,5`; `None` when there is nothing to correct.
pub(in crate::resource) fn plain_number(text: &str) -> Option<String> {
    let number = text.trim().trim_end_matches('%').trim_end().replace(',', ".");
    let is_number = number.starts_with(|c: char| c.is_ascii_digit()) && number.parse::<f64>().is_ok();
    is_number.then_some(number)
}

/// Whether the text is an integer without sign and without leading zero.
pub(in crate::resource) fn is_canonical(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_numbers_are_read_as_json() {
        assert_eq!(json_number("80"), Some(80.0));
        assert_eq!(json_number(" 8e1 "), Some(80.0));
        assert_eq!(json_number("01"), None);
        assert_eq!(json_number("80%"), None);
        assert_eq!(json_number(""), None);
    }
}
