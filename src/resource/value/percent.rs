//! Percentages.

/// A percentage, `0.0..=100.0`, as in Envoy's `type.v3.Percent`. Not a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(f64);

impl Percent {
    /// 100 percent.
    pub const HUNDRED: Self = Self(100.0);

    /// A percentage from a number; `None` outside the range and for NaN. `-0` becomes 0.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=100.0).contains(&value).then_some(Self(value.abs()))
    }

    /// The number, from 0 to 100.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_percentages_are() {
        assert_eq!(Percent::new(0.5).map(Percent::get), Some(0.5));
        assert!(Percent::new(-0.0).is_some_and(|p| p.get().is_sign_positive()));
        for value in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert!(Percent::new(value).is_none(), "{value}");
        }
    }
}
