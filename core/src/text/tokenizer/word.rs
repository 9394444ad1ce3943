//! Words and numbers: folded, spelled out, split from their clitics, marked where a negation reaches them.

use super::super::{TokenKind, scripts, web, words};
use super::{TokenMarks, Tokenizer};

/// Words that a negation reaches, clause ends apart.
const NEGATION_SCOPE: u8 = 5;

/// What was seen of a word while it was folded.
#[derive(Default)]
pub(super) struct Cast {
    pub letters: usize,
    pub capitals: usize,
    pub elongated: bool,
}

impl Tokenizer<'_> {
    /// A word or a number: letters, digits, marks, apostrophes within.
    pub(super) fn word(&mut self) {
        let (start, form_start) = (self.at, self.tokens.forms.len());
        let cast = self.fold();
        if matches!(self.bytes.get(self.at), Some(b'.' | b'@')) {
            let (rest, word) = (&self.bytes[start..], self.at - start);
            let length = web::with_domain(rest, word).max(web::mail_address(rest, word));
            if length > 0 {
                self.tokens.forms.truncate(form_start);
                self.at = start;
                return self.constant(TokenKind::Url, "<url>", length);
            }
        }
        if cast.letters == 0 {
            self.number(form_start, start);
        } else {
            self.file_word(form_start, start, &cast, TokenMarks::default());
        }
    }

    /// Folds the word at `self.at` onto the end of the forms and steps behind it.
    fn fold(&mut self) -> Cast {
        let mut cast = Cast::default();
        let form_start = self.tokens.forms.len();
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte.is_ascii_alphanumeric() {
                cast.letters += usize::from(byte.is_ascii_alphabetic());
                cast.capitals += usize::from(byte.is_ascii_uppercase());
                self.append(form_start, char::from(byte.to_ascii_lowercase()), &mut cast);
                self.at += 1;
            } else if byte == b'\'' {
                let next = self.bytes.get(self.at + 1).copied().unwrap_or(b' ');
                if !(next.is_ascii_alphabetic() || next >= 0x80) || cast.letters == 0 {
                    break;
                }
                self.tokens.forms.push('\'');
                self.at += 1;
            } else if byte < 0x80 || !self.fold_beyond_ascii(form_start, &mut cast) {
                break;
            }
        }
        cast
    }

    /// Folds one character of several bytes; false if it does not belong to the word.
    pub(super) fn fold_beyond_ascii(&mut self, form_start: usize, cast: &mut Cast) -> bool {
        let Some(c) = self.text[self.at..].chars().next() else { return false };
        if !scripts::is_word(c) || scripts::is_spaceless(c) {
            return false;
        }
        cast.letters += 1;
        cast.capitals += usize::from(c.is_uppercase());
        // Upper case first, as full case folding does: the sharp s and the final sigma meet their equals there.
        for upper in c.to_uppercase() {
            for folded in upper.to_lowercase() {
                self.append(form_start, folded, cast);
            }
        }
        self.at += c.len_utf8();
        true
    }

    /// Appends a folded character unless it is the third of its like in a row: `soooo` reads as `soo`.
    pub(super) fn append(&mut self, form_start: usize, c: char, cast: &mut Cast) {
        let forms = &mut self.tokens.forms;
        let written = &forms[form_start..];
        let third = if c.is_ascii() {
            let byte = c as u8;
            byte.is_ascii_alphabetic() && matches!(written.as_bytes(), [.., a, b] if *a == byte && *b == byte)
        } else {
            let mut last = written.chars().rev();
            last.next() == Some(c) && last.next() == Some(c)
        };
        if third {
            cast.elongated = true;
        } else {
            forms.push(c);
        }
    }

    /// A number: `10,000`, `3:30`, `10/10`, `2.5`. Digits are read as zeros, so that its shape is what counts.
    pub(super) fn number(&mut self, form_start: usize, start: usize) {
        while let [mark, digit, ..] = self.bytes[self.at..] {
            if !(matches!(mark, b'.' | b',' | b':' | b'/' | b'-') && digit.is_ascii_digit()) {
                break;
            }
            let digits = self.run(1, |byte| byte.is_ascii_digit());
            self.at += 1 + digits;
        }
        self.tokens.forms.truncate(form_start);
        for &byte in &self.bytes[start..self.at] {
            self.tokens.forms.push(if byte.is_ascii_digit() { '0' } else { char::from(byte) });
        }
        self.push(TokenKind::Number, form_start, start, TokenMarks::default());
    }

    /// Files a folded word: spelled out if it is shorthand, its clitic as a token of its own.
    pub(super) fn file_word(&mut self, form_start: usize, start: usize, cast: &Cast, marks: TokenMarks) {
        let shorthand = words::spelled_out(&self.tokens.forms.as_bytes()[form_start..]);
        if let Some(long) = shorthand {
            self.tokens.forms.truncate(form_start);
            self.tokens.forms.push_str(long);
        }
        let marks = marks
            .with(TokenMarks::SHOUTED, cast.letters > 1 && cast.capitals == cast.letters)
            .with(TokenMarks::ELONGATED, cast.elongated);
        match words::clitic(&self.tokens.forms[form_start..]) {
            None => self.file_part(form_start, start, marks),
            Some(at) => {
                let clitic = self.tokens.forms.split_off(form_start + at);
                self.file_part(form_start, start, marks);
                let clitic_start = self.tokens.forms.len();
                self.tokens.forms.push_str(&clitic);
                let offset =
                    if shorthand.is_some() || cast.elongated { start } else { self.at - clitic.len() };
                self.push(TokenKind::Word, clitic_start, offset, TokenMarks::default());
            }
        }
    }

    /// Files one word and minds the negation that it stands in or begins.
    fn file_part(&mut self, form_start: usize, start: usize, marks: TokenMarks) {
        let word = &self.tokens.forms.as_bytes()[form_start..];
        let (negates, turns) = (words::negates(word), words::turns(word));
        if turns {
            self.negation = 0;
        }
        let negated = self.negation > 0 && !negates;
        self.negation = if negates { NEGATION_SCOPE } else { self.negation.saturating_sub(1) };
        self.push(TokenKind::Word, form_start, start, marks.with(TokenMarks::NEGATED, negated));
    }
}
