//! Eight bytes of a text in one register, and questions that all of them answer at once.
//!
//! A mask holds the highest bit of each byte that is meant (Lamport 1975, Multiple Byte Processing with Full-Word
//! Instructions). Where a word ends is not known before it is read: a loop over its bytes is a branch that the processor
//! guesses wrong once a word, and this is none.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;

/// The bytes from `at`, little-endian; zeros past the end.
#[inline]
pub(crate) fn load(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.first_chunk().map_or_else(|| load_end(rest), |chunk| u64::from_le_bytes(*chunk))
}

/// Fewer than eight bytes.
#[cold]
fn load_end(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte))
}

/// The first `count` of the bytes, 0 to 8 of them; zeros for the others.
#[inline]
pub(crate) fn first(bytes: u64, count: usize) -> u64 {
    if count == 0 { 0 } else { bytes & u64::MAX >> (64 - 8 * count.min(8)) }
}

/// Those from `low` to `high`, both ASCII.
#[inline]
fn within(bytes: u64, low: u8, high: u8) -> u64 {
    let seven = bytes & !HIGH;
    let from = seven + (0x80 - u64::from(low)) * ONES;
    let past = seven + (0x7f - u64::from(high)) * ONES;
    from & !past & !bytes & HIGH
}

/// ASCII's capital letters.
#[inline]
pub(super) fn capitals(bytes: u64) -> u64 {
    within(bytes, b'A', b'Z')
}

/// The bytes with ASCII's capitals, which are given, made small.
#[inline]
pub(super) fn lowered(bytes: u64, capitals: u64) -> u64 {
    bytes | capitals >> 2
}

/// ASCII's small letters.
#[inline]
pub(super) fn small_letters(bytes: u64) -> u64 {
    within(bytes, b'a', b'z')
}

/// ASCII's digits.
#[inline]
pub(super) fn digits(bytes: u64) -> u64 {
    within(bytes, b'0', b'9')
}

/// How many bytes stand before the first that is not in the mask.
#[inline]
pub(super) fn length(mask: u64) -> usize {
    ((!mask & HIGH).trailing_zeros() / 8) as usize
}

/// The bytes that both that follow are like; what is said of the last two means nothing.
#[inline]
pub(super) fn triples(bytes: u64) -> u64 {
    let pairs = bytes ^ bytes >> 8;
    let both = pairs | pairs >> 8;
    !(((both & !HIGH) + !HIGH) | both) & HIGH
}

/// Whether the `length` bytes from `start` hold one three times in a row.
#[inline]
pub(super) fn has_triple(bytes: &[u8], start: usize, length: usize) -> bool {
    let mut at = 0;
    // Six bytes of eight have both of their followers in the register.
    while at + 2 < length {
        if first(triples(load(bytes, start + at)), (length - at - 2).min(6)) != 0 {
            return true;
        }
        at += 6;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_byte_is_classed_alike_in_each_place() {
        for byte in 0..=255_u8 {
            for place in 0..8 {
                for others in [0_u8, b'a', 0xff] {
                    let mut bytes = [others; 8];
                    bytes[place] = byte;
                    let register = u64::from_le_bytes(bytes);
                    let holds = |mask: u64| mask >> (8 * place) & 0xff == 0x80;
                    assert_eq!(holds(capitals(register)), byte.is_ascii_uppercase());
                    assert_eq!(holds(small_letters(register)), byte.is_ascii_lowercase());
                    assert_eq!(holds(digits(register)), byte.is_ascii_digit());
                }
            }
        }
    }

    #[test]
    fn ends() {
        assert_eq!(load(b"abc", 1), u64::from(b'b') | u64::from(b'c') << 8);
        assert_eq!((load(b"abc", 3), load(b"abc", 9)), (0, 0));
        assert_eq!((first(u64::MAX, 0), first(u64::MAX, 2), first(u64::MAX, 8)), (0, 0xffff, u64::MAX));
        for length_wanted in 0..=8 {
            assert_eq!(length(first(HIGH, length_wanted)), length_wanted);
        }
    }

    proptest! {
        #[test]
        fn triples(bytes in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0), Just(0xff)], 0..40),
                   start in 0_usize..4, length in 0_usize..40) {
            let start = start.min(bytes.len());
            let length = length.min(bytes.len() - start);
            let wanted = bytes[start..start + length].windows(3).any(|three| three[0] == three[1] && three[1] == three[2]);
            prop_assert_eq!(has_triple(&bytes, start, length), wanted);
        }
    }
}
