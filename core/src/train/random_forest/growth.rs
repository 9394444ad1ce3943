//! How a forest's trees grow.
//!
//! Of a text's few words a split asks for one, which few texts have: a tree is a long chain of nodes without, from which
//! small parts with the word branch off. What the rows of a node have is therefore not counted anew. Going down the chain
//! only takes away what has branched off, as histograms are subtracted in gradient boosting (Ke and others 2017), and the
//! rows with a word are found by the word. All counts are whole numbers, so that their order does not matter.

use super::RandomForest;
use crate::forest::{Node, Trees};
use crate::train::rows::Labelled;
use crate::{Result, hash};

/// Rows between two looks at whoever watches.
const STRIDE: usize = 1024;
/// The place of a row that is not in a tree's sample.
const NOWHERE: u32 = u32::MAX;

/// Whoever watches, asked every now and then.
pub(super) type Check<'c> = &'c mut dyn FnMut() -> Result<()>;

/// What all trees grow from: rows of features, rows by feature, classes, and what a row of each class weighs.
pub(super) struct Ground {
    parameters: RandomForest,
    ends: Vec<usize>,
    features: Vec<u32>,
    having_ends: Vec<usize>,
    having: Vec<u32>,
    classes: Vec<usize>,
    weights: Vec<f64>,
    width: usize,
}

/// The part of `values` that belongs to `at`, where `ends` says where each part ends.
fn part<'v>(values: &'v [u32], ends: &[usize], at: u32) -> &'v [u32] {
    let at = at as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &values[start..ends[at]]
}

impl Ground {
    /// The rows of a sample by the features that `feature_of` gives to terms, `width` in all.
    pub fn new(
        parameters: &RandomForest,
        dataset: &Labelled<'_>,
        feature_of: &[Option<u32>],
        width: usize,
        check: Check<'_>,
    ) -> Result<Self> {
        let (mut ends, mut features) = (Vec::new(), Vec::new());
        let mut counts = vec![0usize; width];
        let mut row = Vec::new();
        for (number, &at) in dataset.records().chosen.iter().enumerate() {
            if number % STRIDE == 0 {
                check()?;
            }
            row.clear();
            dataset.records().rows.each_term(at, |id| row.extend(feature_of[id as usize]));
            row.sort_unstable();
            row.dedup();
            row.iter().for_each(|&feature| counts[feature as usize] += 1);
            features.extend_from_slice(&row);
            ends.push(features.len());
        }
        let mut having_ends = counts;
        let mut total = 0;
        for end in &mut having_ends {
            total += std::mem::replace(end, total);
        }
        // Each start moves up to its part's end as the part is filled.
        let mut having = vec![0; features.len()];
        for at in 0..u32::try_from(ends.len()).unwrap_or(u32::MAX) {
            for &feature in part(&features, &ends, at) {
                let end = &mut having_ends[feature as usize];
                having[*end] = at;
                *end += 1;
            }
            if (at as usize).is_multiple_of(STRIDE) {
                check()?;
            }
        }
        let classes: Vec<usize> = dataset.targets().to_vec();
        let weights = class_weights(parameters, &classes);
        Ok(Self { parameters: *parameters, ends, features, having_ends, having, classes, weights, width })
    }
}

/// What a row of each class weighs.
#[allow(clippy::cast_precision_loss)]
fn class_weights(parameters: &RandomForest, classes: &[usize]) -> Vec<f64> {
    let mut sizes = vec![0.0_f64; parameters.classes];
    classes.iter().for_each(|&class| sizes[class] += 1.0);
    let balanced = |size: &f64| classes.len() as f64 / (parameters.classes as f64 * size.max(1.0));
    sizes.iter().map(|size| if parameters.balanced { balanced(size) } else { 1.0 }).collect()
}

/// Rows that have yet to become a node.
struct Pending {
    rows: Vec<u32>,
    /// What their place says.
    place: u32,
    depth: usize,
    /// The node whose right child they are; none for a root.
    parent: Option<usize>,
}

/// Grows tree after tree in the same buffers.
pub(super) struct Growth<'g> {
    ground: &'g Ground,
    /// How often each row was drawn.
    times: Vec<u32>,
    /// The part of the tree that each row has come to.
    places: Vec<u32>,
    /// Features x classes: rows of the node that have the feature, as often as they were drawn.
    counts: Vec<u32>,
    /// The same over all classes.
    sums: Vec<u32>,
    /// Rows of the node by class.
    node: Vec<u32>,
    /// The features that any row of the chain has.
    touched: Vec<u32>,
    /// Those that a split may still ask for.
    open: Vec<u32>,
}

