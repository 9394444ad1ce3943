//! Emoticons, western (`:-)`, `XD`, `<3`) and eastern (`^_^`, `T.T`), read as the plain form of their family.

/// An emoticon found: its length in bytes and the form it is read as.
type Found = (usize, &'static str);

/// Faces drawn with other than ASCII characters.
const DRAWN: &[(&str, &str)] = &[
    ("¯\\_(ツ)_/¯", "¯\\_(ツ)_/¯"),
    ("¯_(ツ)_/¯", "¯\\_(ツ)_/¯"),
    ("(╯°□°)╯︵ ┻━┻", "(╯°□°)╯"),
    ("(╯°□°)╯", "(╯°□°)╯"),
    ("ಠ_ಠ", "ಠ_ಠ"),
    ("ಥ_ಥ", "t_t"),
    ("◕‿◕", "^_^"),
    ("◕ᴗ◕", "^_^"),
    ("•ᴗ•", "^_^"),
    ("•‿•", "^_^"),
    ("ʕ•ᴥ•ʔ", "^_^"),
    ("ノ◕ヮ◕", "^_^"),
    ("^▽^", "^_^"),
    ("≧▽≦", "^_^"),
    ("・∀・", "^_^"),
    ("・ω・", "^_^"),
    ("'ω'", "^_^"),
    (">﹏<", ">_<"),
];

/// Sorts of emoticons: eyes on both sides of a mouth, eyes that need a nose, eyes that laugh or stick a tongue out, a mouth
/// before its eyes; eyes of punctuation, hearts, brows or closed eyes, eyes that smile. A bit each.
const BOTH_EYES: u8 = 1;
const NOSED: u8 = 2;
const LAUGHS: u8 = 4;
const REVERSED: u8 = 8;
const EYES: u8 = 16;
const HEART: u8 = 32;
const BROWS: u8 = 64;
const SMILES: u8 = 128;

/// The sorts that a byte may begin.
const fn begins(byte: u8) -> u8 {
    match byte {
        b'x' | b'X' => BOTH_EYES | LAUGHS,
        b'o' | b'O' | b'0' | b'u' | b'U' | b'n' | b't' | b'T' | b'q' | b'Q' => BOTH_EYES,
        b'-' | b'*' | b'@' | b'.' => BOTH_EYES,
        b'8' | b'B' => NOSED,
        b'D' | b'(' | b'[' | b')' => REVERSED,
        b':' | b';' | b'=' => BOTH_EYES | EYES,
        b'<' => HEART,
        b'>' => BOTH_EYES | BROWS,
        b'^' => BOTH_EYES | SMILES,
        _ => 0,
    }
}

/// The sorts that a byte may go on with.
const fn goes_on(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => BOTH_EYES,
        b'-' => BOTH_EYES | NOSED | LAUGHS | REVERSED | EYES,
        b'\'' => NOSED | LAUGHS | REVERSED | EYES,
        b'^' => NOSED | LAUGHS | EYES | SMILES,
        b'~' => NOSED | LAUGHS | EYES,
        b'o' => NOSED | EYES | SMILES,
        b'w' => SMILES,
        b'D' | b'P' => LAUGHS | EYES,
        b':' | b';' | b'=' => REVERSED | BROWS,
        b'3' | b'/' => HEART | EYES,
        b'<' | b'8' => BROWS,
        b')' | b']' | b'}' | b'>' | b'(' | b'[' | b'{' | b'p' | b'b' | b'O' | b'0' | b'*' | b'\\' | b'|'
        | b'S' | b's' | b'$' | b'@' => EYES,
        _ => 0,
    }
}

/// What a byte may begin, then what it may go on with.
static SORTS: [[u8; 2]; 256] = {
    let mut sorts = [[0; 2]; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        sorts[byte as usize] = [begins(byte), goes_on(byte)];
        byte += 1;
    }
    sorts
};

/// Whether an emoticon of ASCII may begin with these two bytes: next to no words do, and little other punctuation. Asked in one
/// look, for others need no closer one.
pub(super) fn may_begin(first: u8, second: u8) -> bool {
    SORTS[usize::from(first)][0] & SORTS[usize::from(second)][1] != 0
}

/// The emoticon at the start of `rest`, if any; `before` is the byte in front of it.
pub(super) fn read(rest: &[u8], before: Option<u8>) -> Option<Found> {
    let after_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80);
    heart(rest)
        .or_else(|| eastern(rest, after_word))
        .or_else(|| western(rest, after_word))
        .or_else(|| reversed(rest, before))
}

/// The face at the start of `rest` that is drawn with other than ASCII characters.
pub(super) fn drawn(rest: &str) -> Option<Found> {
    let &(face, form) = DRAWN.iter().find(|(face, _)| rest.starts_with(face))?;
    Some((face.len(), form))
}

/// Whether nothing that belongs to a word follows at `at`.
fn ends(rest: &[u8], at: usize) -> bool {
    rest.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte < 0x80)
}

