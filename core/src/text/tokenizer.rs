//! The tokenizer: one pass over a normalised text.

mod classes;
mod forms;
mod hashtag;
pub(crate) mod known;
mod ordinary;
mod word;

use super::normalise::Normal;
use super::{TokenKind, emoji, emoticons, register, scripts, web};
use crate::hash;
use classes::Classes;
use forms::Forms;
use known::Known;
use std::hint::select_unpredictable;

/// What is noted of a token beside its form: a set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenMarks(u8);

impl TokenMarks {
    /// In the scope of a negation.
    pub const NEGATED: Self = Self(1);
    /// Written in capitals throughout.
    pub const SHOUTED: Self = Self(2);
    /// With a letter three times or more in a row.
    pub const ELONGATED: Self = Self(4);
    /// The same emoji or emoticon as the token before.
    pub const REPEATED: Self = Self(8);
    /// Part of the hashtag before it.
    pub const PART: Self = Self(16);
    /// The word `but`.
    pub const BUT: Self = Self(32);
    /// One of the plain negators, `not`, `no`, `never` and verbs in `n't`.
    pub const DENIES: Self = Self(64);

    /// Sets of marks.
    pub const NUMBERS: usize = 128;

    /// The number of this set; that of one mark is its bit.
    pub const fn number(self) -> usize {
        self.0 as usize % Self::NUMBERS
    }

    /// Whether all of `marks` are set.
    pub fn has(self, marks: Self) -> bool {
        self.0 & marks.0 == marks.0
    }

    fn and(self, marks: Self) -> Self {
        Self(self.0 | marks.0)
    }

    /// (Without a branch: which words are shouted or negated cannot be foreseen.)
    fn with(self, marks: Self, set: bool) -> Self {
        Self(self.0 | (marks.0 * u8::from(set)))
    }
}

/// One token: where it stands in the normalised text and what it reads as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub marks: TokenMarks,
    /// Which of the forms known beforehand it has, or [`Known::NONE`].
    pub known: u8,
    /// The hash of its form.
    pub hash: u64,
    /// The hash that stands for it in a table: that of its form, or another one under negation.
    pub unit: u64,
    /// Byte offset of its first character in the normalised text.
    pub start: u32,
    form_start: u32,
    form_end: u32,
}

impl Token {
    /// A token whose form is its own part of the text in small letters: its `length` bytes from `start`.
    #[inline(always)]
    fn of_text(kind: TokenKind, hash: u64, marks: TokenMarks, start: usize, length: usize) -> Self {
        let form_start = Forms::TEXT + start;
        let (form_start, form_end) = (narrow(form_start), narrow(form_start + length));
        let (known, unit, start) = (Known::NONE, unit(hash, marks), narrow(start));
        Self { kind, marks, known, hash, unit, start, form_start, form_end }
    }
}

/// The hash that stands for a token in a table.
#[inline]
fn unit(hash: u64, marks: TokenMarks) -> u64 {
    select_unpredictable(marks.has(TokenMarks::NEGATED), hash::negated(hash), hash)
}

/// An offset in a text or its forms, neither of which reaches 1 MiB.
#[allow(clippy::cast_possible_truncation)]
const fn narrow(offset: usize) -> u32 {
    offset as u32
}

/// The tokens of a text and their forms.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub list: Vec<Token>,
    forms: Forms,
    /// What the bytes of the text are.
    classes: Classes,
}

impl Tokens {
    pub fn form(&self, token: &Token) -> &str {
        self.forms.get(token.form_start as usize, token.form_end as usize)
    }

    pub fn form_bytes(&self, token: &Token) -> &[u8] {
        self.forms.bytes(token.form_start as usize, token.form_end as usize)
    }

    /// Makes room for another text.
    fn begin(&mut self, text: &[u8]) {
        self.list.clear();
        self.forms.begin(text);
        self.classes.read(&mut self.forms.as_mut_bytes()[Forms::TEXT..]);
    }
}

/// Replaces `tokens` with those of a normalised text.
pub(super) fn tokenize(text: Normal<'_>, tokens: &mut Tokens) {
    tokens.begin(text.bytes);
    Tokenizer::new(text, tokens).run_through();
}

/// How web addresses begin that say so themselves.
const HTTP: u32 = u32::from_le_bytes(*b"http");
const WWW: u32 = u32::from_le_bytes(*b"www.");

struct Tokenizer<'t> {
    /// The text, if it has characters beyond ASCII.
    text: &'t str,
    bytes: &'t [u8],
    /// Where the next token may begin: always a character's first byte.
    at: usize,
    /// How many more words the last negation reaches.
    negation: u8,
    tokens: &'t mut Tokens,
    /// Whether words go the way of those that are not plain.
    #[cfg(test)]
    no_word_is_plain: bool,
}

