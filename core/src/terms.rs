//! From tokens to terms: what a model weighs. The trainer and the predictor both come here, so that they cannot
//! disagree on what a term is.
//!
//! A token's own term is its hash, or another one under negation. A word that a model does not know is read by its
//! character n-grams, as fastText does (Bojanowski and others 2017); those of a known word are folded into its
//! table entry when the model is written. Word n-grams are the joint hashes of up to three neighbours.

use crate::hash;
use crate::text::{Token, TokenKind, TokenMarks};

/// Lengths of the character n-grams, in characters, word boundaries included.
const GRAM_LENGTHS: std::ops::RangeInclusive<usize> = 3..=5;

/// Characters of a word that are read as n-grams: a longer word is no word.
const GRAM_CHARS: usize = 32;

/// The term of one token, negation minded.
pub(crate) fn unit(token: &Token) -> u64 {
    token.unit
}

/// Whether a token has a term of its own: in a row of the same emoji only the first has.
pub(crate) fn has_unit(token: &Token) -> bool {
    !token.marks.has(TokenMarks::REPEATED)
}

/// Whether a token is spelled, so that its character n-grams mean something.
pub(crate) fn is_spelled(token: &Token) -> bool {
    matches!(token.kind, TokenKind::Word | TokenKind::Hashtag)
}

/// Whether a token, if it is not known, is read by its character n-grams. Under negation they would tell the
/// opposite of what is meant.
pub(crate) fn has_grams(token: &Token) -> bool {
    is_spelled(token) & !token.marks.has(TokenMarks::NEGATED)
}

/// Calls `visit` with the hash of each character n-gram of a word's form.
pub(crate) fn grams(form: &str, buffer: &mut GramBuffer, visit: impl FnMut(u64)) {
    buffer.read(form).iter().copied().for_each(visit);
}

/// A word between its boundary marks and where its characters end.
#[derive(Debug, Default)]
pub(crate) struct GramBuffer {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hashes: Vec<u64>,
}

impl GramBuffer {
    /// The hash of each character n-gram of a word's form.
    pub fn read(&mut self, form: &str) -> &[u64] {
        self.fill(form);
        self.hashes.clear();
        let chars = self.ends.len() - 1;
        for first in 0..chars {
            for length in GRAM_LENGTHS {
                let last = first + length;
                // The whole word between its boundaries is the word itself.
                if last > chars || length == chars {
                    break;
                }
                let start = self.ends[first];
                self.hashes.push(hash::gram_within(&self.bytes, start, self.ends[last] - start));
            }
        }
        &self.hashes
    }

    fn fill(&mut self, form: &str) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.push(b'<');
        self.ends.extend([0, 1]);
        for c in form.chars().take(GRAM_CHARS) {
            self.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            self.ends.push(self.bytes.len());
        }
        self.bytes.push(b'>');
        self.ends.push(self.bytes.len());
        // So that eight bytes can be read from each of them.
        self.bytes.extend([0; 8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grams_of_a_word() {
        let mut buffer = GramBuffer::default();
        let mut got = Vec::new();
        grams("cats", &mut buffer, |hash| got.push(hash));
        let wanted = ["<ca", "<cat", "<cats", "cat", "cats", "cats>", "ats", "ats>", "ts>"];
        assert_eq!(got, wanted.map(|gram| hash::gram(gram.as_bytes())));
    }

    #[test]
    fn grams_are_bounded() {
        let mut count = 0;
        grams(&"é".repeat(50_000), &mut GramBuffer::default(), |_| count += 1);
        assert!(count <= 3 * (GRAM_CHARS + 2));
        grams("", &mut GramBuffer::default(), |_| unreachable!("an empty form has no n-grams"));
    }
}
