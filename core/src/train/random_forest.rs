//! Random forest (Breiman 2001) over the presence of terms: many trees, each grown from a sample of the rows, each split
//! from a sample of the terms.

use super::rows::{Labelled, Rows, Sample};
use super::vocabulary::Vocabulary;
use super::{Example, Options, Watch};
use crate::forest::{self, Leaf, Node, Trees};
use crate::model::{self, Card, EntryDraft, Hashes};
use crate::shape::SHAPES;
use crate::{Error, Result, hash};
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
    /// Terms that are tried at a split; 0 for the square root of the features.
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

    /// Bytes that a fit holds: chi-squared counts, rows of features, and trees, of which a leaf a row is the most.
    pub fn memory(&self, rows: &Rows) -> usize {
        let leaves = self.trees * (rows.len() / (self.min_leaf as usize).max(1)).max(1);
        rows.terms * (self.classes + 1) * 8 + rows.size() + leaves * (2 * 8 + 2 * self.classes) / 4
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
        temperature: f64,
        watch: &mut dyn Watch,
    ) -> Result<Vec<u8>> {
        watch.step("writing", 0, 1)?;
        let drafts = self.entries(vocabulary, examples);
        card.rows_train = examples.len() as u64;
        card.bias = vec![0.0; card.labels.len()];
        card.shape_weights = vec![0.0; card.labels.len() * SHAPES];
        // The forest's share of its card: what the log-probabilities are multiplied by.
        card.weight_unit = 1.0 / temperature;
        card.terms = self.terms.len() as u64;
        model::write(&card, drafts, Hashes::Dropped, &self.trees.write())
    }

    fn entries(&self, vocabulary: &Vocabulary, examples: &[Example<'_>]) -> Vec<EntryDraft> {
        let mut entries = super::vocabulary::TermMap::<EntryDraft>::default();
        let blank = |hash| EntryDraft { hash, weights: forest::no_feature(), ..EntryDraft::default() };
        for (feature, &term) in (0..).zip(&self.terms) {
            let hash = vocabulary.hashes[term as usize];
            entries.insert(hash, EntryDraft { weights: forest::feature_bytes(feature), ..blank(hash) });
        }
        let mut reader = super::vocabulary::Reader::default();
        for example in examples {
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
        entries.into_values().collect()
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
        let Sample { rows, chosen } = dataset.records();
        let terms = select(rows, chosen, dataset.targets(), &self.parameters);
        let mut features = vec![None; rows.terms];
        for (feature, &term) in (0..).zip(&terms) {
            features[term as usize] = Some(feature);
        }
        let ground = Ground::new(&self.parameters, rows, dataset, &features, terms.len());
        let mut growth = Growth::new(&ground);
        let mut trees = Trees { classes: self.parameters.classes, features: terms.len(), ..Trees::default() };
        for number in 0..self.parameters.trees {
            let mut watch = self.watch.borrow_mut();
            let mut check = || watch.step("growing trees", number, self.parameters.trees);
            growth.grow(number as u64, &mut trees, &mut check)?;
        }
        Ok(Forest { trees, terms, features })
    }
}

/// The terms that tell the classes apart best, by chi-squared over the texts that have them.
#[allow(clippy::cast_precision_loss)]
fn select(rows: &Rows, chosen: &[u32], targets: &Array1<usize>, parameters: &RandomForest) -> Vec<u32> {
    let classes = parameters.classes;
    let mut counts = vec![0u32; rows.terms * classes];
    let mut sizes = vec![0.0_f64; classes];
    let mut seen = Vec::new();
    for (&at, &class) in chosen.iter().zip(targets) {
        sizes[class] += 1.0;
        seen.clear();
        rows.each_term(at, |id| seen.push(id as usize));
        seen.sort_unstable();
        seen.dedup();
        seen.iter().for_each(|id| counts[id * classes + class] += 1);
    }
    let total: f64 = sizes.iter().sum();
    let score = |counts: &[u32]| -> f64 {
        let texts: f64 = counts.iter().map(|&count| f64::from(count)).sum();
        let cell = |(&count, size): (&u32, &f64)| {
            let expected = texts * size / total;
            if expected > 0.0 { (f64::from(count) - expected).powi(2) / expected } else { 0.0 }
        };
        counts.iter().zip(&sizes).map(cell).sum()
    };
    let mut scored: Vec<(f64, u32)> = counts.chunks_exact(classes).map(score).zip(0..).collect();
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut terms: Vec<u32> = scored.iter().take(parameters.features).map(|scored| scored.1).collect();
    terms.sort_unstable();
    terms
}

/// What all trees grow from: rows of features, classes, and what a row of each class weighs.
struct Ground {
    parameters: RandomForest,
    ends: Vec<usize>,
    features: Vec<u32>,
    classes: Vec<usize>,
    weights: Vec<f64>,
    width: usize,
}

impl Ground {
    #[allow(clippy::cast_precision_loss)]
    fn new(
        parameters: &RandomForest,
        rows: &Rows,
        dataset: &Labelled<'_>,
        feature_of: &[Option<u32>],
        width: usize,
    ) -> Self {
        let (mut ends, mut features) = (Vec::new(), Vec::new());
        for &at in &dataset.records().chosen {
            let start = features.len();
            rows.each_term(at, |id| features.extend(feature_of[id as usize]));
            features[start..].sort_unstable();
            let mut kept = start;
            for index in start..features.len() {
                if index == start || features[index] != features[index - 1] {
                    features[kept] = features[index];
                    kept += 1;
                }
            }
            features.truncate(kept);
            ends.push(kept);
        }
        let classes: Vec<usize> = dataset.targets().to_vec();
        let mut sizes = vec![0.0_f64; parameters.classes];
        classes.iter().for_each(|&class| sizes[class] += 1.0);
        let balanced = |size: &f64| classes.len() as f64 / (parameters.classes as f64 * size.max(1.0));
        let weights =
            sizes.iter().map(|size| if parameters.balanced { balanced(size) } else { 1.0 }).collect();
        Self { parameters: *parameters, ends, features, classes, weights, width }
    }

    fn row(&self, at: u32) -> &[u32] {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.features[start..self.ends[at]]
    }

    fn has(&self, at: u32, feature: u32) -> bool {
        self.row(at).binary_search(&feature).is_ok()
    }
}

/// A row in a tree's sample, and how often it was drawn.
#[derive(Clone, Copy)]
struct Drawn {
    row: u32,
    times: u32,
}

/// A part of the sample that has yet to become a node.
struct Pending {
    start: usize,
    end: usize,
    depth: usize,
    /// The node whose right child it is; none for a root and for a left child, which follows its parent.
    parent: Option<usize>,
}

/// Grows tree after tree in the same buffers.
struct Growth<'g> {
    ground: &'g Ground,
    sample: Vec<Drawn>,
    /// Features x classes: weights of the node's rows that have the feature.
    sums: Vec<f64>,
    /// Rows of the node that have the feature.
    rows: Vec<u32>,
    /// The features that have any.
    touched: Vec<u32>,
}

