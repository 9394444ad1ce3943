//! The pooling written out for sixteen filters of a width, which is what the shipped model has: two registers hold a place of
//! the windows.

use super::{Buffers, NetworkView, PLACES, WIDTHS};
use crate::model::Entry;
use bytemuck::cast;
use wide::{i16x8, i32x8, u8x16, u16x8};

/// Filters of a width.
pub(super) const SIXTEEN: usize = 16;

/// Eight filters side by side.
type Lanes = i16x8;

/// Pools what the filters find at the tokens that were located, as the view's own pooling does.
pub(super) fn pool(view: &NetworkView<'_>, buffers: &mut Buffers) {
    let Buffers { largest: all_largest, sums: all_sums, places, .. } = buffers;
    let bias: [[Lanes; 2]; WIDTHS] = std::array::from_fn(|width| lanes(&view.bias[width * SIXTEEN..]));
    // What the tokens before give to the windows of two and three that end here, and the last one to those of three that
    // end next.
    let zero = [Lanes::splat(0); 2];
    let (mut to_two, mut to_three, mut first, mut next) = (zero, zero, zero, zero);
    let mut largest = [zero; WIDTHS];
    let mut sums = [[i32x8::splat(0); 2]; WIDTHS];
    // What four tokens find fits sixteen bits without a sign, for no weight is larger than `LARGEST` comes to: only then is
    // it added up with thirty-two.
    for places in places.chunks(4) {
        let mut short = [[u16x8::splat(0); 2]; WIDTHS];
        for place in places {
            let (weights, shift) = weights(view.records, *place);
            let now = |at: usize| spread(&weights[at], shift);
            let (one, two, three) = (now(0), now(1), now(2));
            for half in 0..2 {
                let found = [
                    bias[0][half].saturating_add(one[half]),
                    bias[1][half].saturating_add(two[half]).saturating_add(to_two[half]),
                    bias[2][half]
                        .saturating_add(three[half])
                        .saturating_add(to_three[half])
                        .saturating_add(first[half]),
                ];
                for (width, found) in found.into_iter().enumerate() {
                    let found = found.max(Lanes::splat(0));
                    largest[width][half] = largest[width][half].max(found);
                    short[width][half] += cast::<Lanes, u16x8>(found);
                }
            }
            (to_two, to_three, first, next) = (now(3), now(4), next, now(5));
        }
        for (sums, short) in sums.as_flattened_mut().iter_mut().zip(short.as_flattened()) {
            *sums += i32x8::from_u16x8(*short);
        }
    }
    all_largest.clear();
    all_largest.extend(largest.as_flattened().iter().flat_map(|lanes| lanes.to_array()));
    all_sums.clear();
    all_sums.extend(sums.as_flattened().iter().flat_map(|lanes| lanes.to_array()));
}

/// The bytes of the record at a place, a place of the windows after the other, and how far they are shifted.
#[inline]
fn weights(records: &[u8], place: usize) -> (&[[u8; SIXTEEN]; PLACES], u8) {
    const RECORD: usize = PLACES * SIXTEEN + 1;
    let record = records.get(place..).and_then(|bytes| bytes.first_chunk()).unwrap_or(&[0; RECORD]);
    let weights = record.as_chunks().0.first_chunk().unwrap_or(&[[0; SIXTEEN]; PLACES]);
    (weights, Entry::of(record).shift())
}

/// The weights that bytes stand for: each is put into the upper half of sixteen bits, and shifted down but for its shift.
#[inline]
fn spread(bytes: &[u8; SIXTEEN], shift: u8) -> [Lanes; 2] {
    let (zeros, bytes, down) = (u8x16::splat(0), u8x16::new(*bytes), u32::from(8 - shift));
    let halves = [u8x16::unpack_low(zeros, bytes), u8x16::unpack_high(zeros, bytes)];
    halves.map(|half| cast::<u8x16, Lanes>(half) >> down)
}

/// The first sixteen of the numbers.
#[inline]
fn lanes(numbers: &[i16]) -> [Lanes; 2] {
    let (halves, _) = numbers.as_chunks::<8>();
    std::array::from_fn(|half| halves.get(half).map_or(Lanes::splat(0), |half| Lanes::new(*half)))
}

#[cfg(test)]
mod tests {
    use super::super::Network;
    use super::*;
    use crate::model::Table;
    use crate::text::{Text, Tokenized};

    #[test]
    fn it_pools_as_any_number_of_filters_is_pooled() {
        let numbers = |seed: u8, count: u8| {
            (0..count).map(|at| libm::sinf(f32::from(seed) + 7.0 * f32::from(at))).collect()
        };
        let token = |seed: u8| (crate::hash::token(&[b'a' + seed]), numbers(seed, 96));
        let network = Network {
            filters: SIXTEEN,
            // The last outweighs all others: the first is kept with a shift of its own.
            tokens: (0..9).map(token).chain([(crate::hash::token(b"z"), vec![3.0; 96])]).collect(),
            unknown: numbers(100, 96),
            bias: numbers(101, 48),
            output: numbers(102, 192),
        };
        let (table, bytes) = network.write(&Table::new(&[0; 256], 4, 3).unwrap()).unwrap();
        let linear = Table::new(&table, 4, 3).unwrap();
        let view = NetworkView::new(&bytes, 2, &linear).unwrap();
        let (mut text, mut buffers) = (Tokenized::default(), Buffers::default());
        for words in ["", "a", "a z", "q r s", "a b c d", "z z z z z", "a b q c d z e f g h i z z q a b z a"]
        {
            text.read(&Text::from(words));
            view.locate(&linear, text.tokens(), &mut buffers);
            view.pool_any(&mut buffers);
            let wanted = (buffers.largest.clone(), buffers.sums.clone());
            pool(&view, &mut buffers);
            assert_eq!((&buffers.largest, &buffers.sums), (&wanted.0, &wanted.1), "{words:?}");
        }
    }
}
