//! Term hashes: 64 bits that stand for a term in a model's table.
//!
//! A term is never stored as text. A table keeps 32 bits of the hash as the term's fingerprint and places it by the
//! others: an unknown term is taken for one of the sixteen of its bucket once in 2^28 look-ups. The function is a
//! fixed part of the model format, the same on every platform.

use crate::text::register;

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd6e8_feb8_6659_fd93;

/// Salt that turns a token's hash into that of the token under negation.
const NEGATED: u64 = 0x6e65_6761_7465_6421;
/// Salt of character n-grams, so that the n-gram `cat` is not the word `cat`.
const GRAM: u64 = 0x6772_616d_6772_616d;
/// Salt of a word n-gram's joint.
const JOINT: u64 = 0x6a6f_696e_746a_6f69;

/// The 128-bit product folded to 64 bits: mixes all bits of both operands (the core of wyhash, public domain).
#[allow(clippy::cast_possible_truncation)]
const fn mix(a: u64, b: u64) -> u64 {
    let product = (a ^ K0) as u128 * (b ^ K1) as u128;
    product as u64 ^ (product >> 64) as u64
}

/// What a hash of so many bytes begins with.
const fn seed(length: usize) -> u64 {
    K1 ^ K0.wrapping_mul(length as u64 + 1)
}

/// The hash of a token's form.
pub(crate) fn token(form: &[u8]) -> u64 {
    token_within(form, 0, form.len())
}

/// The hash of the form that is the `length` bytes of a buffer from `start`.
#[inline]
pub(crate) fn token_within(buffer: &[u8], start: usize, length: usize) -> u64 {
    let (mut hash, mut at) = (seed(length), 0);
    while at + 8 <= length {
        hash = mix(hash, register::load(buffer, start + at));
        at += 8;
    }
    mix(hash, register::first(register::load(buffer, start + at), length - at))
}

/// The hash of a form of fewer than eight bytes, zero-padded.
#[inline]
pub(crate) fn short(key: u64, length: usize) -> u64 {
    mix(SEEDS[length % SEEDS.len()], key)
}

/// What the hashes of such forms begin with.
static SEEDS: [u64; 8] = {
    let mut seeds = [0; 8];
    let mut length = 0;
    while length < seeds.len() {
        seeds[length] = seed(length);
        length += 1;
    }
    seeds
};

/// The hash of a character n-gram of fewer than eight bytes, zero-padded.
#[inline]
pub(crate) fn short_gram(key: u64, length: usize) -> u64 {
    mix(short(key, length), GRAM)
}

/// The hash of a form of up to eight bytes, for those that are known before any text is.
pub(crate) const fn short_token(form: &[u8]) -> u64 {
    let hash = mix(seed(form.len()), register::of(form));
    if form.len() < 8 { hash } else { mix(hash, 0) }
}

/// The hash of a token under negation.
pub(crate) fn negated(token: u64) -> u64 {
    mix(token, NEGATED)
}

/// The hash of a character n-gram, boundary marks included.
#[cfg(test)]
pub(crate) fn gram(chars: &[u8]) -> u64 {
    gram_within(chars, 0, chars.len())
}

/// The hash of the character n-gram that is the `length` bytes of a buffer from `start`.
pub(crate) fn gram_within(buffer: &[u8], start: usize, length: usize) -> u64 {
    mix(token_within(buffer, start, length), GRAM)
}

/// The hash of an n-gram of tokens, from the hash of all but the last and the last.
pub(crate) fn joint(left: u64, right: u64) -> u64 {
    mix(left.rotate_left(23) ^ JOINT, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn hashes_are_fixed_for_ever() {
        // Models on disk hold these values: a change here orphans every model.
        assert_eq!(token(b""), 0x8f82_50e9_99ab_8492);
        assert_eq!(token(b"love"), 0xbfb2_c492_b93e_d892);
        for form in [b"".as_slice(), b"love", b"nothing", b"hardly12"] {
            assert_eq!(short_token(form), token(form));
        }
        assert_eq!(token("überraschung".as_bytes()), 0xc9df_9dec_e085_fbdf);
        assert_eq!(joint(token(b"not"), token(b"good")), 0x7874_b750_5a9e_c7dd);
    }

    #[test]
    fn roles_and_orders_do_not_collide() {
        let forms: Vec<String> = (0..2_000).map(|i| format!("w{i}")).collect();
        let mut seen = HashSet::new();
        for form in &forms {
            let hash = token(form.as_bytes());
            assert!(seen.insert(hash) && seen.insert(negated(hash)) && seen.insert(gram(form.as_bytes())));
        }
        for pair in forms.windows(2) {
            let (a, b) = (token(pair[0].as_bytes()), token(pair[1].as_bytes()));
            assert!(seen.insert(joint(a, b)) && seen.insert(joint(b, a)));
            assert!(seen.insert(joint(joint(a, b), a)) && seen.insert(joint(a, joint(b, a))));
        }
    }
}
