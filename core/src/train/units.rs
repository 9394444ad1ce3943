//! Texts as a network reads them.

use super::lexicon::{Lexicon, lexicon_value};
use super::rows;
use super::vocabulary::{Reader, is_negated};
use crate::terms;
use crate::text::Token;

/// What a network takes from a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Units {
    /// The term of each token, another one under negation.
    pub terms: Vec<u64>,
    /// The lexicon value of each token, 0 if it has none.
    pub values: Vec<f64>,
    /// Whether each token stands under negation.
    pub negated: Vec<bool>,
    /// The shape features.
    pub shape: Vec<f64>,
}

/// Reads texts, one after another.
#[derive(Default)]
pub struct UnitReader {
    reader: Reader,
}

impl std::fmt::Debug for UnitReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnitReader")
    }
}

impl UnitReader {
    /// Reads a text.
    pub fn read(&mut self, text: &[u8], lexicon: &Lexicon) -> Units {
        self.reader.read(text);
        let tokens = self.reader.tokenized().tokens();
        let value = |token: &Token| lexicon_value(lexicon.value(token.hash), is_negated(token));
        Units {
            terms: tokens.iter().map(terms::unit).collect(),
            values: tokens.iter().map(value).collect(),
            negated: tokens.iter().map(is_negated).collect(),
            shape: rows::shape(&self.reader, lexicon).to_vec(),
        }
    }
}
