//! A model's bytes opened for reading texts.

mod explain;

pub use explain::{Reason, TokenView};

use crate::model::{Entry, Model, Table};
use crate::shape::Shape;
use crate::terms::{self, GramBuffer};
use crate::text::{Text, Token, TokenMarks, Tokenized};
use crate::{Result, hash};

/// Buffers that every reading reuses, so that a text allocates nothing once they have grown.
#[derive(Debug, Default)]
pub struct Scratch {
    text: Tokenized,
    grams: GramBuffer,
    sums: Vec<i64>,
    probabilities: Vec<f64>,
}

/// An opened model: a borrowed view of its bytes. It never changes.
#[derive(Clone, Debug)]
pub struct Predictor<'a> {
    model: Model<'a>,
    size: usize,
}

/// What a text came to.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'s> {
    /// Index of the label; [`Predictor::labels`] gives its text.
    pub label: usize,
    /// P(class), one for each class, summing to 1.
    pub probabilities: &'s [f64],
    /// Sum over classes of P(class) x value(class); `None` if no class has a value.
    pub score: Option<f64>,
    /// Share of the words, hashtags, emoji and emoticons that the model knows, 0 to 1.
    pub coverage: f64,
    /// Whether the text was longer than what is read.
    pub truncated: bool,
}

/// Counts kept while a text is read.
#[derive(Default)]
struct Tally {
    content: u32,
    known: u32,
    shape: Shape,
}

impl<'a> Predictor<'a> {
    /// Opens untrusted model bytes: checks magic, versions, lengths and checksum; copies no weights.
    ///
    /// # Errors
    /// `Damaged` for bytes that are no model or were changed, `Unsupported` for another format or tokenizer version.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        Ok(Self { model: Model::open(bytes)?, size: bytes.len() })
    }

    /// Opens bytes whose checksum is known to hold, such as those compiled into the library: costs no pass over them.
    ///
    /// # Errors
    /// As [`Predictor::open`], the checksum apart. Changed bytes can give wrong scores, nothing worse.
    pub fn open_unchecked(bytes: &'a [u8]) -> Result<Self> {
        Ok(Self { model: Model::open_unchecked(bytes)?, size: bytes.len() })
    }

    /// The model's name, such as `english`.
    pub fn name(&self) -> &str {
        &self.model.card.name
    }

    /// The version number within the name.
    pub fn version(&self) -> u32 {
        self.model.card.version
    }

    /// The training algorithm's SQL name.
    pub fn algorithm(&self) -> &str {
        &self.model.card.algorithm
    }

    /// BCP 47 tag of the language of the training texts, such as `en`.
    pub fn language(&self) -> &str {
        &self.model.card.language
    }

    /// The labels, in class order.
    pub fn labels(&self) -> &[String] {
        &self.model.card.labels
    }

    /// The value of class `label` in the score, if it has one.
    pub fn label_score(&self, label: usize) -> Option<f64> {
        self.model.card.label_scores.get(label).copied().flatten()
    }

    /// Rows that the model was trained on.
    pub fn rows_train(&self) -> u64 {
        self.model.card.rows_train
    }

    /// Measures of the model as the text of a JSON object.
    pub fn metrics(&self) -> &str {
        &self.model.card.metrics
    }

    /// Terms that the model holds: words, n-grams of words and of characters.
    pub fn terms(&self) -> u64 {
        self.model.card.terms
    }

    /// Size of the model's bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Reads a text. `None` where it holds nothing to score: no word, number, emoji or punctuation of feeling.
    pub fn read<'s>(&self, text: Text<'_>, scratch: &'s mut Scratch) -> Option<Reading<'s>> {
        scratch.text.read(&text);
        let tokens = scratch.text.tokens();
        if tokens.is_empty() {
            return None;
        }
        let classes = self.model.card.labels.len();
        let sums = &mut scratch.sums;
        sums.clear();
        sums.resize(classes, 0);
        let tally = self.walk(&scratch.text, &mut scratch.grams, |part| part.entry.add_to(sums));

        let card = &self.model.card;
        let unit = card.weight_unit * length_scale(tokens.len());
        let logits = &mut scratch.probabilities;
        logits.clear();
        logits.extend(card.bias.iter().zip(sums.iter()).map(|(bias, sum)| bias + unit * to_float(*sum)));
        let shape = tally.shape.features();
        for (feature, weights) in shape.iter().zip(card.shape_weights.chunks_exact(classes)) {
            for (logit, weight) in logits.iter_mut().zip(weights) {
                *logit += feature * weight;
            }
        }
        let label = softmax(logits);
        Some(Reading {
            label,
            score: self.score(logits),
            probabilities: logits,
            coverage: f64::from(tally.known) / f64::from(tally.content.max(1)),
            truncated: scratch.text.truncated(),
        })
    }

    /// Sum over classes of P(class) x value(class).
    fn score(&self, probabilities: &[f64]) -> Option<f64> {
        let values = &self.model.card.label_scores;
        let valued =
            || probabilities.iter().zip(values).filter_map(|(p, value)| value.map(|value| p * value));
        valued().next().map(|_| valued().sum())
    }

    /// Visits every known term of a text, and sums up what is not additive.
    fn walk(&self, text: &Tokenized, grams: &mut GramBuffer, mut visit: impl FnMut(Part<'_>)) -> Tally {
        let table = &self.model.table;
        let mut tally = Tally::default();
        // The joint hash of the last tokens if a known n-gram may go on from them: of one token, of two.
        let (mut one, mut two) = (None::<u64>, None::<u64>);
        warm_up(table, text.tokens());
        for (at, token) in text.tokens().iter().enumerate() {
            let entry = table.get(terms::unit(token));
            let form = text.form(token);
            if let Some(entry) = entry.filter(|_| terms::has_unit(token)) {
                visit(Part { entry, first: at, last: at });
            } else if terms::has_grams(token) {
                terms::grams(form, grams, |gram| {
                    if let Some(entry) = table.get(gram) {
                        visit(Part { entry, first: at, last: at });
                    }
                });
            }
            let value = entry.map_or(0.0, |entry| entry.lexicon_value());
            tally.shape.add(token, form, value);
            tally.content += u32::from(token.kind.is_content());
            tally.known += u32::from(token.kind.is_content() && entry.is_some());

            let three = two.and_then(|left| table.get(hash::joint(left, token.hash)));
            if let Some(entry) = three {
                visit(Part { entry, first: at - 2, last: at });
            }
            two = None;
            let joint = one.map(|left| hash::joint(left, token.hash));
            if let Some((joint, entry)) = joint.and_then(|joint| table.get(joint).map(|entry| (joint, entry)))
            {
                visit(Part { entry, first: at - 1, last: at });
                two = entry.is_left().then_some(joint);
            }
            let plain = if token.marks.has(TokenMarks::NEGATED) { table.get(token.hash) } else { entry };
            one = plain.filter(|entry| entry.is_left()).map(|_| token.hash);
        }
        tally
    }
}

