//! A convolution over a text's tokens (Kim 2014), kept so that a token costs one look-up and some additions.
//!
//! A filter weighs one, two or three neighbouring tokens, and what it finds is pooled over the text: the largest, and the
//! sum on the text's scale. What a filter makes of a token at a place of its window depends on the token alone. So these
//! products are kept for every token, and neither embeddings nor filters: no multiplication is left but the last.
//!
//! ```text
//! size  field (all numbers little-endian)
//!    2  filters of each width
//!    2  1; 0 in models of version 0.1.0, where a table of the network's own follows in place of numbers and records
//!    4  records, that of an unknown token apart
//!    8  what one unit is worth (float)
//!       bias of each filter (4 each)
//!       what each filter's largest, then each one's sum weighs: one a class (float, 8 each), zero-padded to a multiple of 64
//!       numbers (4 each): that of the first of each bucket's terms that have a record, and one past the last,
//!       zero-padded to a multiple of 64
//!       records, that of an unknown token first, each zero-padded to a multiple of 64: as those of a table (see model.rs), a
//!       weight a place of each width's windows
//! ```
//!
//! The records are those of terms in the model's table; what has a record and no weights is hidden there.

mod sixteen;
mod writer;

pub use writer::Network;

use crate::model::{self, Entry, Found, LINE, Numbers, Table};
use crate::terms;
use crate::text::Token;
use sixteen::{Bias, SIXTEEN};
use wide::f64x4;

/// The algorithm's name on a card.
pub(crate) const ALGORITHM: &str = "convolutional_network";

/// The widest window, in tokens.
const WIDTHS: usize = 3;

/// Places of all windows: one, two and three.
const PLACES: usize = 6;

/// The most filters of one width.
const MOST_FILTERS: usize = 256;

/// Marks, beside the filters, a network whose records are numbered by the terms of the model's table.
const NUMBERED: usize = 1 << 16;

/// Buffers that every reading reuses.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The products of a token, of the one before and of the one before that.
    products: [Vec<i16>; WIDTHS],
    found: Vec<i16>,
    largest: Vec<i16>,
    sums: Vec<i32>,
    /// Where the record of each token stands among the view's.
    places: Vec<usize>,
    pooled: Vec<f64>,
    /// What was pooled of sixteen filters of each width, in place of `largest` and `sums`.
    sixteen: sixteen::Pooled,
}

/// How the record of a term is found.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    /// By its number, a record each so many bytes.
    Numbers(Numbers<'a>, usize),
    /// By the network's own table, which begins so many bytes behind the record of an unknown token: as it was in version 0.1.0.
    Table(Table<'a>, usize),
}

/// A network read where it lies.
#[derive(Clone, Debug)]
pub(crate) struct NetworkView<'a> {
    filters: usize,
    classes: usize,
    source: Source<'a>,
    /// Begins with the record of an unknown token.
    records: &'a [u8],
    bias: Vec<i16>,
    /// Classes x pooled findings, in logits a unit.
    output: Vec<f64>,
}

