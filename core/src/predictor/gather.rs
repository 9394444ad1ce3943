//! The sums of a text over a table of three classes, with its terms gathered by sort.
//!
//! It comes to what [`walk`](super::walk) comes to, for a model without an overlay, and in another order: sums of whole
//! numbers do not mind. First all words are looked up together, then the pairs and the character n-grams that they ask for, then
//! the triples. What is asked for next is put at the end of a list, whose end moves if it is wanted: a branch would be guessed
//! wrong once in three times.

use super::Tally;
use crate::hash;
use crate::model::{Found, Search, Table};
use crate::terms::{self, GramBuffer};
use crate::text::{Token, TokenMarks, Tokenized};

/// Lists that every reading reuses.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    search: Search,
    /// The words' own terms, then those of one sort after another, and what is known of them.
    units: Vec<u64>,
    hashes: Vec<u64>,
    found: Vec<Found>,
    /// Tokens under negation, those whose n-grams are read, and those that end a pair.
    negated: List,
    unknown: List,
    ends: List,
    /// Whether a known n-gram may begin with a token.
    left: Vec<bool>,
}

/// Numbers of tokens.
#[derive(Debug, Default)]
struct List {
    tokens: Vec<usize>,
    length: usize,
}

impl List {
    /// Empties it and makes room for so many.
    fn clear(&mut self, most: usize) {
        if self.tokens.len() < most {
            self.tokens.resize(most, 0);
        }
        self.length = 0;
    }

    /// Adds a token if it is wanted.
    #[inline]
    fn put(&mut self, token: usize, wanted: bool) {
        if let Some(place) = self.tokens.get_mut(self.length) {
            *place = token;
            self.length += usize::from(wanted);
        }
    }

    fn as_slice(&self) -> &[usize] {
        &self.tokens[..self.length]
    }
}

impl Gathered {
    /// Lists the tokens' own terms, and has `fetch` bring what is kept of them and of the pairs into the cache.
    pub fn begin(&mut self, tokens: &[Token], fetch: impl Fn(u64, u64)) {
        self.negated.clear(tokens.len());
        self.units.clear();
        let mut last = 0;
        for (at, token) in tokens.iter().enumerate() {
            let unit = terms::unit(token);
            self.units.push(unit);
            self.negated.put(at, token.marks.has(TokenMarks::NEGATED));
            fetch(unit, hash::joint(last, token.hash));
            last = token.hash;
        }
    }

    /// The terms of the tokens.
    pub fn units(&self) -> &[u64] {
        &self.units
    }

    /// Adds up the words; says what is not additive.
    pub fn words(&mut self, table: &Table<'_>, tokens: &[Token], sums: &mut [i64; 3]) -> Tally {
        // Of those under negation, the words that they would be without say whether a pair may begin.
        let mut tally = Tally::default();
        let negated = self.negated.as_slice().iter().map(|&at| tokens[at].hash);
        self.hashes.clear();
        self.hashes.extend(self.units.iter().copied().chain(negated));
        let found = &mut self.found;
        found.resize(self.hashes.len().max(found.len()), Found::default());
        table.find_all(&self.hashes, &mut self.search, |at, said| found[at] = said);
        self.weigh_words(tokens, sums, &mut tally);
        tally
    }

    /// Adds up the pairs, and the character n-grams of words that are not known.
    pub fn pairs(
        &mut self,
        table: &Table<'_>,
        text: &Tokenized,
        grams: &mut GramBuffer,
        sums: &mut [i64; 3],
    ) {
        self.list_pairs(text.tokens());
        for &token in self.unknown.as_slice() {
            let hashes = grams.read(text.form(&text.tokens()[token]));
            hashes.iter().for_each(|&hash| table.fetch(hash));
            self.hashes.extend(hashes);
        }
        let found = &mut self.found;
        table.find_all(&self.hashes, &mut self.search, |at, said| {
            said.add_to(sums);
            // More is asked of the pairs only, which are fewer than the words.
            if let Some(found) = found.get_mut(at) {
                *found = said;
            }
        });
        self.list_triples(table, text.tokens());
    }