impl<'t> Tokenizer<'t> {
    fn new(Normal { bytes, text }: Normal<'t>, tokens: &'t mut Tokens) -> Self {
        Self {
            text,
            bytes,
            at: 0,
            negation: 0,
            tokens,
            #[cfg(test)]
            no_word_is_plain: false,
        }
    }

    fn run_through(&mut self) {
        loop {
            self.ordinary_words();
            if self.at >= self.bytes.len() {
                return;
            }
            self.step();
            // Nothing would be made of a space at a step of its own.
            let next = self.bytes.get(self.at).copied().unwrap_or_default();
            self.at += usize::from(next == b' ');
        }
    }

    /// Reads the token at `self.at`, or steps over what makes none.
    fn step(&mut self) {
        let byte = self.bytes[self.at];
        if byte.is_ascii_alphanumeric() {
            self.alphanumeric(byte);
        } else if byte == b' ' || byte.is_ascii_control() {
            self.at += 1;
        } else if byte < 0x80 {
            self.symbol(byte);
        } else {
            self.beyond_ascii();
        }
    }

    fn alphanumeric(&mut self, byte: u8) {
        // What is rare is asked for in one question each, whose answer can be foreseen; a word's first letter cannot.
        let head = register::load(self.tokens.forms.as_bytes(), Forms::TEXT + self.at);
        let [first, second, third, fourth, ..] = head.to_le_bytes();
        let four = u32::from_le_bytes([first, second, third, fourth]);
        if (four == HTTP) | (four == WWW) {
            let length = web::with_scheme(&self.bytes[self.at..]);
            if length > 0 {
                return self.known(TokenKind::Url, known::URL, length);
            }
        }
        let next = self.bytes.get(self.at + 1).copied().unwrap_or_default();
        if emoticons::may_begin(byte, next) && self.emoticon() {
            return;
        }
        // A keycap.
        if byte.is_ascii_digit() & (next >= 0x80) && self.emoji() {
            return;
        }
        if byte == b'R' && self.bytes[self.at..].starts_with(b"RT @") {
            return self.known(TokenKind::Retweet, known::RETWEET, 2);
        }
        #[cfg(test)]
        if self.no_word_is_plain {
            return self.word();
        }
        if !self.plain_word(head) {
            self.word();
        }
    }

    fn symbol(&mut self, byte: u8) {
        let next = self.bytes.get(self.at + 1).copied().unwrap_or(b' ');
        if emoticons::may_begin(byte, next) && self.emoticon() {
            return;
        }
        match byte {
            b'#' if next.is_ascii_alphanumeric() || next >= 0x80 => self.hashtag(),
            b'@' if next.is_ascii_alphanumeric() || next == b'_' => {
                let name = self.name();
                self.known(TokenKind::User, known::USER, 1 + name);
            }
            b'$' if next.is_ascii_alphabetic() => self.cashtag(),
            b'!' | b'?' => self.feeling(),
            b'.' => {
                let dots = self.run(0, |byte| byte == b'.');
                self.punctuation(if dots > 1 { known::DOTS } else { known::DOT }, dots);
            }
            b',' => self.punctuation(known::COMMA, 1),
            b';' => self.punctuation(known::SEMICOLON, 1),
            b':' => self.punctuation(known::COLON, 1),
            b'#' | b'*' if self.emoji() => {}
            _ => self.at += 1,
        }
    }

    fn beyond_ascii(&mut self) {
        let rest = &self.text[self.at..];
        let Some(c) = rest.chars().next() else { return };
        if scripts::is_common_letter(c) {
            // No face or emoji begins with one.
            self.word();
        } else if let Some((length, form)) = emoticons::drawn(rest) {
            self.constant(TokenKind::Emoticon, form, length);
        } else if self.emoji() {
        } else if scripts::is_spaceless(c) {
            self.character(c);
        } else if scripts::is_word(c) {
            self.word();
        } else if let Some(byte) = scripts::punctuation(c) {
            let form = match byte {
                b'.' => known::DOT,
                b',' => known::COMMA,
                b'?' => known::QUESTION,
                b'!' => known::EXCLAMATION,
                b';' => known::SEMICOLON,
                _ => known::DASH,
            };
            self.punctuation(form, c.len_utf8());
        } else {
            self.at += c.len_utf8();
        }
    }

    /// How many bytes from `offset` behind the current place satisfy `accept`.
    fn run(&self, offset: usize, accept: impl Fn(u8) -> bool) -> usize {
        self.bytes[self.at + offset..].iter().take_while(|&&byte| accept(byte)).count()
    }

