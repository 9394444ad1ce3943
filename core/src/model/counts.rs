//! The counts that a naive Bayes model was made from, as they follow its table: what a refresh goes on from.
//!
//! Hashes in ascending order (8 bytes each), then for each a count a class (4-byte floats).

/// Bytes of a term's counts.
pub(crate) const fn count_bytes(classes: usize) -> usize {
    8 + 4 * classes
}

/// Writes counts, one a term and class. The terms may come in any order.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn write(hashes: &[u64], counts: &[f64]) -> Vec<u8> {
    let classes = counts.len() / hashes.len().max(1);
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    // Not unstable: the terms of a vocabulary are a few sorted runs, which this sort finds.
    order.sort_by_key(|&at| hashes[at]);
    let mut bytes = Vec::with_capacity(hashes.len() * count_bytes(classes));
    order.iter().for_each(|&at| bytes.extend(hashes[at].to_le_bytes()));
    for &at in &order {
        let counts = &counts[at * classes..][..classes];
        counts.iter().for_each(|&count| bytes.extend((count as f32).to_le_bytes()));
    }
    bytes
}

/// Counts read where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TermCounts<'a> {
    hashes: &'a [[u8; 8]],
    counts: &'a [[u8; 4]],
    classes: usize,
}

impl<'a> TermCounts<'a> {
    /// The counts that fill `bytes`; `None` if they do not.
    pub fn new(bytes: &'a [u8], classes: usize) -> Option<Self> {
        let each = count_bytes(classes);
        if classes == 0 || !bytes.len().is_multiple_of(each) {
            return None;
        }
        let (hashes, counts) = bytes.split_at(bytes.len() / each * 8);
        Some(Self { hashes: hashes.as_chunks().0, counts: counts.as_chunks().0, classes })
    }

    /// The counts of a term, one a class; zeros if it was never counted.
    pub fn get(&self, hash: u64) -> Vec<f64> {
        let found = self.hashes.binary_search_by_key(&hash, |bytes| u64::from_le_bytes(*bytes));
        let counts = |at| self.at(at).into_iter().map(f64::from).collect();
        found.map_or_else(|_| vec![0.0; self.classes], counts)
    }

    fn at(&self, at: usize) -> Vec<f32> {
        let counts = self.counts[at * self.classes..][..self.classes].iter();
        // Bytes are untrusted: what is no count is none.
        let count = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
        counts.map(count).map(|count| if (0.0..1e9).contains(&count) { count } else { 0.0 }).collect()
    }

    /// Every term with its counts.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Vec<f32>)> {
        self.hashes.iter().enumerate().map(|(at, bytes)| (u64::from_le_bytes(*bytes), self.at(at)))
    }
}