    /// Adds up the triples.
    pub fn triples(&mut self, table: &Table<'_>, sums: &mut [i64; 3]) {
        table.find_all(&self.hashes, &mut self.search, |_, said| said.add_to(sums));
    }

    /// Adds up the words, and takes down what they ask for.
    fn weigh_words(&mut self, tokens: &[Token], sums: &mut [i64; 3], tally: &mut Tally) {
        self.unknown.clear(tokens.len());
        self.left.clear();
        let (words, plain) = self.found.split_at(tokens.len());
        for (at, (token, found)) in tokens.iter().zip(words).enumerate() {
            let known = found.is_known();
            found.only_if(terms::has_unit(token)).add_to(sums);
            self.unknown.put(at, terms::has_grams(token) & !known);
            self.left.push(found.is_left());
            tally.content += u32::from(token.kind.is_content());
            tally.known += u32::from(token.kind.is_content() & known);
        }
        // (In a loop of its own: all that both add up has no room in the processor's registers.)
        for (token, found) in tokens.iter().zip(words) {
            tally.shape.add(token, found.lexicon_value());
        }
        for (&at, found) in self.negated.as_slice().iter().zip(plain) {
            self.left[at] = found.is_left();
        }
    }

    /// Takes down the pairs whose first token may begin one.
    fn list_pairs(&mut self, tokens: &[Token]) {
        self.ends.clear(tokens.len());
        self.hashes.clear();
        self.hashes.resize(tokens.len(), 0);
        for (at, (pair, left)) in tokens.windows(2).zip(&self.left).enumerate() {
            self.hashes[self.ends.length] = hash::joint(pair[0].hash, pair[1].hash);
            self.ends.put(at + 1, *left);
        }
        self.hashes.truncate(self.ends.length);
    }

    /// Takes down the triples that begin with a known pair which may begin one.
    fn list_triples(&mut self, table: &Table<'_>, tokens: &[Token]) {
        let mut triples = 0;
        for (pair, end) in self.ends.as_slice().iter().enumerate() {
            let next = tokens.get(end + 1);
            let triple = hash::joint(self.hashes[pair], next.map_or(0, |token| token.hash));
            table.fetch(triple);
            // No triple is written where a pair is still to be read.
            self.hashes[triples] = triple;
            triples += usize::from(self.found[pair].is_left() & next.is_some());
        }
        self.hashes.truncate(triples);
    }
}

#[cfg(test)]
mod tests {
    use crate::text::Text;
    use crate::{Predictor, Scratch, shipped};
    use proptest::prelude::*;

    /// Words that pair up, are unknown, negate and repeat.
    fn words() -> impl Strategy<Value = Vec<&'static str>> {
        let word = prop::sample::select(&[
            "i",
            "love",
            "this",
            "phone",
            "not",
            "good",
            "at",
            "all",
            "zzyzx",
            "qwertyness",
            ":)",
            ":)",
            "!!",
            "#GoodMorning",
            "can't",
            "wait",
            "for",
            "the",
            "new",
            "one",
            "but",
            "it",
            "is",
            "so",
            "bad",
            "10",
            "@me",
        ]);
        prop::collection::vec(word, 0..60)
    }

    proptest! {
        #[test]
        fn gathered_or_walked_is_the_same(words in words()) {
            let text = words.join(" ");
            for (name, _, bytes) in shipped::all() {
                let predictor = Predictor::open_unchecked(bytes).unwrap();
                let mut scratch = Scratch::default();
                scratch.text.read(&Text::from(text.as_str()));
                let mut sums = [0; 3];
                let walked = predictor.walk(&scratch.text, &mut scratch.grams, |part| part.entry.add_to(&mut sums));
                let Scratch { text, grams, gathered, network, .. } = &mut scratch;
                let mut gathered_sums = [0; 3];
                let tally = predictor.gather(text, &mut gathered_sums, (gathered, grams, network));
                prop_assert_eq!(sums, gathered_sums, "{}", name);
                prop_assert_eq!((walked.content, walked.known), (tally.content, tally.known));
                prop_assert_eq!(walked.shape.features().map(f64::to_bits), tally.shape.features().map(f64::to_bits));
            }
        }
    }
}
