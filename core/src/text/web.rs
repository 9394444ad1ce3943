//! Web addresses, as people type them and as services shorten them.

/// Endings that make a web address of a dotted word by themselves.
const DOMAINS: &[&[u8]] = &[b"com", b"net", b"org", b"edu", b"gov", b"info"];

/// Endings that are words as well: they need a path behind them.
const SHORT_DOMAINS: &[&[u8]] = &[
    b"be", b"ca", b"cc", b"co", b"de", b"es", b"fm", b"fr", b"gd", b"gl", b"in", b"io", b"is", b"it", b"ly",
    b"me", b"mp", b"nl", b"ru", b"tv", b"uk", b"us", b"ws",
];

/// Labels of a host name, and bytes of a label, that are looked at: what may be asked at every word of a text must
/// end soon. The domain name system allows no longer label.
const LABELS: usize = 8;
const LABEL_BYTES: usize = 63;

/// The length of the web address that begins a text with `http://`, `https://` or `www.`; 0 if none does.
pub(super) fn with_scheme(rest: &[u8]) -> usize {
    let begins =
        |prefix: &[u8]| rest.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    if begins(b"http://") || begins(b"https://") || begins(b"www.") { to_end(rest) } else { 0 }
}

/// The length of the web address in `rest` whose first label is the word of `word` bytes; 0 if it is none.
pub(super) fn with_domain(rest: &[u8], word: usize) -> usize {
    let mut at = word;
    for _ in 0..LABELS {
        if rest.get(at) != Some(&b'.') {
            return 0;
        }
        let label =
            rest[at + 1..].iter().take(LABEL_BYTES).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let end = at + 1 + label;
        let name = &rest[at + 1..end];
        let next = rest.get(end).copied().unwrap_or(b' ');
        let last = next != b'.' || !rest.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
        let listed = |list: &[&[u8]]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
        if (next == b'/' && (listed(DOMAINS) || listed(SHORT_DOMAINS))) || (last && listed(DOMAINS)) {
            return to_end(rest);
        }
        if label == 0 {
            return 0;
        }
        at = end;
    }
    0
}

/// The length of the mail address in `rest` whose local part is the word of `word` bytes; 0 if it is none.
pub(super) fn mail_address(rest: &[u8], word: usize) -> usize {
    if rest.get(word) != Some(&b'@') {
        return 0;
    }
    let in_host = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'-';
    let host = rest[word + 1..].iter().take(LABEL_BYTES).take_while(in_host).count();
    let dot = word + 1 + host;
    let dotted = rest.get(dot) == Some(&b'.') && rest.get(dot + 1).is_some_and(u8::is_ascii_alphabetic);
    if host > 0 && dotted { to_end(rest) } else { 0 }
}

/// Bytes that no address goes on behind: asked in one look, for what the bytes of one are cannot be foreseen.
const STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        stops[byte as usize] = byte <= b' ' || matches!(byte, 0x7f | b'"' | b'<' | b'>');
        byte += 1;
    }
    stops
};

/// Up to the next white space or quotation mark, without the sentence's own punctuation at the end.
fn to_end(rest: &[u8]) -> usize {
    let closes = |byte: u8| {
        matches!(byte, b'.' | b',' | b';' | b':' | b'!' | b'?' | b')' | b']' | b'}' | b'\'' | b'*')
    };
    let mut end = rest.iter().position(|byte| STOPS[usize::from(*byte)]).unwrap_or(rest.len());
    while end > 1 && closes(rest[end - 1]) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, length) in [
            ("http://t.co/AbC123 yes", 18),
            ("HTTPS://example.org/a?b=c, and", 25),
            ("www.example.com!", 15),
            ("httpfoo", 0),
            ("web", 0),
        ] {
            assert_eq!(with_scheme(text.as_bytes()), length, "{text}");
        }
        for (text, word, length) in [
            ("bit.ly/xyz now", 3, 10),
            ("example.com rocks", 7, 11),
            ("shop.example.co.uk/sale", 4, 23),
            ("know.me too", 4, 0),
            ("end.So what", 3, 0),
            ("wait... what", 4, 0),
            ("a.b.c.d", 1, 0),
            ("word", 4, 0),
        ] {
            assert_eq!(with_domain(text.as_bytes(), word), length, "{text}");
        }
        assert_eq!(mail_address(b"me@example.com!", 2), 14);
        assert_eq!(mail_address(b"lol@bob so", 3), 0);
    }
}
