//! Percentages, as Envoy's messages have them.

use serde::Serialize;
use serde_json::{Value, json};

use crate::resource::value::percent::Percent;

/// A percentage, as an integer if it has no fraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Amount {
    Whole(u64),
    Fraction(f64),
}

impl Amount {
    /// The amount of a percentage.
    pub(super) fn of(percent: Percent) -> Self {
        let value = percent.get();
        if value.fract() == 0.0 {
            Self::Whole(value as u64)
        } else {
            Self::Fraction(value)
        }
    }
}

/// A percentage as a `FractionalPercent`.
pub(super) fn fraction(percent: Percent) -> Value {
    match Amount::of(percent) {
        Amount::Whole(percent) => json!({"numerator": percent}),
        Amount::Fraction(percent) => {
            json!({"numerator": (percent * 10_000.0).round() as u64, "denominator": "MILLION"})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_percentages_are_written_whole() {
        let percent = |value| Percent::new(value).expect("a percentage");
        let written = |value| json!(Amount::of(percent(value))).to_string();
        assert_eq!([written(100.0), written(0.0), written(12.5)], ["100", "0", "12.5"]);
        assert_eq!(
            fraction(percent(12.5)),
            json!({"numerator": 125_000, "denominator": "MILLION"})
        );
    }
}
