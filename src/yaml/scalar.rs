//! The meaning of plain scalars.
//!
//! Kuma reads YAML 1.1 (through go-yaml), most editors and tools read YAML 1.2; people are warned where the two
//! differ.

use std::borrow::Cow;

/// The value of a plain scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plain {
    /// Null: empty, `~` or `null`.
    Null,
    /// A boolean: `true`, `on`, `yes` and their like.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A number with a fraction or exponent, an infinity or not a number.
    Float(f64),
    /// None of these: the scalar is text.
    String,
}

impl Plain {
    /// The noun for a message: `a number`.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Null => "nothing (null)",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String => "text",
        }
    }
}

/// Reads a plain scalar as go-yaml version 2 does.
#[must_use]
pub fn resolve_1_1(text: &str) -> Plain {
    if let Some(value) = named(text) {
        return value;
    }
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Plain::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Plain::Bool(false),
        _ => {}
    }
    let number = match text.bytes().next() {
        Some(b'.') if underscores_part_digits(text) => float(&without_underscores(text)),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let digits = without_underscores(text);
            go_int(&digits).map(Plain::Int).or_else(|| float(&digits))
        }
        _ => None,
    };
    // Go fails to parse a number that is too large for a float, and go-yaml then takes it for text.
    number
        .filter(|n| !matches!(n, Plain::Float(n) if n.is_infinite()))
        .unwrap_or(Plain::String)
}

/// Whether a plain scalar is null, to a reader of either version.
#[must_use]
pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn without_underscores(text: &str) -> Cow<'_, str> {
    if text.contains('_') {
        text.replace('_', "").into()
    } else {
        text.into()
    }
}

/// Reads a plain scalar by the core schema of YAML 1.2.
#[must_use]
pub fn resolve_1_2(text: &str) -> Plain {
    let number = || match text.get(..2) {
        Some("0o") => int(&text[2..], 8),
        Some("0x") => int(&text[2..], 16),
        _ => int(text, 10).or_else(|| float(text)),
    };
    named(text).or_else(number).unwrap_or(Plain::String)
}

