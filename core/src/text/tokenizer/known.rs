//! Forms that are known before any text is: what web addresses and names are read as, and punctuation.

use crate::hash;

/// All of them, one after another: the beginning of each text's forms.
pub(super) const FORMS: &str = "<url><user><rt>...,;:-?!!!??";

/// Such a form: its number, its hash, and where it stands among the forms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub number: u8,
    pub(super) hash: u64,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Known {
    /// The number of a form that is not known beforehand.
    pub const NONE: u8 = 0;

    /// Numbers are below this.
    pub const NUMBERS: usize = 16;

    /// Finds a form among all of them while this is compiled.
    const fn new(number: u8, form: &str) -> Self {
        assert!(number != Self::NONE && (number as usize) < Self::NUMBERS);
        let (all, form) = (FORMS.as_bytes(), form.as_bytes());
        let mut start = 0;
        loop {
            let mut same = 0;
            while same < form.len() && all[start + same] == form[same] {
                same += 1;
            }
            if same == form.len() {
                let (start, end) = (super::narrow(start), super::narrow(start + same));
                return Self { number, hash: hash::short_token(form), start, end };
            }
            start += 1;
        }
    }
}

pub(crate) const URL: Known = Known::new(1, "<url>");
pub(crate) const USER: Known = Known::new(2, "<user>");
pub(crate) const RETWEET: Known = Known::new(3, "<rt>");
pub(crate) const DOT: Known = Known::new(4, ".");
pub(crate) const DOTS: Known = Known::new(5, "...");
pub(crate) const COMMA: Known = Known::new(6, ",");
pub(crate) const SEMICOLON: Known = Known::new(7, ";");
pub(crate) const COLON: Known = Known::new(8, ":");
pub(crate) const DASH: Known = Known::new(9, "-");
pub(crate) const QUESTION: Known = Known::new(10, "?");
pub(crate) const QUESTIONS: Known = Known::new(11, "??");
pub(crate) const EXCLAIMED_QUESTION: Known = Known::new(12, "?!");
pub(crate) const EXCLAMATION: Known = Known::new(13, "!");
pub(crate) const TWO_EXCLAMATIONS: Known = Known::new(14, "!!");
pub(crate) const EXCLAMATIONS: Known = Known::new(15, "!!!");
