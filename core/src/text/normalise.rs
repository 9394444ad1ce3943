//! Normalisation: entities decoded, NFKC, invisible characters dropped, quotes made plain; case is kept.
//!
//! Most messages are plain ASCII or have common letters and emoji besides: they are used where they lie. The others are rewritten
//! into a reused buffer, and where offsets shift a landmark is kept, so that a token can be traced to its place in the text.

mod settled;
mod straight;

use super::{MAX_TEXT_BYTES, Text, entities};
use settled::{is_common, plain, settled};
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Combining marks kept after one base character (the Stream-Safe Text Format of UAX #15 allows 30).
const MAX_MARKS: usize = 30;

/// Bytes of normalised text beyond which no more is rewritten: one character may become eighteen.
const MAX_NORMALISED_BYTES: usize = 2 * MAX_TEXT_BYTES;

/// A normalised text and the way back to the text as given.
#[derive(Debug, Default)]
pub(crate) struct Normalised {
    text: String,
    /// A text of which no more than quotation marks were rewritten.
    straight: Vec<u8>,
    landmarks: Vec<Landmark>,
    /// The last starter and what may still combine with it.
    pending: String,
    pending_offset: usize,
    marks: usize,
    /// Whether the end was left out for [`MAX_NORMALISED_BYTES`].
    cut: bool,
}

/// A text as the tokenizer reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normal<'a> {
    pub bytes: &'a [u8],
    /// The same as a string if it has characters beyond ASCII, else none: nobody asks for others by character, and to check that
    /// bytes are a string takes time.
    pub text: &'a str,
}

/// Where a stretch of the normalised text comes from.
#[derive(Clone, Copy, Debug)]
struct Landmark {
    /// Byte offset in the normalised text.
    normalised: usize,
    /// Byte offset in the given text.
    given: usize,
    /// Whether the stretch was copied, so that offsets within it are the same; else all of it comes from one place.
    copied: bool,
}

/// The part of a text that is read: at most [`MAX_TEXT_BYTES`], not ending within a character.
pub(super) fn readable<'a>(text: &Text<'a>) -> (&'a [u8], bool) {
    if text.bytes.len() <= MAX_TEXT_BYTES {
        return (text.bytes, text.cut);
    }
    let mut end = MAX_TEXT_BYTES;
    while end > MAX_TEXT_BYTES - 4 && text.bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    (&text.bytes[..end], true)
}

impl Normalised {
    /// The normalised form of `bytes`: themselves where nothing is to be rewritten, else this buffer.
    pub(super) fn read<'a>(&'a mut self, bytes: &'a [u8]) -> Normal<'a> {
        self.text.clear();
        self.landmarks.clear();
        self.marks = 0;
        self.cut = false;
        if plain(bytes) == bytes.len() {
            return Normal { bytes, text: "" };
        }
        if let Some(length) = self.straighten(bytes) {
            return Normal { bytes: &self.straight[..length], text: "" };
        }
        self.landmarks.clear();
        match str::from_utf8(bytes) {
            Ok(text) if settled(text) == text.len() => return Normal { bytes, text },
            Ok(text) => self.rewrite_valid(text, 0),
            Err(_) => self.rewrite(bytes),
        }
        self.flush();
        Normal { bytes: self.text.as_bytes(), text: &self.text }
    }

    /// The offset in the given text of a character at `offset` of the normalised one.
    pub(super) fn origin(&self, offset: usize) -> usize {
        let next = self.landmarks.partition_point(|landmark| landmark.normalised <= offset);
        next.checked_sub(1).map_or(offset, |at| {
            let landmark = self.landmarks[at];
            landmark.given + if landmark.copied { offset - landmark.normalised } else { 0 }
        })
    }

    /// Whether the last text grew so much that its end was left out.
    pub(super) fn cut(&self) -> bool {
        self.cut
    }

    fn rewrite(&mut self, bytes: &[u8]) {
        let mut offset = 0;
        for chunk in bytes.utf8_chunks() {
            self.rewrite_valid(chunk.valid(), offset);
            offset += chunk.valid().len();
            if !chunk.invalid().is_empty() {
                self.push(char::REPLACEMENT_CHARACTER, offset);
                offset += chunk.invalid().len();
            }
        }
    }

