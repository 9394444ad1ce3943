//! Looking hashes up in an ascending list.

/// Hashes that share what the index knows of them, on average.
const SHARED: usize = 4;

/// Where hashes stand in an ascending list: their upper bits tell nearly where, for they are spread evenly.
#[derive(Debug)]
pub(crate) struct Index {
    shift: u32,
    /// For each value of the upper bits, where the hashes begin that have it; the end of all follows.
    starts: Vec<u32>,
}

impl Index {
    /// The index of an ascending list.
    pub fn of(hashes: &[u64]) -> Self {
        let values = (hashes.len() / SHARED).next_power_of_two().clamp(2, 1 << 24);
        let shift = 64 - values.ilog2();
        let mut starts = Vec::with_capacity(values + 1);
        for (at, hash) in (0..).zip(hashes) {
            starts.resize(starts.len().max(upper(*hash, shift) + 1), at);
        }
        starts.resize(values + 1, u32::try_from(hashes.len()).unwrap_or(u32::MAX));
        Self { shift, starts }
    }

    /// Where a hash stands in the list.
    pub fn find(&self, hashes: &[u64], hash: u64) -> Option<usize> {
        let upper = upper(hash, self.shift);
        let (start, end) = (self.starts[upper] as usize, self.starts[upper + 1] as usize);
        hashes[start..end].binary_search(&hash).ok().map(|at| start + at)
    }

    /// Bytes in use.
    pub fn size(&self) -> usize {
        self.starts.capacity() * size_of::<u32>()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "few bits are left")]
fn upper(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hash_is_found_and_no_other() {
        for length in [0_u64, 1, 2, 7, 1_000, 20_000] {
            let mut hashes: Vec<u64> = (0..length).map(|at| crate::hash::joint(at, 1) | 1).collect();
            hashes.sort_unstable();
            // Some that lie close together.
            hashes.extend((u64::MAX - 64..=u64::MAX).filter(|hash| hash % 2 == 1));
            hashes.dedup();
            let index = Index::of(&hashes);
            for (at, hash) in hashes.iter().enumerate() {
                assert_eq!(index.find(&hashes, *hash), Some(at));
                assert_eq!(index.find(&hashes, *hash - 1), None);
            }
        }
    }
}