    /// The length of the name behind an `@`.
    fn name(&self) -> usize {
        match self.tokens.classes.run(self.at + 1) {
            Some(run) if self.bytes.get(self.at + 1 + run.length) != Some(&b'_') => run.length,
            _ => self.run(1, |byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        }
    }

    /// A run of `!` and `?`: how many there are says how strongly it is meant.
    fn feeling(&mut self) {
        let length = self.run(0, |byte| byte == b'!' || byte == b'?');
        let marks = &self.bytes[self.at..self.at + length];
        let form = match (marks.contains(&b'!'), marks.contains(&b'?'), length) {
            (true, true, _) => known::EXCLAIMED_QUESTION,
            (true, false, 1) => known::EXCLAMATION,
            (true, false, 2) => known::TWO_EXCLAMATIONS,
            (true, false, _) => known::EXCLAMATIONS,
            (false, _, 1) => known::QUESTION,
            (false, ..) => known::QUESTIONS,
        };
        self.punctuation(form, length);
    }

    fn punctuation(&mut self, form: Known, length: usize) {
        self.negation = 0;
        self.known(TokenKind::Punctuation, form, length);
    }

    /// A token whose form is known beforehand.
    fn known(&mut self, kind: TokenKind, form: Known, length: usize) {
        let Known { number: known, hash, start: form_start, end: form_end } = form;
        let (marks, start) = (TokenMarks::default(), narrow(self.at));
        self.tokens.list.push(Token { kind, marks, known, hash, unit: hash, start, form_start, form_end });
        self.at += length;
    }

    fn emoticon(&mut self) -> bool {
        let before = self.at.checked_sub(1).map(|at| self.bytes[at]);
        let Some((length, form)) = emoticons::read(&self.bytes[self.at..], before) else { return false };
        self.constant(TokenKind::Emoticon, form, length);
        true
    }

    fn emoji(&mut self) -> bool {
        let form_start = self.tokens.forms.len();
        match emoji::read(self.text.get(self.at..).unwrap_or_default(), &mut self.tokens.forms) {
            Some(length) => {
                self.push(TokenKind::Emoji, form_start, self.at, TokenMarks::default());
                self.at += length;
                true
            }
            None => false,
        }
    }

    /// A character of a script without spaces, with the marks that belong to it.
    fn character(&mut self, c: char) {
        let form_start = self.tokens.forms.len();
        let start = self.at;
        self.at += c.len_utf8();
        self.tokens.forms.push(c);
        while let Some(mark) = self.text[self.at..].chars().next().filter(|&c| scripts::is_mark(c)) {
            self.tokens.forms.push(mark);
            self.at += mark.len_utf8();
        }
        self.push(TokenKind::Character, form_start, start, TokenMarks::default());
    }

    fn cashtag(&mut self) {
        let form_start = self.tokens.forms.len();
        let length = 1 + self.run(1, |byte| byte.is_ascii_alphabetic());
        self.tokens.forms.push_bytes(&self.bytes[self.at..self.at + length]);
        self.tokens.forms.as_mut_bytes()[form_start..].make_ascii_lowercase();
        self.push(TokenKind::Cashtag, form_start, self.at, TokenMarks::default());
        self.at += length;
    }

    /// A token whose form does not depend on how it is written.
    fn constant(&mut self, kind: TokenKind, form: &'static str, length: usize) {
        let form_start = self.tokens.forms.len();
        self.tokens.forms.push_str(form);
        self.push(kind, form_start, self.at, TokenMarks::default());
        self.at += length;
    }

    /// Files the token whose form runs from `form_start` to the end of the buffer.
    fn push(&mut self, kind: TokenKind, form_start: usize, start: usize, marks: TokenMarks) {
        let form_end = self.tokens.forms.len();
        let hash = hash::token_within(self.tokens.forms.as_bytes(), form_start, form_end - form_start);
        let face = matches!(kind, TokenKind::Emoji | TokenKind::Emoticon);
        if face {
            self.negation = 0;
        }
        let repeats =
            face && self.tokens.list.last().is_some_and(|last| last.kind == kind && last.hash == hash);
        let marks = marks.with(TokenMarks::REPEATED, repeats);
        let (start, form_start, form_end) = (narrow(start), narrow(form_start), narrow(form_end));
        let (known, unit) = (Known::NONE, unit(hash, marks));
        self.tokens.list.push(Token { kind, marks, known, hash, unit, start, form_start, form_end });
    }
}

#[cfg(test)]
mod tests;