    fn rewrite_valid(&mut self, text: &str, base: usize) {
        let mut at = 0;
        loop {
            at += self.copy(&text[at..], base + at);
            let Some(c) = text[at..].chars().next() else { return };
            if self.text.len() > MAX_NORMALISED_BYTES {
                self.cut = true;
                return;
            }
            let decoded = match c {
                '&' => entities::entity(&text[at..]),
                '\\' => entities::escape(&text[at..]),
                _ => None,
            };
            match decoded {
                Some(decoded) => {
                    self.push(decoded.first, base + at);
                    if let Some(mark) = decoded.mark {
                        self.push(mark, base + at);
                    }
                    at += decoded.length;
                }
                None => {
                    self.push(c, base + at);
                    at += c.len_utf8();
                }
            }
        }
    }

    /// Copies what a text begins with as long as nothing is to be decoded or rewritten, all but its last character, which
    /// a mark may follow. How many bytes that is.
    fn copy(&mut self, text: &str, offset: usize) -> usize {
        let room = (MAX_NORMALISED_BYTES + 1).saturating_sub(self.text.len());
        let settled = &text[..settled(&text[..text.floor_char_boundary(room)])];
        let copied = settled.len() - settled.chars().next_back().map_or(0, char::len_utf8);
        if copied > 0 {
            self.flush();
            self.note(offset, true);
            self.text.push_str(&settled[..copied]);
            self.marks = 0;
        }
        copied
    }

    /// Notes that what is written next comes from `given`, as it is or rewritten.
    fn note(&mut self, given: usize, copied: bool) {
        let normalised = self.text.len();
        let goes_on = self.landmarks.last().is_some_and(|last| {
            copied && last.copied && last.given + (normalised - last.normalised) == given
        });
        if !goes_on {
            self.landmarks.push(Landmark { normalised, given, copied });
        }
    }

    /// Takes one decoded character that stood at `offset` of the given text.
    fn push(&mut self, c: char, offset: usize) {
        let c = straight_quote(c).unwrap_or(c);
        if c.is_ascii() || is_common(c) {
            self.flush();
            self.start(c, offset);
            return;
        }
        if c == '…' {
            // Its NFKC form, without a look into the tables, for tweets that were cut end with it. A mark may follow the last dot.
            for _ in 0..3 {
                self.flush();
                self.start('.', offset);
            }
            return;
        }
        if is_invisible(c) {
            return;
        }
        if canonical_combining_class(c) != 0 {
            self.marks += 1;
            if self.marks <= MAX_MARKS {
                self.join(c, offset);
            }
        } else if matches!(is_nfkc_quick(std::iter::once(c)), IsNormalized::Maybe) {
            self.join(c, offset);
        } else {
            self.flush();
            self.start(c, offset);
        }
    }

    fn start(&mut self, c: char, offset: usize) {
        self.marks = 0;
        self.pending_offset = offset;
        self.pending.push(c);
    }

    /// Adds a character that may combine with the pending starter.
    fn join(&mut self, c: char, offset: usize) {
        if self.pending.is_empty() {
            self.pending_offset = offset;
        }
        self.pending.push(c);
        // Conjoining jamo and the like are "maybe" without being marks: a flood of them must stay bounded too.
        if self.pending.len() > 4 * (MAX_MARKS + 1) {
            self.flush();
        }
    }

    /// Writes the pending cluster out in its composed form.
    fn flush(&mut self) {
        let Some(first) = self.pending.chars().next() else { return };
        // The macron is kept whole: its NFKC form is a space with a mark, and shrugs are drawn with it.
        let copied = self.pending.len() == first.len_utf8() && is_settled(first);
        self.note(self.pending_offset, copied);
        if copied {
            self.text.push(first);
        } else {
            self.text.extend(self.pending.nfkc());
        }
        self.pending.clear();
    }
}

