//! What a refresh changes, kept beside the model that it changes.
//!
//! A delta names its base by checksum and holds, for the terms that were learned from, their new values: weights for
//! logistic regression, counts for naive Bayes. Later values take the place of earlier ones, so deltas can be merged
//! without the base.
//!
//! ```text
//! size  field (all numbers little-endian)
//!    8  magic
//!    4  format version, as a model's
//!    4  the base's checksum
//!    4  CRC-32 of what follows
//!       head (bincode)
//!       hash of each term, ascending (8 each)
//!       values, one a term and class: counts as LEB128 numbers, weights in the head's unit (2 each)
//! ```

use crate::model::{FORMATS, OwnReading, damaged, supported};
use crate::train::{OwnTerm, Totals};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 8] = *b"\x89SDELT\r\n";
/// Magic, format version, the base's checksum, CRC-32.
const HEADER: usize = 20;
/// The most bytes that a head is decoded to: 64 classes, and as many terms of the user's own as there may be.
const LIMIT: usize = 1 << 24;

/// What was learned since the base was written. Merged, its values are those of now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Delta {
    /// Examples learned from.
    pub rows: u64,
    /// One a class; empty for those of the base.
    pub bias: Vec<f64>,
    /// Of a naive Bayes model.
    pub totals: Option<Totals>,
    /// The user's own terms; `None` for those of the base.
    pub own_terms: Option<Vec<OwnTerm>>,
    /// How they are read.
    pub own_reading: OwnReading,
    pub terms: TermValues,
}

/// The new values of terms, one a class, side by side: there can be a hundred thousand of them, and every reader takes them in
/// after each refresh.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TermValues {
    classes: usize,
    /// Ascending.
    hashes: Vec<u64>,
    values: Vec<f32>,
}

impl TermValues {
    /// Those of some terms.
    #[allow(clippy::cast_possible_truncation)]
    pub fn new(classes: usize, terms: impl Iterator<Item = (u64, Vec<f64>)>) -> Self {
        let mut terms: Vec<(u64, Vec<f64>)> = terms.collect();
        terms.sort_unstable_by_key(|term| term.0);
        let hashes = terms.iter().map(|term| term.0).collect();
        let values = terms.iter().flat_map(|term| &term.1).map(|value| *value as f32).collect();
        Self { classes, hashes, values }
    }

    /// How many terms there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The values of a term.
    pub fn get(&self, hash: u64) -> Option<&[f32]> {
        let at = self.hashes.binary_search(&hash).ok()?;
        self.values.get(at * self.classes..(at + 1) * self.classes)
    }

    /// Each term with its values, by ascending hash.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[f32])> {
        self.hashes.iter().copied().zip(self.values.chunks_exact(self.classes.max(1)))
    }

    /// These and newer ones, which take the place of those of the same term.
    fn followed_by(&self, newer: &Self) -> Self {
        let classes = self.classes.max(newer.classes);
        let (mut hashes, mut values) = (Vec::new(), Vec::new());
        hashes.reserve(self.len() + newer.len());
        values.reserve(self.values.len() + newer.values.len());
        let mut older = self.iter().peekable();
        for (hash, new) in newer.iter() {
            while let Some((before, old)) = older.next_if(|(before, _)| *before < hash) {
                hashes.push(before);
                values.extend_from_slice(old);
            }
            older.next_if(|(before, _)| *before == hash);
            hashes.push(hash);
            values.extend_from_slice(new);
        }
        for (before, old) in older {
            hashes.push(before);
            values.extend_from_slice(old);
        }
        Self { classes, hashes, values }
    }
}

/// What stands before the terms of a delta.
#[derive(Serialize, Deserialize)]
struct Head {
    rows: u64,
    bias: Vec<f64>,
    totals: Option<Totals>,
    own_terms: Option<Vec<OwnTerm>>,
    terms: u64,
    classes: u64,
    /// What one unit of a weight is worth; 0 where the values are counts.
    unit: f64,
}

impl Delta {
    /// The bytes of a delta to this base.
    pub fn write(&self, base: u32) -> Result<Vec<u8>> {
        let unit = if self.totals.is_some() { 0.0 } else { self.unit() };
        let head = Head {
            rows: self.rows,
            bias: self.bias.clone(),
            totals: self.totals.clone(),
            own_terms: self.own_terms.clone(),
            terms: self.terms.len() as u64,
            classes: self.terms.classes as u64,
            unit,
        };
        let mut body =
            bincode::serde::encode_to_vec(&head, bincode::config::standard()).map_err(|_| too_large())?;
        self.terms.hashes.iter().for_each(|hash| body.extend(hash.to_le_bytes()));
        for value in &self.terms.values {
            if unit == 0.0 { write_count(*value, &mut body) } else { write_weight(*value, unit, &mut body) }
        }
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(MAGIC);
        let format = self.own_reading.format(self.own_terms.as_deref().unwrap_or_default());
        bytes.extend(format.to_le_bytes());
        bytes.extend(base.to_le_bytes());
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
        Ok(bytes)
    }

