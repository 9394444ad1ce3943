//! From fitted weights to a model's table: what belongs to a word is summed up into its one entry.

use super::features::{Reader, Scales, TermMap, TermSort, Vocabulary, lexicon_value};
use super::logistic_regression::Weights;
use crate::model::{self, Card, EntryDraft, LARGEST_WEIGHT};
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
        card.terms = drafts.len() as u64;
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

/// A term that moves no logit by more than this, before the text's scale, is not worth its place.
const WORTH: f64 = 0.01;

/// Rounds the weights: what one unit is worth, and the terms that are worth their place.
#[allow(clippy::cast_possible_truncation)]
fn round(mut table: TermMap<Sum>) -> (f64, Vec<EntryDraft>) {
    let largest = |sum: &Sum| sum.weights.iter().fold(0.0_f64, |most, weight| most.max(weight.abs()));
    table.retain(|_, sum| sum.word || sum.left || sum.lexicon_value != 0.0 || largest(sum) > WORTH);
    let unit =
        table.values().map(largest).fold(0.0, f64::max).max(f64::MIN_POSITIVE) / f64::from(LARGEST_WEIGHT);
    let draft = |(hash, sum): (u64, Sum)| EntryDraft {
        hash,
        weights: sum.weights.iter().map(|weight| (weight / unit).round() as i32).collect(),
        lexicon_value: sum.lexicon_value,
        left: sum.left,
    };
    (unit, table.into_iter().map(draft).collect())
}