impl<'g> Growth<'g> {
    fn new(ground: &'g Ground) -> Self {
        let (sums, rows) = (vec![0.0; ground.width * ground.parameters.classes], vec![0; ground.width]);
        Self { ground, sample: Vec::new(), sums, rows, touched: Vec::new() }
    }

    /// Grows one tree.
    fn grow(&mut self, number: u64, trees: &mut Trees, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let mut chance = Chance::new(self.ground.parameters.seed, number);
        self.draw(&mut chance);
        trees.roots.push(trees.nodes.len());
        let mut pending = vec![Pending { start: 0, end: self.sample.len(), depth: 0, parent: None }];
        while let Some(part) = pending.pop() {
            check()?;
            let at = trees.nodes.len();
            if let Some(parent) = part.parent {
                trees.nodes[parent].right = at;
            }
            let sums = self.sum(&part);
            let split = if part.depth < self.ground.parameters.depth {
                self.split(&part, &sums, &mut chance)
            } else {
                None
            };
            let Some(feature) = split else {
                trees.nodes.push(Node { feature: None, right: trees.leaves.len() });
                trees.leaves.push(Leaf::new(&sums));
                continue;
            };
            trees.nodes.push(Node { feature: Some(feature), right: 0 });
            let middle = self.part(&part, feature);
            let depth = part.depth + 1;
            pending.push(Pending { start: middle, end: part.end, depth, parent: Some(at) });
            pending.push(Pending { start: part.start, end: middle, depth, parent: None });
        }
        Ok(())
    }

