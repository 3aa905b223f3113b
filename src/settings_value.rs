//! Values of settings that are one word, number or boolean, read alike from YAML, with quotes or without, and from a
//! variable.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A type that people write as one word, such as `10%` or `0640`.
///
/// The macro `setting_value!` implements serde and JSON Schema for such a type, both by the text that `FromStr`
/// takes.
pub trait SettingValue: FromStr<Err = String> + Display {
    /// The title of the type in the schema, the reference and messages: a noun with its article, or the values.
    fn name() -> Cow<'static, str>;

    /// The schema of the values.
    fn schema() -> Schema;
}

/// Reads a value from a YAML scalar.
///
/// # Errors
/// When the scalar is null, a list or a mapping, or when the type does not take its text.
pub fn deserialize<'de, T: SettingValue, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData))
}

/// The schema of a type under its name.
pub fn titled<T: SettingValue>() -> Schema {
    let mut schema = T::schema();
    schema.insert("title".to_owned(), T::name().into());
    schema
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: SettingValue> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::name())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }
}

/// Implements serde and JSON Schema for a [`SettingValue`].
macro_rules! setting_value {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::settings_value::deserialize(deserializer)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <Self as $crate::settings_value::SettingValue>::name()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::settings_value::titled::<Self>()
            }
        }
    };
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Integer<const MIN: usize, const MAX: usize = { usize::MAX }>(usize);

impl<const MIN: usize, const MAX: usize> Integer<MIN, MAX> {
    /// A number inside the bounds.
    ///
    /// # Panics
    /// When the number is outside; in a constant, the compiler says so.
    #[must_use]
    pub const fn new(number: usize) -> Self {
        assert!(MIN <= number && number <= MAX, "a number inside the bounds");
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl<const MIN: usize, const MAX: usize> FromStr for Integer<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(format!("`{text}` must be {}", Self::name())),
        }
    }
}

impl<const MIN: usize, const MAX: usize> Display for Integer<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MIN: usize, const MAX: usize> SettingValue for Integer<MIN, MAX> {
    fn name() -> Cow<'static, str> {
        match MAX {
            usize::MAX => format!("an integer of at least {MIN}").into(),
            _ => format!("an integer from {MIN} to {MAX}").into(),
        }
    }

    fn schema() -> Schema {
        let mut number = json_schema!({"type": "integer", "minimum": MIN});
        if MAX < usize::MAX {
            number.insert("maximum".to_owned(), MAX.into());
        }
        json_schema!({"anyOf": [number, {"type": "string", "pattern": "^[0-9]+$"}]})
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Integer<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer)
    }
}

impl<const MIN: usize, const MAX: usize> Serialize for Integer<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<const MIN: usize, const MAX: usize> JsonSchema for Integer<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        Self::name()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        titled::<Self>()
    }
}

/// A duration with its units, such as `100ms` or `1m 30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// A duration of `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A duration of `secs` seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|why| format!("`{text}` is not a duration; examples: 100ms, 2s ({why})"))
    }
}

impl Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl SettingValue for HumanDuration {
    fn name() -> Cow<'static, str> {
        "a duration, such as 100ms or 1m 30s".into()
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^ *([0-9]+ *[a-zA-Zµ]+ *)+$|^0$",
        })
    }
}

setting_value!(HumanDuration);
