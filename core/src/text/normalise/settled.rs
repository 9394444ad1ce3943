//! What is used where it lies: ASCII that stands for itself, sixteen bytes at a time, and common characters beyond it.

use super::super::two_bytes::TwoBytes;
use wide::u8x16;

/// Bytes that are asked together.
pub(super) const BLOCK: usize = 16;

/// Which of a block's bytes are not used as they are, a bit each.
#[inline]
pub(super) fn odd(block: &[u8; BLOCK]) -> u32 {
    let block = u8x16::new(*block);
    let is = |byte: u8| block.simd_eq(u8x16::splat(byte));
    // A bitmask is made of the highest bits, which bytes beyond ASCII have set.
    (block | is(b'&') | is(b'\\') | is(b'`')).to_bitmask()
}

/// How many bytes are used where they lie: up to the first that takes more than copying, for it is part of a character beyond
/// ASCII, the beginning of something to decode, or a quotation mark to make plain. Sixteen are asked at once.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks();
    for (at, block) in blocks.iter().enumerate() {
        let odd = odd(block);
        if odd != 0 {
            return BLOCK * at + odd.trailing_zeros() as usize;
        }
    }
    match bytes.last_chunk() {
        // With bytes that were asked before: a copy would take longer.
        Some(last) => bytes.len().min(bytes.len() - BLOCK + odd(last).trailing_zeros() as usize),
        None => {
            let mut end = [0; BLOCK];
            end[..rest.len()].copy_from_slice(rest);
            rest.len().min(odd(&end).trailing_zeros() as usize)
        }
    }
}

/// How many bytes are used where they lie, common characters beyond ASCII among them: up to the first that something has to be
/// asked about. A mark that follows the last may still change it.
pub(super) fn settled(text: &str) -> usize {
    let mut at = 0;
    loop {
        at += plain(&text.as_bytes()[at..]);
        let before = at;
        at += text[at..].chars().take_while(|&c| is_common(c)).map(char::len_utf8).sum::<usize>();
        if at == before {
            return at;
        }
    }
}

/// Latin, Greek, Cyrillic and Arabic letters, and punctuation.
const COMMON: TwoBytes = TwoBytes::within(&[
    ('¡', '¡'),
    ('«', '«'),
    ('»', '»'),
    ('¿', 'ÿ'),
    ('\u{38e}', '\u{3ce}'),
    ('\u{400}', '\u{481}'),
    ('\u{60c}', '\u{60c}'),
    ('\u{61f}', '\u{61f}'),
    ('\u{621}', '\u{64a}'),
]);

/// Characters of which it is known, without a look into Unicode's tables, that they are no marks, begin anew and are their own NFKC form:
/// most letters, emoji and punctuation beyond ASCII in messages.
#[inline]
pub(super) const fn is_common(c: char) -> bool {
    match COMMON.holds(c) {
        Some(common) => common,
        None => matches!(c,
            '\u{904}'..='\u{939}' | '\u{93d}'..='\u{94c}' | '–' | '—' | '„' | '•' | '€' | '\u{2600}'..='\u{27bf}'
            | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{1f300}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1f9ff}'),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Normalised, is_invisible, straight_quote};
    use super::*;
    use proptest::prelude::*;
    use unicode_normalization::char::canonical_combining_class;
    use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

    #[test]
    fn common_characters_are_what_is_said_of_them() {
        for c in ('\u{80}'..=char::MAX).filter(|&c| is_common(c)) {
            assert_eq!(canonical_combining_class(c), 0, "{c:?}");
            assert_eq!(is_nfkc_quick(std::iter::once(c)), IsNormalized::Yes, "{c:?}");
            assert!(!is_invisible(c) && straight_quote(c).is_none(), "{c:?}");
        }
    }

    #[test]
    fn where_a_stretch_ends() {
        for (stretch, rest) in [
            ("", ""),
            ("plain, and longer than a block of bytes", ""),
            ("¡Qué día! Спасибо 😀 ❤ «हिन", "\u{94d}दी»"),
            ("naïve ", "& so"),
            ("été: ", "`so`"),
            ("ok", "…"),
            ("e", "\u{301}"),
        ] {
            assert_eq!(settled(&format!("{stretch}{rest}")), stretch.len(), "{stretch}");
        }
    }

    /// The text as it is when each character is taken in its turn.
    fn one_by_one(text: &str) -> Normalised {
        let mut buffer = Normalised::default();
        for (at, c) in text.char_indices() {
            buffer.push(c, at);
        }
        buffer.flush();
        buffer
    }

    proptest! {
        #[test]
        fn stretches_come_to_what_their_characters_come_to(
            text in "([a-z ]{0,18}|[éñüЖشहのカ한木가😀❤¡»–]{1,6}|[`’”…ﬁ①\u{200b}\u{fe0f}]|[\u{301}\u{64b}\u{93c}\u{11ab}\u{3099}]{1,3}){0,12}"
        ) {
            let (mut read, taken) = (Normalised::default(), one_by_one(&text));
            let normal = super::super::tests::string(read.read(text.as_bytes()));
            prop_assert_eq!(&normal, &taken.text);
            let shown = text.chars().filter(|&c| !is_invisible(c));
            let by_tables: String = shown.map(|c| straight_quote(c).unwrap_or(c)).nfkc().collect();
            prop_assert_eq!(&normal, &by_tables);
            for (at, _) in normal.char_indices() {
                prop_assert_eq!(read.origin(at), taken.origin(at));
            }
        }
    }
}