/// Repetitions of a mouth that are looked at: what may be asked at every byte of a text must end soon.
const LONGEST_RUN: usize = 32;

/// How many times `byte` stands from `at` on.
fn run(rest: &[u8], at: usize, byte: u8) -> usize {
    rest[at..].iter().take(LONGEST_RUN).take_while(|&&other| other == byte).count()
}

fn heart(rest: &[u8]) -> Option<Found> {
    let (at, form) = match rest {
        [b'<', b'3', ..] => (1, "<3"),
        [b'<', b'/', b'3', ..] => (2, "</3"),
        _ => return None,
    };
    let end = at + run(rest, at, b'3');
    let number = match rest.get(end) {
        Some(b'.' | b',') => rest.get(end + 1).is_some_and(u8::is_ascii_digit),
        Some(byte) => byte.is_ascii_digit() || *byte == b'%',
        None => false,
    };
    (!number).then_some((end, form))
}

/// `(^_^)`, `-_-`, `T.T`: two like eyes around a mouth.
fn eastern(rest: &[u8], after_word: bool) -> Option<Found> {
    let &left = rest.first()?;
    if left == b'^' && rest.get(1) == Some(&b'^') {
        return Some((1 + run(rest, 1, b'^'), "^_^"));
    }
    if left == b'>' && rest.get(1) == Some(&b'<') && !after_word && ends(rest, 2) {
        return Some((2, ">_<"));
    }
    let &mouth = rest.get(1)?;
    let width = run(rest, 1, mouth);
    let &right = rest.get(1 + width)?;
    let end = width + 2;
    let letter = left.is_ascii_alphanumeric();
    if width > 3 || (letter && (after_word || !ends(rest, end))) {
        return None;
    }
    let form = match (left.to_ascii_lowercase(), mouth, right.to_ascii_lowercase()) {
        (b'^', b'_' | b'.' | b'-' | b'o' | b'w', b'^') => "^_^",
        (b'>', b'_' | b'.', b'<') => ">_<",
        (b'-' | b'=', b'_', b'-' | b'=') | (b'-', b'.', b'-') => "-_-",
        (b';', b'_' | b'-' | b'.', b';') | (b'q', b'_' | b'.', b'q') | (b't', b'_' | b'.' | b'-', b't') => {
            "t_t"
        }
        (b'o' | b'0', b'_' | b'.', b'o' | b'0') => "o_o",
        (b'u', b'_', b'u') => "u_u",
        (b'n', b'_', b'n') => "^_^",
        (b'x', b'_', b'x') => "x_x",
        (b'*', b'_' | b'.', b'*') => "*_*",
        (b'@', b'_', b'@') => "@_@",
        (b'.', b'_', b'.') => "._.",
        _ => return None,
    };
    Some((end, form))
}

/// `:-)`, `;D`, `>:(`, `:'(`, `xD`: eyes, perhaps a tear or a nose, a mouth.
fn western(rest: &[u8], after_word: bool) -> Option<Found> {
    let mut at =
        usize::from(rest.first() == Some(&b'>') && matches!(rest.get(1), Some(b':' | b';' | b'=' | b'8')));
    let angry = at == 1;
    let &eyes = rest.get(at)?;
    if !matches!(eyes, b':' | b';' | b'=' | b'8' | b'B' | b'x' | b'X') {
        return None;
    }
    at += 1;
    let tear = rest.get(at) == Some(&b'\'');
    at += usize::from(tear);
    let nose = match rest.get(at) {
        Some(b'-' | b'^' | b'~') => 1,
        Some(b'o') if matches!(rest.get(at + 1), Some(b')' | b'(')) => 1,
        _ => 0,
    };
    at += nose;
    let &mouth = rest.get(at)?;
    let end = at + run(rest, at, mouth);
    let spelled = mouth.is_ascii_alphanumeric();
    if (spelled && (after_word || !ends(rest, end))) || (mouth == b'/' && end > at + 1) {
        return None;
    }
    match eyes {
        b'x' | b'X' if after_word || !matches!(mouth, b'D' | b'P') => return None,
        b'8' | b'B' if after_word || nose == 0 => return None,
        _ => {}
    }
    let form = mouth_form(eyes, mouth, nose == 1)?;
    let form = match (form, tear, angry) {
        (":)", true, _) => ":')",
        (":(", true, _) => ":'(",
        (":)", _, true) => ">:)",
        (":(" | ":/", _, true) => ">:(",
        _ => form,
    };
    Some((end, form))
}

/// The family that eyes and a mouth make.
fn mouth_form(eyes: u8, mouth: u8, nose: bool) -> Option<&'static str> {
    let wink = eyes == b';';
    Some(match mouth {
        b')' | b']' | b'}' if wink => ";)",
        b')' | b']' | b'}' => ":)",
        b'>' if !wink && !nose => ":)",
        b'(' | b'[' | b'{' => ":(",
        b'<' if nose => ":(",
        b'D' if matches!(eyes, b'x' | b'X') => "XD",
        b'D' if wink => ";)",
        b'D' => ":D",
        b'P' | b'p' | b'b' => ":P",
        b'O' | b'o' | b'0' if eyes != b';' => ":O",
        b'*' => ":*",
        b'/' | b'\\' if !wink => ":/",
        b'|' if !wink => ":|",
        b'3' if eyes == b':' => ":3",
        b'S' | b's' | b'$' if eyes == b':' => ":S",
        b'@' if eyes == b':' => ">:(",
        _ => return None,
    })
}