    /// Opens the untrusted bytes of a delta to this base.
    pub fn open(bytes: &[u8], base: u32) -> Result<Self> {
        let Some((header, body)) =
            bytes.split_first_chunk::<HEADER>().filter(|(header, _)| header[..8] == MAGIC)
        else {
            return Err(damaged("a delta does not begin as one does"));
        };
        let number =
            |at: usize| header[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        supported("delta format", number(8), &FORMATS)?;
        if number(16) != crc32fast::hash(body) {
            return Err(damaged("a delta's checksum does not match"));
        }
        if number(12) != base {
            return Err(damaged("a delta is not of this model"));
        }
        let config = bincode::config::standard().with_limit::<LIMIT>();
        let (head, read): (Head, usize) =
            bincode::serde::decode_from_slice(body, config).map_err(|_| damaged("a delta is unreadable"))?;
        let terms = terms(&head, &body[read..]).ok_or_else(|| damaged("a delta's terms are cut short"))?;
        let Head { rows, bias, totals, own_terms, .. } = head;
        let own_reading = OwnReading::of(number(8), own_terms.as_deref().unwrap_or_default());
        Ok(Self { rows, bias, totals, own_terms, own_reading, terms })
    }

    /// The unit in which the largest weight just fits 16 bits.
    fn unit(&self) -> f64 {
        let largest = self.terms.values.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
        f64::from(largest.max(f32::MIN_POSITIVE)) / f64::from(i16::MAX)
    }

    /// Opens deltas, oldest first, and merges them. `None` if there are none.
    pub fn open_all(deltas: &[&[u8]], base: u32) -> Result<Option<Self>> {
        let mut opened = deltas.iter().map(|bytes| Self::open(bytes, base));
        let Some(first) = opened.next() else { return Ok(None) };
        opened.try_fold(first?, |older, newer| Ok(older.followed_by(newer?))).map(Some)
    }

    /// This one and a newer one as one.
    pub fn followed_by(self, newer: Self) -> Self {
        let terms = self.terms.followed_by(&newer.terms);
        Self {
            rows: newer.rows,
            bias: if newer.bias.is_empty() { self.bias } else { newer.bias },
            totals: newer.totals.or(self.totals),
            own_reading: if newer.own_terms.is_some() { newer.own_reading } else { self.own_reading },
            own_terms: newer.own_terms.or(self.own_terms),
            terms,
        }
    }

    /// All numbers are finite and as many as there are classes.
    pub fn check(&self, classes: usize) -> Result<()> {
        let fits = |values: &[f64]| values.len() == classes && values.iter().all(|value| value.abs() <= 1e9);
        let totals = self.totals.as_ref().is_none_or(|totals| totals.fit(classes));
        let TermValues { classes: wide, values, .. } = &self.terms;
        let terms = (*wide == classes || values.is_empty()) && values.iter().all(|value| value.abs() <= 1e9);
        if (self.bias.is_empty() || fits(&self.bias)) && totals && terms {
            return Ok(());
        }
        Err(damaged("a delta does not fit its model"))
    }
}

/// A count, seven bits a byte, the lowest first.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole numbers from 0 on"
)]
fn write_count(count: f32, bytes: &mut Vec<u8>) {
    let mut rest = count.round() as u32;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

#[allow(clippy::cast_possible_truncation, reason = "the unit was chosen so that weights fit")]
fn write_weight(weight: f32, unit: f64, bytes: &mut Vec<u8>) {
    let rounded = (f64::from(weight) / unit).round() as i16;
    bytes.extend(rounded.to_le_bytes());
}

#[allow(clippy::cast_precision_loss, reason = "counts beyond 2^24 are rounded, as all 32-bit floats are")]
fn read_count(bytes: &mut impl Iterator<Item = u8>) -> Option<f32> {
    let mut count = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.next()?;
        count |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(count as f32);
        }
    }
    None
}

#[allow(clippy::cast_possible_truncation, reason = "weights are of single precision")]
fn read_weight(bytes: &mut impl Iterator<Item = u8>, unit: f64) -> Option<f32> {
    let rounded = i16::from_le_bytes([bytes.next()?, bytes.next()?]);
    Some((f64::from(rounded) * unit) as f32)
}

