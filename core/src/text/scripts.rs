//! Which characters make words, and which scripts write without spaces.

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
        && (c.is_alphanumeric() || is_combining_mark(c))
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
