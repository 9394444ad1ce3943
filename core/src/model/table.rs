//! The term table: hash in, weights out, read where it lies.
//!
//! A bucket holds the fingerprints of its eight slots, then their records. With three classes it is one cache line: a
//! term costs one read of memory, known or not.

mod search;

pub(crate) use search::{Found, Lines, Record};

use bytemuck::cast;
use wide::{i16x8, i32x8, u8x16, u32x8};

/// Slots of a bucket.
pub(super) const SLOTS: usize = 8;

/// Bytes of a bucket's fingerprints, four a slot.
const FINGERPRINTS: usize = SLOTS * 4;

/// Buckets are a multiple of this: with two and three classes that makes them a cache line.
const BUCKET_UNIT: usize = 16;

/// The bits of a record's last byte: whether a known n-gram may begin with the term, how far its weights are shifted, its
/// lexicon value.
const LEFT: u8 = 0b1;
const SHIFT: u8 = 0b110;
const LEXICON: u32 = 3;

/// Units of a lexicon value: -4 to 4 in 5 bits.
const LEXICON_UNITS: f64 = 3.75;

/// The value of each bit pattern, two's complement.
const LEXICON_VALUES: [f64; 1 << (8 - LEXICON)] = {
    let mut values = [0.0; 1 << (8 - LEXICON)];
    let mut pattern = 0_u8;
    while (pattern as usize) < values.len() {
        let signed = (pattern << LEXICON).cast_signed() >> LEXICON;
        values[pattern as usize] = signed as f64 / LEXICON_UNITS;
        pattern += 1;
    }
    values
};

/// The first weight of a term that is hidden: no other record has it.
pub(super) const HIDDEN: u8 = i8::MIN.cast_unsigned();

/// The largest weight that a record can hold, in the model's unit.
pub(super) const LARGEST_WEIGHT: i32 = 127 << 6;

/// How the buckets of a model with so many classes are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of a bucket.
    pub bucket: usize,
    /// Bytes of a record: a weight a class, then lexicon value, shift and flag.
    pub record: usize,
}

impl Layout {
    pub fn new(classes: usize) -> Self {
        let record = classes + 1;
        Self { bucket: (FINGERPRINTS + SLOTS * record).next_multiple_of(BUCKET_UNIT), record }
    }

    /// Where a slot's fingerprint stands in its bucket.
    pub fn fingerprint(slot: usize) -> std::ops::Range<usize> {
        slot * 4..slot * 4 + 4
    }

    /// Where a slot's record stands in its bucket.
    pub fn record(self, slot: usize) -> std::ops::Range<usize> {
        let start = FINGERPRINTS + slot * self.record;
        start..start + self.record
    }
}

/// Which bucket a hash belongs to and its fingerprint there (never 0, which marks a free slot).
pub(super) fn place(hash: u64, buckets: usize) -> (usize, u32) {
    // Multiply and shift maps the high half evenly onto the buckets without a division.
    let bucket = usize::try_from(((hash >> 32) * buckets as u64) >> 32).unwrap_or(0);
    (bucket, fingerprint(hash))
}

/// A hash's fingerprint.
fn fingerprint(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).max(1)
}

/// Which of a bucket's fingerprints is this one, two bits a slot. All are compared at once, without a branch: which one it is
/// cannot be predicted. (Two bits, for one would take two instructions more.)
#[inline]
fn matches(fingerprints: &[u8; FINGERPRINTS], fingerprint: u32) -> u32 {
    let (slots, _) = fingerprints.as_chunks::<4>();
    let slot = |at: usize| slots.get(at).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let slots = u32x8::new(std::array::from_fn(slot));
    let equal: i32x8 = cast(slots.simd_eq(u32x8::splat(fingerprint)));
    cast::<i16x8, u8x16>(i16x8::from_i32x8_saturate(equal)).to_bitmask()
}

/// The slot of the first match; of none, any slot.
#[inline]
fn first_match(matches: u32) -> usize {
    matches.trailing_zeros() as usize / 2 % SLOTS
}

/// Writes a term's record. The weights of a term share a shift of 0, 2, 4 or 6 bits, so that a term that says much is
/// kept as well as one that says little.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn write_record(record: &mut [u8], weights: &[i32], lexicon_value: f64, left: bool) {
    let most = weights.iter().map(|weight| weight.abs()).max().unwrap_or(0);
    let step = (0..3_u8).find(|step| most <= 127 << (2 * step)).unwrap_or(3);
    let Some((last, bytes)) = record.split_last_mut() else { return };
    for (byte, weight) in bytes.iter_mut().zip(weights) {
        let rounded = f64::from(*weight) / f64::from(1 << (2 * step));
        *byte = (rounded.round().clamp(-127.0, 127.0) as i8).cast_unsigned();
    }
    let value = (lexicon_value * LEXICON_UNITS).round().clamp(-16.0, 15.0) as i8;
    *last = (value << LEXICON).cast_unsigned() | step << 1 | if left { LEFT } else { 0 };
}

