//! The text of one file.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::keep::{Digest, Packed};

/// The text of one file, as it is or in the room of its differences from another one. A copy shares it, and two are compared by
/// their digests.
#[derive(Clone)]
pub struct FileText(Arc<Kept>);

struct Kept {
    /// The digest, once it was asked for.
    digest: OnceLock<Digest>,
    form: Form,
}

enum Form {
    Plain(Box<str>),
    Packed(Packed),
}

impl FileText {
    fn new(form: Form) -> Self {
        Self(Arc::new(Kept {
            digest: OnceLock::new(),
            form,
        }))
    }

    /// The same text in the room of its differences from another one.
    #[must_use]
    pub fn like(&self, another: &Arc<str>) -> Self {
        Self(Arc::new(Kept {
            // While the text is at hand.
            digest: OnceLock::from(self.digest()),
            form: Form::Packed(Packed::new(&self.text(), another)),
        }))
    }

    /// The text itself.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0.form {
            Form::Plain(text) => Cow::Borrowed(text),
            Form::Packed(packed) => Cow::Owned(packed.text()),
        }
    }

    /// The size of the text in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0.form {
            Form::Plain(text) => text.len(),
            Form::Packed(packed) => packed.size(),
        }
    }

    /// The digest of the text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.0.digest.get_or_init(|| Digest::of(&self.text()))
    }
}

impl Default for FileText {
    fn default() -> Self {
        Self::from("")
    }
}

impl From<&str> for FileText {
    fn from(text: &str) -> Self {
        Self::new(Form::Plain(text.into()))
    }
}

impl From<String> for FileText {
    fn from(text: String) -> Self {
        Self::new(Form::Plain(text.into()))
    }
}

impl PartialEq for FileText {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return true;
        }
        match (&self.0.form, &other.0.form) {
            (Form::Plain(own), Form::Plain(theirs)) => own == theirs,
            _ => self.digest() == other.digest(),
        }
    }
}

impl Eq for FileText {}

impl fmt::Display for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_equal_in_any_form() {
        let like = Arc::from("name: web-01");
        let forms = |text: &str| [FileText::from(text), FileText::from(text).like(&like)];
        for own in forms("name: web-02") {
            assert_eq!(own.text(), "name: web-02");
            assert_eq!(own.digest(), Digest::of("name: web-02"));
            for same in forms("name: web-02") {
                assert_eq!(own, same);
            }
            for other in forms("name: web-03") {
                assert_ne!(own, other);
            }
        }
    }
}
