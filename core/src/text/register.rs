//! Eight bytes of a text in one register.

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
    if count < 8 { bytes & !(u64::MAX << (8 * count)) } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        assert_eq!(load(b"abc", 1), u64::from(b'b') | u64::from(b'c') << 8);
        assert_eq!((load(b"abc", 3), load(b"abc", 9)), (0, 0));
        assert_eq!((first(u64::MAX, 0), first(u64::MAX, 2), first(u64::MAX, 8)), (0, 0xffff, u64::MAX));
    }
}
