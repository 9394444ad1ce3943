//! The pooling written out for sixteen filters of a width, which is what the shipped model has: one register of AVX2, or two of
//! those that every processor has, hold a place of the windows.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::{PLACES, WIDTHS};
use crate::model::Entry;

/// Filters of a width.
pub(super) const SIXTEEN: usize = 16;

/// What the filters of a width find.
type Lanes = [i16; SIXTEEN];

/// The same, or what they find together.
type Sums = [i32; SIXTEEN];

/// What was pooled, a width after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pooled {
    largest: [Sums; WIDTHS],
    sums: [Sums; WIDTHS],
}

/// What each filter starts from.
pub(super) type Bias = [Lanes; WIDTHS];

/// What the findings of four filters weigh for a class.
type Four = [f64; 4];

/// The fours of what was pooled: of the largest findings, then of the sums.
const FOURS: usize = 2 * WIDTHS * SIXTEEN / 4;

/// Pools the records at these places, as a view of any number of filters does.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
pub(super) fn pool(records: &[u8], places: &[usize], bias: &Bias, pooled: &mut Pooled) {
    multiversion::target::match_target! {
        "x86_64+avx512f+avx512bw+avx512vl" => avx512::pool(records, places, bias, pooled),
        "x86_64+avx2" => avx2::pool(records, places, bias, pooled),
        _ => pool_anywhere(records, places, bias, pooled),
    }
}

/// The same, on any processor.
fn pool_anywhere(records: &[u8], places: &[usize], bias: &Bias, pooled: &mut Pooled) {
    // What the tokens before give to the windows of two and three that end here, and the last one to those of three that
    // end next.
    let zero = [0; SIXTEEN];
    let (mut to_two, mut to_three, mut first, mut next): (Lanes, Lanes, Lanes, Lanes) =
        (zero, zero, zero, zero);
    let (mut largest, mut sums): (Bias, [Sums; WIDTHS]) = ([zero; WIDTHS], Default::default());
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
    *pooled = Pooled { largest: largest.map(|largest| largest.map(i32::from)), sums };
}

/// Adds what was pooled to the logits, as a view of any number of filters and classes does; `output` is what it weighs for each
/// class. Numbers that are known beforehand make the products a straight line, and let the classes' sums be made side by side.
pub(super) fn add(pooled: &Pooled, length: f64, output: &[f64], logits: &mut [f64; 3]) {
    let fours = output.as_chunks().0.as_chunks().0;
    let Some(weights) = fours.first_chunk() else { return };
    let parts = add_parts(pooled, length, weights);
    for (logit, parts) in logits.iter_mut().zip(parts) {
        *logit += (parts[0] + parts[1]) + (parts[2] + parts[3]);
    }
}

/// What is added to each class, in four parts.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn add_parts(pooled: &Pooled, length: f64, weights: &[[Four; FOURS]; 3]) -> [Four; 3] {
    multiversion::target::match_target! {
        "x86_64+avx2" => avx2::add_parts(pooled, length, weights),
        _ => add_parts_anywhere(pooled, length, weights),
    }
}

