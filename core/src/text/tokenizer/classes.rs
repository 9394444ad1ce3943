//! What the bytes of a text are, a bit each, asked of many at once.
//!
//! A word's end, and what is to be known of the word besides, is then read from a register: a loop over its bytes is a branch
//! that the processor guesses wrong once a word, and the next word waits for it.

#[cfg(target_arch = "x86_64")]
mod avx2;

use wide::u8x16;

/// Bytes that are looked at together.
const BLOCK: usize = 32;

/// Bytes that any processor looks at together.
const HALF: usize = BLOCK / 2;

/// How many zeros a text has behind it: so many that there are two blocks wherever a run begins.
pub(super) const PADDING: usize = 2 * BLOCK;

/// What the bytes of a block are, a bit each, the first byte's the lowest. Letters, digits and signs are ASCII's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bits {
    /// Letters and digits.
    known: u32,
    letters: u32,
    capitals: u32,
    /// Like, but for case, each of the two before them.
    thirds: u32,
    /// What no ordinary word has nor ends at: digits, thirds, capitals behind a letter or digit, [`SIGNS`], and what is beyond
    /// ASCII.
    odd: u32,
}

/// Sorts of bytes that are told by themselves and the two before them.
const SORTS: usize = 5;

impl Bits {
    /// Those of a block, and `before` those of the block before it.
    #[inline]
    fn new([known, letters, capitals, thirds, odd]: [u32; SORTS], before: Self) -> Self {
        let behind_known = known << 1 | before.known >> (u32::BITS - 1);
        Self { known, letters, capitals, thirds, odd: odd | capitals & behind_known }
    }
}

/// Signs behind which a word may go on or turn out to be part of an address, with which an emoticon may go on that begins with a
/// letter, and the one letter that an emoticon may begin with and go on with a small one.
const SIGNS: [u8; 11] = *b"'-.:;=@B^_~";

/// Bits for each byte of a text.
#[derive(Debug, Default)]
pub(super) struct Classes(Vec<Bits>);

/// What a run of letters and digits is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How many bytes it has: no more than a block.
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
        self.0.resize(text.len() / BLOCK, Bits::default());
        read(text, &mut self.0);
    }

    /// The blocks from `at`, and where in the first it is.
    #[inline(always)]
    fn at(&self, at: usize) -> Option<(&[Bits; 2], u32)> {
        #[allow(clippy::cast_possible_truncation)]
        let shift = (at % BLOCK) as u32;
        let first = at / BLOCK;
        Some((self.0.get(first..first + 2)?.as_array()?, shift))
    }

    /// The run at `at`, which is empty if no letter or digit stands there; `None` if it is too long.
    #[inline]
    pub fn run(&self, at: usize) -> Option<Run> {
        let ([first, second], shift) = self.at(at)?;
        let length = window(first.known, second.known, shift).trailing_ones() as usize;
        if length > BLOCK {
            return None;
        }
        let own = |first, second| window(first, second, shift) & ((1 << length) - 1);
        Some(Run {
            length,
            letters: own(first.letters, second.letters),
            capitals: own(first.capitals, second.capitals),
            thirds: own(first.thirds, second.thirds),
        })
    }

    /// The length of the ordinary word at `at`, which has no odd byte and ends at none; `None` if there is no such, or it is too long.
    #[inline(always)]
    pub fn ordinary(&self, at: usize) -> Option<usize> {
        let ([first, second], shift) = self.at(at)?;
        let others = !window(first.known, second.known, shift);
        let odd = window(first.odd, second.odd, shift);
        // One question, whose answer cannot be foreseen: whether there is no word, one of its bytes is odd or the one behind it.
        if (odd & (others ^ others.wrapping_sub(1))) | (others & 1) != 0 {
            return None;
        }
        let length = others.trailing_zeros() as usize;
        (length <= BLOCK).then_some(length)
    }
}

/// The bits of two blocks from the `shift`-th: a block's, and one more at least.
#[inline(always)]
fn window(first: u32, second: u32, shift: u32) -> u64 {
    (u64::from(first) | u64::from(second) << u32::BITS) >> shift
}

/// Gives so many blocks of a text small letters and takes down their bits.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn read(text: &mut [u8], bits: &mut [Bits]) {
    multiversion::target::match_target! {
        "x86_64+avx2" => avx2::read(text, bits),
        _ => anywhere(text, bits),
    }
}