/// Brings the buckets of a text's words and word pairs into the cache.
fn warm_up(table: &Table<'_>, tokens: &[Token]) {
    let mut last = 0;
    let mut seen = 0;
    for token in tokens {
        seen ^= table.touch(terms::unit(token)) ^ table.touch(hash::joint(last, token.hash));
        last = token.hash;
    }
    std::hint::black_box(seen);
}

/// A known term of a text: its record and the tokens that it spans.
struct Part<'e> {
    entry: Entry<'e>,
    first: usize,
    last: usize,
}

/// The length of a long message, in tokens: texts beyond it are scored by their mean.
const LONG: f64 = 64.0;

/// What a text of so many tokens is scaled by. Up to a long message's length, more words of one kind speak more surely,
/// as the root of their number; beyond it they do not, so that the repetition of a text keeps its score.
pub(crate) fn length_scale(tokens: usize) -> f64 {
    let tokens = to_float(i64::try_from(tokens.max(1)).unwrap_or(i64::MAX));
    if tokens <= LONG { 1.0 / tokens.sqrt() } else { LONG.sqrt() / tokens }
}

/// Sums stay far below 2^53: 65,536 tokens with 100 terms each of at most 2^15.
#[allow(clippy::cast_precision_loss)]
fn to_float(sum: i64) -> f64 {
    sum as f64
}

/// Turns logits into probabilities in place; the first largest one's index. The exponential is the portable one, so
/// that a score frozen in an index on one machine is the same on another.
pub(crate) fn softmax(logits: &mut [f64]) -> usize {
    let mut best = 0;
    for (at, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = at;
        }
    }
    let highest = logits[best];
    let mut total = 0.0;
    for logit in logits.iter_mut() {
        *logit = libm::exp(*logit - highest);
        total += *logit;
    }
    for logit in logits.iter_mut() {
        *logit /= total;
    }
    best
}