impl<'g> Growth<'g> {
    pub fn new(ground: &'g Ground) -> Self {
        let (rows, classes) = (ground.classes.len(), ground.parameters.classes);
        Self {
            ground,
            times: vec![0; rows],
            places: vec![NOWHERE; rows],
            counts: vec![0; ground.width * classes],
            sums: vec![0; ground.width],
            node: vec![0; classes],
            touched: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Grows one tree.
    pub fn grow(&mut self, number: u64, trees: &mut Trees, check: Check<'_>) -> Result<()> {
        let mut chance = Chance::new(self.ground.parameters.seed, number);
        check()?;
        let rows = self.draw(&mut chance);
        trees.roots.push(trees.nodes.len());
        let mut pending = vec![Pending { rows, place: 0, depth: 0, parent: None }];
        let mut places = 1;
        while let Some(mut part) = pending.pop() {
            if let Some(parent) = part.parent {
                trees.nodes[parent].right = trees.nodes.len();
            }
            self.load(&part.rows, check)?;
            while let Some(feature) = self.split(part.depth, &mut chance) {
                check()?;
                part.depth += 1;
                let parent = Some(trees.nodes.len());
                trees.nodes.push(Node { feature: Some(feature), right: 0 });
                let rows = self.branch_off(&mut part, feature, places, check)?;
                pending.push(Pending { rows, place: places, depth: part.depth, parent });
                places += 1;
            }
            trees.add_leaf(&self.weighed());
        }
        Ok(())
    }

    /// Draws a tree's rows.
    fn draw(&mut self, chance: &mut Chance) -> Vec<u32> {
        let count = u32::try_from(self.ground.classes.len()).unwrap_or(u32::MAX);
        if self.ground.parameters.bootstrap {
            self.times.fill(0);
            (0..count).for_each(|_| self.times[chance.below(count) as usize] += 1);
        } else {
            self.times.fill(1);
        }
        for (place, times) in self.places.iter_mut().zip(&self.times) {
            *place = if *times > 0 { 0 } else { NOWHERE };
        }
        (0..count).filter(|&row| self.times[row as usize] > 0).collect()
    }

    /// Counts what the rows of a part have.
    fn load(&mut self, rows: &[u32], check: Check<'_>) -> Result<()> {
        let classes = self.ground.parameters.classes;
        for feature in self.touched.drain(..) {
            self.sums[feature as usize] = 0;
            self.counts[feature as usize * classes..][..classes].fill(0);
        }
        self.node.fill(0);
        for (number, &row) in rows.iter().enumerate() {
            if number % STRIDE == 0 {
                check()?;
            }
            let (times, class) = (self.times[row as usize], self.ground.classes[row as usize]);
            self.node[class] += times;
            for &feature in part(&self.ground.features, &self.ground.ends, row) {
                let feature = feature as usize;
                if self.sums[feature] == 0 {
                    self.touched.push(u32::try_from(feature).unwrap_or(u32::MAX));
                }
                self.sums[feature] += times;
                self.counts[feature * classes + class] += times;
            }
        }
        self.open.clear();
        self.open.extend_from_slice(&self.touched);
        Ok(())
    }

    /// What the node's rows of each class weigh.
    fn weighed(&self) -> Vec<f64> {
        self.node.iter().zip(&self.ground.weights).map(|(rows, weight)| f64::from(*rows) * weight).collect()
    }

    /// The feature that parts the rows best of some that are drawn by lot; only features that some rows have are drawn.
    fn split(&mut self, depth: usize, chance: &mut Chance) -> Option<u32> {
        let RandomForest { classes, min_leaf, .. } = self.ground.parameters;
        if depth >= self.ground.parameters.depth || self.node.iter().filter(|rows| **rows > 0).count() < 2 {
            return None;
        }
        let (rows, all) = (self.node.iter().sum::<u32>(), self.weighed());
        let total: f64 = all.iter().sum();
        let mut best = (purity(all.iter().copied()) + 1e-9 * total, None);
        let (mut left, mut drawn) = (self.tries(), 0);
        while left > 0 && drawn < self.open.len() {
            let last = u32::try_from(self.open.len() - drawn).unwrap_or(u32::MAX);
            let lot = drawn + chance.below(last) as usize;
            let feature = self.open[lot];
            let having = self.sums[feature as usize];
            if having < min_leaf {
                // Down the chain it will not be more of them.
                self.open.swap_remove(lot);
                continue;
            }
            self.open.swap(drawn, lot);
            drawn += 1;
            if rows - having < min_leaf {
                continue;
            }
            let with = &self.counts[feature as usize * classes..][..classes];
            let with = with.iter().zip(&self.ground.weights).map(|(rows, weight)| f64::from(*rows) * weight);
            let purity = purity(with.clone()) + purity(all.iter().zip(with).map(|(all, with)| all - with));
            if purity > best.0 {
                best = (purity, Some(feature));
            }
            left -= 1;
        }
        best.1
    }

    /// How many terms are tried at a split: Breiman's logarithm of all, unless a number was asked for.
    fn tries(&self) -> usize {
        match self.ground.parameters.split_features {
            0 => self.ground.width.checked_ilog2().unwrap_or(0) as usize + 1,
            tries => tries,
        }
    }

    /// Takes the rows with a feature out of a part, and what they have out of the counts.
    fn branch_off(
        &mut self,
        from: &mut Pending,
        feature: u32,
        place: u32,
        check: Check<'_>,
    ) -> Result<Vec<u32>> {
        let Ground { ends, features, having_ends, having, .. } = self.ground;
        let having = part(having, having_ends, feature);
        let mut rows: Vec<u32> = if having.len() < 8 * from.rows.len() {
            having.iter().copied().filter(|&row| self.places[row as usize] == from.place).collect()
        } else {
            from.rows.retain(|&row| self.places[row as usize] == from.place);
            let has = |row: &u32| part(features, ends, *row).binary_search(&feature).is_ok();
            from.rows.iter().copied().filter(has).collect()
        };
        rows.shrink_to_fit();
        let classes = self.ground.parameters.classes;
        for (number, &row) in rows.iter().enumerate() {
            if number % STRIDE == 0 {
                check()?;
            }
            self.places[row as usize] = place;
            let (times, class) = (self.times[row as usize], self.ground.classes[row as usize]);
            self.node[class] -= times;
            for &feature in part(features, ends, row) {
                self.sums[feature as usize] -= times;
                self.counts[feature as usize * classes + class] -= times;
            }
        }
        Ok(rows)
    }
}

/// Weight times (1 - Gini impurity): the larger its sum over the parts, the better the split.
fn purity(sums: impl Iterator<Item = f64>) -> f64 {
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
