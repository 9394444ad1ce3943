//! Training texts as sparse rows: the terms that are kept, and each text's counts of them.

use crate::predictor::length_scale;
use crate::shape::{SHAPES, Shape};
use crate::terms::{self, GramBuffer};
use crate::text::{Text, TokenMarks, Tokenized};
use crate::{Result, hash};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What sort of term a hash stands for: each sort has its own threshold and its own scale in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TermSort {
    Unit,
    Gram,
    Pair,
    Triple,
}

/// Fewest texts that a term must stand in to be kept, by sort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Words, hashtags, emoji and the like.
    pub unit: u32,
    /// Character n-grams.
    pub gram: u32,
    /// Pairs of neighbouring tokens.
    pub pair: u32,
    /// Three neighbouring tokens.
    pub triple: u32,
}

/// How strongly a term of each sort speaks in training: a smaller scale is a stronger regularisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// Words, hashtags, emoji and the like.
    pub unit: f64,
    /// Character n-grams.
    pub gram: f64,
    /// Pairs of neighbouring tokens.
    pub pair: f64,
    /// Three neighbouring tokens.
    pub triple: f64,
    /// Shape features.
    pub shape: f64,
}

impl Scales {
    pub(crate) fn of(&self, sort: TermSort) -> f64 {
        match sort {
            TermSort::Unit => self.unit,
            TermSort::Gram => self.gram,
            TermSort::Pair => self.pair,
            TermSort::Triple => self.triple,
        }
    }
}

/// Term hashes are mixed already: they are their own hash.
#[derive(Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash::token(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

pub(crate) type TermMap<T> = HashMap<u64, T, BuildHasherDefault<Mixed>>;

/// The terms that are kept, in the order of their hashes: the same texts give the same numbers in any order.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    ids: TermMap<u32>,
    pub hashes: Vec<u64>,
    pub sorts: Vec<TermSort>,
}

impl Vocabulary {
    pub fn id(&self, hash: u64) -> Option<u32> {
        self.ids.get(&hash).copied()
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Counts the texts that each term stands in and keeps the terms that reach their threshold.
    pub fn build<'t>(
        texts: impl Iterator<Item = &'t str>,
        thresholds: Thresholds,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        struct Count {
            sort: TermSort,
            texts: u32,
            last: usize,
        }
        let mut counts: TermMap<Count> = TermMap::default();
        let mut reader = Reader::default();
        for (at, text) in texts.enumerate() {
            check()?;
            reader.read(text, |hash, sort| {
                let count = counts.entry(hash).or_insert(Count { sort, texts: 0, last: usize::MAX });
                if count.last != at {
                    count.last = at;
                    count.texts += 1;
                }
            });
        }
        let enough = |count: &Count| {
            count.texts
                >= match count.sort {
                    TermSort::Unit => thresholds.unit,
                    TermSort::Gram => thresholds.gram,
                    TermSort::Pair => thresholds.pair,
                    TermSort::Triple => thresholds.triple,
                }
        };
        let mut kept: Vec<(u64, TermSort)> = counts
            .iter()
            .filter(|(_, count)| enough(count))
            .map(|(&hash, count)| (hash, count.sort))
            .collect();
        kept.sort_unstable();
        let ids = kept.iter().zip(0..).map(|(&(hash, _), id)| (hash, id)).collect();
        let (hashes, sorts) = kept.into_iter().unzip();
        Ok(Self { ids, hashes, sorts })
    }
}

/// Reads training texts term by term, as the predictor will.
#[derive(Default)]
pub(crate) struct Reader {
    text: Tokenized,
    grams: GramBuffer,
}

impl Reader {
    /// Calls `visit` with each term of a text.
    pub fn read(&mut self, text: &str, mut visit: impl FnMut(u64, TermSort)) {
        self.text.read(&Text::from(text));
        let (mut one, mut two) = (None::<u64>, None::<u64>);
        for token in self.text.tokens() {
            if terms::has_unit(token) {
                visit(terms::unit(token), TermSort::Unit);
            }
            if terms::has_grams(token) {
                terms::grams(self.text.form(token), &mut self.grams, |gram| visit(gram, TermSort::Gram));
            }
            if let Some(left) = two {
                visit(hash::joint(left, token.hash), TermSort::Triple);
            }
            two = one.map(|left| hash::joint(left, token.hash));
            if let Some(pair) = two {
                visit(pair, TermSort::Pair);
            }
            one = Some(token.hash);
        }
    }

    /// The spelled tokens of the last text: hash and form.
    pub fn words(&self) -> impl Iterator<Item = (u64, &str)> {
        let words = self.text.tokens().iter().filter(|token| terms::is_spelled(token));
        words.map(|token| (token.hash, self.text.form(token)))
    }

    /// The hashes of the last text's tokens, negation left aside.
    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        self.text.tokens().iter().map(|token| token.hash)
    }

    /// The shape features of the last text.
    pub fn shape(&self, lexicon: &TermMap<f64>) -> [f64; SHAPES] {
        let mut shape = Shape::default();
        for token in self.text.tokens() {
            let value = lexicon.get(&token.hash).copied().unwrap_or(0.0);
            shape.add(
                token,
                self.text.form(token),
                lexicon_value(value, token.marks.has(TokenMarks::NEGATED)),
            );
        }
        shape.features()
    }

    pub fn tokens(&self) -> usize {
        self.text.tokens().len()
    }
}

/// A word's lexicon value under negation: turned and dampened, as measured for VADER (Hutto and Gilbert 2014).
pub(crate) fn lexicon_value(value: f64, negated: bool) -> f64 {
    if negated { value * -0.74 } else { value }
}

/// Texts as compressed sparse rows of term counts (scaled), with dense shape features beside them.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    ends: Vec<usize>,
    pub ids: Vec<u32>,
    pub values: Vec<f32>,
    pub shapes: Vec<[f64; SHAPES]>,
}

impl Rows {
    #[allow(clippy::cast_possible_truncation)]
    pub fn build<'t>(
        texts: impl Iterator<Item = &'t str>,
        vocabulary: &Vocabulary,
        lexicon: &TermMap<f64>,
        scales: &Scales,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let mut rows = Self::default();
        let mut reader = Reader::default();
        let mut ids: Vec<u32> = Vec::new();
        for text in texts {
            check()?;
            ids.clear();
            reader.read(text, |hash, _| ids.extend(vocabulary.id(hash)));
            ids.sort_unstable();
            let length = length_scale(reader.tokens());
            for same in ids.chunk_by(|a, b| a == b) {
                let sort = vocabulary.sorts[same[0] as usize];
                let count = u32::try_from(same.len()).unwrap_or(u32::MAX);
                rows.ids.push(same[0]);
                rows.values.push((f64::from(count) * length * scales.of(sort)) as f32);
            }
            rows.ends.push(rows.ids.len());
            rows.shapes.push(reader.shape(lexicon).map(|feature| feature * scales.shape));
        }
        Ok(rows)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The term numbers and values of row `at`.
    pub fn row(&self, at: usize) -> (&[u32], &[f32]) {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        (&self.ids[start..self.ends[at]], &self.values[start..self.ends[at]])
    }
}
