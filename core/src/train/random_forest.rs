//! Random forest (Breiman 2001) over the presence of terms: many trees, each grown from a sample of the rows, each split
//! from a sample of the terms.

mod growth;

use super::calibration::Calibrator;
use super::rows::{Labelled, Rows, Sample, texts_by_class};
use super::vocabulary::{TermMap, TermSort, Vocabulary, sorted};
use super::{Options, Watch};
use crate::forest::{self, Trees};
use crate::model::{Card, EntryDraft, Hashes, ModelWriter};
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
        let select = rows.terms * (4 * self.classes + 16 + 8);
        select + 2 * rows.size() + rows.len() * 24 + self.leaves(rows) * Trees::leaf_bytes(self.classes)
    }

    fn leaves(&self, rows: &Rows) -> usize {
        self.trees * (rows.len() / (self.min_leaf as usize).max(1)).max(1) / 2
    }

    /// Bytes that it takes to write the model: trees as they have grown and as they are written, the features of the terms,
    /// and for each token what is known of it, in a map and sorted.
    pub fn model_memory(&self, vocabulary: &Vocabulary, rows: &Rows) -> usize {
        let tokens = vocabulary.of_sort(TermSort::Unit).len() + rows.spelled().count();
        let tokens = tokens * (3 * size_of::<(u64, Known)>() + 1);
        let features = rows.terms * size_of::<Option<u32>>();
        let trees = Trees::leaf_bytes(self.classes) + Trees::written_leaf_bytes(self.classes);
        tokens + features + self.leaves(rows) * trees
    }
}

/// Entries between two looks at whoever watches.
const STRIDE: usize = 4096;

/// What a forest knows of a token or term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    /// The feature, if a split asks for it.
    feature: Option<u32>,
    /// Whether a longer term begins with it that a split asks for.
    left: bool,
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
    pub fn write<'t>(
        self,
        mut card: Card,
        texts: impl ExactSizeIterator<Item = &'t [u8]>,
        vocabulary: Vocabulary,
        calibrator: &Calibrator,
        watch: &mut dyn Watch,
    ) -> Result<Vec<u8>> {
        card.rows_train = texts.len() as u64;
        card.bias = calibrator.offsets.iter().map(|offset| offset / calibrator.temperature).collect();
        card.shape_weights = vec![0.0; card.labels.len() * SHAPES];
        // The forest's share of its card: what the log-probabilities are multiplied by.
        card.weight_unit = 1.0 / calibrator.temperature;
        card.terms = self.terms.len() as u64;
        let entries = self.entries(&vocabulary, texts, watch)?;
        drop(vocabulary);
        let mut model = ModelWriter::new(entries.len(), forest::no_feature().len(), Hashes::Dropped);
        for (number, (hash, Known { feature, left })) in entries.into_iter().enumerate() {
            if number % STRIDE == 0 {
                watch.step("writing", 0, 1)?;
            }
            let weights = feature.map_or_else(forest::no_feature, forest::feature_bytes);
            model.put(&EntryDraft { hash, weights, left, ..EntryDraft::default() });
        }
        let trees = self.trees.write();
        // Nobody asks the grown ones any more, and they take more than what is written.
        drop(self);
        model.finish(&card, &trees)
    }

    /// What is known of each token and of each term that a split asks for, by ascending hash.
    fn entries<'t>(
        &self,
        vocabulary: &Vocabulary,
        texts: impl ExactSizeIterator<Item = &'t [u8]>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<(u64, Known)>> {
        let mut entries = TermMap::<Known>::default();
        for (feature, &term) in (0..).zip(&self.terms) {
            entries.insert(vocabulary.hashes[term as usize], Known { feature: Some(feature), left: false });
        }
        let (mut reader, all) = (super::vocabulary::Reader::default(), texts.len());
        for (at, text) in texts.enumerate() {
            watch.step("writing", at, all)?;
            reader.read(text);
            let (mut one, mut two) = (None::<u64>, None::<u64>);
            for token in reader.hashes() {
                // A word that no split asks for is known all the same.
                entries.entry(token).or_default();
                let pair = one.map(|left| hash::joint(left, token));
                let triple = two.map(|left| hash::joint(left, token));
                for (left, longer, sort) in [(one, pair, TermSort::Pair), (two, triple, TermSort::Triple)] {
                    if let (Some(left), Some(_)) =
                        (left, longer.and_then(|longer| self.feature(vocabulary, longer, sort)))
                    {
                        entries.entry(left).or_default().left = true;
                    }
                }
                (two, one) = (pair, Some(token));
            }
        }
        sorted(entries.iter().map(|(&hash, &known)| (hash, known)), &mut || watch.step("writing", 0, 1))
    }

    fn feature(&self, vocabulary: &Vocabulary, hash: u64, sort: TermSort) -> Option<u32> {
        self.features[vocabulary.id(hash, sort)? as usize]
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
