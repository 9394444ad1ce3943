//! Writes a network's bytes.

use super::NUMBERED;
use crate::Result;
use crate::model::{self, EntryDraft, LINE, Numbered, Table};

/// The largest weight, in units: a bias and three weights fit 16 bits, and the sum over 131,072 tokens 32 bits.
pub(super) const LARGEST: i32 = 127 << 5;

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
    /// The table of the linear part, in which its terms are numbered, and its bytes.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn write(&self, linear: &Table<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
        let known = self.tokens.iter().flat_map(|(_, products)| products);
        let all = known.chain(&self.unknown).chain(&self.bias);
        let largest = all.fold(0.0_f32, |most, weight| most.max(weight.abs()));
        let unit = f64::from(largest.max(f32::MIN_POSITIVE)) / f64::from(LARGEST);
        let round = |weight: &f32| (f64::from(*weight) / unit).round() as i32;
        let mut tokens: Vec<&(u64, Vec<f32>)> = self.tokens.iter().collect();
        tokens.sort_unstable_by_key(|token| token.0);
        tokens.dedup_by_key(|token| token.0);
        let hashes: Vec<u64> = tokens.iter().map(|token| token.0).collect();
        let Numbered { table, numbers, order } = model::number_terms(linear, &hashes)?;
        let mut bytes = Vec::new();
        for number in [self.filters | NUMBERED, order.len()] {
            bytes.extend(u32::try_from(number).map_err(|_| model::too_large())?.to_le_bytes());
        }
        bytes.extend(unit.to_le_bytes());
        self.bias.iter().for_each(|bias| bytes.extend(round(bias).to_le_bytes()));
        self.output.iter().for_each(|weight| bytes.extend(f64::from(*weight).to_le_bytes()));
        pad(&mut bytes);
        bytes.extend(numbers);
        let records = order.into_iter().map(|at| &tokens[at].1);
        for products in std::iter::once(&self.unknown).chain(records) {
            pad(&mut bytes);
            let weights = products.iter().map(round).collect();
            bytes.extend(model::record(&EntryDraft { weights, ..EntryDraft::default() }));
        }
        pad(&mut bytes);
        Ok((table, bytes))
    }
}

/// Goes on at a multiple of a cache line.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(LINE), 0);
}
