//! The pooling written out for sixteen filters of a width, which is what the shipped model has: one register of AVX2, or two of
//! those that every processor has, hold a place of the windows.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::{Buffers, NetworkView, PLACES, WIDTHS};
use crate::model::Entry;

/// Filters of a width.
pub(super) const SIXTEEN: usize = 16;

/// What the filters of a width find.
type Lanes = [i16; SIXTEEN];

/// What they find together.
type Sums = [i32; SIXTEEN];

/// What was pooled, a width after the other: the largest findings, and the sums.
type Pooled = ([Lanes; WIDTHS], [Sums; WIDTHS]);

/// Pools what the filters find at the tokens that were located, as the view's own pooling does.
pub(super) fn pool(view: &NetworkView<'_>, buffers: &mut Buffers) {
    let bias: [Lanes; WIDTHS] = std::array::from_fn(|width| lanes(&view.bias[width * SIXTEEN..]));
    let (largest, sums) = pool_places(view.records, &buffers.places, bias);
    buffers.largest.clear();
    buffers.largest.extend_from_slice(largest.as_flattened());
    buffers.sums.clear();
    buffers.sums.extend_from_slice(sums.as_flattened());
}

/// Pools the records at these places.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn pool_places(records: &[u8], places: &[usize], bias: [Lanes; WIDTHS]) -> Pooled {
    multiversion::target::match_target! {
        "x86_64+avx2" => avx2::pool_places(records, places, bias),
        _ => pool_anywhere(records, places, bias),
    }
}

/// The same, on any processor.
fn pool_anywhere(records: &[u8], places: &[usize], bias: [Lanes; WIDTHS]) -> Pooled {
    // What the tokens before give to the windows of two and three that end here, and the last one to those of three that
    // end next.
    let zero = [0; SIXTEEN];
    let (mut to_two, mut to_three, mut first, mut next): (Lanes, Lanes, Lanes, Lanes) =
        (zero, zero, zero, zero);
    let mut largest: [Lanes; WIDTHS] = [zero; WIDTHS];
    let mut sums: [Sums; WIDTHS] = [[0; SIXTEEN]; WIDTHS];
    for place in places {
        let (weights, shift) = weights(records, *place);
        let now = |at: usize| spread(&weights[at], shift);
        let found = [
            plus(bias[0], now(0)),
            plus(plus(bias[1], now(1)), to_two),
            plus(plus(plus(bias[2], now(2)), to_three), first),
        ];
        for width in 0..WIDTHS {
            let found = found[width].map(|found| found.max(0));
            largest[width] = std::array::from_fn(|lane| largest[width][lane].max(found[lane]));
            sums[width] = std::array::from_fn(|lane| sums[width][lane].wrapping_add(i32::from(found[lane])));
        }
        (to_two, to_three, first, next) = (now(3), now(4), next, now(5));
    }
    (largest, sums)
}

/// Adds what was pooled to the logits, as the view does with any number of filters and classes; false if there are not sixteen
/// filters of each width and three classes. Numbers that are known beforehand make the products a straight line, and let the
/// classes' sums be made side by side.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub(super) fn add(largest: &[i16], sums: &[i32], length: f64, output: &[f64], logits: &mut [f64]) -> bool {
    const POOLED: usize = WIDTHS * SIXTEEN;
    const FOURS: usize = 2 * POOLED / 4;
    let (Some(largest), Some(sums)) = (largest.as_array::<POOLED>(), sums.as_array::<POOLED>()) else {
        return false;
    };
    let (fours, _) = output.as_chunks::<4>();
    let (Some([first, second, third]), Some(logits)) =
        (fours.as_chunks::<FOURS>().0.as_array(), logits.as_mut_array::<3>())
    else {
        return false;
    };
    let pooled = [largest.map(f64::from), sums.map(|sum| f64::from(sum) * length)];
    let (pooled, _) = pooled.as_flattened().as_chunks::<4>();
    let mut parts = [[0.0; 4]; 3];
    for at in 0..FOURS {
        for (parts, weights) in parts.iter_mut().zip([first, second, third]) {
            for part in 0..4 {
                parts[part] += pooled[at][part] * weights[at][part];
            }
        }
    }
    // As numbers of their own: else the compiler pairs them up in each step, for the sake of this one.
    for (logit, parts) in logits.iter_mut().zip(std::hint::black_box(parts)) {
        *logit += (parts[0] + parts[1]) + (parts[2] + parts[3]);
    }
    true
}

#[inline(always)]
fn plus(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|lane| a[lane].saturating_add(b[lane]))
}

/// The bytes of the record at a place, a place of the windows after the other, and how far they are shifted.
#[inline(always)]
fn weights(records: &[u8], place: usize) -> (&[[u8; SIXTEEN]; PLACES], u8) {
    const RECORD: usize = PLACES * SIXTEEN + 1;
    let record = records.get(place..).and_then(|bytes| bytes.first_chunk()).unwrap_or(&[0; RECORD]);
    let weights = record.as_chunks().0.first_chunk().unwrap_or(&[[0; SIXTEEN]; PLACES]);
    (weights, Entry::of(record).shift())
}

/// The weights that bytes stand for, shifted.
#[inline(always)]
fn spread(bytes: &[u8; SIXTEEN], shift: u8) -> Lanes {
    std::array::from_fn(|lane| i16::from(bytes[lane].cast_signed()) << (shift & 15))
}

/// The first sixteen of the numbers.
#[inline(always)]
fn lanes(numbers: &[i16]) -> Lanes {
    numbers.first_chunk().copied().unwrap_or([0; SIXTEEN])
}

#[cfg(test)]
mod tests {
    use super::super::{Network, dot};
    use super::*;
    use crate::model::Table;
    use crate::text::{Text, Tokenized};
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn it_adds_the_bits_that_any_number_of_classes_adds(
            largest in prop::collection::vec(any::<i16>(), 48),
            sums in prop::collection::vec(any::<i32>(), 48),
            output in prop::collection::vec(-1.0..1.0_f64, 288),
            length in 0.01..1.0_f64,
        ) {
            let mut logits = [0.5, -0.25, 2.0];
            prop_assert!(add(&largest, &sums, length, &output, &mut logits));
            let sums = sums.iter().map(|&sum| f64::from(sum) * length);
            let pooled: Vec<f64> = largest.iter().map(|&found| f64::from(found)).chain(sums).collect();
            let wanted = [0.5, -0.25, 2.0].into_iter().zip(output.chunks_exact(96));
            let wanted: Vec<u64> = wanted.map(|(logit, weights)| (logit + dot(&pooled, weights)).to_bits()).collect();
            prop_assert_eq!(logits.map(f64::to_bits).to_vec(), wanted);
        }

        #[test]
        fn every_processor_pools_the_same(
            records in prop::collection::vec(any::<u8>(), 0..600),
            places in prop::collection::vec(0_usize..700, 0..40),
            bias in prop::array::uniform3(prop::array::uniform16(any::<i16>())),
        ) {
            prop_assert_eq!(pool_places(&records, &places, bias), pool_anywhere(&records, &places, bias));
        }
    }
}
