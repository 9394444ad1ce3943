//! A convolution over a text's tokens (Kim 2014), kept so that a token costs one look-up and some additions.
//!
//! A filter weighs one, two or three neighbouring tokens, and what it finds is pooled over the text: the largest, and the
//! sum on the text's scale. What a filter makes of a token at a place of its window depends on the token alone. So these
//! products are kept for every token, and neither embeddings nor filters: no multiplication is left but the last.
//!
//! ```text
//! size  field (all numbers little-endian)
//!    4  filters of each width
//!    4  buckets
//!    8  what one unit is worth (float)
//!       bias of each filter (4 each)
//!       what each filter's largest, then each one's sum weighs: one a class (float, 8 each)
//!       the record of an unknown token, zero-padded to a multiple of 64
//!       table (see model.rs), by the terms of single tokens, a weight a place of each width's windows
//! ```

mod sixteen;

use crate::Result;
use crate::model::{self, Entry, EntryDraft, Search, Table, TableWriter};
use crate::terms;
use crate::text::Token;
use sixteen::SIXTEEN;
use std::hint::select_unpredictable;
use wide::f64x4;

/// The algorithm's name on a card.
pub(crate) const ALGORITHM: &str = "convolutional_network";

/// The widest window, in tokens.
const WIDTHS: usize = 3;

/// Places of all windows: one, two and three.
const PLACES: usize = 6;

/// The most filters of one width.
const MOST_FILTERS: usize = 256;

/// The largest weight, in units: a bias and three weights fit 16 bits, and the sum over 131,072 tokens 32 bits.
const LARGEST: i32 = 127 << 5;

/// Stands for every token that is not in the table.
const UNKNOWN: u64 = 0x756e_6b6e_6f77_6e21;

/// A trained network, ready to be written.
///
/// The filters of a width stand side by side, widths in ascending order: `bias` has one number a filter. A token's
/// products are what filters of width 1, 2 and 3 make of it as the last token of their window, then those of width 2 and 3
/// as the last but one, then those of width 3 as the last but two.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Filters of each width.
    pub filters: usize,
    /// The products of each token, by the term of [`Units`](crate::train::Units).
    pub tokens: Vec<(u64, Vec<f32>)>,
    /// The products of a token that is not among them.
    pub unknown: Vec<f32>,
    /// What is added to a window's products; what is then below 0 counts as 0.
    pub bias: Vec<f32>,
    /// What the pooled findings weigh, filters x classes: the largest, then the sums.
    pub output: Vec<f32>,
}

impl Network {
    /// Its bytes.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        let known = self.tokens.iter().flat_map(|(_, products)| products);
        let all = known.chain(&self.unknown).chain(&self.bias);
        let largest = all.fold(0.0_f32, |most, weight| most.max(weight.abs()));
        let unit = f64::from(largest.max(f32::MIN_POSITIVE)) / f64::from(LARGEST);
        let round = |weight: &f32| (f64::from(*weight) / unit).round() as i32;
        let draft = |hash: u64, products: &[f32]| EntryDraft {
            hash,
            weights: products.iter().map(round).collect(),
            ..EntryDraft::default()
        };
        let mut drafts: Vec<EntryDraft> =
            self.tokens.iter().map(|(hash, products)| draft(*hash, products)).collect();
        drafts.sort_unstable_by_key(|draft| draft.hash);
        let mut table = TableWriter::new(drafts.len(), PLACES * self.filters);
        for draft in &drafts {
            table.put(draft);
        }
        let (table, buckets) = table.finish();
        let mut bytes = Vec::new();
        for number in [self.filters, buckets] {
            bytes.extend(u32::try_from(number).map_err(|_| model::too_large())?.to_le_bytes());
        }
        bytes.extend(unit.to_le_bytes());
        self.bias.iter().for_each(|bias| bytes.extend(round(bias).to_le_bytes()));
        self.output.iter().for_each(|weight| bytes.extend(f64::from(*weight).to_le_bytes()));
        bytes.extend(model::record(&draft(UNKNOWN, &self.unknown)));
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        bytes.extend(table);
        Ok(bytes)
    }
}

/// Buffers that every reading reuses.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The products of a token, of the one before and of the one before that.
    products: [Vec<i16>; WIDTHS],
    found: Vec<i16>,
    largest: Vec<i16>,
    sums: Vec<i32>,
    search: Search,
    /// Where the record of each token stands.
    places: Vec<usize>,
    pooled: Vec<f64>,
}

