//! The look into a bucket with the masks of AVX-512.

use super::{Found, Line, Lines, Record, Slot};
use bytemuck::cast;
use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi32_mask, _mm256_cvtsi256_si32, _mm256_maskz_compress_epi32, _mm256_set1_epi32,
};

/// As [`Lines::find_all`].
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn find_all(lines: Lines<'_>, hashes: &[u64], found: &mut [Found]) {
    lines.find_each(hashes, found, |line, fingerprint| look(line, fingerprint), |found| found);
}

/// As [`Lines::find_records`].
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn find_records(lines: Lines<'_>, hashes: &[u64], records: &mut [Record]) {
    lines.find_each(hashes, records, |line, fingerprint| look(line, fingerprint), |found| found.record);
}

/// Looks for a fingerprint in a bucket. The record is pressed out of the bucket's others by the comparison's own mask: no slot has
/// to be known first.
#[target_feature(enable = "avx512f,avx512vl")]
fn look(line: &Line, fingerprint: u32) -> Slot {
    let [fingerprints, records]: [__m256i; 2] = cast(*line);
    let hits = _mm256_cmpeq_epi32_mask(fingerprints, _mm256_set1_epi32(fingerprint.cast_signed()));
    let record = _mm256_cvtsi256_si32(_mm256_maskz_compress_epi32(hits, records)).cast_unsigned();
    Slot { hit: hits != 0, slot: hits.trailing_zeros() as usize, record }
}
