//! Writes a model's bytes.

use super::table::{HIDDEN, Layout, SLOTS, place, write_record};
use super::{CHECKSUM, Card, HALVES, HEADER, MAGIC, Model, NO_GRAMS, OwnReading, checksum};
use crate::text::TOKENIZER_VERSION;
use crate::train::Watch;
use crate::{Error, ErrorKind, Result};

/// How full a table is made. An unknown term, as most pairs of words are, is looked for in two buckets where the first
/// is full: that is one in twenty here, one in five at 0.65 and four in ten at 0.8.
const LOAD: f64 = 0.5;

/// A term to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntryDraft {
    pub hash: u64,
    /// Weights, one a class, in the card's unit.
    pub weights: Vec<i32>,
    /// Lexicon value, about -4 to 4.
    pub lexicon_value: f64,
    /// Whether a known n-gram may begin with it.
    pub left: bool,
}

/// Whether a model keeps the hashes of its terms, of which its table has the lower halves only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hashes {
    /// They are not needed to read a text.
    Dropped,
    /// The model takes in what it learns: its terms are then placed anew.
    Kept,
}

impl Hashes {
    /// What one unit of weight is worth where the largest weight is this. A model that takes in what it learns leaves room
    /// for terms that come to weigh four times as much, and for what its user says of terms.
    pub fn unit(self, largest: f64) -> f64 {
        let largest = if self == Self::Kept { (4.0 * largest).max(USERS_SAY) } else { largest };
        largest.max(f64::MIN_POSITIVE) / f64::from(super::LARGEST_WEIGHT)
    }
}

/// Twice what a user can have a term weigh (`train/own_terms.rs`).
const USERS_SAY: f64 = 12.0;

/// The model's bytes: the same terms and card give the same bytes, whatever the order of the terms. `tail` follows the
/// table; a record holds as many weights as the first term has.
///
/// # Errors
/// `Limit` if the model would pass 4 GiB, and what `watch` returns.
pub(crate) fn write(
    card: &Card,
    mut terms: Vec<EntryDraft>,
    hashes: Hashes,
    tail: &[u8],
    watch: &mut dyn Watch,
) -> Result<Vec<u8>> {
    let classes = card.labels.len();
    let weights = terms.first().map_or(classes, |term| term.weights.len());
    watch.step("writing", 0, 1)?;
    terms.sort_unstable_by_key(|term| term.hash);
    terms.dedup_by_key(|term| term.hash);
    let mut model = ModelWriter::new(terms.len(), weights, hashes);
    for (number, term) in terms.iter().enumerate() {
        if number.is_multiple_of(4096) {
            watch.step("writing", number, terms.len())?;
        }
        model.put(term);
    }
    model.finish(card, tail)
}

/// A model's table that is being written, with what else the model keeps of its terms.
#[derive(Debug)]
pub(crate) struct ModelWriter {
    table: TableWriter,
    weights: usize,
    hashes: Hashes,
    /// The upper half of each slot's hash, or nothing.
    halves: Vec<[u8; 4]>,
}

impl ModelWriter {
    /// With room for so many terms, of so many weights.
    pub fn new(terms: usize, weights: usize, hashes: Hashes) -> Self {
        let table = TableWriter::new(terms, weights);
        let slots = if hashes == Hashes::Kept { table.buckets * SLOTS } else { 0 };
        Self { table, weights, hashes, halves: vec![[0; 4]; slots] }
    }

    /// Bytes that it takes to write a model of so many terms, of so many weights, `tail` bytes following: its table, and
    /// the whole beside it.
    pub fn memory(terms: usize, weights: usize, hashes: Hashes, tail: usize) -> usize {
        let halves = if hashes == Hashes::Kept { 4 * SLOTS } else { 0 };
        2 * (buckets(terms) * (Layout::new(weights).bucket + halves) + tail)
    }

    /// Writes a term. The bytes depend on the order of the terms: it is that of their hashes, which are all different.
    pub fn put(&mut self, term: &EntryDraft) {
        let slot = self.table.put(term);
        if let Some(half) = self.halves.get_mut(slot) {
            let [_, _, _, _, rest @ ..] = term.hash.to_le_bytes();
            *half = rest;
        }
    }

    /// The model's bytes; `tail` follows the table.
    ///
    /// # Errors
    /// As [`write`].
    pub fn finish(self, card: &Card, tail: &[u8]) -> Result<Vec<u8>> {
        let (table, buckets) = self.table.finish();
        assemble(card, self.weights, (&table, buckets), self.hashes, &[self.halves.as_flattened(), tail])
    }
}

