//! What a plain scalar means.
//!
//! Kuma reads YAML 1.1 (through go-yaml), most editors and tools read YAML 1.2; where the two differ a
//! person should know.

/// What a plain scalar is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plain {
    /// Nothing: empty, `~` or `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Another number.
    Float(f64),
    /// Text.
    String,
}

impl Plain {
    /// What to call it in a message: `a number`.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Null => "nothing (null)",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String => "text",
        }
    }
}

/// Reads a plain scalar as go-yaml version 2 does.
#[must_use]
pub fn resolve_1_1(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Plain::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Plain::Bool(false),
        _ => {}
    }
    if let Some(value) = common(text) {
        return value;
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Plain::String;
    }
    let digits = if text.starts_with('.') {
        text.to_owned()
    } else {
        text.replace('_', "")
    };
    go_int(&digits).map_or_else(|| float(&digits), Plain::Int)
}

/// Reads a plain scalar by the core schema of YAML 1.2.
#[must_use]
pub fn resolve_1_2(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        _ => {}
    }
    if let Some(value) = common(text) {
        return value;
    }
    let int = match text.get(..2) {
        Some("0o") => i128::from_str_radix(&text[2..], 8).ok(),
        Some("0x") => i128::from_str_radix(&text[2..], 16).ok(),
        _ if text.trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    int.map_or_else(|| float(text), Plain::Int)
}

/// Whether the two versions of YAML read the plain scalar differently.
#[must_use]
pub fn versions_differ(text: &str) -> bool {
    let (one, two) = (resolve_1_1(text), resolve_1_2(text));
    let number = |plain| match plain {
        Plain::Int(n) => Some(n as f64),
        Plain::Float(n) => Some(n),
        Plain::Null | Plain::Bool(_) | Plain::String => None,
    };
    match (number(one), number(two)) {
        (Some(a), Some(b)) => a != b && !(a.is_nan() && b.is_nan()),
        _ => one != two,
    }
}

/// What both versions agree on by name.
fn common(text: &str) -> Option<Plain> {
    Some(match text {
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Plain::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Plain::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

/// A whole number in the notations of Go: decimal, `0x`, `0o`, `0b`, and a leading zero for octal.
fn go_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&value)
        .then_some(value)
}

fn float(text: &str) -> Plain {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(i) => (&unsigned[..i], Some(&unsigned[i + 1..])),
        None => (unsigned, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_is_number = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    let exponent_is_number = exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    match text.parse() {
        Ok(value) if mantissa_is_number && exponent_is_number => Plain::Float(value),
        _ => Plain::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_yaml_reads() {
        for (text, expected) in [
            ("", Plain::Null),
            ("yes", Plain::Bool(true)),
            ("n", Plain::Bool(false)),
            ("True", Plain::Bool(true)),
            ("yEs", Plain::String),
            ("007", Plain::Int(7)),
            ("08", Plain::Float(8.0)),
            ("0x10", Plain::Int(16)),
            ("0o17", Plain::Int(15)),
            ("-0b11", Plain::Int(-3)),
            ("1_000", Plain::Int(1000)),
            ("1e1", Plain::Float(10.0)),
            ("1.", Plain::Float(1.0)),
            (".5", Plain::Float(0.5)),
            ("1:30", Plain::String),
            ("2020-01-01", Plain::String),
            ("1.2.3", Plain::String),
            ("-", Plain::String),
            ("0x", Plain::String),
            ("v1", Plain::String),
            ("e1", Plain::String),
            ("inf", Plain::String),
            ("NaN", Plain::String),
        ] {
            assert_eq!(resolve_1_1(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_versions_differ_where_people_are_caught() {
        for text in ["on", "no", "y", "010", "1_000", "0b1"] {
            assert!(versions_differ(text), "{text:?}");
        }
        for text in ["true", "7", "1.5", "web", "null", "0x10", ".nan", "1e3", ""] {
            assert!(!versions_differ(text), "{text:?}");
        }
    }
}
