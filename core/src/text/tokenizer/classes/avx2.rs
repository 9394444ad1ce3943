//! The classes of bytes with the registers of AVX2, a block in each, and in the same pass the small letters.

use super::{BLOCK, Bits, SIGNS};
use bytemuck::cast;
use std::arch::x86_64::{
    __m256i, _mm256_alignr_epi8, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_min_epu8,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_sub_epi8,
};

/// As `anywhere` does.
#[target_feature(enable = "avx2")]
pub(super) fn read(text: &mut [u8], bits: &mut [Bits]) {
    let (texts, _) = text.as_chunks_mut::<BLOCK>();
    let (mut last, mut before) = (_mm256_setzero_si256(), Bits::default());
    for (text, bits) in texts.iter_mut().zip(bits) {
        let written: __m256i = cast(*text);
        let capitals = within(written, b'A', b'Z');
        let small = _mm256_or_si256(written, _mm256_and_si256(capitals, every(b'a' - b'A')));
        *text = cast(small);
        let (letters, digits) = (within(small, b'a', b'z'), within(small, b'0', b'9'));
        // The two bytes before each, for which the block before lends its end.
        let ends = _mm256_permute2x128_si256::<0x21>(last, small);
        let [first, second] = [_mm256_alignr_epi8::<14>(small, ends), _mm256_alignr_epi8::<15>(small, ends)];
        let thirds = _mm256_and_si256(_mm256_cmpeq_epi8(small, first), _mm256_cmpeq_epi8(small, second));
        // The bit that is taken of a byte is its highest, which those beyond ASCII have.
        let odd = or(or(written, signs(written)), or(digits, thirds));
        let known = or(letters, digits);
        let sorts = [highest(known), highest(letters), highest(capitals), highest(thirds), highest(odd)];
        *bits = Bits::new(sorts, before);
        (last, before) = (small, *bits);
    }
}

#[target_feature(enable = "avx2")]
fn or(a: __m256i, b: __m256i) -> __m256i {
    _mm256_or_si256(a, b)
}

/// The highest bit of each byte.
#[target_feature(enable = "avx2")]
fn highest(bytes: __m256i) -> u32 {
    _mm256_movemask_epi8(bytes).cast_unsigned()
}

/// Which bytes are [`SIGNS`], whose upper and lower halves are looked up apart; of what is beyond ASCII it does not matter.
#[target_feature(enable = "avx2")]
fn signs(bytes: __m256i) -> __m256i {
    let lower = _mm256_shuffle_epi8(cast([LOWER; 2]), bytes);
    let uppers = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), every(0x0f));
    let both = _mm256_and_si256(lower, _mm256_shuffle_epi8(cast([UPPER; 2]), uppers));
    _mm256_cmpgt_epi8(both, _mm256_setzero_si256())
}

/// A bit for each upper half that signs have.
const UPPER: [u8; 16] = [0, 0, 1, 2, 4, 8, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0];

/// The bits of the upper halves that a sign with this lower half has.
const LOWER: [u8; 16] = {
    let mut lower = [0; 16];
    let mut at = 0;
    while at < SIGNS.len() {
        let upper = UPPER[(SIGNS[at] >> 4) as usize];
        assert!(upper != 0);
        lower[(SIGNS[at] & 0x0f) as usize] |= upper;
        at += 1;
    }
    lower
};

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
