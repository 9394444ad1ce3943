//! The text pipeline: bytes in, tokens out. One pass over the text, bounded work, nothing allocated once the
//! buffers have grown.
//!
//! ```text
//! bytes --normalise--> text --tokenizer--> tokens (kind, form, hash, marks) --terms--> what a model weighs
//! ```

mod emoji;
mod emoticons;
mod entities;
mod normalise;
pub(crate) mod register;
mod scripts;
mod tokenizer;
mod two_bytes;
mod web;
mod words;

use normalise::Normalised;
pub(crate) use tokenizer::{Token, TokenMarks, known};

/// The number of the text pipeline as a whole. A model records the number that it was trained with: whatever
/// changes a token of any text raises it.
pub const TOKENIZER_VERSION: u32 = 1;

/// Bytes of a text that are read; what follows is cut off and the reading says `truncated`.
pub const MAX_TEXT_BYTES: usize = 65_536;

/// A text to score: UTF-8 that may be broken, and whether its end was already cut off by the caller.
///
/// Only the first [`MAX_TEXT_BYTES`] bytes are read, so a caller need not fetch more than one byte beyond that.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    bytes: &'a [u8],
    cut: bool,
}

impl<'a> Text<'a> {
    /// A whole text. Broken UTF-8 is read as U+FFFD, never refused.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, cut: false }
    }

    /// The beginning of a text whose end the caller left out (`cut` true), or a whole one (`cut` false).
    pub fn beginning(bytes: &'a [u8], cut: bool) -> Self {
        Self { bytes, cut }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::new(text.as_bytes())
    }
}

/// What the tokenizer took a token for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenKind {
    /// A word, an abbreviation, a contraction's part.
    Word,
    /// A number, a time, a price; its digits are read as zeros.
    Number,
    /// `#tag`, whole; its words follow as tokens of their own.
    Hashtag,
    /// `$TICKER`.
    Cashtag,
    /// `@user`; the name is not read.
    User,
    /// A web address; its text is not read.
    Url,
    /// An emoji: one sequence, one token.
    Emoji,
    /// An emoticon such as `:-)` or `^_^`, in the plain form of its family.
    Emoticon,
    /// A run of punctuation that carries feeling or ends a clause.
    Punctuation,
    /// `RT` before a user.
    Retweet,
    /// One character of a script that writes no spaces (CJK, Thai, Khmer, Lao, Myanmar).
    Character,
}

impl TokenKind {
    /// The kind's name in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Number => "number",
            Self::Hashtag => "hashtag",
            Self::Cashtag => "cashtag",
            Self::User => "user",
            Self::Url => "url",
            Self::Emoji => "emoji",
            Self::Emoticon => "emoticon",
            Self::Punctuation => "punctuation",
            Self::Retweet => "retweet",
            Self::Character => "character",
        }
    }

    /// Whether tokens of this kind can be known or unknown to a model, and so count in a text's coverage.
    pub(crate) fn is_content(self) -> bool {
        const CONTENT: u32 = 1 << TokenKind::Word as u32
            | 1 << TokenKind::Hashtag as u32
            | 1 << TokenKind::Emoji as u32
            | 1 << TokenKind::Emoticon as u32
            | 1 << TokenKind::Character as u32;
        // Without a branch, which would be guessed wrong at most punctuation.
        CONTENT >> (self as u32 % u32::BITS) & 1 != 0
    }
}

/// The buffers of the pipeline and, after [`Tokenized::read`], the tokens of the last text.
#[derive(Debug, Default)]
pub(crate) struct Tokenized {
    normalised: Normalised,
    tokens: tokenizer::Tokens,
    truncated: bool,
}

impl Tokenized {
    /// Reads a text; the tokens before are forgotten.
    pub fn read(&mut self, text: &Text<'_>) {
        let (bytes, truncated) = normalise::readable(text);
        tokenizer::tokenize(self.normalised.read(bytes), &mut self.tokens);
        self.truncated = truncated || self.normalised.cut();
    }

    /// The tokens in the order of the text.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens.list
    }

    /// What a token reads as: folded, spelled out, its elongations shortened.
    pub fn form(&self, token: &Token) -> &str {
        self.tokens.form(token)
    }

    /// The bytes of that.
    pub fn form_bytes(&self, token: &Token) -> &[u8] {
        self.tokens.form_bytes(token)
    }

    /// The byte offset of a token's first character in the text as given.
    pub fn origin(&self, token: &Token) -> usize {
        self.normalised.origin(token.start as usize)
    }

    /// Whether the end of the text was not read.
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}
