//! One term of a text after another, each looked up when it is its turn.

use crate::hash;
use crate::model::Entry;
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

/// Visits every term of a text that `get` knows, having had `fetch` bring what is kept of many into the cache at once. Also
/// what a refresh learns by.
pub(super) fn walk<'e>(
    text: &Tokenized,
    grams: &mut GramBuffer,
    fetch: impl Fn(u64),
    get: impl Fn(u64) -> Option<Entry<'e>>,
    mut visit: impl FnMut(Part<'e>),
) -> Tally {
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
        if let Some(entry) = entry.filter(|_| terms::has_unit(token)) {
            visit(Part { entry, hash: unit, first: at, last: at });
        } else if terms::has_grams(token) {
            let hashes = grams.read(text.form(token));
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
        if let Some(hash) = one.map(|left| hash::joint(left, token.hash))
            && let Some(entry) = get(hash)
        {
            visit(Part { entry, hash, first: at - 1, last: at });
            two = entry.is_left().then_some(hash);
        }
        let plain = if token.marks.has(TokenMarks::NEGATED) { get(token.hash) } else { entry };
        one = plain.filter(|entry| entry.is_left()).map(|_| token.hash);
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
