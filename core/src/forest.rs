//! Decision trees over the presence of features: how they are kept, read and written.
//!
//! ```text
//! size  field (all numbers little-endian)
//!    4  trees
//!    4  nodes
//!    4  leaves
//!    4  features
//!       each tree's first node (4)
//!       nodes: feature (4; all ones in a leaf), right child or leaf (4)
//!       leaves: P(class) in 65535ths (2 each)
//! ```
//!
//! A node's left child follows it, and its right child comes after that: every walk ends.

/// Marks a leaf.
const LEAF: u32 = u32::MAX;
/// Stands in a table's record for a term that no split asks for.
const NO_FEATURE: u32 = 0x001f_ffff;
/// Least probability of a class: what no tree saw is not impossible.
const LEAST: f64 = 1e-4;

/// Bytes of a node that is written.
const NODE_BYTES: usize = 8;

/// A node that is growing: without a feature it is a leaf, and `right` is the leaf's number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub feature: Option<u32>,
    pub right: usize,
}

/// Trees that are growing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trees {
    pub classes: usize,
    pub features: usize,
    pub roots: Vec<usize>,
    pub nodes: Vec<Node>,
    /// Leaves x classes: the classes of the rows that came to a leaf, in 65535ths.
    shares: Vec<u16>,
}

fn number(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

impl Trees {
    /// None yet.
    pub fn new(classes: usize, features: usize) -> Self {
        Self { classes, features, ..Self::default() }
    }

    /// Bytes of a leaf and the split above it.
    pub const fn leaf_bytes(classes: usize) -> usize {
        2 * size_of::<Node>() + 2 * classes
    }

    /// Bytes of a leaf and the split above it when they are written.
    pub const fn written_leaf_bytes(classes: usize) -> usize {
        2 * NODE_BYTES + 2 * classes
    }

    /// Adds a leaf of rows with these weights by class.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn add_leaf(&mut self, sums: &[f64]) {
        let total: f64 = sums.iter().sum();
        self.nodes.push(Node { feature: None, right: self.leaves() });
        self.shares.extend(sums.iter().map(|sum| (sum / total * 65_535.0).round() as u16));
    }

    fn leaves(&self) -> usize {
        self.shares.len() / self.classes.max(1)
    }

    /// Their bytes.
    pub fn write(&self) -> Vec<u8> {
        let counts = [self.roots.len(), self.nodes.len(), self.leaves(), self.features];
        let length =
            4 * (counts.len() + self.roots.len()) + self.nodes.len() * NODE_BYTES + 2 * self.shares.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(counts.into_iter().chain(self.roots.iter().copied()).flat_map(number));
        for node in &self.nodes {
            bytes.extend(node.feature.unwrap_or(LEAF).to_le_bytes());
            bytes.extend(number(node.right));
        }
        self.shares.iter().for_each(|share| bytes.extend(share.to_le_bytes()));
        bytes
    }
}

/// The features that a text has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Present(Vec<u64>);

impl Present {
    /// None of so many.
    pub fn clear(&mut self, features: usize) {
        self.0.clear();
        self.0.resize(features.div_ceil(64), 0);
    }

    /// Adds one.
    pub fn set(&mut self, feature: u32) {
        if let Some(word) = self.0.get_mut(feature as usize / 64) {
            *word |= 1 << (feature % 64);
        }
    }

    /// Takes one away.
    pub fn unset(&mut self, feature: u32) {
        if let Some(word) = self.0.get_mut(feature as usize / 64) {
            *word &= !(1 << (feature % 64));
        }
    }

    fn has(&self, feature: u32) -> bool {
        self.0.get(feature as usize / 64).is_some_and(|word| word >> (feature % 64) & 1 == 1)
    }
}

/// How a table's record names a feature: seven bits a weight, which every weight can hold.
pub(crate) fn feature_bytes(feature: u32) -> Vec<i32> {
    [0, 7, 14].map(|shift| (feature >> shift & 0x7f).cast_signed()).to_vec()
}

/// How a table's record says that no split asks for its term.
pub(crate) fn no_feature() -> Vec<i32> {
    feature_bytes(NO_FEATURE)
}

