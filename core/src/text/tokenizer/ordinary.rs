//! Ordinary words: letters of which nothing is to be noted but whether a negation reaches them, as most words are.
//!
//! They are taken one after another by a loop of their own, whose state stays in registers.

use super::super::{TokenKind, register, words};
use super::word::own_hash;
use super::{Forms, Known, Token, TokenMarks, Tokenizer, Tokens, narrow, unit};

impl Tokenizer<'_> {
    /// Takes ordinary words up to what takes more looking at.
    pub(super) fn ordinary_words(&mut self) {
        let Tokens { list: all, forms, classes } = &mut *self.tokens;
        let (text, mut list) = (forms.text(), std::mem::take(all));
        let (mut at, mut negation) = (self.at, self.negation);
        while let Some(length) = classes.ordinary(at) {
            let head = register::load(text, at);
            let hash = own_hash(text, at, head, length);
            if words::may_mean(hash) {
                break;
            }
            let marks = TokenMarks::default().with(TokenMarks::NEGATED, negation > 0);
            negation = negation.saturating_sub(1);
            let (start, form_start) = (narrow(at), narrow(Forms::TEXT + at));
            let form_end = narrow(Forms::TEXT + at + length);
            let (kind, known, unit) = (TokenKind::Word, Known::NONE, unit(hash, marks));
            list.push(Token { kind, marks, known, hash, unit, start, form_start, form_end });
            at += length;
            if text.get(at) != Some(&b' ') {
                break;
            }
            at += 1;
        }
        *all = list;
        (self.at, self.negation) = (at, negation);
    }
}