/// A network read where it lies.
#[derive(Clone, Debug)]
pub(crate) struct NetworkView<'a> {
    filters: usize,
    classes: usize,
    table: Table<'a>,
    unknown: Entry<'a>,
    bias: Vec<i16>,
    /// Classes x pooled findings, in logits a unit.
    output: Vec<f64>,
}

impl<'a> NetworkView<'a> {
    /// The network that fills `bytes`; `None` if it does not, or holds numbers out of range.
    pub fn new(bytes: &'a [u8], classes: usize) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<16>()?;
        let (filters, head) = head.split_first_chunk::<4>()?;
        let (buckets, unit) = head.split_first_chunk::<4>()?;
        let filters = usize::try_from(u32::from_le_bytes(*filters)).ok()?;
        let buckets = usize::try_from(u32::from_le_bytes(*buckets)).ok()?;
        let unit = f64::from_le_bytes(unit.try_into().ok()?);
        if !(1..=MOST_FILTERS).contains(&filters) {
            return None;
        }
        let (bias, rest) = rest.split_at_checked(WIDTHS * filters * 4)?;
        let (output, rest) = rest.split_at_checked(2 * WIDTHS * filters * classes * 8)?;
        let (unknown, _) = rest.split_at_checked(PLACES * filters + 1)?;
        let head = bytes.len() - rest.len() + unknown.len();
        let table = Table::new(bytes.get(head.next_multiple_of(64)..)?, buckets, PLACES * filters)?;
        let bias = bias.as_chunks().0.iter().map(|four| i16::try_from(i32::from_le_bytes(*four)).ok());
        let output = output.as_chunks().0;
        let weight = |at: usize| f64::from_le_bytes(output[at]) * unit;
        let output = (0..classes).flat_map(|class| (class..output.len()).step_by(classes).map(weight));
        let (bias, output) = (bias.collect::<Option<Vec<i16>>>()?, output.collect::<Vec<f64>>());
        let in_range = output.iter().all(|weight| weight.abs() <= 1e9);
        in_range.then(|| Self { filters, classes, table, unknown: Entry::of(unknown), bias, output })
    }

    /// Adds what the network makes of the text that was pooled to its logits; `length` is the text's scale.
    pub fn add_to(&self, logits: &mut [f64], length: f64, buffers: &mut Buffers) {
        let Buffers { largest, sums, pooled, .. } = buffers;
        pooled.clear();
        pooled.extend(largest.iter().map(|&found| f64::from(found)));
        pooled.extend(sums.iter().map(|&sum| f64::from(sum) * length));
        let outputs = self.output.chunks_exact(pooled.len());
        // A number of findings that is known beforehand makes the product of both a straight line.
        if let Some(pooled) = pooled.as_array::<{ 2 * WIDTHS * SIXTEEN }>() {
            logits.iter_mut().zip(outputs).for_each(|(logit, weights)| *logit += dot(pooled, weights));
        } else {
            logits.iter_mut().zip(outputs).for_each(|(logit, weights)| *logit += dot(pooled, weights));
        }
    }

