//! Many terms looked up together, without a branch that depends on what is found.
//!
//! Whether a term is known, and in which bucket, a processor cannot foresee; a wrong guess costs it what dozens of
//! instructions do. So every term is answered by the same instructions, and those whose bucket is full are put on a list,
//! which is gone through again for the next bucket. That also lets the reads of memory of neighbouring terms overlap.

use super::{
    FINGERPRINTS, LEFT, LEXICON, LEXICON_VALUES, LINE, SHIFT, SLOTS, Table, fingerprint, matches, place,
};
use std::hint::select_unpredictable;

/// Terms that are still searched for, by their number, and their last bucket. Every search reuses it.
#[derive(Debug, Default)]
pub(crate) struct Search(Vec<(usize, usize)>);

/// A bucket of three classes: a cache line.
type Line = [u8; LINE];

/// What stands for a bucket that is not there.
const NOTHING: Line = [0; LINE];

/// What a table of three classes says of a term: its record, which is 0 if the term is not known, and above it whether it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found(u64);

impl Found {
    const KNOWN: u64 = 1 << 32;

    pub fn is_known(self) -> bool {
        self.0 & Self::KNOWN != 0
    }

    /// Weights, then flags.
    #[inline]
    fn record(self) -> [u8; 4] {
        let [first, second, third, last, ..] = self.0.to_le_bytes();
        [first, second, third, last]
    }

    /// Whether a known n-gram may begin with it.
    pub fn is_left(self) -> bool {
        self.record()[3] & LEFT != 0
    }

    /// Its value in the lexicon, about -4 to 4; 0 if it has none.
    pub fn lexicon_value(self) -> f64 {
        LEXICON_VALUES[usize::from(self.record()[3] >> LEXICON)]
    }

    /// It, or an unknown term.
    pub fn only_if(self, wanted: bool) -> Self {
        Self(select_unpredictable(wanted, self.0, 0))
    }

    /// Adds its weights to the sums.
    #[inline]
    pub fn add_to(self, sums: &mut [i64; 3]) {
        let [first, second, third, last] = self.record();
        let shift = last & SHIFT;
        sums[0] += i64::from(first.cast_signed()) << shift;
        sums[1] += i64::from(second.cast_signed()) << shift;
        sums[2] += i64::from(third.cast_signed()) << shift;
    }
}

impl Table<'_> {
    /// Tells `answer` the number of each hash and what the table, which is one of three classes, says of it. Of some it tells again:
    /// at first that they are unknown.
    #[inline]
    pub fn find_all(&self, hashes: &[u64], search: &mut Search, answer: impl FnMut(usize, Found)) {
        let (lines, _) = self.bytes.as_chunks();
        let look = |bucket: usize, fingerprint| {
            let line: &Line = lines.get(bucket).unwrap_or(&NOTHING);
            let (numbers, _) = line.as_chunks::<4>();
            let (slot, known, spills) =
                find_in(line.first_chunk().unwrap_or(&[0; FINGERPRINTS]), fingerprint);
            let record = u64::from(u32::from_le_bytes(numbers[SLOTS + slot])) | Found::KNOWN;
            (Found(select_unpredictable(known, record, 0)), spills)
        };
        self.search(hashes, search, look, answer);
    }

    /// Where the record of each hash stands; `usize::MAX` where it has none.
    pub fn place_all(&self, hashes: &[u64], search: &mut Search, places: &mut Vec<usize>) {
        places.clear();
        places.resize(hashes.len(), 0);
        let look = |bucket: usize, fingerprint| {
            let start = bucket * self.layout.bucket;
            let line =
                self.bytes.get(start..).and_then(|line| line.first_chunk()).unwrap_or(&[0; FINGERPRINTS]);
            let (slot, known, spills) = find_in(line, fingerprint);
            let record = start + FINGERPRINTS + slot * self.layout.record;
            (select_unpredictable(known, record, usize::MAX), spills)
        };
        self.search(hashes, search, look, |at, place| places[at] = place);
    }

    /// Tells `answer` of each hash what `look` says of its bucket and fingerprint; where it says that the bucket spills, also what it
    /// says of the next.
    #[inline]
    fn search<R>(
        &self,
        hashes: &[u64],
        Search(waiting): &mut Search,
        look: impl Fn(usize, u32) -> (R, bool),
        mut answer: impl FnMut(usize, R),
    ) {
        // As many as there are hashes wait at most, one behind the other round a ring.
        if waiting.len() < hashes.len() {
            waiting.resize(hashes.len().next_power_of_two(), (0, 0));
        }
        let ring = waiting.len().wrapping_sub(1);
        let mut last = 0;
        for (at, &hash) in hashes.iter().enumerate() {
            let (bucket, fingerprint) = place(hash, self.buckets);
            let (said, spills) = look(bucket, fingerprint);
            answer(at, said);
            waiting[last & ring] = (at, bucket);
            last += usize::from(spills);
        }
        // Damaged bytes without a free slot end after one round.
        let most = last.saturating_mul(self.buckets);
        let mut next = 0;
        while next < last && next < most {
            let (at, full) = waiting[next & ring];
            next += 1;
            let bucket = select_unpredictable(full + 1 < self.buckets, full + 1, 0);
            let (said, spills) = look(bucket, fingerprint(hashes[at]));
            answer(at, said);
            waiting[last & ring] = (at, bucket);
            last += usize::from(spills);
        }
    }
}

/// In which slot of a bucket a fingerprint stands, whether it does, and whether it may be in the next bucket.
#[inline]
fn find_in(fingerprints: &[u8; FINGERPRINTS], fingerprint: u32) -> (usize, bool, bool) {
    let hits = matches(fingerprints, fingerprint);
    let full = fingerprints.last_chunk() != Some(&[0; 4]);
    (hits.trailing_zeros() as usize % SLOTS, hits != 0, (hits == 0) & full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntryDraft, TableWriter};

    #[test]
    fn it_finds_what_one_look_up_finds() {
        // As full as a table gets, so that some spill, and round its end.
        for terms in [1_u64, 5, 8, 60, 3_000] {
            let mut table = TableWriter::new(usize::try_from(terms).unwrap(), 3);
            let hash = |term: u64| term.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ term << 17;
            for term in 0..terms {
                let weights = vec![i32::try_from(term % 100).unwrap(), 1, -1];
                table.put(&EntryDraft { hash: hash(term), weights, ..EntryDraft::default() });
            }
            let (bytes, buckets) = table.finish();
            let table = Table::new(&bytes, buckets, 3).unwrap();
            let hashes: Vec<u64> = (0..2 * terms).map(hash).collect();
            let (mut places, mut found, mut search) = (Vec::new(), Vec::new(), Search::default());
            table.place_all(&hashes, &mut search, &mut places);
            found.resize(hashes.len(), Found(0));
            table.find_all(&hashes, &mut search, |at, said| found[at] = said);
            for ((hash, place), found) in hashes.iter().zip(places).zip(found) {
                assert_eq!(place, table.find(*hash).unwrap_or(usize::MAX));
                let record = table.get(*hash).map_or([0; 4], |entry| entry.record().try_into().unwrap());
                assert_eq!((found.is_known(), found.record()), (place != usize::MAX, record));
            }
        }
    }
}
