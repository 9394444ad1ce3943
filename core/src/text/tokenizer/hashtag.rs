//! Hashtags: kept whole, and split into their words.

use super::super::TokenKind;
use super::word::Cast;
use super::{TokenMarks, Tokenizer};

impl Tokenizer<'_> {
    /// `#ThrowbackThursday`: whole, then its words.
    pub(super) fn hashtag(&mut self) {
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
        let (text, start) = (self.text, self.at);
        let tag = &text[start..end];
        if tag.starts_with('_') {
            self.at += 1;
            return;
        }
        let length = first_part(tag);
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

/// The length of a hashtag's first word: up to a capital after a small letter, the last capital of a run before a
/// small letter, an underscore, or a change between letters and digits.
fn first_part(tag: &str) -> usize {
    let mut chars = tag.char_indices().peekable();
    let Some((_, mut last)) = chars.next() else { return 0 };
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|&(_, next)| next);
        let boundary = c == '_'
            || (last.is_lowercase() && c.is_uppercase())
            || (last.is_uppercase() && c.is_uppercase() && next.is_some_and(char::is_lowercase))
            || (last.is_ascii_digit() != c.is_ascii_digit());
        if boundary {
            return at;
        }
        last = c;
    }
    tag.len()
}
