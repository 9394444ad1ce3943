//! Words and numbers: folded, spelled out, split from their clitics, marked where a negation reaches them.

use super::super::register;
use super::super::words::{self, Meaning};
use super::super::{TokenKind, scripts, web};
use super::classes::Run;
use super::{Forms, Token, TokenMarks, Tokenizer, known};
use crate::hash;

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
    /// A word or a number as most are: few ASCII letters and digits, nothing to shorten, so that a word's form is its own part of
    /// the text in small letters, or is known because it is shorthand; `head` is what that part begins with. False if it takes
    /// more looking at; then nothing is done.
    #[inline]
    pub(super) fn plain_word(&mut self, head: u64) -> bool {
        let Some(run) = self.tokens.classes.run(self.at) else { return false };
        let Run { length, letters, capitals, thirds } = run;
        let next = self.bytes.get(self.at + length).copied().unwrap_or_default();
        if (letters == 0) & (next < 0x80) {
            self.plain_number(length, next);
            return true;
        }
        // The first two letters are like what stands before the run.
        if (letters == 0) | (thirds >> 2 != 0) | (next >= 0x80) {
            return false;
        }
        if next == b'\'' {
            return self.contraction(head, run);
        }
        if matches!(next, b'.' | b'@') && self.address(length) {
            return true;
        }
        let hash = own_hash(self.tokens.forms.text(), self.at, head, length);
        let meaning = words::meaning_of(head, length, hash);
        let marks = match meaning {
            None => self.under_negation(),
            Some(Meaning::Short(long)) => {
                self.spell_out(long, run);
                return true;
            }
            Some(_) => self.marks(hash, meaning, false),
        };
        let shouted = (letters == capitals) & (letters & (letters - 1) != 0);
        self.file(TokenKind::Word, hash, marks.with(TokenMarks::SHOUTED, shouted), self.at, length);
        self.at += length;
        true
    }

    /// A plain word that goes on behind an apostrophe with one or two letters, such as `it's` or `don't`; as `plain_word`. None of
    /// the words that mean something has an apostrophe.
    fn contraction(&mut self, head: u64, Run { length, letters, capitals, .. }: Run) -> bool {
        let Some(tail) = self.tokens.classes.run(self.at + length + 1) else { return false };
        let whole = length + 1 + tail.length;
        let next = self.bytes.get(self.at + whole).copied().unwrap_or_default();
        let short = matches!((tail.length, tail.letters), (1, 0b1) | (2, 0b11));
        if !short || next >= 0x80 || matches!(next, b'\'' | b'.' | b'@') {
            return false;
        }
        let form_start = Forms::TEXT + self.at;
        let end = form_start + whole;
        let forms = self.tokens.forms.as_bytes();
        let clitic = words::is_clitic(forms.get(end - tail.length..end).unwrap_or_default());
        let own = if clitic { length } else { whole };
        let hash = hash::token_within(forms, form_start, own);
        let meaning = words::meaning_of(head, own, hash);
        let clitic_hash = hash::token_within(forms, form_start + length, tail.length + 1);
        let denies = !clitic && words::is_negated_verb(forms.get(form_start..end).unwrap_or_default());
        let several = letters.count_ones() + tail.letters.count_ones() > 1;
        let shouted = several & (letters == capitals) & (tail.letters == tail.capitals);
        let marks = self.marks(hash, meaning, denies).with(TokenMarks::SHOUTED, shouted);
        self.file(TokenKind::Word, hash, marks, self.at, own);
        if clitic {
            let (marks, start) = (TokenMarks::default(), self.at + length);
            self.file(TokenKind::Word, clitic_hash, marks, start, tail.length + 1);
        }
        self.at += whole;
        true
    }

    /// A plain word that is shorthand for `long`.
    fn spell_out(&mut self, long: &str, Run { length, letters, capitals, .. }: Run) {
        let (start, form_start) = (self.at, self.tokens.forms.len());
        self.tokens.forms.push_str(long);
        self.at += length;
        let [letters, capitals] = [letters, capitals].map(|bits| bits.count_ones() as usize);
        let cast = Cast { letters, capitals, elongated: false };
        self.file_spelled(form_start, start, true, &cast, TokenMarks::default());
    }

    /// A number that begins with so many digits and no letter.
    fn plain_number(&mut self, digits: usize, next: u8) {
        if matches!(next, b'.' | b'@') && self.address(digits) {
            return;
        }
        let start = self.at;
        self.at += digits;
        self.number(self.tokens.forms.len(), start);
    }

    /// Files a token whose form is its own part of the text in small letters: its `length` bytes from `start`.
    #[inline]
    pub(super) fn file(
        &mut self,
        kind: TokenKind,
        hash: u64,
        marks: TokenMarks,
        start: usize,
        length: usize,
    ) {
        self.tokens.list.push(Token::of_text(kind, hash, marks, start, length));
    }

    /// Files the web or mail address that begins with the `word` bytes at `self.at`, if one does.
    fn address(&mut self, word: usize) -> bool {
        let rest = &self.bytes[self.at..];
        // As most words that end a sentence need no closer look.
        if !rest.get(word + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            return false;
        }
        let length = web::with_domain(rest, word).max(web::mail_address(rest, word));
        if length > 0 {
            self.known(TokenKind::Url, known::URL, length);
        }
        length > 0
    }

    /// A word or a number: letters, digits, marks, apostrophes within.
    pub(super) fn word(&mut self) {
        let (start, form_start) = (self.at, self.tokens.forms.len());
        let cast = self.fold();
        let end = std::mem::replace(&mut self.at, start);
        if matches!(self.bytes.get(end), Some(b'.' | b'@')) && self.address(end - start) {
            self.tokens.forms.truncate(form_start);
            return;
        }
        self.at = end;
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
                if !self.fold_run(form_start, &mut cast) {
                    cast.letters += usize::from(byte.is_ascii_alphabetic());
                    cast.capitals += usize::from(byte.is_ascii_uppercase());
                    self.append(form_start, char::from(byte.to_ascii_lowercase()), &mut cast);
                    self.at += 1;
                }
            } else if byte == b'\'' {
                let next = self.bytes.get(self.at + 1).copied().unwrap_or(b' ');
                if !(next.is_ascii_alphabetic() || next >= 0x80) || cast.letters == 0 {
                    break;
                }
                self.tokens.forms.push('\'');
                self.at += 1;
            } else if byte < 0x80
                || !(self.fold_small(form_start, &mut cast) || self.fold_beyond_ascii(form_start, &mut cast))
            {
                break;
            }
        }
        cast
    }

    /// Takes a run of ASCII letters and digits from the text in small letters; false if one may be left out, or the run is long.
    fn fold_run(&mut self, form_start: usize, cast: &mut Cast) -> bool {
        let Some(Run { length, letters, capitals, thirds }) = self.tokens.classes.run(self.at) else {
            return false;
        };
        // What was written before may be a letter too: the sharp s is folded to two.
        let written = &self.tokens.forms.as_bytes()[form_start..];
        if thirds >> 2 != 0 || written.last().is_some_and(u8::is_ascii_alphabetic) {
            return false;
        }
        self.tokens.forms.push_text(self.at, length);
        cast.letters += letters.count_ones() as usize;
        cast.capitals += capitals.count_ones() as usize;
        self.at += length;
        true
    }

    /// Takes small letters beyond ASCII as they are, up to one that is left out or takes more looking at; false if that is the first.
    fn fold_small(&mut self, form_start: usize, cast: &mut Cast) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let (mut length, mut letters, mut last, mut before) = (0, 0, '\0', '\0');
        for c in rest.chars() {
            if !scripts::is_small(c) || (c == last) & (c == before) {
                break;
            }
            (before, last) = (last, c);
            letters += 1;
            length += c.len_utf8();
        }
        let small = &rest[..length];
        // The first may be the third together with what is written already.
        let written = &self.tokens.forms.as_bytes()[form_start..];
        let like = |first: char| written.ends_with(first.encode_utf8(&mut [0; 4]).as_bytes());
        if small.chars().next().is_none_or(like) {
            return false;
        }
        self.tokens.forms.push_str(small);
        cast.letters += letters;
        self.at += length;
        true
    }

    /// Folds one character of several bytes; false if it does not belong to the word.
    pub(super) fn fold_beyond_ascii(&mut self, form_start: usize, cast: &mut Cast) -> bool {
        let Some(c) = self.text[self.at..].chars().next() else { return false };
        let small = scripts::small(c);
        if small.is_some() || scripts::is_small(c) {
            cast.letters += 1;
            cast.capitals += usize::from(small.is_some());
            self.append(form_start, small.unwrap_or(c), cast);
            self.at += c.len_utf8();
            return true;
        }
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
        let written = forms.as_bytes().get(form_start..).unwrap_or_default();
        let third = if c.is_ascii() {
            let byte = c as u8;
            byte.is_ascii_alphabetic() && matches!(written, [.., a, b] if *a == byte && *b == byte)
        } else {
            let mut buffer = [0; 4];
            let like = c.encode_utf8(&mut buffer).as_bytes();
            written.strip_suffix(like).is_some_and(|written| written.ends_with(like))
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

    /// Files a folded word, spelled out if it is shorthand.
    pub(super) fn file_word(&mut self, form_start: usize, start: usize, cast: &Cast, marks: TokenMarks) {
        let meaning = words::meaning(self.tokens.forms.as_bytes(), form_start);
        let shorthand = if let Some(Meaning::Short(long)) = meaning {
            self.tokens.forms.truncate(form_start);
            self.tokens.forms.push_str(long);
            true
        } else {
            false
        };
        self.file_spelled(form_start, start, shorthand, cast, marks);
    }

    /// Files a word at the end of the forms, its clitic as a token of its own; `shorthand` if that is not how it was written.
    fn file_spelled(
        &mut self,
        form_start: usize,
        start: usize,
        shorthand: bool,
        cast: &Cast,
        marks: TokenMarks,
    ) {
        let marks = marks
            .with(TokenMarks::SHOUTED, cast.letters > 1 && cast.capitals == cast.letters)
            .with(TokenMarks::ELONGATED, cast.elongated);
        match words::clitic(&self.tokens.forms.as_bytes()[form_start..]) {
            None => self.file_part(form_start, start, marks),
            Some(at) => {
                let clitic = self.tokens.forms.split_off(form_start + at);
                self.file_part(form_start, start, marks);
                let clitic_start = self.tokens.forms.len();
                self.tokens.forms.push_bytes(&clitic);
                let offset = if shorthand || cast.elongated { start } else { self.at - clitic.len() };
                self.push(TokenKind::Word, clitic_start, offset, TokenMarks::default());
            }
        }
    }

    /// Files one word and minds the negation that it stands in or begins.
    fn file_part(&mut self, form_start: usize, start: usize, marks: TokenMarks) {
        let forms = self.tokens.forms.as_bytes();
        let hash = hash::token_within(forms, form_start, forms.len() - form_start);
        let (meaning, denies) =
            (words::meaning(forms, form_start), words::is_negated_verb(&forms[form_start..]));
        let own = self.marks(hash, meaning, denies);
        self.push(TokenKind::Word, form_start, start, marks.and(own));
    }

    /// What a word that does not negate is marked by: whether a negation reaches it.
    #[inline]
    pub(super) fn under_negation(&mut self) -> TokenMarks {
        under(&mut self.negation)
    }

    /// What a word is marked by beside how it is written. Minds the negation that it stands in or begins.
    fn marks(&mut self, hash: u64, meaning: Option<Meaning>, denies: bool) -> TokenMarks {
        let negates = denies || meaning == Some(Meaning::Negates);
        if meaning == Some(Meaning::Turns) {
            self.negation = 0;
        }
        let own = if negates {
            self.negation = NEGATION_SCOPE;
            TokenMarks::default()
        } else {
            self.under_negation()
        };
        let plain = meaning.is_some() && [NOT, NO, NEVER].contains(&hash);
        own.with(TokenMarks::DENIES, denies || plain).with(TokenMarks::BUT, meaning.is_some() && hash == BUT)
    }
}

/// The mark of a word that so many words of a negation reach, which are one fewer behind it.
#[inline(always)]
pub(super) fn under(negation: &mut u8) -> TokenMarks {
    let marks = TokenMarks::default().with(TokenMarks::NEGATED, *negation > 0);
    *negation = negation.saturating_sub(1);
    marks
}

/// The hash of the `length` bytes from `at` of a text in small letters, which begin with `head`.
#[inline(always)]
pub(super) fn own_hash(text: &[u8], at: usize, head: u64, length: usize) -> u64 {
    if length < 8 {
        hash::short(register::first(head, length), length)
    } else {
        hash::token_within(text, at, length)
    }
}

/// Words that a text's shape knows.
const NOT: u64 = hash::short_token(b"not");
const NO: u64 = hash::short_token(b"no");
const NEVER: u64 = hash::short_token(b"never");
const BUT: u64 = hash::short_token(b"but");
