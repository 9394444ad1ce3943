//! Texts that are plain but for their quotation marks. Telephones write `it’s`, so that every third message is one.
//!
//! They are copied sixteen bytes at a time: `rewrite` takes characters one by one, and comes to the same.

use super::settled::{BLOCK, odd};
use super::{Landmark, Normalised};

/// Bytes of a quotation mark beyond ASCII.
const QUOTATION_MARK: usize = '\u{2019}'.len_utf8();

/// The plain form of the quotation mark that bytes begin with, `‘`, `’`, `“` or `”`, unless a combining mark may follow it.
fn quotation_mark(bytes: &[u8]) -> Option<u8> {
    let ([0xe2, 0x80, last] | [0xe2, 0x80, last, 0..0x80, ..]) = bytes else { return None };
    match last {
        0x98 | 0x99 => Some(b'\''),
        0x9c | 0x9d => Some(b'"'),
        _ => None,
    }
}

impl Normalised {
    /// Writes such a text to `straight` with its quotation marks made plain; how long it is then. `None` where there is more to it.
    pub(super) fn straighten(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.straight.len() < bytes.len() + BLOCK {
            self.straight.resize(bytes.len() + BLOCK, 0);
        }
        self.landmarks.push(Landmark { normalised: 0, given: 0, copied: true });
        let (mut from, mut to) = (0, 0);
        loop {
            // A block is written whole: what stands behind its plain part is written again.
            let rest = &bytes[from..];
            let place: &mut [u8; BLOCK] = self.straight[to..].first_chunk_mut()?;
            match rest.first_chunk() {
                Some(block) => *place = *block,
                None => {
                    *place = [0; BLOCK];
                    place[..rest.len()].copy_from_slice(rest);
                }
            }
            let plain = rest.len().min(BLOCK).min(odd(place).trailing_zeros() as usize);
            (from, to) = (from + plain, to + plain);
            if plain == rest.len() {
                return Some(to);
            }
            if plain < BLOCK {
                self.straight[to] = quotation_mark(&bytes[from..])?;
                (from, to) = (from + QUOTATION_MARK, to + 1);
                self.landmarks.push(Landmark { normalised: to, given: from, copied: true });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::string;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn which_are_straightened() {
        let straight = |text: &str| {
            let mut buffer = Normalised::default();
            buffer.straighten(text.as_bytes()).map(|length| buffer.straight[..length].to_owned())
        };
        assert_eq!(
            straight("“It’s ‘fine’,” he said.").as_deref(),
            Some(b"\"It's 'fine',\" he said.".as_slice())
        );
        let plain = "no mark at all, but more bytes than a block has";
        assert_eq!(straight(plain).as_deref(), Some(plain.as_bytes()));
        assert_eq!(straight("").as_deref(), Some(b"".as_slice()));
        for text in ["it’\u{301}s", "café’s", "it’s &amp;", "it’s `so`", "’’😀", "\u{2032}", "a\u{201a}"]
        {
            assert_eq!(straight(text), None, "{text}");
        }
        let mut buffer = Normalised::default();
        assert_eq!(buffer.straighten(b"it\xe2\x80"), None);
    }

    proptest! {
        #[test]
        fn it_comes_to_what_rewriting_comes_to(text in "([a-z ]{1,18}|[‘’“”]|[ -~]|[é\u{301}…]){0,12}") {
            let (mut straightened, mut rewritten) = (Normalised::default(), Normalised::default());
            let read = string(straightened.read(text.as_bytes()));
            rewritten.rewrite(text.as_bytes());
            rewritten.flush();
            prop_assert_eq!(&read, &rewritten.text);
            for (at, _) in read.char_indices() {
                prop_assert_eq!(straightened.origin(at), rewritten.origin(at));
            }
        }
    }
}