/// The terms that fill `bytes`; `None` if they do not, or are in no order.
fn terms(head: &Head, bytes: &[u8]) -> Option<TermValues> {
    let (count, classes) = (usize::try_from(head.terms).ok()?, usize::try_from(head.classes).ok()?);
    let (hashes, rest) = bytes.split_at_checked(count.checked_mul(8)?)?;
    let wanted = count.checked_mul(classes)?;
    // A value has a byte at least: what is claimed beyond that is not made room for.
    if wanted > rest.len() || (count > 0 && classes == 0) {
        return None;
    }
    let mut rest = rest.iter().copied();
    let value = |_| match head.unit {
        0.0 => read_count(&mut rest),
        unit => read_weight(&mut rest, unit),
    };
    let values = (0..wanted).map(value).collect::<Option<Vec<f32>>>()?;
    let hashes: Vec<u64> = hashes.as_chunks::<8>().0.iter().map(|hash| u64::from_le_bytes(*hash)).collect();
    (rest.next().is_none() && hashes.is_sorted()).then_some(TermValues { classes, hashes, values })
}

fn too_large() -> Error {
    Error::new(ErrorKind::Limit, "the model's delta is too large", "Train the model again.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn delta(totals: Option<Totals>, values: [[f32; 3]; 3]) -> Delta {
        let terms = [1, 5_000_000_000, u64::MAX].into_iter().zip(values);
        let terms = terms.map(|(hash, values)| (hash, values.map(f64::from).to_vec()));
        let terms = TermValues::new(3, terms);
        let own_terms = Some(Vec::new());
        Delta {
            rows: 3,
            bias: vec![0.5, -0.25, 0.0],
            totals,
            own_terms,
            own_reading: OwnReading::Added,
            terms,
        }
    }

    #[test]
    fn deltas_come_back() {
        let totals = Totals { texts: vec![1.0; 3], counts: vec![2.0; 3], terms: 9.0 };
        let counts = delta(
            Some(totals),
            [[0.0, 1.0, 127.0], [128.0, 16_384.0, 3.0], [2_097_152.0, 0.0, 16_777_216.0]],
        );
        assert_eq!(Delta::open(&counts.write(7).unwrap(), 7).unwrap(), counts);
        let weights = delta(None, [[0.0, 1.5, -0.001], [12.0, -11.9, 3.0], [0.25, 1e-9, -0.6]]);
        let back = Delta::open(&weights.write(7).unwrap(), 7).unwrap();
        for ((one, ours), (two, theirs)) in weights.terms.iter().zip(back.terms.iter()) {
            assert_eq!(one, two);
            ours.iter().zip(theirs).for_each(|(one, two)| assert!((one - two).abs() < 4e-4));
        }
        assert_eq!(Delta::open(&Delta::default().write(7).unwrap(), 7).unwrap(), Delta::default());
    }

    #[test]
    fn what_is_cut_or_claims_too_much_is_refused() {
        let whole = delta(None, [[1.0; 3]; 3]).write(7).unwrap();
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            if length > HEADER {
                let sum = crc32fast::hash(&cut[HEADER..]);
                cut[16..20].copy_from_slice(&sum.to_le_bytes());
            }
            assert_eq!(Delta::open(&cut, 7).unwrap_err().kind(), ErrorKind::Damaged, "{length}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        let sum = crc32fast::hash(&longer[HEADER..]);
        longer[16..20].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Delta::open(&longer, 7).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(Delta::open(&whole, 8).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn newer_values_take_the_place_of_older_ones() {
        let values =
            |terms: &[(u64, f64)]| TermValues::new(1, terms.iter().map(|&(hash, value)| (hash, vec![value])));
        let older = values(&[(1, 1.0), (3, 3.0), (5, 5.0), (9, 9.0)]);
        let newer = values(&[(0, 10.0), (3, 13.0), (4, 14.0), (9, 19.0), (12, 22.0)]);
        let both = values(&[(0, 10.0), (1, 1.0), (3, 13.0), (4, 14.0), (5, 5.0), (9, 19.0), (12, 22.0)]);
        assert_eq!(older.followed_by(&newer), both);
        assert_eq!(both.get(4), Some(&[14.0][..]));
        assert_eq!(both.get(2), None);
        assert_eq!(TermValues::default().followed_by(&older), older);
        assert_eq!(older.followed_by(&TermValues::default()), older);
    }
}