    /// Pools what the filters find at the tokens that were located.
    pub fn pool(&self, buffers: &mut Buffers) {
        if self.filters == SIXTEEN {
            sixteen::pool(self, buffers);
        } else {
            self.pool_any(buffers);
        }
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

    /// Calls `visit` with first and last token of each window and the logits that it gives: those of its part in the sums,
    /// and where it is the first with a filter's largest finding, of that. They add up to what `add_to` adds.
    pub fn explain(
        &self,
        tokens: &[Token],
        length: f64,
        buffers: &mut Buffers,
        mut visit: impl FnMut((usize, usize), &[f64]),
    ) {
        let mut largest = vec![(0, 0); self.bias.len()];
        let mut logits = vec![0.0; self.classes];
        let give = |filter: usize, at: usize, pooled: f64, finding: usize, logits: &mut [f64]| {
            let weights = self.output.iter().skip(finding).step_by(2 * self.bias.len());
            logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit = pooled * weight);
            (at.saturating_sub(filter / self.filters), at)
        };
        self.locate(tokens, buffers);
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

    /// Finds the records of a text's tokens.
    pub fn locate(&self, tokens: &[Token], buffers: &mut Buffers) {
        let units: Vec<u64> = tokens.iter().map(terms::unit).collect();
        self.locate_units(&units, buffers);
    }

    /// The same, by the terms of the tokens.
    pub fn locate_units(&self, units: &[u64], buffers: &mut Buffers) {
        self.table.place_all(units, &mut buffers.search, &mut buffers.places);
        buffers.places.iter().for_each(|&place| self.table.fetch_at(place));
    }

    /// Has a token's bucket brought into the cache.
    #[inline]
    pub fn fetch(&self, unit: u64) {
        self.table.fetch(unit);
    }

    /// The record at a place that was located, which may be that of an unknown token: without a branch.
    #[inline]
    fn entry(&self, place: usize) -> Entry<'a> {
        let known = place != usize::MAX;
        let entry = self.table.at(select_unpredictable(known, place, 0)).unwrap_or(self.unknown);
        select_unpredictable(known, entry, self.unknown)
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
#[inline]
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
mod tests {
    use super::*;
    use crate::hash;
    use crate::text::{Text, Tokenized};

    /// Two filters a width, two classes: tokens `a` and `b` and the rest.
    fn network() -> Network {
        let products = |seed: f32| (0..12u8).map(|at| libm::sinf(seed + f32::from(at))).collect::<Vec<f32>>();
        let known = ["a", "b"].into_iter().zip([0.3, 5.0]);
        Network {
            filters: 2,
            tokens: known.map(|(form, seed)| (hash::token(form.as_bytes()), products(seed))).collect(),
            unknown: products(9.0),
            bias: vec![0.1, -0.2, 0.0, 0.3, -0.1, 0.05],
            output: (0..24u8).map(|at| libm::cosf(f32::from(at))).collect(),
        }
    }

    /// The same by the definition.
    fn by_definition(network: &Network, text: &[&str], length: f32) -> Vec<f32> {
        let products = |at: usize| {
            let hash = hash::token(text[at].as_bytes());
            let known = network.tokens.iter().find(|token| token.0 == hash);
            known.map_or(&network.unknown, |token| &token.1)
        };
        let mut logits = vec![0.0; 2];
        for filter in 0..6 {
            let (width, at) = (filter / 2, filter % 2);
            let windows = (0..text.len()).map(|last| {
                let mut sum = network.bias[filter] + products(last)[filter];
                if width >= 1 && last >= 1 {
                    sum += products(last - 1)[6 + 2 * (width - 1) + at];
                }
                if width >= 2 && last >= 2 {
                    sum += products(last - 2)[10 + at];
                }
                sum.max(0.0)
            });
            let windows: Vec<f32> = windows.collect();
            let largest = windows.iter().copied().fold(0.0, f32::max);
            let sum = windows.iter().sum::<f32>() * length;
            for (class, logit) in logits.iter_mut().enumerate() {
                *logit += largest * network.output[filter * 2 + class];
                *logit += sum * network.output[12 + filter * 2 + class];
            }
        }
        logits
    }

    #[test]
    fn it_reads_as_it_was_defined_and_explains_all_of_it() {
        let network = network();
        let bytes = network.write().unwrap();
        let view = NetworkView::new(&bytes, 2).unwrap();
        let (mut text, mut buffers) = (Tokenized::default(), Buffers::default());
        for words in [&["a"][..], &["b", "c"], &["a", "b", "a", "a"], &["c", "b", "a", "d", "b", "a"]] {
            text.read(&Text::from(words.join(" ").as_str()));
            let mut logits = vec![0.0; 2];
            view.locate(text.tokens(), &mut buffers);
            view.pool(&mut buffers);
            view.add_to(&mut logits, 0.7, &mut buffers);
            for (logit, wanted) in logits.iter().zip(by_definition(&network, words, 0.7)) {
                assert!((logit - f64::from(wanted)).abs() < 0.15, "{words:?}: {logit} is not {wanted}");
            }
            view.explain(text.tokens(), 0.7, &mut buffers, |(first, last), given| {
                assert!(first <= last && last < words.len());
                logits.iter_mut().zip(given).for_each(|(logit, given)| *logit -= given);
            });
            assert!(logits.iter().all(|rest| rest.abs() < 1e-9), "{logits:?} is not explained");
        }
    }

    #[test]
    fn bytes_that_are_no_network_are_refused() {
        let bytes = network().write().unwrap();
        assert!(NetworkView::new(&bytes, 3).is_none());
        assert!((0..bytes.len()).all(|length| NetworkView::new(&bytes[..length], 2).is_none()));
        for (at, value) in [(0, 0), (3, 0x80), (15, 0x7f), (18, 0x40)] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            assert!(NetworkView::new(&bytes, 2).is_none(), "byte {at}");
        }
    }
}
