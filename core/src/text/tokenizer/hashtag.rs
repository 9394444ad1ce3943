//! Hashtags: kept whole, and split into their words.

use super::super::{TokenKind, register, words};
use super::classes::Run;
use super::word::Cast;
use super::{Forms, TokenMarks, Tokenizer};
use crate::hash;

impl Tokenizer<'_> {
    /// `#ThrowbackThursday`: whole, then its words.
    pub(super) fn hashtag(&mut self) {
        if !self.plain_hashtag() {
            self.any_hashtag();
        }
    }

    /// A hashtag as most are: few ASCII letters, perhaps digits, nothing to shorten, so that its form and its words' are their
    /// own parts of the text in small letters. False if it takes more looking at; then nothing is done.
    fn plain_hashtag(&mut self) -> bool {
        #[cfg(test)]
        if self.no_word_is_plain {
            return false;
        }
        let (tag, start) = (self.at, self.at + 1);
        let Some(Run { length, letters, capitals, thirds }) = self.tokens.classes.run(start) else {
            return false;
        };
        let end = start + length;
        let next = self.bytes.get(end).copied().unwrap_or_default();
        if (length == 0) | (thirds != 0) | (next == b'_') | (next >= 0x80) {
            return false;
        }
        let forms = self.tokens.forms.as_bytes();
        let hash = hash::token_within(forms, Forms::TEXT + tag, length + 1);
        self.file(TokenKind::Hashtag, hash, TokenMarks::default(), tag, length + 1);
        // Where a word begins, a bit each: what `first_part` asks of one character after the other.
        let small = letters & !capitals;
        let begins = capitals & (small << 1 | capitals << 1 & small >> 1) | letters ^ letters << 1;
        let begins = begins | 1 << length;
        self.at = start;
        while self.at < end {
            let from = self.at - start;
            let part = (begins >> from >> 1).trailing_zeros() as usize + 1;
            if letters >> from & 1 == 0 || !self.plain_part(part) {
                self.hashtag_part(end);
            }
        }
        true
    }

    /// The part of a hashtag that is the next `length` letters, unless it means something.
    fn plain_part(&mut self, length: usize) -> bool {
        let forms = self.tokens.forms.as_bytes();
        let form_start = Forms::TEXT + self.at;
        let hash = hash::token_within(forms, form_start, length);
        if words::meaning_of(register::load(forms, form_start), length, hash).is_some() {
            return false;
        }
        let marks = self.under_negation().and(TokenMarks::PART);
        self.file(TokenKind::Word, hash, marks, self.at, length);
        self.at += length;
        true
    }

    /// A hashtag of any characters.
    fn any_hashtag(&mut self) {
        let (start, form_start) = (self.at, self.tokens.forms.len());
        self.at += 1;
        self.tokens.forms.push('#');
        let mut cast = Cast::default();
        loop {
            match self.bytes.get(self.at) {
                Some(b'_') => {
                    self.tokens.forms.push('_');
                    self.at += 1;
                }
                Some(byte) if byte.is_ascii_alphanumeric() => {
                    self.append(form_start, char::from(byte.to_ascii_lowercase()), &mut cast);
                    self.at += 1;
                }
                Some(128..) if self.fold_beyond_ascii(form_start, &mut cast) => {}
                _ => break,
            }
        }
        let end = self.at;
        if end == start + 1 {
            self.tokens.forms.truncate(form_start);
            return;
        }
        self.push(TokenKind::Hashtag, form_start, start, TokenMarks::default());
        self.at = start + 1;
        while self.at < end {
            self.hashtag_part(end);
        }
    }

    /// The next word of a hashtag that ends at `end`.
    fn hashtag_part(&mut self, end: usize) {
        let start = self.at;
        let bytes = &self.bytes[start..end];
        if bytes.starts_with(b"_") {
            self.at += 1;
            return;
        }
        // A text of ASCII is not there as a string.
        let length = match self.text.get(start..end) {
            Some(tag) => first_part(tag.char_indices()),
            None => first_part(bytes.iter().map(|&byte| char::from(byte)).enumerate()),
        };
        let length = length.unwrap_or(bytes.len());
        let form_start = self.tokens.forms.len();
        let mut cast = Cast::default();
        while self.at < start + length {
            let byte = self.bytes[self.at];
            if byte < 0x80 {
                cast.letters += usize::from(byte.is_ascii_alphabetic());
                self.append(form_start, char::from(byte.to_ascii_lowercase()), &mut cast);
                self.at += 1;
            } else if !self.fold_beyond_ascii(form_start, &mut cast) {
                break;
            }
        }
        if cast.letters == 0 {
            self.number(form_start, start);
        } else {
            cast.capitals = 0;
            self.file_word(form_start, start, &cast, TokenMarks::PART);
        }
    }
}

/// Where a hashtag's first word ends, if it is not the last: before a capital after a small letter, the last capital of a run before a
/// small letter, an underscore, or a change between letters and digits. A character comes with its place.
fn first_part(chars: impl Iterator<Item = (usize, char)>) -> Option<usize> {
    let mut chars = chars.peekable();
    let (_, mut last) = chars.next()?;
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|&(_, next)| next);
        let boundary = c == '_'
            || (last.is_lowercase() && c.is_uppercase())
            || (last.is_uppercase() && c.is_uppercase() && next.is_some_and(char::is_lowercase))
            || (last.is_ascii_digit() != c.is_ascii_digit());
        if boundary {
            return Some(at);
        }
        last = c;
    }
    None
}
