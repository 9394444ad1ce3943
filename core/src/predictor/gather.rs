//! The sums of a text over a table of three classes, with its terms gathered by sort.
//!
//! It comes to what [`walk`](super::walk) comes to, for a model without an overlay, and in another order: sums of whole
//! numbers do not mind. First all words are looked up together, then the pairs and the character n-grams that they ask for, then
//! the triples. What is asked for next is put at the end of a list, whose end moves if it is wanted: a branch would be guessed
//! wrong once in three times.

use super::Tally;
use crate::hash;
use crate::model::{Found, Lines, Record};
use crate::shape::Shape;
use crate::terms::{self, GramBuffer};
use crate::text::{Token, TokenMarks, Tokenized};

/// Lists that every reading reuses.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The pairs that end with each token.
    pairs: Vec<u64>,
    /// The terms of one sort after another, each in the place of those before; their records, one sort behind the other, and how
    /// many these are so far. Of these lists, a text's part is the beginning.
    hashes: Vec<u64>,
    records: Vec<Record>,
    taken: usize,
    /// What was found of each word, and whether a known n-gram may begin with it.
    found: Vec<Found>,
    left: Vec<bool>,
    /// Tokens under negation, those whose n-grams are read, those that the shape weighs, and those that begin a pair; the
    /// pairs that a triple may begin with.
    negated: List,
    unknown: List,
    weighed: List,
    firsts: List,
    going_on: List,
}

/// Numbers of tokens.
#[derive(Debug, Default)]
struct List {
    tokens: Vec<usize>,
    length: usize,
}

/// A list that is being made.
struct Listing<'l> {
    tokens: &'l mut [usize],
    length: &'l mut usize,
    /// What `length` will be: kept apart, so that it stays in a register.
    end: usize,
}

impl List {
    /// Begins it anew, with room for so many.
    #[inline]
    fn begin(&mut self, most: usize) -> Listing<'_> {
        Listing { tokens: room(&mut self.tokens, most), length: &mut self.length, end: 0 }
    }

    /// Makes it the numbers of those that are wanted.
    #[inline]
    fn fill(&mut self, wanted: impl ExactSizeIterator<Item = bool>) {
        let mut listing = self.begin(wanted.len());
        wanted.enumerate().for_each(|(token, wanted)| listing.put(token, wanted));
        listing.close();
    }

    fn as_slice(&self) -> &[usize] {
        &self.tokens[..self.length]
    }
}

impl Listing<'_> {
    /// Adds a token if it is wanted.
    #[inline]
    fn put(&mut self, token: usize, wanted: bool) {
        self.tokens[self.end] = token;
        self.end += usize::from(wanted);
    }

    fn close(self) {
        *self.length = self.end;
    }
}

/// The first `count` of a buffer's items, whatever they are.
#[inline]
fn room<T: Clone + Default>(buffer: &mut Vec<T>, count: usize) -> &mut [T] {
    if buffer.len() < count {
        buffer.resize(count, T::default());
    }
    &mut buffer[..count]
}

impl Gathered {
    /// Lists the tokens' own terms and the pairs, and has what is kept of them brought into the cache; says what of the text is to
    /// be known without looking a term up.
    pub fn begin(&mut self, lines: Lines<'_>, tokens: &[Token]) -> Tally {
        let mut tally = Tally::default();
        let mut negated = self.negated.begin(tokens.len());
        let (hashes, pairs) = (room(&mut self.hashes, tokens.len()), room(&mut self.pairs, tokens.len()));
        let mut last = 0;
        for (at, ((token, to_unit), to_pair)) in tokens.iter().zip(hashes).zip(pairs).enumerate() {
            let (unit, pair) = (terms::unit(token), hash::joint(last, token.hash));
            (*to_unit, *to_pair, last) = (unit, pair, token.hash);
            lines.fetch(unit);
            lines.fetch(pair);
            negated.put(at, token.marks.has(TokenMarks::NEGATED));
            tally.content += u32::from(token.kind.is_content());
            tally.shape.note(token);
        }
        negated.close();
        tally
    }

    /// What was found of the tokens' own terms, once the words are looked up.
    pub fn found(&self, tokens: &[Token]) -> &[Found] {
        &self.found[..tokens.len()]
    }

    /// Looks the words up.
    pub fn find_words(&mut self, lines: Lines<'_>, tokens: &[Token]) {
        // Of those under negation, the words that they would be without say whether a pair may begin.
        let negated = self.negated.as_slice();
        let hashes = room(&mut self.hashes, tokens.len() + negated.len());
        hashes[tokens.len()..].iter_mut().zip(negated).for_each(|(hash, &at)| *hash = tokens[at].hash);
        lines.find_all(hashes, room(&mut self.found, hashes.len()));
    }

