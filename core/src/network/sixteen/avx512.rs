//! The pooling with the registers of AVX-512, each of which holds what the filters of two widths find.

use super::{Bias, Pooled, SIXTEEN, weights};
use bytemuck::cast;
use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_cvtsi32_si128, _mm256_adds_epi16, _mm256_max_epi16, _mm256_setzero_si256,
    _mm512_add_epi32, _mm512_adds_epi16, _mm512_castsi512_si256, _mm512_cvtepi8_epi16, _mm512_cvtepi16_epi32,
    _mm512_extracti64x4_epi64, _mm512_maskz_mov_epi16, _mm512_max_epi16, _mm512_setzero_si512,
    _mm512_sll_epi16,
};

/// Pools the records at these places, as `pool_anywhere` does.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn pool(records: &[u8], places: &[usize], [one, two, three]: &Bias, pooled: &mut Pooled) {
    /// The lanes of the second width of two.
    const SECOND: u32 = !0 << SIXTEEN;
    let (bias, bias_of_three) = (cast([*one, *two]), cast(*three));
    let (zeros, zero) = (_mm512_setzero_si512(), _mm256_setzero_si256());
    let (mut largest, mut largest_of_three) = (zeros, zero);
    let mut sums = [zeros; 3];
    // What the tokens before give to the windows of two and three that end here, and the last one to those of three that
    // end next.
    let (mut to_two, mut to_three, mut first, mut next) = (zeros, zero, zero, zero);
    for place in places {
        let (weights, shift) = weights(records, *place);
        let shift = _mm_cvtsi32_si128(shift.into());
        let now = |at: usize| spread([weights[at], weights[at + 1]], shift);
        let (to_one_and_two, to_three_now, to_three_next) = (now(0), now(2), now(4));
        let found = _mm512_adds_epi16(bias, to_one_and_two);
        let found = _mm512_adds_epi16(found, _mm512_maskz_mov_epi16(SECOND, to_two));
        let found = _mm512_max_epi16(found, zeros);
        let of_three = _mm256_adds_epi16(bias_of_three, _mm512_castsi512_si256(to_three_now));
        let of_three = _mm256_adds_epi16(_mm256_adds_epi16(of_three, to_three), first);
        let of_three = _mm256_max_epi16(of_three, zero);
        largest = _mm512_max_epi16(largest, found);
        largest_of_three = _mm256_max_epi16(largest_of_three, of_three);
        let [of_one, of_two] = halves(found);
        for (sums, found) in sums.iter_mut().zip([of_one, of_two, of_three]) {
            *sums = _mm512_add_epi32(*sums, _mm512_cvtepi16_epi32(found));
        }
        (to_two, first) = (to_three_now, next);
        [to_three, next] = halves(to_three_next);
    }
    let [largest_of_one, largest_of_two] = halves(largest);
    let largest = [largest_of_one, largest_of_two, largest_of_three];
    pooled.largest = largest.map(|largest| cast(_mm512_cvtepi16_epi32(largest)));
    pooled.sums = sums.map(cast);
}

/// The lower and the upper half of a register.
#[target_feature(enable = "avx512f")]
fn halves(both: __m512i) -> [__m256i; 2] {
    [_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64::<1>(both)]
}

/// The weights that bytes stand for, shifted.
#[target_feature(enable = "avx512bw")]
fn spread(bytes: [[u8; SIXTEEN]; 2], shift: __m128i) -> __m512i {
    _mm512_sll_epi16(_mm512_cvtepi8_epi16(cast(bytes)), shift)
}