/// The plain form of a quotation mark that is drawn otherwise.
const fn straight_quote(c: char) -> Option<char> {
    match c {
        '`' | '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '\u{b4}' | '\u{2bc}' | '\u{ff07}' => {
            Some('\'')
        }
        '\u{201c}' | '\u{201d}' | '\u{201f}' | '\u{2033}' => Some('"'),
        _ => None,
    }
}

/// Whether a lone character is its own NFKC form, or is to be kept in any case.
fn is_settled(c: char) -> bool {
    c.is_ascii() || is_common(c) || c == '¯' || matches!(is_nfkc_quick(std::iter::once(c)), IsNormalized::Yes)
}

/// Characters that show nothing and change no word: format controls, variation selectors, tags.
/// The zero-width joiner is kept, for it makes one emoji of several.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalise(text: &str) -> String {
        string(Normalised::default().read(text.as_bytes()))
    }

    /// A normalised text as a string, which it is meant to be in any case.
    pub(super) fn string(Normal { bytes, text }: Normal<'_>) -> String {
        assert!(text.is_empty() && bytes.is_ascii() || text.as_bytes() == bytes);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn forms() {
        assert_eq!(normalise("plain text!"), "plain text!");
        assert_eq!(normalise("Ｆｕｌｌ ｗｉｄｔｈ"), "Full width");
        assert_eq!(normalise("cafe\u{301} caf&eacute; caf\\u00e9"), "café café café");
        assert_eq!(normalise("don’t “stop”… `ok´"), "don't \"stop\"... 'ok'");
        assert_eq!(normalise("I &lt;3 u &amp; me"), "I <3 u & me");
        assert_eq!(normalise("go\u{200b}od\u{202e} \u{feff}soft\u{ad}ly"), "good softly");
        assert_eq!(normalise("❤\u{fe0f} 1\u{fe0f}\u{20e3}"), "❤ 1\u{20e3}");
        assert_eq!(normalise("¯\\_(ツ)_/¯"), "¯\\_(ツ)_/¯");
        assert_eq!(normalise("ﬁne ① ㎏"), "fine 1 kg");
        assert_eq!(normalise("\u{1112}\u{1161}\u{11ab}"), "한");
    }

    #[test]
    fn broken_bytes_become_replacement_characters() {
        assert_eq!(
            string(Normalised::default().read(b"a\xff\xfeb\xed\xa0\xbdc")),
            "a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}\u{fffd}c"
        );
    }

    #[test]
    fn a_flood_of_marks_is_bounded() {
        let flood: String = std::iter::once('a').chain(std::iter::repeat_n('\u{301}', 20_000)).collect();
        assert!(normalise(&flood).chars().count() <= MAX_MARKS + 1);
        let jamo: String = std::iter::repeat_n('\u{11ab}', 20_000).collect();
        assert!(normalise(&jamo).len() <= jamo.len());
    }

    #[test]
    fn growth_is_bounded() {
        let mut buffer = Normalised::default();
        assert!(buffer.read("\u{fdfa}".repeat(20_000).as_bytes()).bytes.len() < MAX_NORMALISED_BYTES + 64);
        assert!(buffer.cut());
        buffer.read("\u{fdfa}".as_bytes());
        assert!(!buffer.cut());
    }

    #[test]
    fn offsets_lead_back() {
        let text = "I’m ﬁne &amp; caf\u{65}\u{301} 😀 ok";
        let mut buffer = Normalised::default();
        let normal = string(buffer.read(text.as_bytes()));
        for word in ["I", "m", "&", "caf", "😀", "ok"] {
            let at = normal.find(word).unwrap();
            let given = buffer.origin(at);
            let wanted = if word == "&" { text.find("&amp;") } else { text.find(word) };
            assert_eq!(Some(given), wanted, "{word}");
        }
        for at in 0..normal.len() {
            assert!(buffer.origin(at) < text.len());
        }
    }

    #[test]
    fn the_end_is_cut_between_characters() {
        let text = "é".repeat(MAX_TEXT_BYTES);
        let (bytes, cut) = readable(&Text::new(&text.as_bytes()[1..]));
        assert!(cut && bytes.len() <= MAX_TEXT_BYTES && str::from_utf8(&bytes[1..]).is_ok());
        assert!(!readable(&Text::new(b"short")).1);
    }
}
