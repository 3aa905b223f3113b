//! The serializer behind [`write`](super::write): values straight to text, without a tree in between.

use std::fmt;

use serde::ser::{self, Impossible, Serialize};
use serde_json::{Number, Value};

use super::quote;

/// Longest key, in bytes as written, that is not marked by `?`: readers search at most 1,024 characters for the
/// colon.
pub(super) const IMPLICIT_KEY_BYTES: usize = 1_000;

/// The reason why a value has no text.
#[derive(Debug)]
pub(super) enum SerializeError {
    /// A key that is not text, or a variant with data: meshtraced writes neither.
    Unsupported(&'static str),
    /// The message of a value's own implementation.
    Custom(String),
}

impl fmt::Display for SerializeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "{what} cannot be written"),
            Self::Custom(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for SerializeError {}

impl ser::Error for SerializeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

type Result<T> = std::result::Result<T, SerializeError>;

/// The place in the text at which a node is written.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The begin of a line that is indented up to the column, or has `- ` before the column.
    Column(usize),
    /// Behind the colon of a key at the column; `explicit` if the key is marked by `?`.
    Key { column: usize, explicit: bool },
}

/// A writer of one node.
pub(super) struct Node<'o> {
    out: &'o mut String,
    place: Place,
}

impl<'o> Node<'o> {
    /// A writer of a document.
    pub(super) fn document(out: &'o mut String) -> Self {
        let place = Place::Column(0);
        Self { out, place }
    }

    /// Writes a node that fits on one line.
    fn line(self, write: impl FnOnce(&mut String)) -> Result<()> {
        if let Place::Key { .. } = self.place {
            self.out.push(' ');
        }
        write(self.out);
        self.out.push('\n');
        Ok(())
    }

    fn number(self, number: &Number) -> Result<()> {
        self.line(|out| quote::number(out, number))
    }
}

/// A writer of the items of a list.
pub(super) struct List<'o> {
    out: &'o mut String,
    place: Place,
    is_empty: bool,
}

/// A writer of the entries of a mapping.
pub(super) struct Map<'o> {
    out: &'o mut String,
    place: Place,
    is_empty: bool,
    /// Whether the last key is marked by `?`.
    explicit: bool,
}

/// Begins the next item or entry at a column: below what is before, or at the place where the first one stands.
fn begin(out: &mut String, place: Place, column: usize, is_first: bool) {
    match (place, is_first) {
        (Place::Key { .. }, true) => out.push('\n'),
        (Place::Column(_), true) => return,
        (_, false) => {}
    }
    indent(out, column);
}

fn indent(out: &mut String, column: usize) {
    const SPACES: &str = "                                ";
    let mut rest = column;
    while rest > 0 {
        let some = rest.min(SPACES.len());
        out.push_str(&SPACES[..some]);
        rest -= some;
    }
}

impl List<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        let column = match self.place {
            Place::Column(column) => column,
            Place::Key { column, explicit } => column + if explicit { 2 } else { 0 },
        };
        begin(self.out, self.place, column, self.is_empty);
        self.is_empty = false;
        self.out.push_str("- ");
        item.serialize(Node {
            out: self.out,
            place: Place::Column(column + 2),
        })
    }

    fn finish(self) -> Result<()> {
        let Self { out, place, is_empty } = self;
        if is_empty {
            return Node { out, place }.line(|out| out.push_str("[]"));
        }
        Ok(())
    }
}

impl Map<'_> {
    fn column(&self) -> usize {
        match self.place {
            Place::Column(column) => column,
            Place::Key { column, .. } => column + 2,
        }
    }

    fn key(&mut self, key: &str) {
        let column = self.column();
        begin(self.out, self.place, column, self.is_empty);
        self.is_empty = false;
        let start = self.out.len();
        quote::string(self.out, key);
        self.explicit = self.out.len() - start > IMPLICIT_KEY_BYTES;
        if self.explicit {
            self.out.insert_str(start, "? ");
            self.out.push('\n');
            indent(self.out, column);
        }
        self.out.push(':');
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let (column, explicit) = (self.column(), self.explicit);
        value.serialize(Node {
            out: self.out,
            place: Place::Key { column, explicit },
        })
    }

    fn finish(self) -> Result<()> {
        let Self { out, place, .. } = self;
        if self.is_empty {
            return Node { out, place }.line(|out| out.push_str("{}"));
        }
        Ok(())
    }
}

macro_rules! numbers {
    ($($name:ident $of:ty)+) => {$(
        fn $name(self, value: $of) -> Result<()> {
            self.number(&Number::from(value))
        }
    )+};
}

impl<'o> ser::Serializer for Node<'o> {
    type Ok = ();
    type Error = SerializeError;
    type SerializeSeq = List<'o>;
    type SerializeTuple = List<'o>;
    type SerializeTupleStruct = List<'o>;
    type SerializeTupleVariant = Impossible<(), SerializeError>;
    type SerializeMap = Map<'o>;
    type SerializeStruct = Map<'o>;
    type SerializeStructVariant = Impossible<(), SerializeError>;

    numbers! {
        serialize_i8 i8
        serialize_i16 i16
        serialize_i32 i32
        serialize_i64 i64
        serialize_u8 u8
        serialize_u16 u16
        serialize_u32 u32
        serialize_u64 u64
    }

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.line(|out| out.push_str(if value { "true" } else { "false" }))
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        match Number::from_f64(value) {
            Some(number) => self.number(&number),
            None => self.serialize_none(),
        }
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.line(|out| quote::string(out, value))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<()> {
        Err(SerializeError::Unsupported("a value of bytes"))
    }

    fn serialize_none(self) -> Result<()> {
        self.line(|out| out.push_str("null"))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<()> {
        Err(SerializeError::Unsupported("a variant with data"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'o>> {
        let Self { out, place } = self;
        Ok(List {
            out,
            place,
            is_empty: true,
        })
    }

    fn serialize_tuple(self, len: usize) -> Result<List<'o>> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<List<'o>> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        Err(SerializeError::Unsupported("a variant with data"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Map<'o>> {
        let Self { out, place } = self;
        Ok(Map {
            out,
            place,
            is_empty: true,
            explicit: false,
        })
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Map<'o>> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant> {
        Err(SerializeError::Unsupported("a variant with data"))
    }
}

/// The forms of a list, each a trait of serde with its own name for "the next item".
macro_rules! lists {
    ($($form:ident $item:ident)*) => {
        $(impl ser::$form for List<'_> {
            type Ok = ();
            type Error = SerializeError;

            fn $item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.item(value)
            }

            fn end(self) -> Result<()> {
                self.finish()
            }
        })*
    };
}

lists! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
}

impl ser::SerializeMap for Map<'_> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        match serde_json::to_value(key) {
            Ok(Value::String(key)) => {
                self.key(&key);
                Ok(())
            }
            _ => Err(SerializeError::Unsupported("a key that is not text")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.value(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeStruct for Map<'_> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.key(key);
        self.value(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}
