//! From fitted weights to a model's table: what belongs to a word is summed up into its one entry.

use super::features::{Reader, Scales, TermMap, TermSort, Vocabulary, lexicon_value};
use super::logistic_regression::Weights;
use crate::model::{self, Card, EntryDraft};
use crate::terms::{self, GramBuffer};
use crate::text::{Text, Tokenized};
use crate::{Result, hash};

/// Words with a value of their own, about -4 (worst) to 4 (best).
#[derive(Debug, Default)]
pub struct Lexicon {
    terms: TermMap<f64>,
    forms: Vec<(u64, String)>,
}

impl Lexicon {
    /// A lexicon of words or emoticons. Entries that the tokenizer does not read as one token are left out; of
    /// entries that read the same (`:)` and `:-)`), the first counts.
    pub fn new<'t>(entries: impl IntoIterator<Item = (&'t str, f64)>) -> Self {
        let mut lexicon = Self::default();
        let mut text = Tokenized::default();
        for (entry, value) in entries {
            text.read(&Text::from(entry));
            if let [token] = text.tokens() {
                lexicon.terms.entry(token.hash).or_insert_with(|| {
                    lexicon.forms.push((token.hash, text.form(token).to_owned()));
                    value
                });
            }
        }
        lexicon
    }

    /// Token hashes and their values.
    pub(super) fn terms(&self) -> &TermMap<f64> {
        &self.terms
    }
}

/// A fit, ready to be written.
pub(super) struct Fitted<'f> {
    pub vocabulary: &'f Vocabulary,
    pub weights: &'f Weights,
    pub scales: &'f Scales,
    pub temperature: f64,
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
    pub fn write<'t>(
        &self,
        mut card: Card,
        texts: impl Iterator<Item = &'t str>,
        lexicon: &Lexicon,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Vec<u8>> {
        let mut table = self.own_terms();
        let mut reader = Reader::default();
        let mut grams = GramBuffer::default();
        // Every word of the training texts gets its entry, those below the threshold too: they are the likeliest.
        for text in texts {
            check()?;
            card.rows_train += 1;
            reader.read(text, |_, _| {});
            reader.words().for_each(|(hash, form)| self.fold_word(&mut table, hash, form, &mut grams));
            self.mark_left(&mut table, &reader);
        }
        for (hash, form) in &lexicon.forms {
            self.fold_word(&mut table, *hash, form, &mut grams);
        }
        self.add_lexicon(&mut table, lexicon);

        let divide = |weights: &[f64], scale: f64| {
            weights.iter().map(|weight| weight * scale / self.temperature).collect()
        };
        card.bias = divide(self.weights.bias(), 1.0);
        card.shape_weights = divide(self.weights.shapes(), self.scales.shape);
        let (unit, drafts) = round(table);
        card.weight_unit = unit;
        model::write(&card, drafts)
    }

    /// A term's fitted weights, as logits of the calibrated model.
    fn fitted(&self, id: u32) -> impl Iterator<Item = f64> {
        let at = usize::try_from(id).unwrap_or(usize::MAX);
        let scale = self.scales.of(self.vocabulary.sorts[at]) / self.temperature;
        self.weights.term(at).iter().map(move |weight| weight * scale)
    }

    /// Every kept term with its own weights.
    fn own_terms(&self) -> TermMap<Sum> {
        let terms = self.vocabulary.hashes.iter().zip(0..).zip(&self.vocabulary.sorts);
        let sum = |id, sort| Sum {
            weights: self.fitted(id).collect(),
            word: sort == TermSort::Unit,
            ..Sum::default()
        };
        terms.map(|((&hash, id), &sort)| (hash, sum(id, sort))).collect()
    }

    fn empty(&self) -> Sum {
        Sum { weights: vec![0.0; self.weights.bias().len()], ..Sum::default() }
    }

    /// Adds the weights of a word's character n-grams to its entry, once.
    fn fold_word(&self, table: &mut TermMap<Sum>, hash: u64, form: &str, grams: &mut GramBuffer) {
        let entry = table.entry(hash).or_insert_with(|| self.empty());
        if std::mem::replace(&mut entry.folded, true) {
            return;
        }
        entry.word = true;
        terms::grams(form, grams, |gram| {
            if let Some(id) = self.vocabulary.id(gram) {
                entry.weights.iter_mut().zip(self.fitted(id)).for_each(|(sum, weight)| *sum += weight);
            }
        });
    }

    /// Marks the tokens and pairs of the last text that a kept n-gram begins with.
    fn mark_left(&self, table: &mut TermMap<Sum>, reader: &Reader) {
        let mut mark = |left: u64, longer: u64| {
            if self.vocabulary.id(longer).is_some() {
                table.entry(left).or_insert_with(|| self.empty()).left = true;
            }
        };
        let (mut one, mut two) = (None, None);
        for token in reader.hashes() {
            if let Some(pair) = two {
                mark(pair, hash::joint(pair, token));
            }
            two = one.map(|left| hash::joint(left, token));
            if let (Some(left), Some(pair)) = (one, two) {
                mark(left, pair);
            }
            one = Some(token);
        }
    }

    /// Notes the lexicon's values, under negation as well.
    fn add_lexicon(&self, table: &mut TermMap<Sum>, lexicon: &Lexicon) {
        for (&hash, &value) in lexicon.terms() {
            for (hash, negated) in [(hash, false), (hash::negated(hash), true)] {
                let entry = table.entry(hash).or_insert_with(|| self.empty());
                entry.lexicon_value = lexicon_value(value, negated);
            }
        }
    }
}

/// Rounds the weights to 8 bits: what one unit is worth, and the terms that are still worth something.
#[allow(clippy::cast_possible_truncation)]
fn round(table: TermMap<Sum>) -> (f64, Vec<EntryDraft>) {
    let mut terms: Vec<(u64, Sum)> = table.into_iter().collect();
    // A fixed order, for the sum of errors below is rounded too.
    terms.sort_unstable_by_key(|&(hash, _)| hash);
    let unit = best_unit(&terms);
    let draft = |(hash, sum): (u64, Sum)| EntryDraft {
        hash,
        // A float cast saturates: the few weights beyond the range are kept at its end.
        weights: sum
            .weights
            .iter()
            .map(|weight| (weight / unit).round().clamp(-127.0, 127.0) as i8)
            .collect(),
        lexicon_value: sum.lexicon_value,
        left: sum.left,
        word: sum.word,
    };
    let worth = |term: &EntryDraft| {
        term.word || term.left || term.lexicon_value != 0.0 || term.weights.iter().any(|&weight| weight != 0)
    };
    (unit, terms.into_iter().map(draft).filter(worth).collect())
}

/// The unit with the least squared error of rounding: a few large weights cut off may serve all the others.
fn best_unit(terms: &[(u64, Sum)]) -> f64 {
    let weights = || terms.iter().flat_map(|(_, sum)| &sum.weights);
    let largest = weights().fold(0.0_f64, |most, weight| most.max(weight.abs()));
    let error = |unit: f64| -> f64 {
        let rounded = |weight: f64| (weight / unit).round().clamp(-127.0, 127.0) * unit;
        weights().map(|&weight| (weight - rounded(weight)).powi(2)).sum()
    };
    let units = (2..=16).map(|sixteenths| f64::from(sixteenths) / 16.0 * largest / 127.0);
    let best = units.filter(|&unit| unit > 0.0).map(|unit| (error(unit), unit));
    best.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |(_, unit)| unit)
}