/// `(:`, `(-;`, `D:`, and `):` where a word cannot have opened the bracket.
fn reversed(rest: &[u8], before: Option<u8>) -> Option<Found> {
    let &mouth = rest.first()?;
    let free = before.is_none_or(|byte| byte.is_ascii_whitespace());
    if !matches!(mouth, b'(' | b'[' | b')' | b'D') || !free {
        return None;
    }
    let at = 1 + usize::from(rest.get(1) == Some(&b'-')) + usize::from(rest.get(1) == Some(&b'\''));
    let &eyes = rest.get(at)?;
    let end = at + 1;
    if !matches!(eyes, b':' | b';' | b'=') || !ends(rest, end) {
        return None;
    }
    let form = match mouth {
        b'(' | b'[' if eyes == b';' => ";)",
        b'(' | b'[' => ":)",
        _ => ":(",
    };
    Some((end, form))
}

#[cfg(test)]
mod tests {
    use super::super::scripts;
    use super::*;

    fn whole(text: &str) -> Option<&'static str> {
        read(text.as_bytes(), None).filter(|&(length, _)| length == text.len()).map(|(_, form)| form)
    }

    #[test]
    fn one_look_tells_where_none_begins() {
        let bytes = || (b' '..0x7f).chain([0x80]);
        let others = *b"_.-'^~oOxXDPp):(;=38 ";
        for (first, second) in bytes().flat_map(|first| bytes().map(move |second| (first, second))) {
            let may = may_begin(first, second);
            for (third, fourth) in others.iter().flat_map(|third| others.map(|fourth| (*third, fourth))) {
                let text = [first, second, third, fourth];
                assert!(may || read(&text, None).is_none(), "{text:?}");
            }
        }
    }

    #[test]
    fn families() {
        for (form, faces) in [
            (":)", vec![":)", ":-)", "=)", ":]", ":))))", ":^)", ":o)", "8-)", "(:", "(-:", "(="]),
            (";)", vec![";)", ";-)", ";D", "(;"]),
            (":D", vec![":D", ":-D", "=D", ":DDD"]),
            ("XD", vec!["XD", "xD", "XDDD"]),
            (":(", vec![":(", ":-(", "=(", ":[", ":((", "D:", "):"]),
            (":'(", vec![":'(", ":'-("]),
            (":')", vec![":')"]),
            (":P", vec![":P", ":p", ":-P", ";P", "=P"]),
            (":O", vec![":O", ":-o", ":0"]),
            (":*", vec![":*", ":-*"]),
            (":/", vec![":/", ":-/", ":\\", "=/"]),
            (":|", vec![":|", ":-|"]),
            (">:(", vec![">:(", ":@"]),
            ("<3", vec!["<3", "<333"]),
            ("</3", vec!["</3"]),
            ("^_^", vec!["^_^", "^^", "^.^", "^-^", "^o^", "n_n", "^__^"]),
            ("-_-", vec!["-_-", "-.-", "-__-", "=_="]),
            ("t_t", vec!["T_T", "T.T", ";_;", ";-;", "Q_Q", "t_t"]),
            (">_<", vec![">_<", ">.<", "><"]),
            ("o_o", vec!["o_O", "O.o", "0_0", "o_o"]),
        ] {
            for face in faces {
                assert_eq!(whole(face), Some(form), "{face}");
            }
        }
    }

    #[test]
    fn what_is_no_emoticon() {
        for text in [
            "://", ":Paul", "x)", "8)", "B)", "Do", "<35%", "<3.5", "...", "--", "T.Tom", "(:D2", ": )",
            "::", "xo", ":",
        ] {
            assert_eq!(read(text.as_bytes(), None), None, "{text}");
        }
        assert_eq!(read(b"):", Some(b'x')), None, "a bracket that closes");
        assert_eq!(read(b":Definitely", Some(b'e')), None);
        assert_eq!(read(b":)", Some(b'e')), Some((2, ":)")), "glued to its word");
    }

    #[test]
    fn drawn_faces() {
        assert_eq!(drawn("¯\\_(ツ)_/¯ ok"), Some(("¯\\_(ツ)_/¯".len(), "¯\\_(ツ)_/¯")));
        assert_eq!(drawn("ಠ_ಠ").map(|found| found.1), Some("ಠ_ಠ"));
        assert_eq!(drawn("é"), None);
        let begins_like_a_word = |face: &str| face.chars().next().is_some_and(scripts::is_common_letter);
        assert!(!DRAWN.iter().any(|(face, _)| begins_like_a_word(face)), "it would be read as a word");
    }
}
