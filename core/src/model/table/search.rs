//! Many terms looked up together, without a branch that depends on what is found.
//!
//! Whether a term is known, and in which slot, a processor cannot foresee; a wrong guess costs it what dozens of
//! instructions do. So every term is answered by the same instructions. The few whose bucket is full, and may be in the next, are
//! noted and looked for afterwards. That also lets the reads of memory of neighbouring terms overlap.

#[cfg(target_arch = "x86_64")]
mod avx512;

use super::{
    FINGERPRINTS, HIDDEN, LEFT, LEXICON, LEXICON_VALUES, LINE, SHIFT, SLOTS, Table, fetch, first_match,
    matches, place,
};
use bytemuck::cast;
use std::hint::select_unpredictable;
use wide::{f32x4, i16x8, i32x4};

/// A bucket of three classes: a cache line.
type Line = [u8; LINE];

/// Terms that are noted together.
const BITS: usize = u64::BITS as usize;

/// What stands for a bucket that is not there.
const NOTHING: Line = [0; LINE];

/// The record of a term of three classes, weights first, then flags; 0 for a term that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record(u32);

impl Record {
    fn last(self) -> u8 {
        self.0.to_le_bytes()[3]
    }

    /// Whether a known n-gram may begin with the term.
    #[inline]
    pub fn is_left(self) -> bool {
        self.last() & LEFT != 0
    }

    /// Whether the term has a value in the lexicon.
    #[inline]
    pub fn has_lexicon_value(self) -> bool {
        self.last() >> LEXICON != 0
    }

    /// That value, about -4 to 4; 0 if it has none.
    #[inline]
    pub fn lexicon_value(self) -> f64 {
        LEXICON_VALUES[usize::from(self.last() >> LEXICON)]
    }

    /// It, or the record of an unknown term.
    #[inline]
    pub fn only_if(self, wanted: bool) -> Self {
        Self(select_unpredictable(wanted, self.0, 0))
    }

    /// Its weights.
    fn weights(self) -> [i64; 3] {
        let [first, second, third, last] = self.0.to_le_bytes();
        [first, second, third].map(|weight| i64::from(weight.cast_signed()) << (last & SHIFT))
    }

    /// Adds the weights of all records to the sums, one a class.
    pub fn add_all(records: &[Self], sums: &mut [i64; 3]) {
        // So many that no sum of a lane passes 32 bits.
        for records in records.chunks(1 << 18) {
            let (fours, rest) = records.as_chunks::<4>();
            let mut lanes = [i32x4::splat(0); 3];
            for four in fours {
                let four = i32x4::new(four.map(|record| record.0.cast_signed()));
                let flags: i32x4 = (four >> 24) & i32x4::splat(SHIFT.into());
                // Two to the power of the shift, made where a float has its exponent: lanes cannot be shifted one by one.
                let scale = cast::<i32x4, f32x4>((flags + i32x4::splat(127)) << 23).fast_trunc_int();
                let weights = [(four << 24) >> 24, (four << 16) >> 24, (four << 8) >> 24];
                for (lanes, weights) in lanes.iter_mut().zip(weights) {
                    // The upper half of a scale is 0: the product of the lower halves is what is added.
                    *lanes += cast::<i32x4, i16x8>(weights).dot(cast(scale));
                }
            }
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                *sum += lanes.to_array().into_iter().map(i64::from).sum::<i64>();
            }
            for record in rest {
                sums.iter_mut().zip(record.weights()).for_each(|(sum, weight)| *sum += weight);
            }
        }
    }
}

/// The buckets of a table of three classes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<'a>(&'a [Line]);

impl<'a> Lines<'a> {
    /// Has a term's bucket brought into the cache, for a look-up that follows.
    #[inline]
    pub fn fetch(self, hash: u64) {
        let (bucket, _) = place(hash, self.0.len());
        if let Some(line) = self.0.get(bucket) {
            fetch(line, 0);
        }
    }

    /// Finds the term of each hash; `found` is as long.
    pub fn find_all(self, hashes: &[u64], found: &mut [Found]) {
        find_all(self, hashes, found);
    }

