//! What the bytes of a text are, a bit each, asked of sixteen at once.
//!
//! A word's end, and what is to be known of the word besides, is then read from a register: a loop over its bytes is a branch
//! that the processor guesses wrong once a word, and the next word waits for it.

use wide::u8x16;

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// Sorts of bytes that there are bits for, each in a lane of sixteen bits: letters and digits, letters, capitals, and bytes that
/// are, but for case, like each of the two before them. Letters are ASCII's.
const SORTS: usize = 4;

/// A number in each lane.
const LANES: u64 = 0x0001_0001_0001_0001;

/// Bits for each byte of a text.
#[derive(Debug, Default)]
pub(super) struct Classes(Vec<u64>);

/// What a run of letters and digits is made of.
#[derive(Clone, Copy)]
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
    /// Looks at a text, of which `forms` holds from `start` on the bytes in small letters; two more stand before them, and a
    /// block's behind them.
    pub fn read(&mut self, text: &[u8], forms: &[u8], start: usize) {
        let (blocks, rest) = text.as_chunks::<BLOCK>();
        self.0.clear();
        let (_, before) = forms.split_at_checked(start - 2).unwrap_or_default();
        self.0.extend(blocks.iter().enumerate().map(|(at, written)| block(written, before, at * BLOCK)));
        // A block beyond, so that there are two wherever a run begins.
        self.0.extend([end(text, rest, before), 0]);
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

/// The bits of the bytes of a text that fill no block, `rest`.
fn end(text: &[u8], rest: &[u8], before: &[u8]) -> u64 {
    let Some(last) = text.last_chunk() else {
        let mut padded = [0; BLOCK];
        padded[..rest.len()].copy_from_slice(rest);
        return block(&padded, before, 0);
    };
    // Those of the last sixteen bytes, without the first: a copy would take longer.
    let others = BLOCK - rest.len();
    let own = (u64::from(u16::MAX) >> others) * LANES;
    block(last, before, text.len() - BLOCK) >> others & own
}

/// The bits of a block; `before` are the bytes in small letters from two before the text on, and the block begins at `at`.
#[inline]
fn block(written: &[u8; BLOCK], before: &[u8], at: usize) -> u64 {
    let all = before.get(at..).and_then(|bytes| bytes.first_chunk::<{ BLOCK + 2 }>());
    let all = all.unwrap_or(&[0; BLOCK + 2]);
    let load = |at: usize| u8x16::new(std::array::from_fn(|byte| all[at + byte]));
    let small = load(2);
    // A distance below 26, or 10: in one comparison, for the least of both is then the distance.
    let within = |first: u8, most: u8| {
        let distance = small - u8x16::splat(first);
        distance.min(u8x16::splat(most)).simd_eq(distance)
    };
    let (letters, digits) = (within(b'a', 25), within(b'0', 9));
    let capitals = !u8x16::new(*written).simd_eq(small);
    let thirds = small.simd_eq(load(1)) & small.simd_eq(load(0));
    let sorts: [u8x16; SORTS] = [letters | digits, letters, capitals, thirds];
    sorts.iter().rev().fold(0, |bits, bytes| bits << BLOCK | u64::from(bytes.to_bitmask()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_is_what_its_bytes_are(text in "[ -~ö]{0,80}|([aA]?|B{0,17}|[0-9]{0,9}| ){0,30}", at in 0_usize..90) {
            let text = text.as_bytes();
            let forms = [b"--".as_slice(), &text.to_ascii_lowercase(), &[0; BLOCK]].concat();
            let mut classes = Classes::default();
            classes.read(text, &forms, 2);
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
                    let third = |byte: usize| [forms[at + byte], forms[at + byte + 1]] == [forms[at + byte + 2]; 2];
                    prop_assert_eq!(run.thirds, bits(&third));
                }
            }
        }
    }
}