/// The same, on any processor.
fn add_parts_anywhere(pooled: &Pooled, length: f64, weights: &[[Four; FOURS]; 3]) -> [Four; 3] {
    let largest = pooled.largest.as_flattened().iter().map(|&largest| f64::from(largest));
    let sums = pooled.sums.as_flattened().iter().map(|&sum| f64::from(sum) * length);
    let mut parts = [[0.0; 4]; 3];
    for (at, pooled) in largest.chain(sums).enumerate() {
        for (parts, weights) in parts.iter_mut().zip(weights) {
            parts[at % 4] += pooled * weights[at / 4][at % 4];
        }
    }
    parts
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

#[cfg(test)]
mod tests {
    use super::super::{Buffers, Network, NetworkView, dot};
    use super::*;
    use crate::model::Table;
    use crate::text::{Text, Tokenized};
    use proptest::prelude::*;

    #[test]
    fn it_pools_as_any_number_of_filters_is_pooled() {
        let numbers = |seed: u8, count: u16| {
            (0..count).map(|at| libm::sinf(f32::from(seed) + 7.0 * f32::from(at))).collect()
        };
        let token = |seed: u8| (crate::hash::token(&[b'a' + seed]), numbers(seed, 96));
        let network = Network {
            filters: SIXTEEN,
            // The last outweighs all others: the first is kept with a shift of its own.
            tokens: (0..9).map(token).chain([(crate::hash::token(b"z"), vec![3.0; 96])]).collect(),
            unknown: numbers(100, 96),
            bias: numbers(101, 48),
            output: numbers(102, 96 * 3),
        };
        let (table, bytes) = network.write(&Table::new(&[0; 256], 4, 3).unwrap()).unwrap();
        let linear = Table::new(&table, 4, 3).unwrap();
        let view = NetworkView::new(&bytes, 3, &linear).unwrap();
        let (mut text, mut buffers) = (Tokenized::default(), Buffers::default());
        for words in ["", "a", "a z", "q r s", "a b c d", "z z z z z", "a b q c d z e f g h i z z q a b z a"]
        {
            text.read(&Text::from(words));
            view.locate(&linear, text.tokens(), &mut buffers);
            view.pool_any(&mut buffers);
            pool(view.records, &buffers.places, view.sixteen().unwrap(), &mut buffers.sixteen);
            let Pooled { largest, sums } = &buffers.sixteen;
            let wanted: Vec<i32> = buffers.largest.iter().map(|&largest| largest.into()).collect();
            assert_eq!(largest.as_flattened(), wanted, "{words:?}");
            assert_eq!(sums.as_flattened(), buffers.sums, "{words:?}");
        }
    }

    /// What a processor with AVX2 and no more takes.
    #[multiversion::multiversion(targets("x86_64+avx2"))]
    fn pool_with_avx2(records: &[u8], places: &[usize], bias: &Bias, pooled: &mut Pooled) {
        multiversion::target::match_target! {
            "x86_64+avx2" => avx2::pool(records, places, bias, pooled),
            _ => pool_anywhere(records, places, bias, pooled),
        }
    }

    proptest! {
        #[test]
        fn it_adds_the_bits_that_any_number_of_classes_adds(
            largest in prop::array::uniform3(prop::array::uniform16(any::<i16>().prop_map(i32::from))),
            sums in prop::array::uniform3(prop::array::uniform16(any::<i32>())),
            output in prop::collection::vec(-1.0..1.0_f64, 288),
            length in 0.01..1.0_f64,
        ) {
            let (pooled, bits) = (Pooled { largest, sums }, |logits: [f64; 3]| logits.map(f64::to_bits));
            let mut logits = [0.5, -0.25, 2.0];
            add(&pooled, length, &output, &mut logits);
            let sums = sums.as_flattened().iter().map(|&sum| f64::from(sum) * length);
            let findings: Vec<f64> = largest.as_flattened().iter().map(|&found| f64::from(found)).chain(sums).collect();
            let mut wanted = [0.5, -0.25, 2.0];
            wanted.iter_mut().zip(output.chunks_exact(96)).for_each(|(logit, weights)| *logit += dot(&findings, weights));
            prop_assert_eq!(bits(logits), bits(wanted));
            let weights = output.as_chunks().0.as_chunks().0.first_chunk().unwrap();
            prop_assert_eq!(add_parts(&pooled, length, weights), add_parts_anywhere(&pooled, length, weights));
        }

        #[test]
        fn every_processor_pools_the_same(
            records in prop::collection::vec(any::<u8>(), 0..600),
            places in prop::collection::vec(0_usize..700, 0..40),
            bias in prop::array::uniform3(prop::array::uniform16(any::<i16>())),
        ) {
            let pooled = |pool: fn(&[u8], &[usize], &Bias, &mut Pooled)| {
                let mut pooled = Pooled::default();
                pool(&records, &places, &bias, &mut pooled);
                pooled
            };
            prop_assert_eq!(pooled(pool), pooled(pool_anywhere));
            prop_assert_eq!(pooled(pool_with_avx2), pooled(pool_anywhere));
        }
    }
}
