//! Sets of characters that take two bytes: the letters of most alphabets. Whether one holds a character is a look at a bit, where
//! ranges would be compared one after another.

/// The first character that takes three bytes.
const END: usize = 0x800;

/// Characters below U+0800.
pub(super) struct TwoBytes([u64; END / 64]);

impl TwoBytes {
    /// Those that lie in one of the ranges, each from a first to a last.
    pub const fn within(ranges: &[(char, char)]) -> TwoBytes {
        let mut bits = [0; END / 64];
        let mut at = 0;
        while at < ranges.len() {
            let (first, last) = (ranges[at].0 as usize, ranges[at].1 as usize);
            assert!(first <= last && last < END);
            let mut code = first;
            while code <= last {
                bits[code / 64] |= 1 << (code % 64);
                code += 1;
            }
            at += 1;
        }
        TwoBytes(bits)
    }

    /// Whether it holds a character; none where that takes more bytes.
    #[inline]
    pub const fn holds(&self, c: char) -> Option<bool> {
        let code = c as usize;
        if code < END { Some(self.0[code / 64] >> (code % 64) & 1 != 0) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_held_from_their_first_to_their_last() {
        const SET: TwoBytes = TwoBytes::within(&[('\u{80}', '\u{80}'), ('ä', 'ö'), ('\u{7c0}', '\u{7ff}')]);
        for c in '\0'..='\u{7ff}' {
            let within = c == '\u{80}' || ('ä'..='ö').contains(&c) || ('\u{7c0}'..='\u{7ff}').contains(&c);
            assert_eq!(SET.holds(c), Some(within), "{c:?}");
        }
        for c in ['\u{800}', '中', char::MAX] {
            assert_eq!(SET.holds(c), None, "{c:?}");
        }
    }
}
