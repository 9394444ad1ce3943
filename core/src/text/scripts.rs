//! Which characters make words, and which scripts write without spaces.

use super::two_bytes::TwoBytes;
use unicode_normalization::char::is_combining_mark;

/// Scripts that put no space between words: each character is a token, and n-grams of tokens are n-grams of
/// characters.
pub(super) fn is_spaceless(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff        // Thai, Lao
        | 0x1000..=0x109f      // Myanmar
        | 0x1780..=0x17ff      // Khmer
        | 0x2e80..=0x2fdf      // CJK radicals
        | 0x3005..=0x3007      // iteration mark, zero
        | 0x3041..=0x30ff      // Hiragana, Katakana
        | 0x31f0..=0x31ff
        | 0x3400..=0x4dbf      // Han
        | 0x4e00..=0x9fff
        | 0xf900..=0xfaff
        | 0x20000..=0x3ffff)
        && (is_common_character(c) || is_word(c))
}

/// Characters of the scripts without spaces that are known to be letters, without a look into Unicode's tables.
const fn is_common_character(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

/// Letters that are small or have no capitals, and digits: Latin, Greek but for the final sigma, Cyrillic; Hebrew, Arabic.
const SMALL: TwoBytes = TwoBytes::within(&[
    ('à', 'ö'),
    ('ø', 'ÿ'),
    ('ά', 'ί'),
    ('α', 'ρ'),
    ('σ', 'ώ'),
    ('а', 'џ'),
    ('\u{5d0}', '\u{5ea}'),
    ('\u{621}', '\u{669}'),
]);

/// A character beyond ASCII that is part of a word in any case and is folded to itself. Known without a look into Unicode's tables, which
/// takes longer than all else that is done for a letter: so it is of letters as most messages have them.
#[inline]
pub(super) const fn is_small(c: char) -> bool {
    match SMALL.holds(c) {
        Some(small) => small,
        // Devanagari, Hangul.
        None => matches!(c, '\u{900}'..='\u{963}' | '\u{ac00}'..='\u{d7a3}'),
    }
}

/// The small letter of a capital of which that is known in the same way.
#[inline]
pub(super) fn small(c: char) -> Option<char> {
    let to_small = match c {
        'À'..='Ö' | 'Ø'..='Þ' | 'Α'..='Ρ' | 'Σ'..='Ϋ' | 'А'..='Я' => 0x20,
        'Ѐ'..='Џ' => 0x50,
        _ => return None,
    };
    char::from_u32(u32::from(c) + to_small)
}

/// A letter of which [`is_small`] or [`small`] knows.
#[inline]
pub(super) fn is_common_letter(c: char) -> bool {
    is_small(c) || small(c).is_some()
}

/// Letters, digits and the marks that belong to them.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// A mark that belongs to the character before it.
pub(super) fn is_mark(c: char) -> bool {
    is_combining_mark(c)
}

/// The plain punctuation that a character of another script stands for.
pub(super) fn punctuation(c: char) -> Option<u8> {
    match c {
        '。' | '।' | '॥' | '۔' | '።' => Some(b'.'),
        '、' | '،' | '，' => Some(b','),
        '؟' | '¿' => Some(b'?'),
        '¡' => Some(b'!'),
        '؛' => Some(b';'),
        '—' | '–' | '―' => Some(b'-'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_letters_are_what_is_said_of_them() {
        let mut common = 0;
        for c in '\u{80}'..=char::MAX {
            if is_common_letter(c) {
                let by_tables: String = c.to_uppercase().flat_map(char::to_lowercase).collect();
                assert_eq!(small(c).unwrap_or(c).to_string(), by_tables, "{c:?}");
                assert_eq!((small(c).is_some(), is_small(c)), (c.is_uppercase(), !c.is_uppercase()), "{c:?}");
                assert!(is_word(c) && !is_spaceless(c) && punctuation(c).is_none(), "{c:?}");
                common += 1;
            }
            assert!(!is_common_character(c) || c.is_alphanumeric(), "{c:?}");
        }
        assert!(common > 11_500, "Hangul alone has 11,172");
    }
}
