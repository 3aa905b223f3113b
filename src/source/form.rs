//! Texts of files, as they are or in less room.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::keep::Packed;
use crate::system::parallel;

/// The limit of a packed text, in bytes. Whoever asks for the line of a place in it has the whole text made again.
const SMALL: usize = 16 << 10;

/// The limit for the part of a sample that comes from one file, in bytes.
const SAMPLED: usize = 1 << 10;

/// The text of a file, as it is or in the room of its differences from a sample.
#[derive(Debug)]
pub(super) enum Form {
    Plain(Box<Plain>),
    Packed(Packed),
}

/// A text with its lines.
#[derive(Debug)]
pub(super) struct Plain {
    text: String,
    /// The offsets at which lines start, once they were asked for.
    line_starts: OnceLock<Box<[u32]>>,
}

impl Form {
    /// The whole text.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Plain(plain) => Cow::Borrowed(&plain.text),
            Self::Packed(packed) => Cow::Owned(packed.text()),
        }
    }

    /// The size of the text in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.text.len(),
            Self::Packed(packed) => packed.size(),
        }
    }

    /// The offsets at which lines start, from the second line on.
    pub(super) fn line_starts(&self) -> Cow<'_, [u32]> {
        match self {
            Self::Plain(plain) => Cow::Borrowed(plain.line_starts.get_or_init(|| line_starts(&plain.text).into())),
            Self::Packed(packed) => Cow::Owned(line_starts(&packed.text())),
        }
    }
}

impl From<String> for Form {
    fn from(text: String) -> Self {
        Self::Plain(Box::new(Plain {
            text,
            line_starts: OnceLock::new(),
        }))
    }
}

/// The offsets at which lines start, from the second line on. CR, LF and CRLF each end a line.
fn line_starts(text: &str) -> Vec<u32> {
    let bytes = text.as_bytes();
    let is_end = |&i: &usize| bytes[i] == b'\n' || (bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n'));
    let ends = || (0..bytes.len()).filter(is_end);
    let mut starts = Vec::with_capacity(ends().count());
    starts.extend(ends().filter_map(|i| u32::try_from(i + 1).ok()));
    starts
}

/// A text that those of a root are like, as those of a fleet mostly are.
#[derive(Debug, Clone)]
pub(super) struct Sample(Arc<str>);

impl Sample {
    /// A sample of texts: parts of three of them, which are far from each other; `None` without any text.
    fn of(texts: &[Option<&str>]) -> Option<Self> {
        let texts: Vec<&str> = texts.iter().copied().flatten().collect();
        let chosen = [1, 3, 5].map(|sixth| texts.get(texts.len() * sixth / 6));
        let parts: Vec<_> = (chosen.into_iter().flatten())
            .map(|text| String::from_utf8_lossy(&text.as_bytes()[..text.len().min(SAMPLED)]))
            .collect();
        (!parts.is_empty()).then(|| Self(parts.concat().into()))
    }

    /// The form in which a text is kept.
    pub(super) fn form(&self, text: String) -> Form {
        self.packed(&text).unwrap_or_else(|| text.into())
    }

    /// The text in the room of its differences; `None` for a large one.
    fn packed(&self, text: &str) -> Option<Form> {
        (text.len() <= SMALL).then(|| Form::Packed(Packed::new(text, &self.0)))
    }
}

/// The small ones of the texts, as far as there are texts, each in the room of its differences from the sample, which is made of
/// them if there is none.
pub(super) fn packed(texts: &[Option<&str>], sample: &mut Option<Sample>) -> Vec<Option<Form>> {
    if sample.is_none() {
        *sample = Sample::of(texts);
    }
    let sample = sample.as_ref();
    parallel::map("packing files", texts, parallel::cpu_count(), |text| {
        sample?.packed((*text)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_the_same_text_and_lines() {
        let sample = Sample("type: Dataplane\n".into());
        for text in [
            "",
            "a",
            "a\nb",
            "a\r\nb\rc\n",
            "ä\n\n",
            "type: Dataplane\nname: web-01\n",
        ] {
            let (plain, packed) = (Form::from(text.to_owned()), sample.form(text.to_owned()));
            assert!(matches!(packed, Form::Packed(_)), "{text:?}");
            assert_eq!((plain.text(), plain.size()), (packed.text(), packed.size()));
            assert_eq!(plain.line_starts(), packed.line_starts(), "{text:?}");
        }
    }

    #[test]
    fn a_large_text_stays_as_it_is() {
        let sample = Sample("a".into());
        assert!(matches!(sample.form("a".repeat(SMALL)), Form::Packed(_)));
        assert!(matches!(sample.form("a".repeat(SMALL + 1)), Form::Plain(_)));
    }
}
