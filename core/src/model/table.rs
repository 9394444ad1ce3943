//! The term table: hash in, weights out, read where it lies.
//!
//! A bucket holds the fingerprints of its eight slots, then their records. With three classes it is one cache line: a
//! term costs one read of memory, known or not.

/// Slots of a bucket.
pub(super) const SLOTS: usize = 8;

/// Bytes of a bucket's fingerprints, four a slot.
const FINGERPRINTS: usize = SLOTS * 4;

/// Buckets are a multiple of this: with two and three classes that makes them a cache line.
const BUCKET_UNIT: usize = 16;

/// The bit of a record's last byte that says that a known n-gram may begin with the term; the others are its lexicon value.
const LEFT: u8 = 1;

/// Units of a lexicon value: -4 to 4 in 7 bits.
const LEXICON_UNITS: f64 = 15.75;

/// How the buckets of a model with so many classes are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of a bucket.
    pub bucket: usize,
    /// Bytes of a record: a weight a class, then lexicon value and flag.
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
    let [a, b, c, d, rest @ ..] = hash.to_le_bytes();
    let high = u64::from(u32::from_le_bytes(rest));
    // Multiply and shift maps the high half evenly onto the buckets without a division.
    let bucket = usize::try_from((high * buckets as u64) >> 32).unwrap_or(0);
    (bucket, u32::from_le_bytes([a, b, c, d]).max(1))
}

/// Lexicon value and flag as a record's last byte keeps them. A float cast saturates, and so does the value.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn extra(lexicon_value: f64, left: bool) -> u8 {
    let value = (lexicon_value * LEXICON_UNITS).round().clamp(-64.0, 63.0) as i8;
    (value << 1).cast_unsigned() | if left { LEFT } else { 0 }
}

/// A borrowed term table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    bytes: &'a [u8],
    buckets: usize,
    layout: Layout,
}

/// A term's record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a>(&'a [u8]);

impl<'a> Table<'a> {
    /// The table that fills `bytes`; `None` if it does not.
    pub(super) fn new(bytes: &'a [u8], buckets: usize, classes: usize) -> Option<Self> {
        let layout = Layout::new(classes);
        let fills = buckets > 0 && buckets.checked_mul(layout.bucket) == Some(bytes.len());
        fills.then_some(Self { bytes, buckets, layout })
    }

    /// The record of a term, if the model knows it.
    pub fn get(&self, hash: u64) -> Option<Entry<'a>> {
        let (mut bucket, fingerprint) = place(hash, self.buckets);
        // A full bucket spills into the next: damaged bytes without a free slot end after one round.
        for _ in 0..self.buckets {
            let line = self.bytes.get(bucket * self.layout.bucket..)?;
            let (slots, _) = line.first_chunk::<FINGERPRINTS>()?.as_chunks::<4>();
            // All eight are compared without a branch, for which one matches cannot be predicted.
            let hits = slots.iter().enumerate().fold(0, |hits, (slot, bytes)| {
                hits | u32::from(u32::from_le_bytes(*bytes) == fingerprint) << slot
            });
            if hits != 0 {
                let slot = usize::try_from(hits.trailing_zeros()).unwrap_or(0);
                return line.get(self.layout.record(slot)).map(Entry);
            }
            if slots[SLOTS - 1] == [0; 4] {
                return None;
            }
            bucket = if bucket + 1 == self.buckets { 0 } else { bucket + 1 };
        }
        None
    }

    /// Reads one byte of a term's bucket. Asked for many terms in a row, the reads of memory overlap, and the look-ups
    /// that follow find their buckets in the cache: a prefetch without an instruction of its own.
    pub fn touch(&self, hash: u64) -> u8 {
        let (bucket, _) = place(hash, self.buckets);
        self.bytes.get(bucket * self.layout.bucket).copied().unwrap_or(0)
    }
}

impl Entry<'_> {
    /// Adds the weights to the sums, one a class.
    pub fn add_to(&self, sums: &mut [i64]) {
        for (sum, weight) in sums.iter_mut().zip(self.0) {
            *sum += i64::from(weight.cast_signed());
        }
    }

    /// Its value in the lexicon, about -4 to 4; 0 if it has none.
    pub fn lexicon_value(&self) -> f64 {
        let byte = self.0.last().copied().unwrap_or(0);
        f64::from(byte.cast_signed() >> 1) / LEXICON_UNITS
    }

    /// Whether a known n-gram may begin with it.
    pub fn is_left(&self) -> bool {
        self.0.last().is_some_and(|byte| byte & LEFT != 0)
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
    fn extras_come_back() {
        for left in [false, true] {
            for value in [-4.0, -1.5, 0.0, 0.3, 3.9] {
                let record = [0, extra(value, left)];
                let entry = Entry(&record);
                assert!((entry.lexicon_value() - value).abs() <= 0.5 / LEXICON_UNITS + 1e-12);
                assert_eq!(entry.is_left(), left);
            }
        }
        assert!(Entry(&[extra(99.0, false)]).lexicon_value() > 3.9);
    }
}
