//! Ordinary words: letters of which nothing is to be noted but whether a negation reaches them, as most words are.
//!
//! They are taken one after another by a loop of their own, whose state stays in registers.

use super::super::{TokenKind, register, words};
use super::word::{own_hash, under};
use super::{Token, Tokenizer, Tokens};

impl Tokenizer<'_> {
    /// Takes ordinary words up to what takes more looking at.
    pub(super) fn ordinary_words(&mut self) {
        #[cfg(test)]
        if self.no_word_is_plain {
            return;
        }
        let Tokens { list: all, forms, classes } = &mut *self.tokens;
        let (text, mut list) = (forms.text(), std::mem::take(all));
        let (mut at, mut negation) = (self.at, self.negation);
        while let Some(length) = classes.ordinary(at) {
            let hash = own_hash(text, at, register::load(text, at), length);
            if words::may_mean(hash) {
                break;
            }
            list.push(Token::of_text(TokenKind::Word, hash, under(&mut negation), at, length));
            at += length;
            // Where no space follows, the next is no ordinary word either: one wrong guess instead of two.
            if text.get(at) != Some(&b' ') {
                break;
            }
            at += 1;
        }
        *all = list;
        (self.at, self.negation) = (at, negation);
    }
}