    /// Finds the record of each hash's term; `records` is as long.
    pub fn find_records(self, hashes: &[u64], records: &mut [Record]) {
        find_records(self, hashes, records);
    }

    /// Finds the term of each hash; `look` looks into a bucket, and `take` says what is kept in `kept`, which is as long. (Always
    /// inlined, it and what it calls, so that it may use the instructions that its caller may.)
    #[inline(always)]
    fn find_each<T>(
        self,
        hashes: &[u64],
        kept: &mut [T],
        look: impl Fn(&Line, u32) -> Slot,
        take: impl Fn(Found) -> T,
    ) {
        let (mut hashes, mut kept) = (hashes, &mut kept[..hashes.len()]);
        while !hashes.is_empty() {
            let (first, first_kept);
            (first, hashes) = hashes.split_at(hashes.len().min(BITS));
            (first_kept, kept) = kept.split_at_mut(first.len());
            // Which are to be looked for in the next bucket, a bit each, the last one's the lowest.
            let mut spilled = 0_u64;
            for (hash, kept) in first.iter().zip(&mut *first_kept) {
                let (bucket, fingerprint) = place(*hash, self.0.len());
                let line = self.line(bucket);
                let slot = look(line, fingerprint);
                *kept = take(Found::in_slot(bucket, slot));
                spilled = spilled << 1 | u64::from(!slot.hit & is_full(line));
            }
            while spilled != 0 {
                let at = first.len() - 1 - spilled.trailing_zeros() as usize;
                first_kept[at] = take(self.find_spilled(first[at]));
                spilled &= spilled - 1;
            }
        }
    }

    /// A bucket.
    #[inline(always)]
    fn line(self, bucket: usize) -> &'a Line {
        self.0.get(bucket).unwrap_or(&NOTHING)
    }

    /// What the buckets behind a term's own say of it. Damaged bytes without a free slot end after one round.
    #[inline(never)]
    fn find_spilled(self, hash: u64) -> Found {
        let (full, fingerprint) = place(hash, self.0.len());
        for bucket in (full + 1..self.0.len()).chain(0..full) {
            let line = self.line(bucket);
            let slot = look(line, fingerprint);
            if slot.hit | !is_full(line) {
                return Found::in_slot(bucket, slot);
            }
        }
        Found::NOTHING
    }
}

/// What a bucket says of a fingerprint.
#[derive(Clone, Copy)]
struct Slot {
    /// Whether it is there; else what follows says nothing.
    hit: bool,
    /// In which of the bucket's slots, and the record there.
    slot: usize,
    record: u32,
}

/// Looks for a fingerprint in a bucket.
#[inline(always)]
fn look(line: &Line, fingerprint: u32) -> Slot {
    let (numbers, _) = line.as_chunks::<4>();
    let hits = matches(line.first_chunk().unwrap_or(&[0; FINGERPRINTS]), fingerprint);
    let slot = first_match(hits);
    Slot { hit: hits != 0, slot, record: u32::from_le_bytes(numbers[SLOTS + slot]) }
}

/// Whether a bucket has no free slot, so that a term which is not there may be in the next.
#[inline(always)]
fn is_full(line: &Line) -> bool {
    line.first_chunk::<FINGERPRINTS>().and_then(|fingerprints| fingerprints.last_chunk()) != Some(&[0; 4])
}

/// As [`Lines::find_all`].
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl"))]
fn find_all(lines: Lines<'_>, hashes: &[u64], found: &mut [Found]) {
    multiversion::target::match_target! {
        "x86_64+avx512f+avx512vl" => avx512::find_all(lines, hashes, found),
        _ => lines.find_each(hashes, found, look, |found| found),
    }
}

/// As [`Lines::find_records`].
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl"))]
fn find_records(lines: Lines<'_>, hashes: &[u64], records: &mut [Record]) {
    multiversion::target::match_target! {
        "x86_64+avx512f+avx512vl" => avx512::find_records(lines, hashes, records),
        _ => lines.find_each(hashes, records, look, |found| found.record),
    }
}

/// What was found of a term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub record: Record,
    /// Whether the model knows it: a term that is hidden in the table it does not.
    pub known: bool,
    /// In which of all slots it is, hidden or not, or [`Found::NOWHERE`].
    pub slot: usize,
}