/// Whether YAML 1.1 and 1.2 read the plain scalar differently: as another kind of value or another number.
#[must_use]
pub fn versions_differ(text: &str) -> bool {
    match (resolve_1_1(text), resolve_1_2(text)) {
        (Plain::Int(a), Plain::Float(b)) | (Plain::Float(b), Plain::Int(a)) => a as f64 != b,
        (Plain::Float(a), Plain::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (one, two) => one != two,
    }
}

/// The named values that both versions agree on.
fn named(text: &str) -> Option<Plain> {
    Some(match text {
        _ if is_null(text) => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Plain::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Plain::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

/// An integer in the notations of Go: decimal, `0x`, `0o`, `0b`, and a leading zero for octal.
fn go_int(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        // The one notation that go-yaml reads by itself; it allows a second sign after the first two letters.
        [b'0', b'b', b'+' | b'-', ..] if sign.is_empty() => return go_int_of("", &digits[2..], 2),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    go_int_of(sign, digits, radix)
}

fn go_int_of(sign: &str, digits: &str, radix: u32) -> Option<i128> {
    // A second sign is read only without a first one.
    let value = match sign {
        "-" => 0_i128.checked_sub(i128::from_str_radix(digits, radix).ok()?)?,
        _ => i128::from_str_radix(digits, radix).ok()?,
    };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&value)
        .then_some(value)
}

/// An integer of any size; beyond 128 bits it is the nearest float.
fn int(text: &str, radix: u32) -> Option<Plain> {
    let digits = match text.strip_prefix(['+', '-']) {
        Some(digits) if radix == 10 => digits,
        _ => text,
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(match i128::from_str_radix(text, radix) {
        Ok(value) => Plain::Int(value),
        Err(_) => {
            let digit = |c: char| c.to_digit(radix).map_or(0.0, f64::from);
            let value = digits.chars().fold(0.0, |n, c| n * f64::from(radix) + digit(c));
            Plain::Float(if text.starts_with('-') { -value } else { value })
        }
    })
}

/// Decimal digits with a point, an exponent or neither.
fn float(text: &str) -> Option<Plain> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_is_number = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    let exponent_is_number = exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    if mantissa_is_number && exponent_is_number {
        text.parse().ok().map(Plain::Float)
    } else {
        None
    }
}

/// Whether every `_` stands between two digits.
fn underscores_part_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    (0..bytes.len())
        .filter(|&i| bytes[i] == b'_')
        .all(|i| digit(i.checked_sub(1)) && digit(Some(i + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that sigs.k8s.io/yaml 1.4.0, with which Kuma reads, was measured to give.
    #[test]
    fn go_yaml_reads() {
        for (text, expected) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("NULL", Plain::Null),
            ("nULL", Plain::String),
            ("yes", Plain::Bool(true)),
            ("n", Plain::Bool(false)),
            ("True", Plain::Bool(true)),
            ("yEs", Plain::String),
            ("0", Plain::Int(0)),
            ("-0", Plain::Int(0)),
            ("+7", Plain::Int(7)),
            ("007", Plain::Int(7)),
            ("-010", Plain::Int(-8)),
            ("08", Plain::Float(8.0)),
            ("0x10", Plain::Int(16)),
            ("-0X1f", Plain::Int(-31)),
            ("0o17", Plain::Int(15)),
            ("0b11", Plain::Int(3)),
            ("-0b11", Plain::Int(-3)),
            ("0b-1", Plain::Int(-1)),
            ("-0b-1", Plain::String),
            ("0x-1", Plain::String),
            ("0x_1", Plain::Int(1)),
            ("1_000", Plain::Int(1000)),
            ("1_", Plain::Int(1)),
            ("-_1", Plain::Int(-1)),
            ("_1", Plain::String),
            ("9223372036854775808", Plain::Int(1 << 63)),
            ("-9223372036854775809", Plain::Float(-9.223_372_036_854_776e18)),
            ("18446744073709551616", Plain::Float(1.844_674_407_370_955_2e19)),
            ("0x10000000000000000", Plain::String),
            ("1e1", Plain::Float(10.0)),
            ("1E-1", Plain::Float(0.1)),
            ("1e400", Plain::String),
            ("1e-400", Plain::Float(0.0)),
            ("1.", Plain::Float(1.0)),
            ("1_0.5_0", Plain::Float(10.5)),
            (".5", Plain::Float(0.5)),
            (".5_0", Plain::Float(0.5)),
            (".5_", Plain::String),
            ("._5", Plain::String),
            ("-.5", Plain::Float(-0.5)),
            (".", Plain::String),
            (".e1", Plain::String),
            ("0x1p4", Plain::String),
            ("1:30", Plain::String),
            ("2020-01-01", Plain::String),
            ("1.2.3", Plain::String),
            ("-", Plain::String),
            ("0x", Plain::String),
            ("v1", Plain::String),
            ("e1", Plain::String),
            ("inf", Plain::String),
            ("+inf", Plain::String),
            ("NaN", Plain::String),
            ("-.Inf", Plain::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(resolve_1_1(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_core_schema_reads() {
        for (text, expected) in [
            ("yes", Plain::String),
            ("Null", Plain::Null),
            ("007", Plain::Int(7)),
            ("-08", Plain::Int(-8)),
            ("+1", Plain::Int(1)),
            ("++1", Plain::String),
            ("+-1", Plain::String),
            ("0o17", Plain::Int(15)),
            ("0o-7", Plain::String),
            ("-0o7", Plain::String),
            ("0x1F", Plain::Int(31)),
            ("0x+1", Plain::String),
            ("0X1F", Plain::String),
            ("0x100000000000000000000000000000000", Plain::Float(2f64.powi(128))),
            ("0b1", Plain::String),
            ("1_000", Plain::String),
            ("1e400", Plain::Float(f64::INFINITY)),
            ("1.e3", Plain::Float(1000.0)),
            (".", Plain::String),
        ] {
            assert_eq!(resolve_1_2(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_versions_differ_where_people_are_caught() {
        for text in [
            "on",
            "no",
            "y",
            "010",
            "1_000",
            "0b1",
            "0X10",
            "-0x10",
            "-0o7",
            ".5_0",
            "1e400",
            "0x10000000000000000",
        ] {
            assert!(versions_differ(text), "{text:?}");
        }
        for text in [
            "true",
            "7",
            "007",
            "08",
            "1.5",
            "web",
            "null",
            "0x10",
            "0o7",
            ".nan",
            "-.inf",
            "1e3",
            "",
            "18446744073709551616",
            "1:30",
            "2020-01-01",
            "0b2",
        ] {
            assert!(!versions_differ(text), "{text:?}");
        }
    }
}
