//! Random forest (Breiman 2001) over the presence of terms: many trees, each grown from a sample of the rows, each split
//! from a sample of the terms.

mod growth;

use super::calibration::Calibrator;
use super::rows::{Labelled, Rows, Sample, texts_by_class};
use super::vocabulary::Vocabulary;
use super::{Example, Options, Watch};
use crate::forest::{self, Trees};
use crate::model::{self, Card, EntryDraft, Hashes};
use crate::shape::SHAPES;
use crate::{Error, Result, hash};
use growth::{Check, Ground, Growth};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2};
use std::cell::RefCell;

/// Parameters of the fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RandomForest {
    pub classes: usize,
    pub trees: usize,
    /// Most splits on the way to a leaf.
    pub depth: usize,
    /// Most terms that splits may ask for.
    pub features: usize,
    /// Terms that are tried at a split; 0 for the logarithm of the features to the base 2.
    pub split_features: usize,
    /// Fewest rows of a leaf.
    pub min_leaf: u32,
    /// Whether a tree sees rows drawn with replacement, or all.
    pub bootstrap: bool,
    /// Whether every class counts the same, whatever its share.
    pub balanced: bool,
    pub seed: u64,
}

impl RandomForest {
    /// The parameters that the options ask for.
    pub fn new(options: &Options, classes: usize, seed: u64) -> Self {
        let count = |name| options.count(name) as usize;
        Self {
            classes,
            trees: count("trees"),
            depth: count("depth"),
            features: count("features"),
            split_features: count("split_features"),
            min_leaf: options.count("min_leaf"),
            bootstrap: options.flag("bootstrap"),
            balanced: options.word("class_weight") == "balanced",
            seed,
        }
    }

    /// Bytes that a fit holds: chi-squared counts, rows by feature and features by row, what a tree's rows come to, and
    /// trees. A leaf a row would be the most; with terms that few texts have it is half of that, buffers' room included.
    pub fn memory(&self, rows: &Rows) -> usize {
        let leaves = self.trees * (rows.len() / (self.min_leaf as usize).max(1)).max(1);
        let select = rows.terms * (4 * self.classes + 16 + 8);
        select + 2 * rows.size() + rows.len() * 24 + leaves * Trees::leaf_bytes(self.classes) / 2
    }
}

/// A fitted forest.
#[derive(Debug)]
pub(crate) struct Forest {
    trees: Trees,
    /// The term of each feature.
    terms: Vec<u32>,
    /// The feature of each term, if it has one.
    features: Vec<Option<u32>>,
}

impl Forest {
    /// Writes the model: a table from terms to features, and the trees.
    pub fn write(
        &self,
        mut card: Card,
        examples: &[Example<'_>],
        vocabulary: &Vocabulary,
        calibrator: &Calibrator,
        watch: &mut dyn Watch,
    ) -> Result<Vec<u8>> {
        let drafts = self.entries(vocabulary, examples, watch)?;
        card.rows_train = examples.len() as u64;
        card.bias = calibrator.offsets.iter().map(|offset| offset / calibrator.temperature).collect();
        card.shape_weights = vec![0.0; card.labels.len() * SHAPES];
        // The forest's share of its card: what the log-probabilities are multiplied by.
        card.weight_unit = 1.0 / calibrator.temperature;
        card.terms = self.terms.len() as u64;
        model::write(&card, drafts, Hashes::Dropped, &self.trees.write(), watch)
    }

    fn entries(
        &self,
        vocabulary: &Vocabulary,
        examples: &[Example<'_>],
        watch: &mut dyn Watch,
    ) -> Result<Vec<EntryDraft>> {
        let mut entries = super::vocabulary::TermMap::<EntryDraft>::default();
        let blank = |hash| EntryDraft { hash, weights: forest::no_feature(), ..EntryDraft::default() };
        for (feature, &term) in (0..).zip(&self.terms) {
            let hash = vocabulary.hashes[term as usize];
            entries.insert(hash, EntryDraft { weights: forest::feature_bytes(feature), ..blank(hash) });
        }
        let mut reader = super::vocabulary::Reader::default();
        for (at, example) in examples.iter().enumerate() {
            watch.step("writing", at, examples.len())?;
            reader.read(example.text);
            let (mut one, mut two) = (None::<u64>, None::<u64>);
            for token in reader.hashes() {
                // A word that no split asks for is known all the same.
                entries.entry(token).or_insert_with(|| blank(token));
                let pair = one.map(|left| hash::joint(left, token));
                for (left, longer) in [(one, pair), (two, two.map(|left| hash::joint(left, token)))] {
                    if let (Some(left), Some(_)) =
                        (left, longer.and_then(|longer| self.feature(vocabulary, longer)))
                    {
                        entries.entry(left).or_insert_with(|| blank(left)).left = true;
                    }
                }
                (two, one) = (pair, Some(token));
            }
        }
        Ok(entries.into_values().collect())
    }

    fn feature(&self, vocabulary: &Vocabulary, hash: u64) -> Option<u32> {
        self.features[vocabulary.id(hash)? as usize]
    }
}

impl PredictInplace<Sample<'_>, Array2<f64>> for Forest {
    fn predict_inplace<'a>(&'a self, sample: &'a Sample<'_>, logits: &mut Array2<f64>) {
        let mut present = forest::Present::default();
        for (&at, mut row) in sample.chosen.iter().zip(logits.rows_mut()) {
            present.clear(self.terms.len());
            sample.rows.each_term(at, |id| {
                self.features[id as usize].iter().for_each(|&feature| present.set(feature))
            });
            if let Some(row) = row.as_slice_mut() {
                self.trees.logits(&present, row);
            }
        }
    }