/// A borrowed term table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    bytes: &'a [u8],
    buckets: usize,
    layout: Layout,
}

/// What a bucket says of a term.
enum Look {
    /// In which of all slots it is.
    Found(usize),
    /// That it is not in the table.
    Unknown,
    /// That it may be in the next.
    Full,
}

/// A term's record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a>(&'a [u8]);

impl<'a> Table<'a> {
    /// The table that fills `bytes`; `None` if it does not.
    pub fn new(bytes: &'a [u8], buckets: usize, classes: usize) -> Option<Self> {
        let layout = Layout::new(classes);
        let fills = buckets > 0 && buckets.checked_mul(layout.bucket) == Some(bytes.len());
        fills.then_some(Self { bytes, buckets, layout })
    }

    /// Its bytes, and how many buckets they are.
    pub fn parts(&self) -> (&'a [u8], usize) {
        (self.bytes, self.buckets)
    }

    /// A table whose layout is known, which fills `bytes`.
    pub(super) fn with_layout(bytes: &'a [u8], buckets: usize, layout: Layout) -> Self {
        Self { bytes, buckets, layout }
    }

    /// How its buckets are laid out.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The record of a term, if the model knows it.
    #[inline]
    pub fn get(&self, hash: u64) -> Option<Entry<'a>> {
        let record = self.bytes.get(self.offset(self.slot(hash)?)..)?.get(..self.layout.record)?;
        Some(Entry(record)).filter(|entry| !entry.is_hidden())
    }

    /// Whether a known n-gram may begin with a term, hidden or not.
    pub fn begins(&self, hash: u64) -> bool {
        let record =
            self.slot(hash).and_then(|slot| self.bytes.get(self.offset(slot)..)?.get(..self.layout.record));
        record.is_some_and(|record| Entry(record).is_left())
    }

    /// Where the record in a slot begins.
    #[inline]
    pub fn offset(&self, slot: usize) -> usize {
        slot / SLOTS * self.layout.bucket + self.layout.record(slot % SLOTS).start
    }

    /// In which of all slots a term is, hidden or not.
    #[inline]
    pub fn slot(&self, hash: u64) -> Option<usize> {
        let (bucket, fingerprint) = place(hash, self.buckets);
        match self.look(bucket, fingerprint) {
            Look::Found(slot) => Some(slot),
            Look::Unknown => None,
            Look::Full => self.find_spilled(bucket, fingerprint),
        }
    }

    /// Looks into one bucket.
    #[inline]
    fn look(&self, bucket: usize, fingerprint: u32) -> Look {
        let start = bucket * self.layout.bucket;
        let Some(fingerprints) = self.bytes.get(start..).and_then(|line| line.first_chunk()) else {
            return Look::Unknown;
        };
        let hits = matches(fingerprints, fingerprint);
        if hits != 0 {
            Look::Found(bucket * SLOTS + first_match(hits))
        } else if fingerprints.last_chunk() == Some(&[0; 4]) {
            Look::Unknown
        } else {
            Look::Full
        }
    }

    /// A full bucket spills into the next: damaged bytes without a free slot end after one round.
    #[inline(never)]
    fn find_spilled(&self, full: usize, fingerprint: u32) -> Option<usize> {
        let others = (full + 1..self.buckets).chain(0..full);
        for bucket in others {
            match self.look(bucket, fingerprint) {
                Look::Found(slot) => return Some(slot),
                Look::Unknown => return None,
                Look::Full => {}
            }
        }
        None
    }

    /// The most full buckets in a row: a search for a term that is not there looks through all of them.
    pub(super) fn longest_run(&self) -> usize {
        let is_full =
            |line: &[u8]| line.get(Layout::fingerprint(SLOTS - 1)).is_some_and(|last| last != [0; 4]);
        let buckets = || self.bytes.chunks_exact(self.layout.bucket);
        // The last bucket spills into the first.
        let (mut longest, mut run) = (0, buckets().rev().take_while(|line| is_full(line)).count());
        for line in buckets() {
            run = if is_full(line) { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        longest
    }

    /// The number of slots, free ones too.
    pub(super) fn slots(&self) -> usize {
        self.buckets * SLOTS
    }

    /// The fingerprint and the record of each slot in turn; `None` where it is free.
    pub(super) fn records(&self) -> impl Iterator<Item = Option<(u32, Entry<'a>)>> {
        let layout = self.layout;
        self.bytes.chunks_exact(layout.bucket).flat_map(move |line| {
            (0..SLOTS).map(move |slot| {
                let fingerprint = line.get(Layout::fingerprint(slot))?.try_into().ok()?;
                let fingerprint = Some(u32::from_le_bytes(fingerprint)).filter(|print| *print != 0)?;
                line.get(layout.record(slot)).map(|record| (fingerprint, Entry(record)))
            })
        })
    }

    /// Has a term's bucket brought into the cache, for a look-up that follows.
    #[inline]
    pub fn fetch(&self, hash: u64) {
        let (bucket, _) = place(hash, self.buckets);
        fetch(self.bytes, bucket * self.layout.bucket);
    }
}

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Has a byte brought into the cache while other work goes on.
#[inline]
pub(crate) fn fetch(bytes: &[u8], at: usize) {
    let byte = bytes.get(at);
    #[cfg(target_arch = "x86_64")]
    byte.into_iter().for_each(safe_arch::prefetch_t0);
    // Where there is no such instruction at hand, it is read.
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(byte.copied());
}

impl<'a> Entry<'a> {
    /// The record's bytes: weights, then flags.
    pub fn record(&self) -> &'a [u8] {
        self.0
    }

    /// Whether it weighs anything.
    pub fn weighs(&self) -> bool {
        self.0.split_last().is_some_and(|(_, weights)| weights.iter().any(|weight| *weight != 0))
    }

    fn last(&self) -> u8 {
        self.0.last().copied().unwrap_or(0)
    }

    fn is_hidden(&self) -> bool {
        self.0.first() == Some(&HIDDEN)
    }

    /// The entry of a record's bytes.
    pub fn of(record: &'a [u8]) -> Self {
        Self(record)
    }

    /// How far its weights are shifted.
    pub fn shift(&self) -> u8 {
        self.last() & SHIFT
    }

    /// Spreads the weights out. (With 16 bits: no weight has more.)
    pub fn spread(&self, to: &mut [i16]) {
        let shift = self.shift();
        for (to, weight) in to.iter_mut().zip(self.0) {
            *to = i16::from(weight.cast_signed()) << shift;
        }
    }

    /// Adds the weights to the sums, one a class.
    pub fn add_to(&self, sums: &mut [i64]) {
        let shift = self.last() & SHIFT;
        for (sum, weight) in sums.iter_mut().zip(self.0) {
            *sum += i64::from(weight.cast_signed()) << shift;
        }
    }

    /// The same for three classes, which most models have.
    #[inline]
    pub fn add_to_three(&self, sums: &mut [i64; 3]) {
        let Some(&[first, second, third, last]) = self.0.first_chunk() else { return };
        let shift = last & SHIFT;
        sums[0] += i64::from(first.cast_signed()) << shift;
        sums[1] += i64::from(second.cast_signed()) << shift;
        sums[2] += i64::from(third.cast_signed()) << shift;
    }

    /// Its value in the lexicon, about -4 to 4; 0 if it has none.
    pub fn lexicon_value(&self) -> f64 {
        LEXICON_VALUES[usize::from(self.last() >> LEXICON)]
    }

    /// Whether a known n-gram may begin with it.
    pub fn is_left(&self) -> bool {
        self.last() & LEFT != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_fit() {
        assert_eq!(Layout::new(3), Layout { bucket: 64, record: 4 });
        for classes in 2..=64 {
            let layout = Layout::new(classes);
            assert!(layout.record(SLOTS - 1).end <= layout.bucket);
        }
    }

    #[test]
    fn records_come_back() {
        for left in [false, true] {
            for value in [-4.0, -1.5, 0.0, 0.3, 3.9] {
                for weights in
                    [[0, 1, -1], [127, -127, 5], [128, -3, 0], [2000, 100, -31], [LARGEST_WEIGHT, -9, -8128]]
                {
                    let mut record = [0; 4];
                    write_record(&mut record, &weights, value, left);
                    let entry = Entry(&record);
                    assert!((entry.lexicon_value() - value).abs() <= 0.5 / LEXICON_UNITS + 1e-12);
                    assert_eq!(entry.is_left(), left);
                    let mut sums = [10, 20, 30];
                    entry.add_to(&mut sums);
                    let most = i64::from(weights.map(i32::abs).into_iter().max().unwrap_or(0));
                    for ((sum, start), weight) in sums.into_iter().zip([10, 20, 30]).zip(weights) {
                        assert!((sum - start - i64::from(weight)).abs() <= most / 60, "{weights:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_too_large_is_kept_at_the_end_of_the_range() {
        let mut record = [0; 3];
        write_record(&mut record, &[i32::MAX, i32::MIN + 1], 99.0, false);
        let mut sums = [0, 0];
        Entry(&record).add_to(&mut sums);
        assert_eq!(sums, [i64::from(LARGEST_WEIGHT), -i64::from(LARGEST_WEIGHT)]);
        assert_eq!(Entry(&record).lexicon_value(), 4.0);
    }
}
