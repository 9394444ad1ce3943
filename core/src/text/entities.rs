//! HTML entities and `\uXXXX` escapes, as message archives and careless JSON readers leave them in texts.

/// The named entities that messages hold in practice.
const NAMED: &[(&str, char)] = &[
    ("amp", '&'),
    ("apos", '\''),
    ("bull", '•'),
    ("cent", '¢'),
    ("copy", '©'),
    ("euro", '€'),
    ("gt", '>'),
    ("hearts", '♥'),
    ("hellip", '…'),
    ("iexcl", '¡'),
    ("iquest", '¿'),
    ("laquo", '«'),
    ("ldquo", '"'),
    ("lsquo", '\''),
    ("lt", '<'),
    ("mdash", '—'),
    ("middot", '·'),
    ("nbsp", ' '),
    ("ndash", '–'),
    ("pound", '£'),
    ("quot", '"'),
    ("raquo", '»'),
    ("rdquo", '"'),
    ("reg", '®'),
    ("rsquo", '\''),
    ("shy", '\u{ad}'),
    ("szlig", 'ß'),
    ("trade", '™'),
    ("yen", '¥'),
];

/// Accents of entities such as `&eacute;` and the combining mark that each stands for.
const ACCENTS: &[(&str, char)] = &[
    ("acute", '\u{301}'),
    ("cedil", '\u{327}'),
    ("circ", '\u{302}'),
    ("grave", '\u{300}'),
    ("ring", '\u{30a}'),
    ("tilde", '\u{303}'),
    ("uml", '\u{308}'),
];

/// No entity is longer than this, `&` and `;` included: the look-ahead stays bounded.
const LONGEST: usize = 12;

/// What an entity or an escape decodes to: a character, perhaps a combining mark, and the bytes it took.
pub(super) struct Decoded {
    pub first: char,
    pub mark: Option<char>,
    pub length: usize,
}

impl Decoded {
    fn one(first: char, length: usize) -> Self {
        Self { first, mark: None, length }
    }
}

/// Decodes the entity at the start of `rest`, which begins with `&`.
pub(super) fn entity(rest: &str) -> Option<Decoded> {
    let end = rest.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let (name, length) = (rest.get(1..end)?, end + 1);
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return Some(Decoded::one(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), length));
    }
    if let Ok(at) = NAMED.binary_search_by_key(&name, |&(known, _)| known) {
        return Some(Decoded::one(NAMED[at].1, length));
    }
    let base = name.chars().next().filter(char::is_ascii_alphabetic)?;
    let &(_, mark) = ACCENTS.iter().find(|&&(accent, _)| accent == &name[1..])?;
    Some(Decoded { first: base, mark: Some(mark), length })
}

/// Decodes the `\uXXXX` at the start of `rest`; a surrogate pair is one character, a lone surrogate U+FFFD.
pub(super) fn escape(rest: &str) -> Option<Decoded> {
    let unit = |at: usize| -> Option<u32> {
        let digits = rest.get(at..at + 6)?.strip_prefix("\\u")?;
        if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            u32::from_str_radix(digits, 16).ok()
        } else {
            None
        }
    };
    let high = unit(0)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some(Decoded::one(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6));
    }
    match unit(6) {
        Some(low @ 0xdc00..0xe000) => {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            Some(Decoded::one(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12))
        }
        _ => Some(Decoded::one(char::REPLACEMENT_CHARACTER, 6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(NAMED.is_sorted_by_key(|&(name, _)| name));
    }

    #[test]
    fn entities() {
        let decode = |text| entity(text).map(|d| (d.first, d.mark, d.length));
        assert_eq!(decode("&lt;3"), Some(('<', None, 4)));
        assert_eq!(decode("&amp;amp;"), Some(('&', None, 5)));
        assert_eq!(decode("&#39;s"), Some(('\'', None, 5)));
        assert_eq!(decode("&#x1F600;"), Some(('😀', None, 9)));
        assert_eq!(decode("&#xD800;"), Some((char::REPLACEMENT_CHARACTER, None, 8)));
        assert_eq!(decode("&eacute;t"), Some(('e', Some('\u{301}'), 8)));
        for text in [
            "&",
            "&;",
            "& b;",
            "&nonsense;",
            "&#;",
            "&#xyz;",
            "&#99999999999;",
            "&averyveryverylongname;",
            "&é;",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn escapes() {
        let decode = |text| escape(text).map(|d| (d.first, d.length));
        assert_eq!(decode(r"\u2019s"), Some(('’', 6)));
        assert_eq!(decode(r"\ud83d\ude00!"), Some(('😀', 12)));
        assert_eq!(decode(r"\ud83d!"), Some((char::REPLACEMENT_CHARACTER, 6)));
        assert_eq!(decode(r"\ude00\ud83d"), Some((char::REPLACEMENT_CHARACTER, 6)));
        for text in ["\\", r"\u", r"\u12", r"\uzzzz", r"\u+123", r"\u12é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
