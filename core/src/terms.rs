//! From tokens to terms: what a model weighs. The trainer and the predictor both come here, so that they cannot
//! disagree on what a term is.
//!
//! A token's own term is its hash, or another one under negation. A word that a model does not know is read by its
//! character n-grams, as fastText does (Bojanowski and others 2017); those of a known word are folded into its
//! table entry when the model is written. Word n-grams are the joint hashes of up to three neighbours.

use crate::hash;
use crate::text::{Token, TokenKind, TokenMarks, register};

/// Lengths of the character n-grams, in characters, word boundaries included.
const GRAM_LENGTHS: [usize; 3] = [3, 4, 5];

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
    buffer.read(form.as_bytes()).iter().copied().for_each(visit);
}

/// A word between its boundary marks, and the hashes of its n-grams.
#[derive(Debug, Default)]
pub(crate) struct GramBuffer {
    bytes: Vec<u8>,
    /// Where the characters end, if some of them are beyond ASCII.
    ends: Vec<usize>,
    /// As many as the longest word has; of a word its own are the first.
    hashes: Vec<u64>,
}

impl GramBuffer {
    /// The hash of each character n-gram of a word's form, which is UTF-8.
    pub fn read(&mut self, form: &[u8]) -> &[u64] {
        let most = GRAM_LENGTHS.len() * (GRAM_CHARS + 2);
        self.hashes.resize(most, 0);
        self.bytes.clear();
        self.bytes.push(b'<');
        let grams = if form.is_ascii() {
            self.read_ascii(form)
        } else {
            self.read_any(str::from_utf8(form).unwrap_or_default())
        };
        &self.hashes[..grams]
    }

    /// How many n-grams a form of ASCII has. As most unknown words are such, all n-grams from a place are hashed out of one register,
    /// and those that the word does not have are written over: where a word ends would be guessed wrong.
    fn read_ascii(&mut self, form: &[u8]) -> usize {
        self.bytes.extend_from_slice(&form[..form.len().min(GRAM_CHARS)]);
        let chars = self.close();
        let mut grams = 0;
        for first in 0..(chars + 1).saturating_sub(GRAM_LENGTHS[0]) {
            let key = register::load(&self.bytes, first);
            for length in GRAM_LENGTHS {
                self.hashes[grams] = hash::short_gram(register::first(key, length), length);
                grams += usize::from(is_gram(first, length, chars));
            }
        }
        grams
    }

    /// The same of any form.
    fn read_any(&mut self, form: &str) -> usize {
        self.ends.clear();
        self.ends.extend([0, 1]);
        let chars = form.char_indices().take(GRAM_CHARS);
        self.ends.extend(chars.map(|(at, c)| 1 + at + c.len_utf8()));
        let read = self.ends.last().map_or(0, |end| end - 1);
        self.bytes.extend_from_slice(&form.as_bytes()[..read]);
        let end = self.close();
        self.ends.push(end);
        let chars = self.ends.len() - 1;
        let mut grams = 0;
        for first in 0..chars {
            for length in GRAM_LENGTHS.into_iter().filter(|&length| is_gram(first, length, chars)) {
                let start = self.ends[first];
                self.hashes[grams] = hash::gram_within(&self.bytes, start, self.ends[first + length] - start);
                grams += 1;
            }
        }
        grams
    }

    /// Closes the word; where it ends. Eight bytes can be read from each of its own.
    fn close(&mut self) -> usize {
        self.bytes.push(b'>');
        let end = self.bytes.len();
        self.bytes.extend([0; 8]);
        end
    }
}

/// Whether so many characters from `first` are an n-gram of a word of `chars`, boundaries included: the whole is the word itself.
#[inline]
const fn is_gram(first: usize, length: usize, chars: usize) -> bool {
    (first + length <= chars) & (length != chars)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grams_of_a_word() {
        let mut buffer = GramBuffer::default();
        let mut got = Vec::new();
        grams("cats", &mut buffer, |hash| got.push(hash));
        let wanted = ["<ca", "<cat", "<cats", "cat", "cats", "cats>", "ats", "ats>", "ts>"];
        assert_eq!(got, wanted.map(|gram| hash::gram(gram.as_bytes())));
    }

    proptest! {
        #[test]
        fn grams_are_all_that_a_word_has(form in "[ -~]{0,40}|[a-zé😀한]{0,40}|\\PC{0,9}") {
            let word: Vec<char> = ['<'].into_iter().chain(form.chars().take(GRAM_CHARS)).chain(['>']).collect();
            let mut wanted = Vec::new();
            for first in 0..word.len() {
                let longest = &word[first..];
                let grams = (3..=5).filter(|&length| length <= longest.len() && length < word.len());
                wanted.extend(grams.map(|length| hash::gram(String::from_iter(&longest[..length]).as_bytes())));
            }
            let mut buffer = GramBuffer::default();
            // What another word left behind is not seen.
            buffer.read("abcdefghij".as_bytes());
            prop_assert_eq!(buffer.read(form.as_bytes()), wanted);
        }
    }

    #[test]
    fn grams_are_bounded() {
        let mut count = 0;
        grams(&"é".repeat(50_000), &mut GramBuffer::default(), |_| count += 1);
        assert!(count <= 3 * (GRAM_CHARS + 2));
        grams("", &mut GramBuffer::default(), |_| unreachable!("an empty form has no n-grams"));
    }
}
