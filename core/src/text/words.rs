//! What words are read as: SMS shorthand spelled out, clitics split off, negators known.

use super::register;
use crate::hash;
use Meaning::{Negates, Short, Turns};

/// What a folded word does beside being a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is shorthand of SMS and chat, or a contraction without its apostrophe, for this.
    Short(&'static str),
    /// It negates what follows it. Other languages' plain negators are here too: none of them is a common word of another
    /// sense elsewhere.
    Negates,
    /// It starts a new clause, so that a negation before it does not reach beyond it.
    Turns,
}

/// The words that mean something, none of them longer than a register.
#[rustfmt::skip]
const WORDS: &[(&[&str], Meaning)] = &[
    (&["abt"], Short("about")),
    (&["aint"], Short("ain't")),
    (&["r"], Short("are")),
    (&["arent"], Short("aren't")),
    (&["awsm"], Short("awesome")),
    (&["bcos", "bcoz", "bcz", "becoz", "coz", "cuz"], Short("because")),
    (&["b4"], Short("before")),
    (&["bday"], Short("birthday")),
    (&["cant"], Short("can't")),
    (&["xmas"], Short("christmas")),
    (&["couldnt"], Short("couldn't")),
    (&["didnt"], Short("didn't")),
    (&["doesnt"], Short("doesn't")),
    (&["dont"], Short("don't")),
    (&["4eva", "4ever"], Short("forever")),
    (&["frm"], Short("from")),
    (&["gd", "gud"], Short("good")),
    (&["gnite"], Short("goodnight")),
    (&["gr8"], Short("great")),
    (&["hadnt"], Short("hadn't")),
    (&["hasnt"], Short("hasn't")),
    (&["h8"], Short("hate")),
    (&["hav"], Short("have")),
    (&["havent"], Short("haven't")),
    (&["im"], Short("i'm")),
    (&["ive"], Short("i've")),
    (&["isnt"], Short("isn't")),
    (&["jus", "juz"], Short("just")),
    (&["l8"], Short("late")),
    (&["l8r"], Short("later")),
    (&["luv"], Short("love")),
    (&["luvin"], Short("loving")),
    (&["m8"], Short("mate")),
    (&["msg"], Short("message")),
    (&["nite"], Short("night")),
    (&["ppl"], Short("people")),
    (&["pls", "plz", "plzz"], Short("please")),
    (&["rly"], Short("really")),
    (&["shouldnt", "shudnt"], Short("shouldn't")),
    (&["sry"], Short("sorry")),
    (&["thanx", "thnx", "thx", "tnx"], Short("thanks")),
    (&["thats"], Short("that's")),
    (&["tho"], Short("though")),
    (&["2day"], Short("today")),
    (&["2moro", "2morrow", "2mr", "2mro", "2mrw", "tmr", "tmrw", "tmw"], Short("tomorrow")),
    (&["2nite", "tonite"], Short("tonight")),
    (&["w8"], Short("wait")),
    (&["wasnt"], Short("wasn't")),
    (&["werent"], Short("weren't")),
    (&["wat"], Short("what")),
    (&["whats"], Short("what's")),
    (&["wif"], Short("with")),
    (&["wont"], Short("won't")),
    (&["wud"], Short("would")),
    (&["wouldnt"], Short("wouldn't")),
    (&["u"], Short("you")),
    (&["youre"], Short("you're")),
    (&["ur"], Short("your")),
    (&["not", "no", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "without", "hardly", "barely", "scarcely", "cannot", "nicht", "kein", "keine", "keinen", "jamais", "nunca", "jamás", "não", "nem", "nessun", "nessuno"], Negates),
    (&["but", "however", "although", "though", "because", "aber", "mais", "pero", "ma", "mas"], Turns),
];

/// Slots of the index below, a power of two of which about half are taken.
const SLOTS: usize = 256;

/// An open-addressed index of the words, made when this is compiled: most words are past it after one look.
static INDEX: [Option<(u64, Meaning)>; SLOTS] = {
    let mut index = [None; SLOTS];
    let mut row = 0;
    while row < WORDS.len() {
        let (words, meaning) = WORDS[row];
        let mut at = 0;
        while at < words.len() {
            let key = register::of(words[at].as_bytes());
            let mut place = slot(key);
            while index[place].is_some() {
                place = (place + 1) % SLOTS;
            }
            index[place] = Some((key, meaning));
            at += 1;
        }
        row += 1;
    }
    index
};