    /// Takes the words' records, and takes down what they ask for.
    pub fn weigh_words(&mut self, tokens: &[Token], tally: &mut Tally) {
        let Self { found, records, left, unknown, weighed, negated, .. } = self;
        let (mut unknown, mut weighing) = (unknown.begin(tokens.len()), weighed.begin(tokens.len()));
        let (left, records) = (room(left, tokens.len()), room(records, tokens.len()));
        let kept = records.iter_mut().zip(&mut *left);
        for (at, ((token, found), (kept, left))) in tokens.iter().zip(&*found).zip(kept).enumerate() {
            let Found { record, known, .. } = *found;
            tally.known += u32::from(token.kind.is_content() & known);
            unknown.put(at, terms::has_grams(token) & !known);
            weighing.put(at, Shape::minds(token, record.has_lexicon_value()));
            *left = record.is_left();
            *kept = record.only_if(terms::has_unit(token));
        }
        unknown.close();
        weighing.close();
        for &at in weighed.as_slice() {
            let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
            tally.shape.weigh(number, &tokens[at], found[at].record.lexicon_value());
        }
        for (&at, plain) in negated.as_slice().iter().zip(&found[tokens.len()..]) {
            left[at] = plain.record.is_left();
        }
        self.taken = tokens.len();
    }

    /// Takes the records of the pairs, and of the character n-grams of words that are not known, if there is a buffer for these.
    pub fn pairs(&mut self, lines: Lines<'_>, text: &Tokenized, grams: Option<&mut GramBuffer>) {
        let mut count = self.list_pairs(text.tokens().len());
        if let Some(grams) = grams {
            for &token in self.unknown.as_slice() {
                let hashes = grams.read(text.form_bytes(&text.tokens()[token]));
                hashes.iter().for_each(|&hash| lines.fetch(hash));
                room(&mut self.hashes, count + hashes.len())[count..].copy_from_slice(hashes);
                count += hashes.len();
            }
        }
        self.look_up(lines, count);
        self.list_triples(lines, text.tokens());
    }

    /// Takes the records of the triples.
    pub fn triples(&mut self, lines: Lines<'_>) {
        self.look_up(lines, self.going_on.length);
    }

    /// Takes the records of the first `count` terms that are listed.
    fn look_up(&mut self, lines: Lines<'_>, count: usize) {
        let (hashes, all) = (&self.hashes[..count], self.taken + count);
        let records = room(&mut self.records, all);
        lines.find_records(hashes, &mut records[self.taken..]);
        self.taken = all;
    }

    /// Adds up all records that were taken: once, for where a loop ends is guessed wrong.
    pub fn add_up(&mut self, sums: &mut [i64; 3]) {
        Record::add_all(room(&mut self.records, self.taken), sums);
    }

    /// Takes down the pairs whose first token may begin one; how many there are.
    fn list_pairs(&mut self, tokens: usize) -> usize {
        let mut firsts = self.firsts.begin(tokens);
        let hashes = room(&mut self.hashes, tokens);
        let pairs = self.pairs[..tokens].get(1..).unwrap_or_default();
        for (first, (pair, left)) in pairs.iter().zip(&self.left[..tokens]).enumerate() {
            hashes[firsts.end] = *pair;
            firsts.put(first, *left);
        }
        firsts.close();
        self.firsts.length
    }

    /// Takes down the triples that begin with a known pair which may begin one.
    fn list_triples(&mut self, lines: Lines<'_>, tokens: &[Token]) {
        let third = tokens.get(2..).unwrap_or_default();
        // The words' records are before theirs.
        let pairs = self.firsts.as_slice().iter().zip(&self.records[tokens.len()..]);
        self.going_on.fill(pairs.map(|(&at, record)| record.is_left() & (at < third.len())));
        for (triple, &pair) in self.going_on.as_slice().iter().enumerate() {
            let hash = hash::joint(self.hashes[pair], third[self.firsts.tokens[pair]].hash);
            lines.fetch(hash);
            // No triple is written where a pair is still to be read.
            self.hashes[triple] = hash;
        }
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
                if let Some(view) = &predictor.network {
                    let (mut gathered, mut located) = ([0.0; 3], [0.0; 3]);
                    view.add_to(&mut gathered, 1.0, network);
                    view.locate(&predictor.model.table, text.tokens(), network);
                    view.pool(network);
                    view.add_to(&mut located, 1.0, network);
                    prop_assert_eq!(gathered, located);
                }
            }
        }
    }
}