    fn default_target(&self, sample: &Sample<'_>) -> Array2<f64> {
        Array2::zeros((sample.chosen.len(), self.trees.classes))
    }
}

/// A forest's growth that is watched.
pub(crate) struct Grower<'w> {
    pub parameters: RandomForest,
    pub watch: RefCell<&'w mut dyn Watch>,
}

impl Fit<Sample<'_>, Array1<usize>, Error> for Grower<'_> {
    type Object = Forest;

    fn fit(&self, dataset: &Labelled<'_>) -> Result<Forest> {
        let rows = dataset.records().rows;
        let mut watch = self.watch.borrow_mut();
        let trees = self.parameters.trees;
        let mut check = || watch.step("choosing terms", 0, trees);
        let terms = select(dataset, &self.parameters, &mut check)?;
        let mut features = vec![None; rows.terms];
        for (feature, &term) in (0..).zip(&terms) {
            features[term as usize] = Some(feature);
        }
        let ground = Ground::new(&self.parameters, dataset, &features, terms.len(), &mut check)?;
        let mut growth = Growth::new(&ground);
        let mut grown = Trees::new(self.parameters.classes, terms.len());
        for number in 0..trees {
            growth.grow(number as u64, &mut grown, &mut || watch.step("growing trees", number, trees))?;
        }
        Ok(Forest { trees: grown, terms, features })
    }
}

/// The terms that tell the classes apart best, by chi-squared over the texts that have them.
#[allow(clippy::cast_precision_loss)]
fn select(dataset: &Labelled<'_>, parameters: &RandomForest, check: Check<'_>) -> Result<Vec<u32>> {
    let classes = parameters.classes;
    let (counts, sizes) = texts_by_class(dataset, classes, check)?;
    let total: f64 = sizes.iter().sum();
    let score = |counts: &[u32]| -> f64 {
        let texts: f64 = counts.iter().map(|&count| f64::from(count)).sum();
        let cell = |(&count, size): (&u32, &f64)| {
            let expected = texts * size / total;
            if expected > 0.0 { (f64::from(count) - expected).powi(2) / expected } else { 0.0 }
        };
        counts.iter().zip(&sizes).map(cell).sum()
    };
    let mut scored: Vec<(f64, u32)> = Vec::with_capacity(counts.len() / classes.max(1));
    for (term, counts) in (0..).zip(counts.chunks_exact(classes)) {
        if term % 4096 == 0 {
            check()?;
        }
        scored.push((score(counts), term));
    }
    if scored.len() > parameters.features {
        // Which the best are matters, not their order: a whole sort of a million terms would not be stopped in time.
        let better = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        scored.select_nth_unstable_by(parameters.features, better);
    }
    let mut terms: Vec<u32> = scored.iter().take(parameters.features).map(|scored| scored.1).collect();
    terms.sort_unstable();
    Ok(terms)
}