/// The bytes of a model whose table is written; `weights` in a record of it. Where hashes are kept, `tails` begin with their
/// upper halves.
///
/// # Errors
/// As [`write`].
pub(crate) fn assemble(
    card: &Card,
    weights: usize,
    (table, buckets): (&[u8], usize),
    hashes: Hashes,
    tails: &[&[u8]],
) -> Result<Vec<u8>> {
    let classes = card.labels.len();
    let encoded =
        bincode::serde::encode_to_vec(card, bincode::config::standard()).map_err(|_| too_large())?;
    let table_start = HEADER + encoded.len().next_multiple_of(64);
    let tail = tails.iter().map(|tail| tail.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(table_start + table.len() + tail);
    bytes.resize(table_start, 0);
    bytes.extend_from_slice(table);
    tails.iter().for_each(|tail| bytes.extend_from_slice(tail));

    let number = |value: usize| u32::try_from(value).map(u32::to_le_bytes).map_err(|_| too_large());
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&OwnReading::Added.format(&card.own_terms).to_le_bytes());
    bytes[12..16].copy_from_slice(&TOKENIZER_VERSION.to_le_bytes());
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[28..32].copy_from_slice(&number(encoded.len())?);
    bytes[32..36].copy_from_slice(&number(buckets)?);
    bytes[36..40].copy_from_slice(&number(classes)?);
    bytes[40..44].copy_from_slice(&number(tail)?);
    bytes[48..52].copy_from_slice(&number(if weights == classes { 0 } else { weights })?);
    bytes[HALVES..HALVES + 4].copy_from_slice(&number(usize::from(hashes == Hashes::Kept))?);
    bytes[NO_GRAMS..NO_GRAMS + 4].copy_from_slice(&u32::from(card.no_grams).to_le_bytes());
    bytes[HEADER..HEADER + encoded.len()].copy_from_slice(&encoded);
    let sum = checksum(&bytes);
    bytes[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// Has a model's bytes say something else of the model; the rest is as it was. They are changed where they lie: a model may be
/// large, and needs no copy of itself for that.
///
/// # Errors
/// As [`Model::open_unchecked`], and `Limit` for a card that is too large.
pub(crate) fn restate(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Card)) -> Result<()> {
    let mut card = Model::open_unchecked(bytes)?.card;
    change(&mut card);
    let mut encoded =
        bincode::serde::encode_to_vec(&card, bincode::config::standard()).map_err(|_| too_large())?;
    let card_length = u32::try_from(encoded.len()).map_err(|_| too_large())?;
    encoded.resize(encoded.len().next_multiple_of(64), 0);
    let before = usize::try_from(super::number(bytes, 28)).unwrap_or(usize::MAX).next_multiple_of(64);
    bytes.splice(HEADER..HEADER + before, encoded);
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[28..32].copy_from_slice(&card_length.to_le_bytes());
    let sum = checksum(bytes);
    bytes[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// A table on its own that is being written.
#[derive(Debug)]
pub(crate) struct TableWriter {
    bytes: Vec<u8>,
    buckets: usize,
    layout: Layout,
}

impl TableWriter {
    /// With room for so many terms, of so many classes.
    pub fn new(terms: usize, classes: usize) -> Self {
        let (buckets, layout) = (buckets(terms), Layout::new(classes));
        Self { bytes: vec![0; buckets * layout.bucket], buckets, layout }
    }

    /// Writes a term, no more than there is room for and each once; the number of its slot.
    pub fn put(&mut self, term: &EntryDraft) -> usize {
        write_term(&mut self.bytes, self.buckets, self.layout, term)
    }

    /// Hides the term in a slot: of it nothing is known but whether a longer one begins with it.
    pub fn hide(&mut self, slot: usize) {
        self.bytes[slot / SLOTS * self.layout.bucket + self.layout.record(slot % SLOTS).start] = HIDDEN;
    }

    /// The table's bytes, and how many buckets it has.
    pub fn finish(self) -> (Vec<u8>, usize) {
        (self.bytes, self.buckets)
    }
}

/// A record on its own.
pub(crate) fn record(term: &EntryDraft) -> Vec<u8> {
    let mut record = vec![0; Layout::new(term.weights.len()).record];
    write_record(&mut record, &term.weights, term.lexicon_value, term.left);
    record
}

pub(crate) fn too_large() -> Error {
    Error::new(
        ErrorKind::Limit,
        "the model would be larger than 4 GiB",
        "Train with fewer rows, or with options that keep fewer terms.",
    )
}

/// Buckets for so many terms, one free slot at least; the sums are small enough for exact floats.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn buckets(terms: usize) -> usize {
    (terms as f64 / (SLOTS as f64 * LOAD)).ceil() as usize + 1
}

/// Puts a term into the first free slot from its bucket on, and returns the slot's number. The table is never full.
pub(super) fn write_term(table: &mut [u8], buckets: usize, layout: Layout, term: &EntryDraft) -> usize {
    let (mut bucket, fingerprint) = place(term.hash, buckets);
    loop {
        let line = &mut table[bucket * layout.bucket..][..layout.bucket];
        if let Some(slot) = (0..SLOTS).find(|&slot| line[Layout::fingerprint(slot)] == [0; 4]) {
            line[Layout::fingerprint(slot)].copy_from_slice(&fingerprint.to_le_bytes());
            write_record(&mut line[layout.record(slot)], &term.weights, term.lexicon_value, term.left);
            return bucket * SLOTS + slot;
        }
        bucket = (bucket + 1) % buckets;
    }
}