/// The same, on any processor.
fn anywhere(text: &mut [u8], bits: &mut [Bits]) {
    let (blocks, _) = text.as_chunks_mut::<BLOCK>();
    let (mut last, mut before) = ([0; HALF], Bits::default());
    for (block, bits) in blocks.iter_mut().zip(bits) {
        let mut sorts = [0; SORTS];
        for (half, shift) in block.as_chunks_mut().0.iter_mut().zip([0, HALF]) {
            for (sort, bytes) in sorts.iter_mut().zip(half_sorts(half, last)) {
                *sort |= bytes.to_bitmask() << shift;
            }
            last = *half;
        }
        *bits = Bits::new(sorts, before);
        before = *bits;
    }
}

/// Gives half a block small letters; which of its bytes are of each sort. `last` is the half before.
fn half_sorts(half: &mut [u8; HALF], last: [u8; HALF]) -> [u8x16; SORTS] {
    let written = u8x16::new(*half);
    let capitals = within(written, b'A', b'Z');
    let small = written | (capitals & u8x16::splat(b'a' - b'A'));
    *half = small.to_array();
    let (letters, digits) = (within(small, b'a', b'z'), within(small, b'0', b'9'));
    // The bytes that stand so many before each.
    let before = |count: usize| {
        let byte = |at: usize| if at < count { last[HALF + at - count] } else { half[at - count] };
        u8x16::new(std::array::from_fn(byte))
    };
    let thirds = small.simd_eq(before(1)) & small.simd_eq(before(2));
    let beyond = within(written, 0x80, 0xff);
    let is = |sign| written.simd_eq(u8x16::splat(sign));
    let odd = SIGNS.into_iter().fold(digits | thirds | beyond, |odd, sign| odd | is(sign));
    [letters | digits, letters, capitals, thirds, odd]
}

/// Which bytes are from `first` to `last`: in one comparison, for the least of a distance and the largest is then the distance.
#[inline]
fn within(bytes: u8x16, first: u8, last: u8) -> u8x16 {
    let distance = bytes - u8x16::splat(first);
    distance.min(u8x16::splat(last - first)).simd_eq(distance)
}

#[cfg(test)]
mod tests {
    use super::super::super::emoticons;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_is_what_its_bytes_are(text in "[ -~ö]{0,80}|([aA]?|B{0,33}|[0-9]{0,9}|[a-z]{0,9}|['.@:=B^~-]| ){0,30}", at in 0_usize..90) {
            let text = text.as_bytes();
            let written = [text, &[0; PADDING]].concat();
            let (mut forms, mut classes) = (written.clone(), Classes(vec![Bits { known: u32::MAX, ..Bits::default() }; 40]));
            classes.read(&mut forms);
            prop_assert_eq!(&forms, &written.to_ascii_lowercase());
            let (mut anywhere_forms, mut bits) = (written.clone(), vec![Bits::default(); classes.0.len()]);
            anywhere(&mut anywhere_forms, &mut bits);
            prop_assert_eq!((&forms, &classes.0), (&anywhere_forms, &bits));
            let rest = text.get(at..).unwrap_or_default();
            let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let bits = |is: &dyn Fn(usize) -> bool| (0..length).map(|byte| u64::from(is(byte)) << byte).sum::<u64>();
            let third = |byte: usize| matches!(forms[..=at + byte], [.., a, b, c] if a == c && b == c);
            match classes.run(at) {
                None => prop_assert!(length > BLOCK || at > text.len()),
                Some(run) => {
                    prop_assert_eq!(run.length, length);
                    prop_assert_eq!(run.letters, bits(&|byte| rest[byte].is_ascii_alphabetic()));
                    prop_assert_eq!(run.capitals, bits(&|byte| rest[byte].is_ascii_uppercase()));
                    prop_assert_eq!(run.thirds, bits(&third));
                }
            }
            let behind = |byte: usize| (at + byte).checked_sub(1).is_some_and(|before| text[before].is_ascii_alphanumeric());
            let is_odd = |byte: usize| {
                let Some(own) = rest.get(byte) else { return false };
                let odd_capital = own.is_ascii_uppercase() && behind(byte);
                SIGNS.contains(own) || !own.is_ascii() || own.is_ascii_digit() || third(byte) || odd_capital
            };
            let ordinary = length > 0 && (0..=length).all(|byte| !is_odd(byte));
            match classes.ordinary(at) {
                None => prop_assert!(length > BLOCK || !ordinary),
                Some(found) => prop_assert!(ordinary && found == length),
            }
        }
    }

    #[test]
    fn no_emoticon_begins_with_an_ordinary_word() {
        for first in (b'a'..=b'z').chain(b'A'..=b'Z') {
            for second in (0..=u8::MAX).filter(|&second| emoticons::may_begin(first, second)) {
                let odd = SIGNS.contains(&first) || SIGNS.contains(&second) || second.is_ascii_uppercase();
                assert!(odd, "{}{}", first as char, second as char);
            }
        }
    }
}
