//! The pooling with the registers of AVX2, each of which holds what the filters of a width find.
//!
//! What is pooled stays in registers from token to token: of the general form the compiler makes a loop that keeps it in memory,
//! and takes a third longer.

use super::{Bias, FOURS, Four, Lanes, Pooled, SIXTEEN, Sums, WIDTHS, weights};
use bytemuck::cast;
use std::arch::x86_64::{
    __m128i, __m256d, __m256i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_add_pd, _mm256_adds_epi16,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_cvtepi16_epi32, _mm256_cvtepi32_pd,
    _mm256_extracti128_si256, _mm256_max_epi16, _mm256_mul_pd, _mm256_set1_pd, _mm256_setzero_pd,
    _mm256_setzero_si256, _mm256_sll_epi16,
};

/// What was pooled of a width: the largest findings, and the sums of the first eight filters and of the others.
#[derive(Clone, Copy)]
struct Width {
    largest: __m256i,
    sums: [__m256i; 2],
}

impl Width {
    #[target_feature(enable = "avx2")]
    fn nothing() -> Self {
        Self { largest: _mm256_setzero_si256(), sums: [_mm256_setzero_si256(); 2] }
    }

    /// Pools what is found at one more place.
    #[target_feature(enable = "avx2")]
    fn with(self, found: __m256i) -> Self {
        let found = _mm256_max_epi16(found, _mm256_setzero_si256());
        let halves = widened(found);
        Self {
            largest: _mm256_max_epi16(self.largest, found),
            sums: [_mm256_add_epi32(self.sums[0], halves[0]), _mm256_add_epi32(self.sums[1], halves[1])],
        }
    }
}

/// Sixteen numbers with more room for each.
#[target_feature(enable = "avx2")]
fn widened(lanes: __m256i) -> [__m256i; 2] {
    let upper = _mm256_extracti128_si256::<1>(lanes);
    [_mm256_cvtepi16_epi32(_mm256_castsi256_si128(lanes)), _mm256_cvtepi16_epi32(upper)]
}

/// Pools the records at these places, as `pool_anywhere` does.
#[target_feature(enable = "avx2")]
pub(super) fn pool(records: &[u8], places: &[usize], bias: &Bias, pooled: &mut Pooled) {
    let zero = _mm256_setzero_si256();
    let (mut to_two, mut to_three, mut first, mut next) = (zero, zero, zero, zero);
    let bias = bias.map(cast::<Lanes, __m256i>);
    let (mut one, mut two, mut three) = (Width::nothing(), Width::nothing(), Width::nothing());
    for place in places {
        let (weights, shift) = weights(records, *place);
        let shift = _mm_cvtsi32_si128(shift.into());
        let now = |at: usize| spread(weights[at], shift);
        one = one.with(plus(bias[0], now(0)));
        two = two.with(plus(plus(bias[1], now(1)), to_two));
        three = three.with(plus(plus(plus(bias[2], now(2)), to_three), first));
        (to_two, to_three, first, next) = (now(3), now(4), next, now(5));
    }
    for (at, width) in [one, two, three].into_iter().enumerate() {
        (pooled.largest[at], pooled.sums[at]) = (cast(widened(width.largest)), cast(width.sums));
    }
}

/// What was pooled times the weights of each class, as `add_parts_anywhere` does.
#[target_feature(enable = "avx2")]
pub(super) fn add_parts(pooled: &Pooled, length: f64, weights: &[[Four; FOURS]; 3]) -> [Four; 3] {
    let length = _mm256_set1_pd(length);
    let mut parts = [_mm256_setzero_pd(); 3];
    for at in 0..FOURS / 2 {
        parts = with_products(parts, four(&pooled.largest, at), weights, at);
    }
    for at in 0..FOURS / 2 {
        let sums = _mm256_mul_pd(four(&pooled.sums, at), length);
        parts = with_products(parts, sums, weights, FOURS / 2 + at);
    }
    parts.map(cast)
}

/// The findings of four filters, those at `at` of all.
#[target_feature(enable = "avx2")]
fn four(findings: &[Sums; WIDTHS], at: usize) -> __m256d {
    let four = findings.as_flattened().as_chunks::<4>().0[at];
    _mm256_cvtepi32_pd(cast::<[i32; 4], __m128i>(four))
}

/// The parts with four findings more, those at `at` of all.
#[target_feature(enable = "avx2")]
fn with_products(
    parts: [__m256d; 3],
    four: __m256d,
    weights: &[[Four; FOURS]; 3],
    at: usize,
) -> [__m256d; 3] {
    let with = |class: usize| {
        let weights: __m256d = cast(weights[class][at]);
        _mm256_add_pd(parts[class], _mm256_mul_pd(four, weights))
    };
    [with(0), with(1), with(2)]
}

#[target_feature(enable = "avx2")]
fn plus(a: __m256i, b: __m256i) -> __m256i {
    _mm256_adds_epi16(a, b)
}

/// The weights that bytes stand for, shifted.
#[target_feature(enable = "avx2")]
fn spread(bytes: [u8; SIXTEEN], shift: __m128i) -> __m256i {
    _mm256_sll_epi16(_mm256_cvtepi8_epi16(cast(bytes)), shift)
}
