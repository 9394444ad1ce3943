//! The term table: hash in, weights out, read where it lies.

/// Slots of a bucket: their fingerprints fill one cache line of 64 bytes.
pub(super) const SLOTS: usize = 16;
pub(super) const BUCKET_BYTES: usize = SLOTS * 4;

/// The record's last two bytes: lexicon value and flags.
const EXTRA: usize = 2;

/// The flag of a term that may be the left part of a known n-gram.
pub(super) const LEFT: u8 = 1;

/// Bytes of a record.
pub(super) fn record_bytes(classes: usize) -> usize {
    classes * 2 + EXTRA
}

/// Which bucket a hash belongs to and its fingerprint there (never 0, which marks a free slot).
pub(super) fn place(hash: u64, buckets: usize) -> (usize, u32) {
    let [a, b, c, d, rest @ ..] = hash.to_le_bytes();
    let high = u64::from(u32::from_le_bytes(rest));
    // Multiply and shift maps the high half evenly onto the buckets without a division.
    let bucket = usize::try_from((high * buckets as u64) >> 32).unwrap_or(0);
    (bucket, u32::from_le_bytes([a, b, c, d]).max(1))
}

/// A borrowed term table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    fingerprints: &'a [u8],
    records: &'a [u8],
    buckets: usize,
    record: usize,
}

/// A term's record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a>(&'a [u8]);

impl<'a> Table<'a> {
    /// The table that fills `bytes`; `None` if it does not.
    pub(super) fn new(bytes: &'a [u8], buckets: usize, classes: usize) -> Option<Self> {
        let record = record_bytes(classes);
        let fingerprints = buckets.checked_mul(BUCKET_BYTES)?;
        let records = buckets.checked_mul(SLOTS)?.checked_mul(record)?;
        if buckets == 0 || fingerprints.checked_add(records)? != bytes.len() {
            return None;
        }
        let (fingerprints, records) = bytes.split_at(fingerprints);
        Some(Self { fingerprints, records, buckets, record })
    }

    /// The record of a term, if the model knows it.
    pub fn get(&self, hash: u64) -> Option<Entry<'a>> {
        let (mut bucket, fingerprint) = place(hash, self.buckets);
        // A full bucket spills into the next: damaged bytes without a free slot end after one round.
        for _ in 0..self.buckets {
            let line = self.fingerprints.get(bucket * BUCKET_BYTES..)?.first_chunk::<BUCKET_BYTES>()?;
            let (slots, _) = line.as_chunks::<4>();
            // Comparing all slots without a branch is a few vector instructions; where it hit is asked only then.
            if slots.iter().fold(false, |hit, slot| hit | (u32::from_le_bytes(*slot) == fingerprint)) {
                let within = slots.iter().position(|slot| u32::from_le_bytes(*slot) == fingerprint)?;
                let slot = bucket * SLOTS + within;
                return self.records.get(slot * self.record..(slot + 1) * self.record).map(Entry);
            }
            if slots.last() == Some(&[0; 4]) {
                return None;
            }
            bucket = if bucket + 1 == self.buckets { 0 } else { bucket + 1 };
        }
        None
    }
}

impl Entry<'_> {
    /// Adds the weights to the sums, one a class.
    pub fn add_to(&self, sums: &mut [i64]) {
        let (weights, _) = self.0.as_chunks::<2>();
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += i64::from(i16::from_le_bytes(*weight));
        }
    }

    /// Its value in the lexicon, about -4 to 4; 0 if it has none.
    pub fn lexicon_value(&self) -> f64 {
        match self.0 {
            [.., value, _] => f64::from(i8::from_le_bytes([*value])) / super::writer::LEXICON_UNITS,
            _ => 0.0,
        }
    }

    /// Whether a known n-gram may begin with it.
    pub fn is_left(&self) -> bool {
        self.0.last().is_some_and(|flags| flags & LEFT != 0)
    }
}
