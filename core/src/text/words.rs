//! What words are read as: SMS shorthand spelled out, clitics split off, negators known.

/// What a folded word is read as, if it is shorthand of SMS and chat or a contraction without its apostrophe. A
/// match on bytes compiles to a decision tree: most words are past it after a length and a letter.
#[allow(clippy::too_many_lines)]
pub(super) fn spelled_out(word: &[u8]) -> Option<&'static str> {
    Some(match word {
        b"abt" => "about",
        b"aint" => "ain't",
        b"r" => "are",
        b"arent" => "aren't",
        b"awsm" => "awesome",
        b"bcos" | b"bcoz" | b"bcz" | b"becoz" | b"coz" | b"cuz" => "because",
        b"b4" => "before",
        b"bday" => "birthday",
        b"cant" => "can't",
        b"xmas" => "christmas",
        b"couldnt" => "couldn't",
        b"didnt" => "didn't",
        b"doesnt" => "doesn't",
        b"dont" => "don't",
        b"4eva" | b"4ever" => "forever",
        b"frm" => "from",
        b"gd" | b"gud" => "good",
        b"gnite" => "goodnight",
        b"gr8" => "great",
        b"hadnt" => "hadn't",
        b"hasnt" => "hasn't",
        b"h8" => "hate",
        b"hav" => "have",
        b"havent" => "haven't",
        b"im" => "i'm",
        b"ive" => "i've",
        b"isnt" => "isn't",
        b"jus" | b"juz" => "just",
        b"l8" => "late",
        b"l8r" => "later",
        b"luv" => "love",
        b"luvin" => "loving",
        b"m8" => "mate",
        b"msg" => "message",
        b"nite" => "night",
        b"ppl" => "people",
        b"pls" | b"plz" | b"plzz" => "please",
        b"rly" => "really",
        b"shouldnt" | b"shudnt" => "shouldn't",
        b"sry" => "sorry",
        b"thanx" | b"thnx" | b"thx" | b"tnx" => "thanks",
        b"thats" => "that's",
        b"tho" => "though",
        b"2day" => "today",
        b"2moro" | b"2morrow" | b"2mr" | b"2mro" | b"2mrw" | b"tmr" | b"tmrw" | b"tmw" => "tomorrow",
        b"2nite" | b"tonite" => "tonight",
        b"w8" => "wait",
        b"wasnt" => "wasn't",
        b"werent" => "weren't",
        b"wat" => "what",
        b"whats" => "what's",
        b"wif" => "with",
        b"wont" => "won't",
        b"wud" => "would",
        b"wouldnt" => "wouldn't",
        b"u" => "you",
        b"youre" => "you're",
        b"ur" => "your",
        _ => return None,
    })
}

/// Where the clitic of a folded word begins (`it's`, `we'll`); `n't` stays, for it negates with its verb.
pub(super) fn clitic(word: &str) -> Option<usize> {
    let at = word.rfind('\'')?;
    (at > 0 && matches!(&word[at + 1..], "s" | "m" | "re" | "ve" | "ll" | "d")).then_some(at)
}

/// Whether a folded word negates what follows it. Other languages' plain negators are here too: none of them is
/// a common word of another sense elsewhere.
pub(super) fn negates(word: &[u8]) -> bool {
    matches!(
        word,
        b"not"
            | b"no"
            | b"never"
            | b"none"
            | b"nobody"
            | b"nothing"
            | b"nowhere"
            | b"neither"
            | b"nor"
            | b"without"
            | b"hardly"
            | b"barely"
            | b"scarcely"
            | b"cannot"
            | b"nicht"
            | b"kein"
            | b"keine"
            | b"keinen"
            | b"jamais"
            | b"nunca"
            | b"jam\xc3\xa1s"
            | b"n\xc3\xa3o"
            | b"nem"
            | b"nessun"
            | b"nessuno"
            | [.., b'n', b'\'', b't']
    )
}

/// Whether a folded word starts a new clause, so that a negation before it does not reach beyond it.
pub(super) fn turns(word: &[u8]) -> bool {
    matches!(
        word,
        b"but"
            | b"however"
            | b"although"
            | b"though"
            | b"because"
            | b"aber"
            | b"mais"
            | b"pero"
            | b"ma"
            | b"mas"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthand() {
        assert_eq!(spelled_out(b"gr8"), Some("great"));
        assert_eq!(spelled_out(b"u"), Some("you"));
        assert_eq!(spelled_out(b"hello"), None);
        assert_eq!(spelled_out(b""), None);
    }

    #[test]
    fn negators() {
        assert!(
            negates(b"not") && negates(b"won't") && negates("não".as_bytes()) && negates("jamás".as_bytes())
        );
        assert!(!negates(b"note") && !negates(b"") && !negates(b"n't-"));
        assert!(turns(b"but") && !turns(b"butter"));
    }

    #[test]
    fn clitics() {
        assert_eq!(clitic("it's"), Some(2));
        assert_eq!(clitic("we'll"), Some(2));
        assert_eq!(clitic("don't"), None);
        assert_eq!(clitic("'s"), None);
        assert_eq!(clitic("plain"), None);
    }
}
