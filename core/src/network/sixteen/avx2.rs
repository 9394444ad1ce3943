//! The pooling with the registers of AVX2, each of which holds what the filters of a width find.
//!
//! What is pooled stays in registers from token to token: of the general form the compiler makes a loop that keeps it in memory,
//! and takes a third longer.

use super::{Lanes, SIXTEEN, WIDTHS, weights};
use bytemuck::cast;
use std::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_adds_epi16, _mm256_castsi256_si128,
    _mm256_cvtepi8_epi16, _mm256_cvtepi16_epi32, _mm256_extracti128_si256, _mm256_max_epi16,
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
        let halves = [_mm256_castsi256_si128(found), _mm256_extracti128_si256::<1>(found)];
        Self {
            largest: _mm256_max_epi16(self.largest, found),
            sums: [
                _mm256_add_epi32(self.sums[0], _mm256_cvtepi16_epi32(halves[0])),
                _mm256_add_epi32(self.sums[1], _mm256_cvtepi16_epi32(halves[1])),
            ],
        }
    }
}

/// Pools the records at these places, as `pool_anywhere` does.
#[target_feature(enable = "avx2")]
pub(super) fn pool_places(records: &[u8], places: &[usize], bias: [Lanes; WIDTHS]) -> super::Pooled {
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
    let widths = [one, two, three];
    (widths.map(|width| cast(width.largest)), widths.map(|width| cast(width.sums)))
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