impl<'a> NetworkView<'a> {
    /// The network that fills `bytes`, behind `linear`; `None` if it does not, or holds numbers out of range.
    pub fn new(bytes: &'a [u8], classes: usize, linear: &Table<'_>) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<16>()?;
        let (filters, head) = head.split_first_chunk::<4>()?;
        let (count, unit) = head.split_first_chunk::<4>()?;
        let filters = usize::try_from(u32::from_le_bytes(*filters)).ok()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let unit = f64::from_le_bytes(unit.try_into().ok()?);
        let (numbered, filters) = (filters & NUMBERED != 0, filters & !NUMBERED);
        if !(1..=MOST_FILTERS).contains(&filters) {
            return None;
        }
        let (bias, rest) = rest.split_at_checked(WIDTHS * filters * 4)?;
        let (output, rest) = rest.split_at_checked(2 * WIDTHS * filters * classes * 8)?;
        let at = bytes.len() - rest.len();
        let record = PLACES * filters + 1;
        let (source, records) = if numbered {
            let (numbers, rest) = Numbers::new(bytes.get(at.next_multiple_of(LINE)..)?, linear.parts().1)?;
            let records = bytes.get((bytes.len() - rest.len()).next_multiple_of(LINE)..)?;
            let stride = record.next_multiple_of(LINE);
            let fills = count.checked_add(1)?.checked_mul(stride) == Some(records.len());
            (fills.then_some(Source::Numbers(numbers, stride))?, records)
        } else {
            let start = (at + record).next_multiple_of(LINE) - at;
            (Source::Table(Table::new(rest.get(start..)?, count, PLACES * filters)?, start), rest)
        };
        let bias = bias.as_chunks().0.iter().map(|four| i16::try_from(i32::from_le_bytes(*four)).ok());
        let output = output.as_chunks().0;
        let weight = |at: usize| f64::from_le_bytes(output[at]) * unit;
        let output = (0..classes).flat_map(|class| (class..output.len()).step_by(classes).map(weight));
        let (bias, output) = (bias.collect::<Option<Vec<i16>>>()?, output.collect::<Vec<f64>>());
        let in_range = output.iter().all(|weight| weight.abs() <= 1e9);
        in_range.then_some(Self { filters, classes, source, records, bias, output })
    }

    /// Adds what the network makes of the text that was pooled to its logits; `length` is the text's scale.
    pub fn add_to(&self, logits: &mut [f64], length: f64, buffers: &mut Buffers) {
        if self.sixteen().is_some()
            && let Some(logits) = logits.as_mut_array()
        {
            return sixteen::add(&buffers.sixteen, length, &self.output, logits);
        }
        let Buffers { largest, sums, pooled, .. } = buffers;
        pooled.clear();
        pooled.extend(largest.iter().map(|&found| f64::from(found)));
        pooled.extend(sums.iter().map(|&sum| f64::from(sum) * length));
        let outputs = self.output.chunks_exact(pooled.len());
        logits.iter_mut().zip(outputs).for_each(|(logit, weights)| *logit += dot(pooled, weights));
    }

    /// Pools what the filters find at the tokens that were located.
    pub fn pool(&self, buffers: &mut Buffers) {
        match self.sixteen() {
            Some(bias) => sixteen::pool(self.records, &buffers.places, bias, &mut buffers.sixteen),
            None => self.pool_any(buffers),
        }
    }

    /// The bias, if there are sixteen filters of each width and three classes, which `sixteen` is written for.
    fn sixteen(&self) -> Option<&Bias> {
        if self.classes == 3 { self.bias.as_chunks::<SIXTEEN>().0.as_array() } else { None }
    }

    /// The same for any number of filters.
    fn pool_any(&self, buffers: &mut Buffers) {
        let mut largest = std::mem::take(&mut buffers.largest);
        let mut sums = std::mem::take(&mut buffers.sums);
        largest.clear();
        largest.resize(self.bias.len(), 0);
        sums.clear();
        sums.resize(self.bias.len(), 0);
        self.slide(buffers, |_, found| {
            for ((found, largest), sum) in found.iter().zip(&mut largest).zip(&mut sums) {
                *largest = (*largest).max(*found);
                *sum = sum.wrapping_add(i32::from(*found));
            }
        });
        buffers.largest = largest;
        buffers.sums = sums;
    }

    /// Of the tokens that were located, calls `visit` with first and last of each window and the logits that it gives: those of its part in the sums,
    /// and where it is the first with a filter's largest finding, of that. They add up to what `add_to` adds.
    pub fn explain(&self, length: f64, buffers: &mut Buffers, mut visit: impl FnMut((usize, usize), &[f64])) {
        let mut largest = vec![(0, 0); self.bias.len()];
        let mut logits = vec![0.0; self.classes];
        let give = |filter: usize, at: usize, pooled: f64, finding: usize, logits: &mut [f64]| {
            let weights = self.output.iter().skip(finding).step_by(2 * self.bias.len());
            logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit = pooled * weight);
            (at.saturating_sub(filter / self.filters), at)
        };
        self.slide(buffers, |at, found| {
            for (filter, (&found, largest)) in found.iter().zip(&mut largest).enumerate() {
                if found > largest.0 {
                    *largest = (found, at);
                }
                if found > 0 {
                    let finding = self.bias.len() + filter;
                    let span = give(filter, at, f64::from(found) * length, finding, &mut logits);
                    visit(span, &logits);
                }
            }
        });
        for (filter, &(found, at)) in largest.iter().enumerate() {
            let span = give(filter, at, f64::from(found), filter, &mut logits);
            visit(span, &logits);
        }
    }

    /// Finds the records of a text's tokens; `linear` is the model's table.
    pub fn locate(&self, linear: &Table<'_>, tokens: &[Token], buffers: &mut Buffers) {
        let find = |token: &Token| Found::at(linear.slot(terms::unit(token)));
        let found: Vec<Found> = tokens.iter().map(find).collect();
        self.locate_found(tokens, &found, buffers);
    }

    /// The same, by what was found of the tokens' terms in the model's table.
    #[inline]
    pub fn locate_found(&self, tokens: &[Token], found: &[Found], Buffers { places, .. }: &mut Buffers) {
        places.clear();
        match self.source {
            Source::Numbers(numbers, stride) => {
                // A record of sixteen filters a width fills two lines; of others, what is between is read when its turn comes.
                places.extend(found.iter().map(|found| {
                    let place = numbers.of(found.slot) * stride;
                    model::fetch(self.records, place);
                    model::fetch(self.records, place + stride - LINE);
                    place
                }));
            }
            Source::Table(table, start) => {
                let slot = |token| table.slot(terms::unit(token));
                places.extend(
                    tokens.iter().map(|token| slot(token).map_or(0, |slot| start + table.offset(slot))),
                );
            }
        }
    }

    /// The record at a place that was located, which may be that of an unknown token.
    #[inline]
    fn entry(&self, place: usize) -> Entry<'a> {
        let record = self.records.get(place..).and_then(|bytes| bytes.get(..PLACES * self.filters + 1));
        Entry::of(record.unwrap_or_default())
    }

    /// Calls `visit` with the number of each token that was located and what the filters find in the windows that end with it.
    fn slide(&self, buffers: &mut Buffers, mut visit: impl FnMut(usize, &[i16])) {
        let Buffers { products, found, places, .. } = buffers;
        let filters = self.filters;
        for products in &mut *products {
            products.clear();
            products.resize(PLACES * filters, 0);
        }
        let [now, last, earlier] = products;
        for (at, place) in places.iter().enumerate() {
            std::mem::swap(last, earlier);
            std::mem::swap(now, last);
            self.entry(*place).spread(now);
            found.clear();
            found.extend_from_slice(&self.bias);
            add(found, &now[..3 * filters]);
            add(&mut found[filters..], &last[3 * filters..5 * filters]);
            add(&mut found[2 * filters..], &earlier[5 * filters..]);
            found.iter_mut().for_each(|found| *found = (*found).max(0));
            visit(at, found);
        }
    }
}

/// The sum of the products, in four parts that do not wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<4>();
    let (b, b_rest) = b.as_chunks::<4>();
    let mut sums = f64x4::splat(0.0);
    for (a, b) in a.iter().zip(b) {
        sums += f64x4::new(*a) * f64x4::new(*b);
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    let sums = sums.to_array();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

fn add(to: &mut [i16], from: &[i16]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = to.saturating_add(*from));
}

#[cfg(test)]
mod tests;