/// A bit for each of the words, by their hashes, among so many that one which is taken for another is rare: the search itself
/// ends where a processor cannot foresee it.
static FILTER: [u64; 128] = {
    let mut filter = [0; 128];
    let mut row = 0;
    while row < WORDS.len() {
        let words = WORDS[row].0;
        let mut at = 0;
        while at < words.len() {
            let bit = hash::short_token(words[at].as_bytes()) >> 51;
            filter[(bit / 64) as usize] |= 1 << (bit % 64);
            at += 1;
        }
        row += 1;
    }
    filter
};

/// Where a word's search begins: at a product whose upper bits depend on all its letters.
const fn slot(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

/// Whether the word with this hash may mean something: next to no others do.
#[inline(always)]
pub(super) fn may_mean(hash: u64) -> bool {
    let bit = hash >> 51;
    FILTER[(bit / 64) as usize] >> (bit % 64) & 1 != 0
}

/// What a folded word of up to eight bytes does; `key` is its bytes, little-endian, zero-padded.
#[inline(never)]
fn meaning_of_key(key: u64) -> Option<Meaning> {
    let mut place = slot(key);
    while let Some((known, meaning)) = INDEX[place] {
        if known == key {
            return Some(meaning);
        }
        place = (place + 1) % SLOTS;
    }
    None
}

/// What a folded word of so many bytes does, which begins with `head` and has this hash: most words are past it after one look.
#[inline(always)]
pub(super) fn meaning_of(head: u64, length: usize, hash: u64) -> Option<Meaning> {
    if may_mean(hash) && length <= 8 { meaning_of_key(register::first(head, length)) } else { None }
}

/// What the folded word does that stands at the end of `forms` from `start` on.
pub(super) fn meaning(forms: &[u8], start: usize) -> Option<Meaning> {
    if forms.len() > start + 8 { None } else { meaning_of_key(register::load(forms, start)) }
}

/// Where the clitic of a folded word begins (`it's`, `we'll`); `n't` stays, for it negates with its verb.
pub(super) fn clitic(word: &[u8]) -> Option<usize> {
    let at = word.iter().rposition(|&byte| byte == b'\'')?;
    (at > 0 && is_clitic(&word[at + 1..])).then_some(at)
}

/// Whether what stands behind the last apostrophe of a word is a clitic.
pub(super) fn is_clitic(tail: &[u8]) -> bool {
    matches!(tail, b"s" | b"m" | b"re" | b"ve" | b"ll" | b"d")
}

/// Whether a folded word is a verb with its negation.
pub(super) fn is_negated_verb(word: &[u8]) -> bool {
    word.ends_with(b"n't")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthand() {
        assert_eq!(meaning(b"gr8", 0), Some(Short("great")));
        assert_eq!(meaning(b"u", 0), Some(Short("you")));
        assert_eq!(meaning(b"hello", 0), None);
        assert_eq!(meaning(b"", 0), None);
    }

    #[test]
    fn every_word_is_found() {
        for (words, wanted) in WORDS {
            for word in *words {
                assert_eq!(meaning(word.as_bytes(), 0), Some(*wanted), "{word}");
                for near in [&word[..word.len() - 1], &format!("{word}q"), &format!("q{word}")] {
                    assert!(
                        meaning(near.as_bytes(), 0)
                            .is_none_or(|_| WORDS.iter().any(|(words, _)| words.contains(&near)))
                    );
                }
            }
        }
        let most = WORDS.iter().map(|(words, _)| words.len()).sum::<usize>();
        assert!(most <= SLOTS * 5 / 8, "{most} words are too many for a search that ends soon");
    }

    #[test]
    fn negators() {
        assert!(
            ["not", "n\u{e3}o", "jam\u{e1}s"].iter().all(|word| meaning(word.as_bytes(), 0) == Some(Negates))
        );
        assert!(is_negated_verb(b"won't") && !is_negated_verb(b"n't-"));
        assert_eq!(
            (meaning(b"note", 0), meaning(b"but", 0), meaning(b"butter", 0)),
            (None, Some(Turns), None)
        );
    }

    #[test]
    fn clitics() {
        assert_eq!(clitic(b"it's"), Some(2));
        assert_eq!(clitic(b"we'll"), Some(2));
        assert_eq!(clitic(b"don't"), None);
        assert_eq!(clitic(b"'s"), None);
        assert_eq!(clitic(b"plain"), None);
    }
}
