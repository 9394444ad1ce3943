//! The classes of bytes with the registers of AVX2, two blocks in each, and in the same pass the small letters.

use super::BLOCK;
use bytemuck::cast;
use std::arch::x86_64::{
    __m256i, _mm256_alignr_epi8, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_min_epu8, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_sub_epi8,
};

/// As `anywhere` does.
#[target_feature(enable = "avx2")]
pub(super) fn read(text: &mut [u8], bits: &mut [u64]) {
    let (texts, _) = text.as_chunks_mut::<{ 2 * BLOCK }>();
    let mut last = _mm256_setzero_si256();
    for (text, bits) in texts.iter_mut().zip(bits.as_chunks_mut::<2>().0) {
        let written: __m256i = cast(*text);
        let capitals = within(written, b'A', b'Z');
        let small = _mm256_or_si256(written, _mm256_and_si256(capitals, every(b'a' - b'A')));
        *text = cast(small);
        let (letters, digits) = (within(small, b'a', b'z'), within(small, b'0', b'9'));
        // The two bytes before each, for which the block before lends its end.
        let ends = _mm256_permute2x128_si256::<0x21>(last, small);
        let [first, second] = [_mm256_alignr_epi8::<14>(small, ends), _mm256_alignr_epi8::<15>(small, ends)];
        let thirds = _mm256_and_si256(_mm256_cmpeq_epi8(small, first), _mm256_cmpeq_epi8(small, second));
        let known = _mm256_or_si256(letters, digits);
        *bits = [
            lanes::<0x20>(known, letters) | lanes::<0x20>(capitals, thirds) << (2 * BLOCK),
            lanes::<0x31>(known, letters) | lanes::<0x31>(capitals, thirds) << (2 * BLOCK),
        ];
        last = small;
    }
}

/// The same byte everywhere.
#[target_feature(enable = "avx2")]
fn every(byte: u8) -> __m256i {
    _mm256_set1_epi8(byte.cast_signed())
}

/// Which bytes are from `first` to `last`.
#[target_feature(enable = "avx2")]
fn within(bytes: __m256i, first: u8, last: u8) -> __m256i {
    let distance = _mm256_sub_epi8(bytes, every(first));
    _mm256_cmpeq_epi8(_mm256_min_epu8(distance, every(last - first)), distance)
}

/// The bits of one half of each of two registers, side by side.
#[target_feature(enable = "avx2")]
fn lanes<const HALVES: i32>(first: __m256i, second: __m256i) -> u64 {
    let both = _mm256_permute2x128_si256::<HALVES>(first, second);
    u64::from(_mm256_movemask_epi8(both).cast_unsigned())
}
