//! From fitted weights to a model's table: what belongs to a word is summed up into its one entry.

use super::Watch;
use super::lexicon::{Lexicon, lexicon_value};
use super::linear::Linear;
use super::rows::Rows;
use super::vocabulary::{TermMap, TermSort, Vocabulary};
use crate::model::{self, Card, EntryDraft, Hashes};
use crate::shape::SHAPES;
use crate::terms::{self, GramBuffer};
use crate::{Result, hash};
use std::hash::BuildHasherDefault;

/// Terms between two looks at whoever watches.
const STRIDE: u32 = 4096;

/// A fit, ready to be written.
pub(super) struct Fitted<'f> {
    pub vocabulary: &'f Vocabulary,
    pub rows: &'f Rows,
    pub linear: &'f Linear,
    /// What the logits are divided by.
    pub temperature: f64,
    pub lexicon: &'f Lexicon,
    /// Counts for a refresh to go on from.
    pub counts: Option<&'f [f64]>,
    /// Whether what is learned later can be taken into the table.
    pub hashes: Hashes,
}

/// A table entry before its weights are rounded.
#[derive(Default)]
struct Sum {
    weights: Vec<f64>,
    lexicon_value: f64,
    left: bool,
    /// A word: kept even if it weighs nothing, for it is known.
    word: bool,
    /// Whether the character n-grams are in it.
    folded: bool,
}

impl Fitted<'_> {
    /// Writes the model: card and table.
    pub fn write(&self, mut card: Card, watch: &mut dyn Watch) -> Result<Vec<u8>> {
        let mut table = self.terms(watch)?;
        // Every word of the training texts gets its entry, those below the threshold too: they are the likeliest.
        for (at, (hash, grams)) in (0_u32..).zip(self.rows.spelled()) {
            if at % STRIDE == 0 {
                watch.step("writing", 0, 1)?;
            }
            self.fold_word(&mut table, hash, grams.iter().copied());
        }
        self.mark_lefts(&mut table, watch)?;
        let mut buffer = GramBuffer::default();
        for (hash, form) in self.lexicon.forms() {
            let mut grams = Vec::new();
            if self.vocabulary.kept().chars {
                terms::grams(form, &mut buffer, |gram| grams.extend(self.vocabulary.id(gram)));
            }
            self.fold_word(&mut table, hash, grams.into_iter());
        }
        self.add_lexicon(&mut table);

        card.rows_train = self.rows.len() as u64;
        card.counting = self.linear.counting;
        card.bias = self.linear.bias.iter().map(|bias| bias / self.temperature).collect();
        card.shape_weights = self.linear.shapes.iter().map(|weight| weight / self.temperature).collect();
        card.shape_weights.resize(SHAPES * card.bias.len(), 0.0);
        let (unit, drafts) = round(table, self.hashes, watch)?;
        card.weight_unit = unit;
        card.terms = drafts.len() as u64;
        let state = self.counts.map(|counts| model::write_counts(&self.vocabulary.hashes, counts));
        model::write(&card, drafts, self.hashes, &state.unwrap_or_default(), watch)
    }

    /// A term's fitted weights, as logits of the calibrated model. What a term says of all classes alike says nothing.
    fn fitted(&self, id: u32) -> impl Iterator<Item = f64> {
        let weights = self.linear.term(id);
        #[allow(clippy::cast_precision_loss)]
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        weights.iter().map(move |weight| (weight - mean) / self.temperature)
    }

    /// Every kept term with its own weights.
    fn terms(&self, watch: &mut dyn Watch) -> Result<TermMap<Sum>> {
        let units = self.vocabulary.of_sort(TermSort::Unit);
        let sum = |id: u32| Sum {
            weights: self.fitted(id).collect(),
            word: units.contains(&(id as usize)),
            ..Sum::default()
        };
        let mut table =
            TermMap::with_capacity_and_hasher(self.vocabulary.len(), BuildHasherDefault::default());
        for (&hash, id) in self.vocabulary.hashes.iter().zip(0..) {
            if id % STRIDE == 0 {
                watch.step("writing", 0, 1)?;
            }
            table.insert(hash, sum(id));
        }
        Ok(table)
    }

    fn empty(&self) -> Sum {
        Sum { weights: vec![0.0; self.linear.bias.len()], ..Sum::default() }
    }

    /// Adds the weights of a word's character n-grams to its entry, once.
    fn fold_word(&self, table: &mut TermMap<Sum>, hash: u64, grams: impl Iterator<Item = u32>) {
        let entry = table.entry(hash).or_insert_with(|| self.empty());
        if std::mem::replace(&mut entry.folded, true) {
            return;
        }
        entry.word = true;
        for gram in grams {
            entry.weights.iter_mut().zip(self.fitted(gram)).for_each(|(sum, weight)| *sum += weight);
        }
    }

    /// Marks the tokens and pairs that a kept n-gram begins with.
    fn mark_lefts(&self, table: &mut TermMap<Sum>, watch: &mut dyn Watch) -> Result<()> {
        for (at, &left) in (0_u32..).zip(self.rows.lefts()) {
            if at % STRIDE == 0 {
                watch.step("writing", 0, 1)?;
            }
            table.entry(left).or_insert_with(|| self.empty()).left = true;
        }
        Ok(())
    }

    /// Notes the lexicon's values, under negation as well.
    fn add_lexicon(&self, table: &mut TermMap<Sum>) {
        for (hash, value) in self.lexicon.values() {
            for (hash, negated) in [(hash, false), (hash::negated(hash), true)] {
                let entry = table.entry(hash).or_insert_with(|| self.empty());
                entry.lexicon_value = lexicon_value(value, negated);
            }
        }
    }
}

/// A term that moves no logit by more than this, before the text's scale, is not worth its place.
const WORTH: f64 = 0.01;

/// Rounds the weights: what one unit is worth, and the terms that are worth their place.
#[allow(clippy::cast_possible_truncation)]
fn round(mut table: TermMap<Sum>, hashes: Hashes, watch: &mut dyn Watch) -> Result<(f64, Vec<EntryDraft>)> {
    let largest = |sum: &Sum| sum.weights.iter().fold(0.0_f64, |most, weight| most.max(weight.abs()));
    watch.step("writing", 0, 1)?;
    table.retain(|_, sum| sum.word || sum.left || sum.lexicon_value != 0.0 || largest(sum) > WORTH);
    let unit = hashes.unit(table.values().map(largest).fold(0.0, f64::max));
    let draft = |(hash, sum): (u64, Sum)| EntryDraft {
        hash,
        weights: sum.weights.iter().map(|weight| (weight / unit).round() as i32).collect(),
        lexicon_value: sum.lexicon_value,
        left: sum.left,
    };
    let mut drafts = Vec::with_capacity(table.len());
    for (at, term) in (0_u32..).zip(table) {
        if at % STRIDE == 0 {
            watch.step("writing", 0, 1)?;
        }
        drafts.push(draft(term));
    }
    Ok((unit, drafts))
}
