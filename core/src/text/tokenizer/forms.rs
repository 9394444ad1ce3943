//! What the tokens of a text read as, in one buffer.

use super::{classes, known};
use std::iter;

/// The buffer begins with the forms that are known beforehand, then the text in small letters, of which most forms are a
/// part; those that are not follow it. It holds whole characters, whose bytes are checked when somebody asks for a form: most are
/// asked for by their hash alone.
#[derive(Debug)]
pub(super) struct Forms(Vec<u8>);

impl Default for Forms {
    fn default() -> Self {
        Self(known::FORMS.as_bytes().to_vec())
    }
}

impl Forms {
    /// Where the text begins.
    pub const TEXT: usize = known::FORMS.len();

    /// Begins anew with a text and the zeros that follow it; its letters are still as they are written.
    pub fn begin(&mut self, text: &[u8]) {
        self.0.truncate(Self::TEXT);
        self.0.extend_from_slice(text);
        self.0.extend_from_slice(&[0; classes::PADDING]);
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The text in small letters, with what follows it.
    pub fn text(&self) -> &[u8] {
        &self.0[Self::TEXT..]
    }

    /// The form from `start` to `end`.
    pub fn get(&self, start: usize, end: usize) -> &str {
        str::from_utf8(self.bytes(start, end)).unwrap_or_default()
    }

    /// Its bytes, which nobody has to check.
    pub fn bytes(&self, start: usize, end: usize) -> &[u8] {
        self.0.get(start..end).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// Takes away what stands from `at` on.
    pub fn split_off(&mut self, at: usize) -> Vec<u8> {
        self.0.split_off(at)
    }

    pub fn push(&mut self, c: char) {
        self.extend(iter::once(c));
    }

    pub fn push_str(&mut self, form: &str) {
        self.push_bytes(form.as_bytes());
    }

    /// Adds a piece of the text in small letters, from its `at`th byte on.
    pub fn push_text(&mut self, at: usize, length: usize) {
        let start = Self::TEXT + at;
        self.0.extend_from_within(start..start + length);
    }

    pub fn push_bytes(&mut self, form: &[u8]) {
        self.0.extend_from_slice(form);
    }
}

impl Extend<char> for Forms {
    fn extend<T: IntoIterator<Item = char>>(&mut self, form: T) {
        for c in form {
            match u8::try_from(c) {
                Ok(byte) if byte.is_ascii() => self.0.push(byte),
                _ => self.push_str(c.encode_utf8(&mut [0; 4])),
            }
        }
    }
}
