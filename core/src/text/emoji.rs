//! Emoji: one sequence is one token, whatever it is made of (Unicode Technical Standard 51).

const ZERO_WIDTH_JOINER: char = '\u{200d}';
const KEYCAP: char = '\u{20e3}';

/// An emoji at the start of a text: how many bytes it takes, its form without skin tone appended to `form`.
/// Variation selectors and tag characters are gone already: the normaliser drops them.
pub(super) fn read(text: &str, form: &mut impl Extend<char>) -> Option<usize> {
    let mut chars = text.chars();
    let first = chars.next()?;
    let second = chars.next();
    if matches!(first, '0'..='9' | '#' | '*') {
        return (second == Some(KEYCAP)).then(|| {
            form.extend([first, KEYCAP]);
            first.len_utf8() + KEYCAP.len_utf8()
        });
    }
    if is_regional(first) {
        form.extend([first]);
        let pair = second.filter(|&c| is_regional(c));
        form.extend(pair);
        return Some(first.len_utf8() + pair.map_or(0, char::len_utf8));
    }
    if !is_pictograph(first) {
        return None;
    }
    form.extend([first]);
    let mut length = first.len_utf8();
    loop {
        let mut rest = text[length..].chars();
        match rest.next() {
            Some(c) if is_skin_tone(c) => length += c.len_utf8(),
            Some(ZERO_WIDTH_JOINER) => match rest.next().filter(|&c| is_pictograph(c)) {
                Some(joined) => {
                    form.extend([ZERO_WIDTH_JOINER, joined]);
                    length += ZERO_WIDTH_JOINER.len_utf8() + joined.len_utf8();
                }
                None => return Some(length + ZERO_WIDTH_JOINER.len_utf8()),
            },
            _ => return Some(length),
        }
    }
}

fn is_regional(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

/// Pictographs and the symbols that messages use as such (hearts, stars, check marks, weather).
fn is_pictograph(c: char) -> bool {
    matches!(u32::from(c),
        0x231a..=0x231b | 0x2328 | 0x23cf | 0x23e9..=0x23fa
        | 0x25aa..=0x25ab | 0x25b6 | 0x25c0 | 0x25fb..=0x25fe
        | 0x2600..=0x27bf | 0x2934..=0x2935 | 0x2b05..=0x2b07 | 0x2b1b..=0x2b1c | 0x2b50 | 0x2b55
        | 0x3030 | 0x303d
        | 0x1f000..=0x1f1e5 | 0x1f200..=0x1faff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_one_token() {
        for (text, form) in [
            ("😀", "😀"),
            ("👍🏽", "👍"),
            ("👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"),
            ("👩🏾‍🚀", "👩‍🚀"),
            ("🇩🇪", "🇩🇪"),
            ("1\u{20e3}", "1\u{20e3}"),
            ("❤", "❤"),
            ("🏳‍🌈", "🏳‍🌈"),
        ] {
            let mut got = String::new();
            assert_eq!(read(&format!("{text}x"), &mut got), Some(text.len()), "{text}");
            assert_eq!(got, form);
        }
    }

    #[test]
    fn what_is_no_emoji() {
        for text in ["", "a", "1", "#tag", "é", "中", "©"] {
            assert_eq!(read(text, &mut String::new()), None, "{text}");
        }
    }
}