/// The feature that a table's record names.
pub(crate) fn feature_of(record: &[u8]) -> Option<u32> {
    let &[low, middle, high, ..] = record else { return None };
    let feature = u32::from(low) | u32::from(middle) << 7 | u32::from(high) << 14;
    (feature != NO_FEATURE).then_some(feature)
}

/// Trees read where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TreesView<'a> {
    classes: usize,
    features: usize,
    roots: &'a [[u8; 4]],
    nodes: &'a [[u8; 8]],
    leaves: &'a [[u8; 2]],
}

impl<'a> TreesView<'a> {
    /// The trees that fill `bytes`; `None` if they do not, or if a walk through them might not end in a leaf. Each has nodes of
    /// its own, one tree's behind another's: all walks together come by each node at most once.
    pub fn new(bytes: &'a [u8], classes: usize) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<16>()?;
        let (head, _) = head.as_chunks::<4>();
        let [trees, nodes, leaves, features] = [0, 1, 2, 3].map(|at| u32::from_le_bytes(head[at]) as usize);
        let (roots, rest) = rest.split_at_checked(trees.checked_mul(4)?)?;
        let (nodes, rest) = rest.split_at_checked(nodes.checked_mul(8)?)?;
        if rest.len() != leaves.checked_mul(classes)?.checked_mul(2)?
            || trees == 0
            || features > NO_FEATURE as usize
        {
            return None;
        }
        let (roots, nodes, shares) = (roots.as_chunks().0, nodes.as_chunks().0, rest.as_chunks().0);
        let view = Self { classes, features, roots, nodes, leaves: shares };
        let starts = view.roots.iter().map(|root| u32::from_le_bytes(*root) as usize);
        let ends = starts.clone().skip(1).chain([nodes.len()]);
        let whole = starts.zip(ends).all(|(start, end)| {
            start < end
                && end <= nodes.len()
                && (start..end).all(|at| match view.node(at) {
                    (LEAF, leaf) => leaf < leaves,
                    (feature, right) => (feature as usize) < features && right > at + 1 && right < end,
                })
        });
        whole.then_some(view)
    }

    /// How many features splits may ask for.
    pub fn features(&self) -> usize {
        self.features
    }

    fn node(&self, at: usize) -> (u32, usize) {
        let bytes = u64::from_le_bytes(self.nodes[at]);
        let (low, high) = (bytes & u64::from(u32::MAX), bytes >> 32);
        (u32::try_from(low).unwrap_or(LEAF), usize::try_from(high).unwrap_or(0))
    }

    /// The logarithms of the trees' mean P(class) for a text with these features.
    #[allow(clippy::cast_precision_loss)]
    pub fn logits(&self, present: &Present, logits: &mut [f64]) {
        logits.fill(0.0);
        for root in self.roots {
            let mut at = u32::from_le_bytes(*root) as usize;
            let leaf = loop {
                match self.node(at) {
                    (LEAF, leaf) => break leaf,
                    (feature, right) => at = if present.has(feature) { right } else { at + 1 },
                }
            };
            let shares = &self.leaves[leaf * self.classes..][..self.classes];
            for (logit, share) in logits.iter_mut().zip(shares) {
                *logit += f64::from(u16::from_le_bytes(*share));
            }
        }
        let whole = 65_535.0 * self.roots.len() as f64;
        logits.iter_mut().for_each(|logit| *logit = libm::log((*logit / whole).max(LEAST)));
    }
}

impl Trees {
    /// Reads trees that have just grown, as their bytes will be.
    pub fn logits(&self, present: &Present, logits: &mut [f64]) {
        logits.fill(0.0);
        for &root in &self.roots {
            let mut at = root;
            while let Some(feature) = self.nodes[at].feature {
                at = if present.has(feature) { self.nodes[at].right } else { at + 1 };
            }
            let leaf = &self.shares[self.nodes[at].right * self.classes..][..self.classes];
            for (logit, share) in logits.iter_mut().zip(leaf) {
                *logit += f64::from(*share);
            }
        }
        #[allow(clippy::cast_precision_loss)]
        let whole = 65_535.0 * self.roots.len() as f64;
        logits.iter_mut().for_each(|logit| *logit = libm::log((*logit / whole).max(LEAST)));
    }
}