impl Found {
    /// In no slot.
    pub const NOWHERE: usize = usize::MAX;
    /// Nothing.
    const NOTHING: Self = Self { record: Record(0), known: false, slot: Self::NOWHERE };

    /// What a slot of a bucket holds.
    #[inline(always)]
    fn in_slot(bucket: usize, Slot { hit, slot, record }: Slot) -> Self {
        let [first, ..] = record.to_le_bytes();
        let known = hit & (first != HIDDEN);
        Self {
            record: Record(select_unpredictable(known, record, 0)),
            known,
            slot: select_unpredictable(hit, bucket * SLOTS + slot, Self::NOWHERE),
        }
    }

    /// A term of which no more is known than its slot.
    pub fn at(slot: Option<usize>) -> Self {
        Self { slot: slot.unwrap_or(Self::NOWHERE), ..Self::NOTHING }
    }
}

impl Table<'_> {
    /// Its buckets, if it is one of three classes; else none.
    pub fn lines(&self) -> Lines<'_> {
        let (lines, _) = self.bytes.as_chunks();
        Lines(if self.layout.bucket == LINE { lines } else { &[] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntryDraft, TableWriter};
    use proptest::prelude::*;

    #[test]
    fn it_finds_what_one_look_up_finds() {
        // Four fifths full, as 0.1.0 made tables, so that many spill, and round the end.
        for terms in [1_u64, 5, 8, 60, 3_000] {
            let mut table = TableWriter::new(usize::try_from(terms).unwrap() * 5 / 8, 3);
            let hash = |term: u64| term.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ term << 17;
            for term in 0..terms {
                let weights = vec![i32::try_from(term % 100).unwrap(), 1, -1];
                table.put(&EntryDraft { hash: hash(term), weights, ..EntryDraft::default() });
            }
            let (bytes, buckets) = table.finish();
            let table = Table::new(&bytes, buckets, 3).unwrap();
            let hashes: Vec<u64> = (0..2 * terms).map(hash).collect();
            let lines = table.lines();
            let (mut found, mut anywhere) =
                (vec![Found::default(); hashes.len()], vec![Found::default(); hashes.len()]);
            lines.find_all(&hashes, &mut found);
            lines.find_each(&hashes, &mut anywhere, look, |found| found);
            assert_eq!(found, anywhere);
            let mut records = vec![Record::default(); hashes.len()];
            lines.find_records(&hashes, &mut records);
            assert!(found.iter().map(|found| found.record).eq(records));
            for (hash, found) in hashes.iter().zip(found) {
                let (slot, entry) = (table.slot(*hash), table.get(*hash));
                let record = entry.map_or([0; 4], |entry| entry.record().try_into().unwrap());
                let wanted = Found {
                    record: Record(u32::from_le_bytes(record)),
                    known: slot.is_some(),
                    slot: slot.unwrap_or(Found::NOWHERE),
                };
                assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn a_table_without_a_free_slot_is_gone_through_once() {
        let line: Vec<u8> = (1..=16_u32).flat_map(u32::to_le_bytes).collect();
        for buckets in [1, 2, 5] {
            let bytes = line.repeat(buckets);
            let table = Table::new(&bytes, buckets, 3).unwrap();
            let mut found = [Found::default(); 3];
            table.lines().find_all(&[99, 3, u64::MAX], &mut found);
            let [first, known, last] = found;
            assert_eq!((first, known.slot, last), (Found::NOTHING, 2, Found::NOTHING));
        }
    }

    proptest! {
        #[test]
        fn all_records_together_weigh_what_they_weigh_one_by_one(records in prop::collection::vec(any::<u32>(), 0..40)) {
            let records: Vec<Record> = records.into_iter().map(Record).collect();
            let (mut sums, mut wanted) = ([5; 3], [5; 3]);
            Record::add_all(&records, &mut sums);
            for record in records {
                wanted.iter_mut().zip(record.weights()).for_each(|(sum, weight)| *sum += weight);
            }
            prop_assert_eq!(sums, wanted);
        }
    }
}
