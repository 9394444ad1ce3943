//! From fitted weights to a model's table: what belongs to a word is summed up into its one entry.

use super::Watch;
use super::lexicon::{Lexicon, lexicon_value};
use super::linear::Linear;
use super::rows::Rows;
use super::vocabulary::{Index, TermSort, Vocabulary, number, sorted};
use crate::model::{self, Card, EntryDraft, Hashes, ModelWriter};
use crate::shape::SHAPES;
use crate::terms::{self, GramBuffer};
use crate::{Result, hash};

/// Terms between two looks at whoever watches.
const STRIDE: usize = 4096;

/// A fit, ready to be written. It is taken apart meanwhile, for there is no need to hold all of it beside the model.
pub(super) struct Fitted<'f> {
    pub vocabulary: Vocabulary,
    pub rows: Rows,
    pub linear: Linear,
    /// What the logits are divided by.
    pub temperature: f64,
    pub lexicon: &'f Lexicon,
    /// Counts for a refresh to go on from.
    pub counts: Option<Vec<f64>>,
    /// Whether what is learned later can be taken into the table.
    pub hashes: Hashes,
}

/// Bytes that it takes to write a fit beside the rows, the vocabulary and the fitted weights.
pub(super) fn memory(vocabulary: &Vocabulary, rows: &Rows, lexicon: &Lexicon, classes: usize) -> usize {
    let hashes = vocabulary.len() + rows.spelled().count() + 2 * lexicon.len();
    (hashes + rows.lefts().len()) * size_of::<u64>() + hashes * Entries::bytes(classes)
}

/// Bytes that it takes to write a model beside what its table is made of, if all terms get into it.
pub(super) fn model_memory(
    vocabulary: &Vocabulary,
    rows: &Rows,
    lexicon: &Lexicon,
    classes: usize,
    hashes: Hashes,
) -> usize {
    let terms = vocabulary.len() + rows.spelled().count() + 2 * lexicon.len();
    ModelWriter::memory(terms, classes, hashes, vocabulary.len() * model::count_bytes(classes))
}

impl Fitted<'_> {
    /// Writes the model: card and table.
    pub fn write(self, mut card: Card, watch: &mut dyn Watch) -> Result<Vec<u8>> {
        let entries = self.entries(watch)?;
        card.rows_train = self.rows.len() as u64;
        card.counting = self.linear.counting;
        card.bias = self.linear.bias.iter().map(|bias| bias / self.temperature).collect();
        card.shape_weights = self.linear.shapes.iter().map(|weight| weight / self.temperature).collect();
        card.shape_weights.resize(SHAPES * card.bias.len(), 0.0);
        let Self { vocabulary, rows, linear, counts, hashes, .. } = self;
        drop((rows, linear));
        watch.step("writing", 0, 1)?;
        let model = entries.round(&mut card, hashes, watch)?;
        drop(entries);
        let state = counts.map(|counts| model::write_counts(&vocabulary.hashes, &counts));
        drop(vocabulary);
        model.finish(&card, &state.unwrap_or_default())
    }

    /// The table's entries.
    fn entries(&self, watch: &mut dyn Watch) -> Result<Entries> {
        let mut entries = self.blank(watch)?;
        self.add_terms(&mut entries, watch)?;
        // Every word of the training texts gets its entry, those below the threshold too: they are the likeliest.
        for (at, (hash, grams)) in self.rows.spelled().enumerate() {
            if at % STRIDE == 0 {
                watch.step("writing", 0, 1)?;
            }
            self.fold_word(&mut entries, hash, grams.iter().copied());
        }
        for (at, &left) in self.rows.lefts().iter().enumerate() {
            if at % STRIDE == 0 {
                watch.step("writing", 0, 1)?;
            }
            if let Some(at) = entries.find(left) {
                entries.marks[at] |= Entries::LEFT;
            }
        }
        let mut buffer = GramBuffer::default();
        for (hash, form) in self.lexicon.forms() {
            let mut grams = Vec::new();
            if self.vocabulary.kept().chars {
                terms::grams(form, &mut buffer, |gram| {
                    grams.extend(self.vocabulary.id(gram, TermSort::Gram))
                });
            }
            self.fold_word(&mut entries, hash, grams.into_iter());
        }
        for (hash, value) in self.lexicon.values() {
            for (hash, negated) in [(hash, false), (hash::negated(hash), true)] {
                if let Some(at) = entries.find(hash) {
                    entries.lexicon_values[at] = lexicon_value(value, negated);
                }
            }
        }
        Ok(entries)
    }

    /// An entry without weights for every hash that gets one.
    fn blank(&self, watch: &mut dyn Watch) -> Result<Entries> {
        let lexicon = self.lexicon.values().flat_map(|(hash, _)| [hash, hash::negated(hash)]);
        let lexicon = lexicon.chain(self.lexicon.forms().map(|(hash, _)| hash));
        let words = self.rows.spelled().map(|(hash, _)| hash);
        let terms = self.vocabulary.hashes.iter().chain(self.rows.lefts()).copied();
        let all = terms.chain(words).chain(lexicon).map(|hash| (hash, ()));
        let sorted = sorted(all, &mut || watch.step("writing", 0, 1))?;
        let mut hashes: Vec<u64> = sorted.into_iter().map(|(hash, ())| hash).collect();
        hashes.dedup();
        hashes.shrink_to_fit();
        Ok(Entries::of(hashes, self.linear.bias.len()))
    }

    /// A term's fitted weights, as logits of the calibrated model. What a term says of all classes alike says nothing.
    fn fitted(&self, id: u32) -> impl Iterator<Item = f64> {
        let weights = self.linear.term(id);
        #[allow(clippy::cast_precision_loss)]
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        weights.iter().map(move |weight| (weight - mean) / self.temperature)
    }

    /// Gives every kept term its own weights.
    fn add_terms(&self, entries: &mut Entries, watch: &mut dyn Watch) -> Result<()> {
        let units = self.vocabulary.of_sort(TermSort::Unit);
        for (id, &hash) in self.vocabulary.hashes.iter().enumerate() {
            if id % STRIDE == 0 {
                watch.step("writing", 0, 1)?;
            }
            if let Some(at) = entries.find(hash) {
                entries.marks[at] |= if units.contains(&id) { Entries::WORD } else { 0 };
                entries.add(at, self.fitted(number(id)));
            }
        }
        Ok(())
    }

    /// Adds the weights of a word's character n-grams to its entry, once.
    fn fold_word(&self, entries: &mut Entries, hash: u64, grams: impl Iterator<Item = u32>) {
        let Some(at) = entries.find(hash) else { return };
        if entries.marks[at] & Entries::FOLDED == 0 {
            entries.marks[at] |= Entries::WORD | Entries::FOLDED;
            grams.for_each(|gram| entries.add(at, self.fitted(gram)));
        }
    }
}

