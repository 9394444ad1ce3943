//! What the bytes of a text are, a bit each, asked of sixteen at once.
//!
//! A word's end, and what is to be known of the word besides, is then read from a register: a loop over its bytes is a branch
//! that the processor guesses wrong once a word, and the next word waits for it.

#[cfg(target_arch = "x86_64")]
mod avx2;

use wide::u8x16;

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// How many zeros a text has behind it.
pub(super) const PADDING: usize = 3 * BLOCK;

/// Sorts of bytes that there are bits for, each in a lane of sixteen bits: letters and digits, letters, capitals, and bytes that
/// are, but for case, like each of the two before them. Letters are ASCII's.
const SORTS: usize = 4;

/// A number in each lane.
const LANES: u64 = 0x0001_0001_0001_0001;

/// Bits for each byte of a text.
#[derive(Debug, Default)]
pub(super) struct Classes(Vec<u64>);

/// What a run of letters and digits is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How many bytes it has: fewer than sixteen.
    pub length: usize,
    /// Which of them are letters, and capitals; the lowest bit is the first's.
    pub letters: u64,
    pub capitals: u64,
    /// Which are, but for case, like each of the two before them.
    pub thirds: u64,
}

impl Classes {
    /// Gives a text small letters and looks at it. What is handed over ends with [`PADDING`] zeros that are not the text's.
    pub fn read(&mut self, text: &mut [u8]) {
        // Of the zeros at least one block is looked at as well, so that there are two wherever a run begins.
        self.0.resize(2 * (text.len() / (2 * BLOCK)), 0);
        read(text, &mut self.0);
    }

    /// The run at `at`, which is empty if no letter or digit stands there; `None` if it is too long.
    #[inline]
    pub fn run(&self, at: usize) -> Option<Run> {
        let second = *self.0.get(at / BLOCK + 1)?;
        let first = self.0[at / BLOCK];
        let shift = at % BLOCK;
        let own = (u64::from(u16::MAX) >> shift) * LANES;
        let window = (first >> shift & own) | (second << (BLOCK - shift) & !own);
        let length = window.trailing_ones() as usize;
        if length >= BLOCK {
            return None;
        }
        let window = window & (((1 << length) - 1) * LANES);
        let lane = |lane: usize| window >> (BLOCK * lane) & u64::from(u16::MAX);
        Some(Run { length, letters: lane(1), capitals: lane(2), thirds: lane(3) })
    }
}

/// Gives so many blocks of a text small letters and takes down their bits.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn read(text: &mut [u8], bits: &mut [u64]) {
    multiversion::target::match_target! {
        "x86_64+avx2" => avx2::read(text, bits),
        _ => anywhere(text, bits),
    }
}

/// The same, on any processor.
fn anywhere(text: &mut [u8], bits: &mut [u64]) {
    let (blocks, _) = text.as_chunks_mut::<BLOCK>();
    let mut last = [0; BLOCK];
    for (block, bits) in blocks.iter_mut().zip(bits) {
        let written = u8x16::new(*block);
        let capitals = within(written, b'A', b'Z');
        let small = written | (capitals & u8x16::splat(b'a' - b'A'));
        *block = small.to_array();
        let (letters, digits) = (within(small, b'a', b'z'), within(small, b'0', b'9'));
        // The bytes that stand so many before each.
        let before = |count: usize| {
            let byte = |at: usize| if at < count { last[BLOCK + at - count] } else { block[at - count] };
            u8x16::new(std::array::from_fn(byte))
        };
        let thirds = small.simd_eq(before(1)) & small.simd_eq(before(2));
        let sorts: [u8x16; SORTS] = [letters | digits, letters, capitals, thirds];
        *bits = sorts.iter().rev().fold(0, |bits, bytes| bits << BLOCK | u64::from(bytes.to_bitmask()));
        last = *block;
    }
}

/// Which bytes are from `first` to `last`: in one comparison, for the least of a distance and the largest is then the distance.
#[inline]
fn within(bytes: u8x16, first: u8, last: u8) -> u8x16 {
    let distance = bytes - u8x16::splat(first);
    distance.min(u8x16::splat(last - first)).simd_eq(distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_is_what_its_bytes_are(text in "[ -~ö]{0,80}|([aA]?|B{0,17}|[0-9]{0,9}| ){0,30}", at in 0_usize..90) {
            let text = text.as_bytes();
            let written = [text, &[0; PADDING]].concat();
            let (mut forms, mut classes) = (written.clone(), Classes(vec![u64::MAX; 40]));
            classes.read(&mut forms);
            prop_assert_eq!(&forms, &written.to_ascii_lowercase());
            let (mut anywhere_forms, mut bits) = (written.clone(), vec![u64::MAX; classes.0.len()]);
            anywhere(&mut anywhere_forms, &mut bits);
            prop_assert_eq!((&forms, &classes.0), (&anywhere_forms, &bits));
            let rest = text.get(at..).unwrap_or_default();
            let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            match classes.run(at) {
                None => prop_assert!(length >= BLOCK || at > text.len()),
                Some(run) => {
                    prop_assert_eq!(run.length, length);
                    let bits = |is: &dyn Fn(usize) -> bool| {
                        (0..length).map(|byte| u64::from(is(byte)) << byte).sum::<u64>()
                    };
                    prop_assert_eq!(run.letters, bits(&|byte| rest[byte].is_ascii_alphabetic()));
                    prop_assert_eq!(run.capitals, bits(&|byte| rest[byte].is_ascii_uppercase()));
                    let third = |byte: usize| {
                        let small = &forms[..at + byte + 1];
                        matches!(*small, [.., a, b, c] if a == c && b == c)
                    };
                    prop_assert_eq!(run.thirds, bits(&third));
                }
            }
        }
    }
}
