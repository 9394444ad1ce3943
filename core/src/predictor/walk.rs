//! One term of a text after another, each looked up when it is its turn.

use crate::hash;
use crate::model::{Entry, Table};
use crate::shape::Shape;
use crate::terms::{self, GramBuffer};
use crate::text::{TokenMarks, Tokenized};

/// Counts kept while a text is read.
#[derive(Default)]
pub(super) struct Tally {
    /// Tokens that a model can know, and those that it does.
    pub content: u32,
    pub known: u32,
    pub shape: Shape,
}

/// What is known of terms.
pub(super) trait Known<'e> {
    /// Brings what is kept of a term into the cache, for [`Known::get`].
    fn fetch(&self, hash: u64);
    /// The record of a term.
    fn get(&self, hash: u64) -> Option<Entry<'e>>;
    /// Whether a longer term may begin with one that is not known.
    fn begins(&self, _hash: u64) -> bool {
        false
    }
    /// Whether what is known of a term is to be added to what it would be read by if it were not known.
    fn is_added(&self, _hash: u64) -> bool {
        false
    }
}

/// A table on its own.
impl<'e> Known<'e> for Table<'e> {
    fn fetch(&self, hash: u64) {
        Table::fetch(self, hash);
    }

    fn get(&self, hash: u64) -> Option<Entry<'e>> {
        Table::get(self, hash)
    }
}

/// Visits every known term of a text, having what is kept of many brought into the cache at once. Also what a refresh learns by.
/// Without a buffer for them, no character n-gram is looked up.
pub(super) fn walk<'e>(
    text: &Tokenized,
    mut grams: Option<&mut GramBuffer>,
    vocabulary: &impl Known<'e>,
    mut visit: impl FnMut(Part<'e>),
) -> Tally {
    let get = |hash| vocabulary.get(hash);
    let fetch = |hash| vocabulary.fetch(hash);
    let mut tally = Tally::default();
    let mut last = 0;
    for token in text.tokens() {
        fetch(terms::unit(token));
        fetch(hash::joint(last, token.hash));
        last = token.hash;
    }
    // The joint hash of the last tokens if a known n-gram may go on from them: of one token, of two.
    let (mut one, mut two) = (None::<u64>, None::<u64>);
    for (at, token) in text.tokens().iter().enumerate() {
        let unit = terms::unit(token);
        let entry = get(unit);
        let known = entry.filter(|_| terms::has_unit(token));
        if let Some(entry) = known {
            visit(Part { entry, hash: unit, first: at, last: at });
        }
        if (known.is_none() || vocabulary.is_added(unit))
            && terms::has_grams(token)
            && let Some(grams) = &mut grams
        {
            let hashes = grams.read(text.form_bytes(token));
            hashes.iter().for_each(|&hash| fetch(hash));
            for &hash in hashes {
                if let Some(entry) = get(hash) {
                    visit(Part { entry, hash, first: at, last: at });
                }
            }
        }
        let value = entry.map_or(0.0, |entry| entry.lexicon_value());
        tally.shape.add(token, value);
        tally.content += u32::from(token.kind.is_content());
        tally.known += u32::from(token.kind.is_content() && entry.is_some());

        if let Some(hash) = two.map(|left| hash::joint(left, token.hash))
            && let Some(entry) = get(hash)
        {
            visit(Part { entry, hash, first: at - 2, last: at });
        }
        two = None;
        let begins = |hash, entry: Option<Entry<'_>>| match entry {
            Some(entry) => entry.is_left(),
            None => vocabulary.begins(hash),
        };
        if let Some(hash) = one.map(|left| hash::joint(left, token.hash)) {
            let entry = get(hash);
            entry.into_iter().for_each(|entry| visit(Part { entry, hash, first: at - 1, last: at }));
            two = begins(hash, entry).then_some(hash);
        }
        let plain = if token.marks.has(TokenMarks::NEGATED) { get(token.hash) } else { entry };
        one = begins(token.hash, plain).then_some(token.hash);
    }
    tally
}

/// A known term of a text: its record, its hash and the tokens that it spans.
pub(super) struct Part<'e> {
    pub entry: Entry<'e>,
    pub hash: u64,
    pub first: usize,
    pub last: usize,
}