/// The table's entries before their weights are rounded, by ascending hash.
struct Entries {
    hashes: Vec<u64>,
    index: Index,
    classes: usize,
    /// Entries x classes.
    weights: Vec<f64>,
    lexicon_values: Vec<f64>,
    /// What is known of each entry: a sum of the constants below.
    marks: Vec<u8>,
}

impl Entries {
    /// A known n-gram begins with it.
    const LEFT: u8 = 1;
    /// A word: kept even if it weighs nothing, for it is known.
    const WORD: u8 = 2;
    /// The character n-grams are in it.
    const FOLDED: u8 = 4;

    /// Bytes of an entry, its hash aside.
    fn bytes(classes: usize) -> usize {
        size_of::<f64>() * (classes + 1) + 1 + size_of::<u32>()
    }

    fn of(hashes: Vec<u64>, classes: usize) -> Self {
        let (index, length) = (Index::of(&hashes), hashes.len());
        let (weights, lexicon_values) = (vec![0.0; length * classes], vec![0.0; length]);
        Self { hashes, index, classes, weights, lexicon_values, marks: vec![0; length] }
    }

    fn find(&self, hash: u64) -> Option<usize> {
        self.index.find(&self.hashes, hash)
    }

    /// Adds to an entry's weights.
    fn add(&mut self, at: usize, weights: impl Iterator<Item = f64>) {
        let sums = &mut self.weights[at * self.classes..][..self.classes];
        sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
    }

    /// The largest weight of an entry, if the entry is worth its place.
    fn largest(&self, at: usize) -> Option<f64> {
        let weights = &self.weights[at * self.classes..][..self.classes];
        let largest = weights.iter().fold(0.0_f64, |most, weight| most.max(weight.abs()));
        let known = self.marks[at] & (Self::WORD | Self::LEFT) != 0 || self.lexicon_values[at] != 0.0;
        (known || largest > WORTH).then_some(largest)
    }

    /// Rounds the weights of the entries that are worth their place, and tells the card how.
    #[allow(clippy::cast_possible_truncation)]
    fn round(&self, card: &mut Card, hashes: Hashes, watch: &mut dyn Watch) -> Result<ModelWriter> {
        let (mut terms, mut largest) = (0, 0.0_f64);
        for weight in (0..self.hashes.len()).filter_map(|at| self.largest(at)) {
            terms += 1;
            largest = largest.max(weight);
        }
        let unit = hashes.unit(largest);
        (card.weight_unit, card.terms) = (unit, terms as u64);
        let mut model = ModelWriter::new(terms, self.classes, hashes);
        let mut draft = EntryDraft::default();
        for (at, &hash) in self.hashes.iter().enumerate() {
            if at % STRIDE == 0 {
                watch.step("writing", at, self.hashes.len())?;
            }
            if self.largest(at).is_some() {
                let weights = &self.weights[at * self.classes..][..self.classes];
                draft.hash = hash;
                draft.weights.clear();
                draft.weights.extend(weights.iter().map(|weight| (weight / unit).round() as i32));
                draft.lexicon_value = self.lexicon_values[at];
                draft.left = self.marks[at] & Self::LEFT != 0;
                model.put(&draft);
            }
        }
        Ok(model)
    }
}

/// A term that moves no logit by more than this, before the text's scale, is not worth its place.
const WORTH: f64 = 0.01;