    /// Draws a tree's rows.
    fn draw(&mut self, chance: &mut Chance) {
        let count = u32::try_from(self.ground.classes.len()).unwrap_or(u32::MAX);
        self.sample.clear();
        if !self.ground.parameters.bootstrap {
            self.sample.extend((0..count).map(|row| Drawn { row, times: 1 }));
            return;
        }
        let mut times = vec![0u32; count as usize];
        (0..count).for_each(|_| times[chance.below(count) as usize] += 1);
        let drawn = (0..).zip(times).filter(|&(_, times)| times > 0);
        self.sample.extend(drawn.map(|(row, times)| Drawn { row, times }));
    }

    /// The weight of each class in a part.
    fn sum(&self, part: &Pending) -> Vec<f64> {
        let mut sums = vec![0.0; self.ground.parameters.classes];
        for drawn in &self.sample[part.start..part.end] {
            let class = self.ground.classes[drawn.row as usize];
            sums[class] += f64::from(drawn.times) * self.ground.weights[class];
        }
        sums
    }

    /// The feature that parts the rows best of some that are drawn by lot; only features that some rows have are drawn.
    fn split(&mut self, part: &Pending, all: &[f64], chance: &mut Chance) -> Option<u32> {
        let RandomForest { classes, min_leaf, .. } = self.ground.parameters;
        let total: f64 = all.iter().sum();
        if all.iter().any(|sum| *sum >= total) {
            return None;
        }
        self.tally(part);
        let sample = &self.sample[part.start..part.end];
        let rows: u32 = sample.iter().map(|drawn| drawn.times).sum();
        self.touched.sort_unstable();
        let mut best = (purity(all) + 1e-9 * total, None);
        let mut left = self.tries();
        for drawn in 0..self.touched.len() {
            let last = u32::try_from(self.touched.len() - drawn).unwrap_or(u32::MAX);
            self.touched.swap(drawn, drawn + chance.below(last) as usize);
            let feature = self.touched[drawn];
            let having = self.rows[feature as usize];
            if having < min_leaf || rows - having < min_leaf {
                continue;
            }
            let with = &self.sums[feature as usize * classes..][..classes];
            let without = all.iter().zip(with).map(|(all, with)| all - with);
            let purity = purity(with) + purity_of(without);
            if purity > best.0 {
                best = (purity, Some(feature));
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        for &feature in &self.touched {
            self.rows[feature as usize] = 0;
            self.sums[feature as usize * classes..][..classes].fill(0.0);
        }
        best.1
    }

    fn tries(&self) -> usize {
        match self.ground.parameters.split_features {
            0 => self.ground.width.isqrt().max(1),
            tries => tries,
        }
    }

    fn tally(&mut self, part: &Pending) {
        let classes = self.ground.parameters.classes;
        self.touched.clear();
        for drawn in &self.sample[part.start..part.end] {
            let class = self.ground.classes[drawn.row as usize];
            let weight = f64::from(drawn.times) * self.ground.weights[class];
            for &feature in self.ground.row(drawn.row) {
                let rows = &mut self.rows[feature as usize];
                if *rows == 0 {
                    self.touched.push(feature);
                }
                *rows += drawn.times;
                self.sums[feature as usize * classes + class] += weight;
            }
        }
    }

    /// Puts the rows without the feature first; where those with it begin. Keeps the rows' order, so that sums of
    /// floats come out the same whatever was split before.
    fn part(&mut self, part: &Pending, feature: u32) -> usize {
        let sample = &mut self.sample[part.start..part.end];
        let (without, with): (Vec<Drawn>, Vec<Drawn>) =
            sample.iter().partition(|drawn| !self.ground.has(drawn.row, feature));
        sample[..without.len()].copy_from_slice(&without);
        sample[without.len()..].copy_from_slice(&with);
        part.start + without.len()
    }
}

/// Weight times (1 - Gini impurity): the larger its sum over the parts, the better the split.
fn purity(sums: &[f64]) -> f64 {
    purity_of(sums.iter().copied())
}

fn purity_of(sums: impl Iterator<Item = f64>) -> f64 {
    let (total, squares) = sums.fold((0.0, 0.0), |(total, squares), sum| (total + sum, squares + sum * sum));
    if total > 0.0 { squares / total } else { 0.0 }
}

/// Lots that are the same for the same seed (SplitMix64, Steele and others 2014).
struct Chance(u64);

impl Chance {
    fn new(seed: u64, number: u64) -> Self {
        Self(hash::joint(seed, number))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(((self.next() >> 32) * u64::from(end)) >> 32).unwrap_or(0)
    }
}
