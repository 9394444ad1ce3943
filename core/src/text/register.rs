//! Eight bytes of a text in one register.

/// The bytes from `at`, little-endian; zeros past the end.
#[inline]
pub(crate) fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_end(bytes, at),
    }
}

/// Where fewer than eight bytes are left.
#[cold]
fn load_end(bytes: &[u8], at: usize) -> u64 {
    match bytes.last_chunk() {
        // The last eight, of which some are before `at`: a loop over the others would be guessed wrong.
        Some(last) if at < bytes.len() => u64::from_le_bytes(*last) >> (8 * (at + 8 - bytes.len())),
        Some(_) => 0,
        None => bytes.iter().skip(at).rev().fold(0, |all, &byte| all << 8 | u64::from(byte)),
    }
}

/// The first `count` of the bytes, 0 to 8 of them; zeros for the others.
#[inline]
pub(crate) fn first(bytes: u64, count: usize) -> u64 {
    // (Looked up, for to shift ones there takes four instructions more.)
    bytes & FIRST.get(count).unwrap_or(&u64::MAX)
}

/// So many bytes of ones.
static FIRST: [u64; 8] = {
    let mut first = [0; 8];
    let mut count = 1;
    while count < first.len() {
        first[count] = first[count - 1] << 8 | 0xff;
        count += 1;
    }
    first
};

/// Up to eight bytes, while this is compiled.
pub(crate) const fn of(bytes: &[u8]) -> u64 {
    assert!(bytes.len() <= 8);
    let (mut all, mut at) = (0, bytes.len());
    while at > 0 {
        at -= 1;
        all = all << 8 | bytes[at] as u64;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        assert_eq!(load(b"abc", 1), u64::from(b'b') | u64::from(b'c') << 8);
        assert_eq!((load(b"abc", 3), load(b"abc", 9)), (0, 0));
        let long: Vec<u8> = (1..=9).collect();
        assert_eq!((load(&long, 1), load(&long, 2)), (0x0908_0706_0504_0302, 0x0009_0807_0605_0403));
        assert_eq!((load(&long, 8), load(&long, 9), load(&long, usize::MAX)), (9, 0, 0));
        assert_eq!((first(u64::MAX, 0), first(u64::MAX, 2), first(u64::MAX, 8)), (0, 0xffff, u64::MAX));
    }
}
