//! Term hashes: 64 bits that stand for a term in a model's table.
//!
//! A term is never stored as text. A table keeps 32 bits of the hash as the term's fingerprint and places it by the
//! others: an unknown term is taken for one of the sixteen of its bucket once in 2^28 look-ups. The function is a
//! fixed part of the model format, the same on every platform.

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd6e8_feb8_6659_fd93;

/// Salt that turns a token's hash into that of the token under negation.
const NEGATED: u64 = 0x6e65_6761_7465_6421;
/// Salt of character n-grams, so that the n-gram `cat` is not the word `cat`.
const GRAM: u64 = 0x6772_616d_6772_616d;
/// Salt of a word n-gram's joint.
const JOINT: u64 = 0x6a6f_696e_746a_6f69;

/// The 128-bit product folded to 64 bits: mixes all bits of both operands (the core of wyhash, public domain).
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ K0) * u128::from(b ^ K1);
    let bytes = product.to_le_bytes();
    let (low, high) = bytes.split_at(8);
    word(low) ^ word(high)
}

/// Up to eight bytes, little-endian, zero-padded.
fn word(bytes: &[u8]) -> u64 {
    match <[u8; 8]>::try_from(bytes) {
        Ok(whole) => u64::from_le_bytes(whole),
        Err(_) => bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)),
    }
}

/// The hash of a token's form.
pub(crate) fn token(form: &[u8]) -> u64 {
    let mut chunks = form.chunks_exact(8);
    let mut hash = K1 ^ K0.wrapping_mul(form.len() as u64 + 1);
    for chunk in &mut chunks {
        hash = mix(hash, word(chunk));
    }
    mix(hash, word(chunks.remainder()))
}

/// The hash of a token under negation.
pub(crate) fn negated(token: u64) -> u64 {
    mix(token, NEGATED)
}

/// The hash of a character n-gram, boundary marks included.
pub(crate) fn gram(chars: &[u8]) -> u64 {
    mix(token(chars), GRAM)
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
